"""Ctrl-C: once lets running trials finish and starts no other, twice stops now. Both leave a study that can go on.

Tune's own handler only knows the second. It is switched off (`TUNE_DISABLE_SIGINT_HANDLER`), and Tune is handed trial
by trial, by a source that runs dry when asked.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from ray.tune import Stopper
from ray.tune.search import Searcher

from sweeper.execution.worker import tune_config
from sweeper.plan import TrialSpec

os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")


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


class Brake(Stopper):
    """Stops trials: those that only begin once `drain` was called, all once `stop` was."""

    def __init__(self) -> None:
        self._draining = self._stopping = False

    def drain(self) -> None:
        """Stop trials at their first report, before they train: Tune was given them while they waited for a node."""
        self._draining = True

    def stop(self) -> None:
        """Stop all trials."""
        self._stopping = True

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Tune asks after each report of a trial."""
        return self._stopping or (self._draining and result.get("outcome") == "started")

    def stop_all(self) -> bool:
        """Tune asks again and again."""
        return self._stopping


@contextlib.contextmanager
def graceful(source: Source, stopper: Brake) -> Iterator[None]:
    """Handle Ctrl-C as said above for as long as the block runs."""
    presses = 0

    def interrupted(_signal: int, _frame: Any) -> None:
        nonlocal presses
        presses += 1
        if presses == 1:
            source.drain()
            stopper.drain()
            print("\nfinishing the trials that run, starting no other; Ctrl-C again stops now", file=sys.stderr)
        else:
            stopper.stop()
            print("\nstopping now; checkpoints and finished trials are kept", file=sys.stderr)
            signal.signal(signal.SIGINT, before)  # a third one is not held back

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
