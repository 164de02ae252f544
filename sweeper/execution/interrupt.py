"""A sweep that is asked to end, by Ctrl-C, SIGTERM or SIGHUP: what runs may finish or is kept, nothing else begins.

Ctrl-C leaves running trials all the time they need, SIGTERM and SIGHUP so many seconds; a second signal stops now. At
once, trials keep their state, in case somebody kills them; when the time is over, they keep it again and leave.

Tune's own handler only knows to stop. It is switched off (`TUNE_DISABLE_SIGINT_HANDLER`), and Tune is handed trial by
trial, by a source that runs dry when asked.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from ray.tune import Stopper
from ray.tune.search import Searcher

from sweeper import signals
from sweeper.execution.notices import put_up
from sweeper.execution.worker import tune_config
from sweeper.plan import TrialSpec

os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")

LEAVE_SECONDS = 10.0  # for trials that were told to leave: to look, to end a step, to keep their state


class Source(Searcher):
    """Where Tune gets its trials from, until there are none or `drain` was called. Tune calls that a searcher."""

    def __init__(self) -> None:
        super().__init__()
        self._drained = False

    def drain(self) -> None:
        """Give out no further trial."""
        self._drained = True

    def suggest(self, trial_id: str) -> Any:
        """The next trial; `trial_id` is Tune's own name for it."""
        spec = None if self._drained else self.next(trial_id)
        return Searcher.FINISHED if spec is None else tune_config(spec)

    def next(self, name: str) -> TrialSpec | None:
        """The next trial, which Tune calls `name`; None: there is none left."""
        raise NotImplementedError

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing to learn."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to keep: what is finished is what the results folder says."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was kept."""


class Planned(Source):
    """The planned trials in their order."""

    def __init__(self, trials: Sequence[TrialSpec]) -> None:
        super().__init__()
        self._left = list(reversed(trials))

    def next(self, name: str) -> TrialSpec | None:
        """The next planned trial."""
        return self._left.pop() if self._left else None


class Ending(Stopper):
    """What Tune is told to stop, and trials to do, once the sweep is asked to end.

    Args:
        grace: seconds that running trials have after SIGTERM or SIGHUP.
        tell: tells all running trials "keep" or "leave"; what it returns is held.
    """

    def __init__(self, grace: float, tell: Callable[[Any], Any] = put_up) -> None:
        self._grace, self._tell = grace, tell
        self._running: set[str] = set()
        self._told: dict[str, Any] = {}
        self._left_at = 0.0

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Tune asks after each report of a trial: one that only begins now, as it waited for a node, is stopped."""
        outcome = result.get("outcome")
        if outcome == "started" and signals.asked():
            return True
        if outcome in (None, "started"):
            self._running.add(trial_id)
        else:
            self._running.discard(trial_id)
        return False

    def stop_all(self) -> bool:
        """Tune asks ten times a second."""
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
        return "leave" in self._told and (not self._running or now - self._left_at > LEAVE_SECONDS)

    def _words(self, asked: signals.Asked) -> str:
        if not asked.urgent:
            return "finishing the trials that run, starting no other; Ctrl-C again stops now"
        return (
            f"{asked.name}: starting no other trial; those that run have {self._grace:g} s to finish, and then their "
            "state is kept"
        )
