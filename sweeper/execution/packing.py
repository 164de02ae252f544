"""Rows of finished trials are packed while a sweep runs, so that a look at a large study never has to wait for it."""

import contextlib
import threading
from typing import Any

from ray.tune import Callback

from sweeper import signals
from sweeper.execution.worker import specs_of
from sweeper.results.row_files import PACK_ROWS
from sweeper.results.store import Study
from sweeper.results.tables import StudyError


class Packing(Callback):
    """Packs a study's rows whenever enough trials have finished; in a thread, as no trial begins while Tune waits.

    That takes seconds each time, most of them in libraries that let other threads run.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._finished = 0
        self._thread: threading.Thread | None = None

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Count the trial, and what trained with it, and pack if that fills a pack."""
        packs = self._finished // PACK_ROWS
        self._finished += len(specs_of(trial.config))
        if self._finished // PACK_ROWS > packs and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._pack)
            with signals.held_back(*signals.SIGNALS):  # which are for the main thread
                self._thread.start()

    def end(self) -> None:
        """Wait for what is being packed."""
        if self._thread is not None:
            self._thread.join()

    def _pack(self) -> None:
        with contextlib.suppress(OSError, StudyError):  # a full disk, say: the rows stay where they are
            self._study.pack()
