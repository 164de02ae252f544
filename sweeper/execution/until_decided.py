"""A sweep that ends when each arm is decided, in one Tune run: each look (interim analysis) chooses the next trials.

While the last trials of a look run, those of the next one begin; if the look decides their arm, they are stopped.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sweeper.audio.fold_data import FoldData
from sweeper.audio.store import ClipStore
from sweeper.execution.fits import Machine
from sweeper.execution.interrupt import TrialSource
from sweeper.execution.progress import Progress
from sweeper.execution.sweep import Call, Failure, run_trials
from sweeper.execution.worker import SweepContext
from sweeper.plan import TrialSpec
from sweeper.results.budget import Spending
from sweeper.results.claims import Claims
from sweeper.results.deciding import Deciding
from sweeper.results.store import Study
from sweeper.statistics.sequential import Cell


def run_until_decided(
    specs: Sequence[Sequence[TrialSpec]],
    folds: Mapping[int, FoldData],
    study: Study,
    store: ClipStore,
    machine: Machine,
    *,
    deciding: Callable[[Callable[[str], None]], Deciding],
    plan: Callable[[Sequence[TrialSpec]], None],
    coming: Sequence[TrialSpec],
    spending: Spending | None = None,
    meanwhile: Call | None = None,
) -> tuple[Failure, ...]:
    """Run what looks need until none is left; see `run_sweep`.

    Args:
        specs: of each arm and block, `[arms][blocks]`.
        folds, study, store, machine: see `run_sweep`.
        deciding: makes what decides, given what prints a line.
        plan: adds trials to the study's plan.
        coming: trials that are left if no further arm is decided.
        spending: what may be spent; None: without a limit.
        meanwhile: see `run_sweep`.
    """
    view = Progress((), coming)

    def source(sweep: SweepContext) -> TrialSource:
        return UntilDecided(specs, deciding(view.say), plan, Claims(study, sweep.run), view.say, spending)

    return run_trials(
        lambda sweep: (source(sweep), None),
        folds,
        study,
        store,
        machine,
        like=[of_arm[0] for of_arm in specs],
        ahead=len(specs),
        view=view,
        meanwhile=meanwhile,
    )


class UntilDecided(TrialSource):
    """Gives Tune what the next look needs, then what the one after it may need.

    Args:
        specs: of each arm and block.
        deciding: what decides.
        plan: adds trials to the study's plan, before they run.
        claims, say: see `TrialSource`.
        spending: what may be spent; None: without a limit.
    """

    def __init__(
        self,
        specs: Sequence[Sequence[TrialSpec]],
        deciding: Deciding,
        plan: Callable[[Sequence[TrialSpec]], None],
        claims: Claims | None = None,
        say: Callable[[str], None] = print,
        spending: Spending | None = None,
    ) -> None:
        super().__init__(claims, say)
        self._spending = spending
        self._specs, self._deciding, self._plan = specs, deciding, plan
        self._planned: set[str] = set()
        self._stopped: set[str] = set()

    def next(self) -> TrialSpec | None:
        """The next trial that nobody is at."""
        if self._spending is not None:
            if self._spending.over():
                return None
            self._withhold(self._spending)
        step = self._deciding.step()
        taken = {spec.trial_id for spec in self._running.values()} | self.claimed().keys()
        for cells in (step.now, step.ahead):
            for spec in map(self._spec, cells):
                if spec.trial_id not in taken:
                    if cells is step.ahead and not self._fits([*map(self._spec, step.now), spec]):
                        return None
                    self._add(list(map(self._spec, step.now)) if cells is step.now else [spec])
                    return spec
        return None

    def is_over(self) -> bool:
        """Whether no look is left to take, or none can be, or the budget is spent."""
        if self._spending is not None and not self._running and self._spending.over():
            self._spending.refused |= bool(self._deciding.step().look)
            self._withhold(self._spending)
            return True
        return not self._deciding.step().look

    def _fits(self, specs: Sequence[TrialSpec]) -> bool:
        return self._spending is None or self._spending.fits(specs)

    def _withhold(self, spending: Spending) -> None:
        """Where what is left of the budget buys no whole look, spend it on the arms that it decides most of.

        What runs is not given up. Of an arm that is left out, nothing is said; that costs no error.
        """
        running = {spec.arm for spec in self._running.values()}
        while (step := self._deciding.step()).look:
            missing: dict[int, list[TrialSpec]] = {}
            for arm, block in step.now:
                missing.setdefault(arm, []).append(self._spec((arm, block)))
            idle = [arm for arm in step.sits if arm in missing and missing[arm][0].arm not in running]
            if not idle or self._fits([spec for specs in missing.values() for spec in specs]):
                return

            def worth(arm: int, missing: Mapping[int, Sequence[TrialSpec]] = missing) -> float:
                return self._deciding.chance(arm) / max(sum(map(spending.expected, missing[arm])), 1e-9)

            spending.refused = True
            self._deciding.withhold(min(idle, key=worth))

    def yields(self, name: str) -> bool:
        """Whether a running trial (`name`: Tune's id) is to stop: no longer needed, or another run began it first."""
        spec = self._running.get(name)
        if spec is None or self._is_needed(spec):
            return super().yields(name)
        if name not in self._stopped:
            self._stopped.add(name)
            self._say(f"{spec.arm}, fold {spec.data.fold}, seed {spec.replicate}: stopped, the look has decided")
        return True

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Take in what became of a trial; one that was left or stopped may come again."""
        spec = self._forget(trial_id)
        if spec is not None:
            if self._spending is not None:
                self._spending.refresh()
            self._deciding.note(spec.trial_id, failed=error or (result or {}).get("outcome") == "failed")

    def _is_needed(self, spec: TrialSpec) -> bool:
        step = self._deciding.step()
        if any(self._spec(cell).trial_id == spec.trial_id for cell in (*step.now, *step.ahead)):
            return True
        # What runs when the budget is short is nearly paid for, and whoever raises it goes on from there.
        return self._spending is not None and self._spending.refused and self._deciding.is_open(spec.arm)

    def _spec(self, cell: Cell) -> TrialSpec:
        arm, block = cell
        return self._specs[arm][block]

    def _add(self, specs: Sequence[TrialSpec]) -> None:
        if fresh := [spec for spec in specs if spec.trial_id not in self._planned]:
            self._plan(fresh)
            self._planned |= {spec.trial_id for spec in fresh}
