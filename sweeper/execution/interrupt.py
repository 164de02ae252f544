"""How a sweep ends on Ctrl-C, SIGTERM or SIGHUP: running trials finish or keep their state, and no other trial begins.

After Ctrl-C running trials have all the time they need, after SIGTERM or SIGHUP a number of seconds; a second signal
stops the sweep now. Trials write their state at the first signal, in case they are killed, and again before they leave
when their time is over.

Tune's own handler can only stop the run. It is switched off (`TUNE_DISABLE_SIGINT_HANDLER`), and Tune gets its trials
from a source that ends when asked; those that it had already, and that wait for a worker, stop as they begin, or once
none has a worker.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.search import Searcher

from sweeper import signals
from sweeper.execution.notices import put_up
from sweeper.execution.worker import tune_config
from sweeper.plan import TrialSpec
from sweeper.results.budget import Spending
from sweeper.results.claims import Claim, Claims

os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")

LEAVE_SECONDS = 10.0  # for trials that were told to leave: to look, to end a step, to keep their state


class TrialSource(Searcher):
    """Where Tune gets its trials from, until there are none or `drain` was called. Tune calls that a searcher.

    As many trials as run at once may wait for a worker: the first ones for workers that start side by side, later ones
    so that no worker waits for Tune. Where a result may decide what comes next, one trial waits once the first began.

    Args:
        claims: of other runs on the study; None: there are no others.
        say: tells what they mean for this one.
    """

    learns = True  # whether results may decide which trial comes next
    waiting = 1  # then, how many wait; more where nodes start on demand, each for trials that wait

    def __init__(self, claims: Claims | None = None, say: Callable[[str], None] = print) -> None:
        super().__init__()
        self._claims, self._say = claims, say
        self._running: dict[str, TrialSpec] = {}  # by Tune's name; also those that wait for a worker
        self._begun: set[str] = set()  # of these, those that have one
        self._has_begun = False
        self._yielded: set[str] = set()
        self._drained = False

    def drain(self) -> None:
        """Give out no further trial."""
        self._drained = True

    def suggest(self, trial_id: str) -> Any:
        """The next trial, or None where none is to be had now; `trial_id` is Tune's own name for it."""
        enough = self.learns and self._has_begun and len(self._running) - len(self._begun) >= self.waiting
        if enough and not self._drained:
            return None
        spec = None if self._drained else self.next()
        if spec is not None:
            self._running[trial_id] = spec
            return tune_config(spec)
        return Searcher.FINISHED if self._drained or self.is_over() else None

    def next(self) -> TrialSpec | None:
        """The next trial; None: there is none now."""
        raise NotImplementedError

    def is_over(self) -> bool:
        """Whether no further trial will come, either."""
        return True

    def claimed(self) -> Mapping[str, Claim]:
        """What other runs are at, by trial id."""
        return {} if self._claims is None else self._claims.now()

    def members(self, name: str) -> tuple[TrialSpec, ...]:
        """What a running trial (`name`: Tune's id) consists of."""
        spec = self._running.get(name)
        return () if spec is None else (spec,)

    def yields(self, name: str) -> bool:
        """Whether a running trial (`name`: Tune's id) is to be left to another run, which began it first.

        Of trials that train as one, the first that both runs are at decides for all: else both runs might yield.
        """
        claimed = self.claimed()
        spec = next((spec for spec in self.members(name) if spec.trial_id in claimed), None)
        if spec is None or claimed[spec.trial_id].yields:
            return False
        if name not in self._yielded:
            self._yielded.add(name)
            self._say(f"{spec.arm}, fold {spec.data.fold}, seed {spec.replicate}: another command began it first")
        return True

    @property
    def underway(self) -> frozenset[str]:
        """The trials that have a worker, by Tune's names."""
        return frozenset(self._begun)

    def begun(self, name: str) -> None:
        """A trial (`name`: Tune's id) has a worker."""
        self._has_begun = True
        if name in self._running:
            self._begun.add(name)

    def lost(self, name: str) -> None:
        """A trial has its worker no longer, and waits for another."""
        self._begun.discard(name)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing to learn."""
        self._forget(trial_id)

    def _forget(self, trial_id: str) -> TrialSpec | None:
        """A trial ended: which it was."""
        self._begun.discard(trial_id)
        return self._running.pop(trial_id, None)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to keep: what is finished is what the results folder says."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was kept."""


class PlannedTrials(TrialSource):
    """The planned trials in their order, but those that other runs are at come last.

    Args:
        trials: the trials.
        claims, say: see `TrialSource`.
    """

    learns = False

    def __init__(
        self, trials: Sequence[TrialSpec], claims: Claims | None = None, say: Callable[[str], None] = print
    ) -> None:
        super().__init__(claims, say)
        self._left = {trial.trial_id: trial for trial in trials}
        self._told = False
        self._mention(self.claimed())

    def next(self) -> TrialSpec | None:
        """The next planned trial that nobody is at."""
        claimed = self.claimed()
        self._mention(claimed)
        found = next((trial_id for trial_id in self._left if trial_id not in claimed), None)
        return None if found is None else self._left.pop(found)

    def _mention(self, claimed: Mapping[str, Claim]) -> None:
        """Say once that another run is at the study, whenever it came."""
        if not self._told and (theirs := claimed.keys() & self._left.keys()):
            self._told = True
            others = "; others come first" if len(theirs) < len(self._left) else ""
            self._say(f"{len(theirs)} of these trials are run by another command on this study{others}")

    def is_over(self) -> bool:
        """Whether no trial is left, or only those of other live runs. While ours run, wait: another may still die."""
        claimed = self.claimed()
        return not self._left or (
            not self._running and all(trial_id in claimed and claimed[trial_id].alive for trial_id in self._left)
        )

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial that was left to another run comes again, last, in case that is lost."""
        spec = self._forget(trial_id)
        if spec is not None and trial_id in self._yielded:
            self._left[spec.trial_id] = spec


class WithinBudget(PlannedTrials):
    """The planned trials in their order, as long as the budget lasts: a block begins where its end is affordable.

    Args:
        trials: the trials.
        spending: what is left of the budget.
        claims, say: see `TrialSource`.
    """

    learns = True

    def __init__(
        self,
        trials: Sequence[TrialSpec],
        spending: Spending,
        claims: Claims | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        super().__init__(trials, claims, say)
        self._spending = spending

    def next(self) -> TrialSpec | None:
        """The next planned trial that nobody is at, if it may begin."""
        return super().next() if self._may_begin() else None

    def is_over(self) -> bool:
        """Whether no trial is left that may begin; while some run, the budget rules none out: they may cost less."""
        if super().is_over():
            return True
        if self._running or self._may_begin():
            return False
        self._spending.refused = True
        return True

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Take in what the trial cost."""
        super().on_trial_complete(trial_id, result, error)
        self._spending.refresh()

    def _may_begin(self) -> bool:
        claimed = self.claimed()
        coming = next((spec for trial_id, spec in self._left.items() if trial_id not in claimed), None)
        running = {spec.trial_id for spec in self._running.values()}
        return coming is None or self._spending.affords(coming, running)


class Ending(Stopper):
    """What Tune is told to stop, and trials to do, once the sweep is asked to end.

    Args:
        source: of the trials.
        grace: seconds that running trials have after SIGTERM or SIGHUP.
        tell: tells all running trials "keep" or "leave"; what it returns is held.
    """

    def __init__(self, source: TrialSource, grace: float, tell: Callable[[Any], Any] = put_up) -> None:
        self._source, self._grace, self._tell = source, grace, tell
        self._running: set[str] = set()
        self._told: dict[str, Any] = {}
        self._left_at = 0.0

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether this trial stops; Tune asks after each of its reports. A trial that starts after the signal stops.

        One that has ended stops, too: Tune would ask its worker once more, only to hear that.
        """
        outcome = result.get("outcome")
        ended = outcome not in (None, "started")
        # Also as it begins: another run may have begun it while it waited here.
        if ended or (outcome == "started" and signals.asked()) or self._source.yields(trial_id):
            self._running.discard(trial_id)
            return True
        self._running.add(trial_id)
        return False

    def stop_all(self) -> bool:
        """Whether the whole sweep stops now; Tune asks ten times a second.

        It does once no trial has a worker: those that wait, be it for nodes that may never come, need not begin.
        """
        asked = signals.asked()
        if asked is None:
            return False
        if "keep" not in self._told:
            signals.tell(f"\n{self._words(asked)}")
            self._told["keep"] = self._tell("keep")
        now = time.monotonic()
        over = asked.urgent and now - asked.first > self._grace
        if "leave" not in self._told and (over or asked.times > 1):
            signals.tell("\nstopping now; finished trials and the state of others are kept")
            self._told["leave"], self._left_at = self._tell("leave"), now
        if "leave" in self._told:
            return not self._running & self._source.underway or now - self._left_at > LEAVE_SECONDS
        return not self._source.underway

    def end(self) -> None:
        """Take back what trials were told: those of another sweep of this driver would hear it."""
        self._told.clear()

    def _words(self, asked: signals.Asked) -> str:
        if not asked.urgent:
            return "finishing the trials that run, starting no other; Ctrl-C again stops now"
        return (
            f"{asked.name}: starting no other trial; those that run have {self._grace:g} s to finish, and then their "
            "state is kept"
        )


class Beginnings(Callback):
    """Tells a source which of its trials have a worker, and which no longer."""

    def __init__(self, source: TrialSource) -> None:
        self._source = source

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune calls this once the worker is there, of which the trial itself may tell much later."""
        self._source.begun(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune calls this when a worker died and its trial is to begin anew."""
        self._source.lost(trial.trial_id)
