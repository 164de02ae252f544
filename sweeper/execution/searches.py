"""Searches on Ray Tune: Optuna says what to try, and trials that fall behind are stopped early (ASHA).

Several searches (arms, folds) share one run, so that the machine is never idle; each learns and halves for itself.
"""

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from sweeper.audio.fold_data import FoldData
from sweeper.audio.store import ClipStore
from sweeper.execution.fits import Machine
from sweeper.execution.in_order import InOrder
from sweeper.execution.interrupt import TrialSource
from sweeper.execution.progress import Progress
from sweeper.execution.sweep import Failure, run_trials
from sweeper.execution.time_left import Course
from sweeper.execution.worker import SweepContext, circumstances
from sweeper.plan import TrialSpec
from sweeper.results.attempts import cost_of_running, read_attempts
from sweeper.results.claims import Claims
from sweeper.results.rows import stopped_row
from sweeper.results.schema import CURVE
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.search.suggest import Search

REDUCTION = 3  # one in three goes on at each rung, as in Li et al. 2020, "A System for Massively Parallel ..." (ASHA)
GRACE_SHARE = 6  # and none is stopped in the first sixth: a tenth of a one-cycle schedule is warm-up

AHEAD = 4  # trials of each search that may wait for nodes: what is chosen later is chosen better

Key = tuple[str, int]
Point = Mapping[str, Any]


def run_searches(
    searches: Mapping[Key, Search],
    like: Sequence[TrialSpec],
    folds: Mapping[int, FoldData],
    study: Study,
    store: ClipStore,
    machine: Machine,
    *,
    halve: bool,
    curves: Mapping[Key, Mapping[str, Sequence[Point]]],
    known: Collection[str] = (),
    course: Course | None = None,
) -> tuple[Failure, ...]:
    """Run what is left of each search's budget; see `run_sweep`.

    Args:
        searches: by arm and fold.
        like: one trial of each, with the recipe's values.
        folds: the clips: training without validation clips, and these.
        study, store, machine: see `run_sweep`.
        halve: stop trials that fall behind.
        course: see `run_sweep`.
        curves: learning curves of each search's earlier trials by id, for what "behind" means.
        known: the study's trials that were finished when the searches were opened, by id.
    """

    def make(sweep: SweepContext) -> tuple[TrialSource, TrialScheduler | None]:
        scheduler = Halving({(t.arm, t.data.fold): t.training.epochs for t in like}, sweep) if halve else None
        if scheduler is not None:
            scheduler.remember(curves)
        return SearchSource(searches, study, Claims(study, sweep.run), view.say, known), scheduler

    coming = [trial for trial in like for _ in range(searches[trial.arm, trial.data.fold].left)]
    view = Progress((), coming, course)
    return run_trials(
        make,
        folds,
        study,
        store,
        machine,
        like=like,
        ahead=min(len(coming), AHEAD * len(searches)),
        view=view,
        follow=halve,
    )


class SearchSource(TrialSource):
    """Gives Tune what the searches ask for, the one with the most left to do first, and tells them what came of it.

    Args:
        searches: by arm and fold.
        study: where rows are.
        claims, say: see `TrialSource`.
        known: ids of finished trials that the searches know, or that are not theirs.
    """

    def __init__(
        self,
        searches: Mapping[Key, Search],
        study: Study,
        claims: Claims | None = None,
        say: Callable[[str], None] = print,
        known: Collection[str] = (),
    ) -> None:
        super().__init__(claims, say)
        self._searches, self._study = searches, study
        self._known = set(known)  # and what was given out here since
        self._shared = False

    def next(self) -> TrialSpec | None:
        """A trial of the search that has most of its budget left; one whose space has no more points gives none."""
        claimed = self.claimed().keys()
        self._shared |= bool(claimed)
        if self._shared:
            self._learn()
        order = sorted(self._searches.values(), key=lambda search: search.left, reverse=True)
        found = next((spec for search in order if (spec := search.ask(claimed)) is not None), None)
        if found is not None:
            self._known.add(found.trial_id)
        return found

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Learn from the row that the trial left.

        A trial without one was interrupted, unless it failed: it stays open, and the next run continues it.
        """
        spec = self._forget(trial_id)
        if spec is None:
            return
        row = self._study.row(spec.trial_id)
        failed = error or (result or {}).get("outcome") == "failed"
        if row is not None or failed:
            self._searches[spec.arm, spec.data.fold].tell(spec.trial_id, row)

    def _learn(self) -> None:
        """Take in what other commands finished: where they share no storage of Optuna's, only the rows tell."""
        with contextlib.suppress(OSError, StudyError):  # a network, a damaged row: told at the end, if it lasts
            for trial_id in self._study.finished() - self._known:
                row = self._study.row(trial_id)
                self._known.add(trial_id)
                if row is None or (row["kind"], row["stage"]) != ("search", "explore"):
                    continue
                if (search := self._searches.get((row["arm"], row["fold"]))) is not None:
                    search.learn(row)


class Halving(InOrder):
    """Tune's ASHA, one for each search, on validation clips; what it stops is committed as stopped, here in the driver.

    Tune ends a stopped trial's thread without asking; its worker could not be relied on to write the row.
    """

    def __init__(self, epochs: Mapping[Key, int], sweep: SweepContext) -> None:
        super().__init__()
        self._sweep = sweep
        self._points: dict[str, dict[int, Point]] = {}  # by trial and epoch: one that is resumed tells them again
        self._asha: dict[Key, Any] = {
            key: AsyncHyperBandScheduler(
                time_attr="epoch",
                metric="validation_accuracy",
                mode="max",
                max_t=most,
                grace_period=-(-most // GRACE_SHARE),
                reduction_factor=REDUCTION,
                stop_last_trials=False,
            )
            for key, most in epochs.items()
        }

    def remember(self, curves: Mapping[Key, Mapping[str, Sequence[Point]]]) -> None:
        """Take in the curves of earlier trials, as if they had just been run; but for those that have gaps."""
        for key, by_trial in curves.items():
            for trial_id, curve in by_trial.items():
                followed = [point["epoch"] for point in curve if point["validation_accuracy"] is not None]
                if followed != list(range(len(curve))):
                    continue
                ghost = _Ghost(trial_id)
                self._asha[key].on_trial_add(None, ghost)
                for point in curve:
                    self._asha[key].on_trial_result(None, ghost, {**point, "epoch": point["epoch"] + 1})

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A new trial."""
        super().on_trial_add(tune_controller, trial)
        self._of(trial).on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether the trial goes on after this epoch."""
        if "validation_accuracy" not in result:  # it has only begun
            return str(TrialScheduler.CONTINUE)
        spec: TrialSpec = trial.config["spec"]
        points = self._points.setdefault(spec.trial_id, {})
        points[result["epoch"]] = result
        curve = [points[epoch] for epoch in range(1, result["epoch"] + 1) if epoch in points]
        # Where an earlier attempt was not followed, ASHA would take what comes next for its first rungs.
        if len(curve) < result["epoch"]:
            return str(TrialScheduler.CONTINUE)
        action = str(self._of(trial).on_trial_result(tune_controller, trial, result))
        if action != TrialScheduler.STOP or result["epoch"] >= spec.training.epochs:
            return str(TrialScheduler.CONTINUE)  # after the last epoch, nothing is saved by stopping
        self._commit(spec, curve)
        return action

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Nothing to learn from a failure."""

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """All was learned epoch by epoch."""
        self._points.pop(trial.config["trial_id"], None)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Nothing to forget."""

    def _of(self, trial: Any) -> Any:
        spec: TrialSpec = trial.config["spec"]
        return self._asha[spec.arm, spec.data.fold]

    def _commit(self, spec: TrialSpec, points: Sequence[Point]) -> None:
        study = self._sweep.study
        there = circumstances(self._sweep, spec, threads=self._sweep.cpus)
        row = stopped_row(spec, there, len(points), points[-1]["validation_accuracy"])
        seconds = sum(point["epoch_seconds"] for point in points)
        cost = asdict(cost_of_running(study, spec.trial_id, complete=False))
        *_, attempt = read_attempts(study, spec.trial_id).to_pylist()
        place = {name: attempt[name] for name in ("device", "node")}  # where it ran, which needn't be here
        study.commit(row | cost | place | {"seconds": seconds}, list(_curve(spec, points)), [])


def _curve(spec: TrialSpec, points: Iterable[Point]) -> Iterable[dict[str, Any]]:
    """What was reported of a trial as rows of its curve."""
    for point in points:
        known = {name: point[name] for name in CURVE.names if name in point}
        renamed = {"trial_id": spec.trial_id, "epoch": point["epoch"] - 1, "seconds": point["epoch_seconds"]}
        yield known | renamed


class _Ghost:
    """A trial of an earlier run, as ASHA sees it."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id
