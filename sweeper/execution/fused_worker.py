"""What runs in a Tune actor where several seeds of an arm train as one program.

Each has its own attempt, checkpoint, weights and row, as if it had been trained alone, and holds its share of what the
program holds. Tune sees one trial: what it is told of each seed is in the list `seeds` of a report.
"""

import contextlib
import time
from collections.abc import Sequence
from typing import Any

import ray
from ray import tune

from sweeper.execution.notices import watched
from sweeper.execution.worker import (
    REPORT_SECONDS,
    Row,
    SweepContext,
    begin_try,
    commit_result,
    completed,
    device_of,
    epoch_row,
    failed,
    failed_try,
    hold,
    opened,
    recorded,
    specs_of,
    started,
    train_alone,
    train_trial,
    whereabouts,
    with_signs,
)
from sweeper.plan import TrialSpec
from sweeper.results.attempts import Attempt
from sweeper.training.fit import Diverged, Epoch, Fitted, TrialLeft
from sweeper.training.fused import CannotFuse, check, choose, fit_fused
from sweeper.training.trial import evaluate

MOST_CHARACTERS = 200  # of an error that is told in passing

# Why an arm's seeds don't train as one here, so many at once; '' where they do. A worker finds it out once.
_reasons: dict[tuple[str, int], str] = {}


def train_seeds(config: dict[str, Any], sweep: SweepContext) -> None:
    """Tune's function trainable: run and commit the trials of `config` in this process, as one program.

    Where that can't be, or is slower, the driver is told why, and has the others run by whoever is free.
    """
    if len(specs_of(config)) == 1:
        train_trial(config, sweep)
        return
    tune.report(started())  # returns unless Tune stops the trial here
    specs = [opened(spec, sweep) for spec in specs_of(config)]
    hold(sweep)
    reason = _reason_against(specs, sweep)
    if not reason:
        try:
            _run_with_retries(sweep, _Seeds(specs))
        except CannotFuse as error:  # none has ended then
            reason = error.reason
    if reason:
        tune.report({"apart": reason})
        train_alone(specs[0], sweep)


def _reason_against(specs: Sequence[TrialSpec], sweep: SweepContext) -> str:
    key = specs[0].arm, len(specs)
    if key not in _reasons:
        try:
            if sweep.measured:
                choice = choose(specs, ray.get(list(sweep.folds[specs[0].data.fold].train)), device_of(sweep))
                _reasons[key] = "" if choice.fuse else choice.why
            else:
                check(specs, device_of(sweep))
                _reasons[key] = ""
        except CannotFuse as error:
            _reasons[key] = error.reason
        except Exception as error:  # a user's network may raise anything
            _reasons[key] = _in_a_line(failed_try(error))
    return _reasons[key]


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:MOST_CHARACTERS]}"


class _Seeds:
    """The trials of one program that have not ended, and what Tune is told of each."""

    def __init__(self, specs: Sequence[TrialSpec]) -> None:
        self.left = {spec.trial_id: spec for spec in specs}

    def end(self, spec: TrialSpec, row: Row) -> None:
        """A trial ended; with the last one, the program."""
        del self.left[spec.trial_id]
        over = {} if self.left else {"outcome": "complete"}
        tune.report({"seeds": [{"trial": spec.trial_id} | row]} | over)

    def leave(self) -> None:
        """All end early; their states are kept."""
        rows = [{"trial": trial_id, "outcome": "left"} for trial_id in self.left]
        tune.report({"outcome": "left", "seeds": rows})


class _News:
    """What the driver is told of epochs: of all seeds at once, as each report waits for its answer."""

    def __init__(self, specs: Sequence[TrialSpec]) -> None:
        self._specs, self._rows, self._sent = specs, dict[int, Row](), 0.0

    def note(self, which: int, point: Epoch) -> None:
        """An epoch of one of the trials ended."""
        speed = point.clips_per_second / len(self._specs)  # its seconds are a share of the program's
        trial_id = self._specs[which].trial_id
        self._rows[which] = {"trial": trial_id} | epoch_row(point) | {"clips_per_second": speed}

    def send(self) -> None:
        """Tell what is new; at most every half second, see `epoch_reporter`."""
        if self._rows and time.monotonic() - self._sent > REPORT_SECONDS:
            self._sent = time.monotonic()
            rows, self._rows = list(self._rows.values()), {}
            tune.report({"seeds": rows, "epoch_seconds": sum(row["epoch_seconds"] for row in rows)} | whereabouts())


def _run_with_retries(sweep: SweepContext, seeds: _Seeds) -> None:
    """Train the trials until each is committed or has failed; see `worker.run_with_retries`.

    An exception is all trials', as it ends the program; divergence is one trial's.

    Raises:
        CannotFuse: they can't be trained as one, or failed too often before one ended: by themselves, they may not.
    """
    all_ = len(seeds.left)
    for failures in range(sweep.max_failures + 1):
        begin_try(failures)
        for spec in list(seeds.left.values()):
            if sweep.study.is_finished(spec.trial_id):
                seeds.end(spec, {"outcome": "complete"})
        if not seeds.left:
            return
        try:
            _try(sweep, seeds)
        except TrialLeft:
            seeds.leave()
            return
        except CannotFuse:
            raise
        except Exception as error:
            failure = failed_try(error)
        else:
            return
    if len(seeds.left) == all_:
        raise CannotFuse(_in_a_line(failure))
    for spec in list(seeds.left.values()):
        seeds.end(spec, failed(sweep, spec, failure))


def _try(sweep: SweepContext, seeds: _Seeds) -> None:
    specs = list(seeds.left.values())
    fold = sweep.folds[specs[0].data.fold]
    train, device, news = ray.get(list(fold.train)), device_of(sweep), _News(specs)
    with contextlib.ExitStack() as stack, watched() as wish:
        contexts = [stack.enter_context(contextlib.ExitStack()) for _ in specs]
        attempts: list[Attempt] = []
        states = []
        for spec, context in zip(specs, contexts, strict=True):
            attempts.append(context.enter_context(recorded(sweep, spec, 1 / len(specs))))
            states.append(context.enter_context(sweep.study.checkpoint(spec.trial_id)))

        signs = with_signs(wish, tune.report)

        def wished() -> Any:
            news.send()
            return signs()

        try:
            outcomes = fit_fused(
                specs,
                train,
                device=device,
                states=[state.path for state in states],
                on_state=lambda which: states[which].save(often=not wish()),
                on_epoch=news.note,
                wish=wished,
            )
        except CannotFuse:
            for attempt in attempts:
                attempt.outcome = "stopped"
            raise
        tune.report({"seeds": []} | whereabouts())  # no epoch follows, see `Watchdog`
        for spec, outcome, attempt, context in zip(specs, outcomes, attempts, contexts, strict=True):
            ended = _committed(sweep, spec, outcome, attempt, train)
            context.close()
            seeds.end(spec, ended if isinstance(ended, dict) else failed(sweep, spec, ended))


def _committed(
    sweep: SweepContext, spec: TrialSpec, outcome: Fitted | Diverged, attempt: Attempt, train: Sequence[Any]
) -> Row | Diverged:
    """Score and commit what was trained; returns what Tune is told of it, or how it diverged."""
    fold = sweep.folds[spec.data.fold]
    try:
        if isinstance(outcome, Diverged):
            raise outcome
        result = evaluate(spec, train, lambda: ray.get(list(fold.scored)), outcome, device_of(sweep))
        return completed(commit_result(sweep, result, outcome, attempt))
    except Diverged as error:
        attempt.outcome = f"failed: {type(error).__name__}: {error}"
        return error
