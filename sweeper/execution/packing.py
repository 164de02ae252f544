"""Rows of finished trials are packed while a sweep runs, so that a look at a large study never has to wait for it."""

import contextlib
from typing import Any

from ray.tune import Callback

from sweeper.execution.worker import specs_of
from sweeper.results.row_files import PACK_ROWS
from sweeper.results.store import Study
from sweeper.results.tables import StudyError


class Packing(Callback):
    """Packs a study's rows whenever enough trials have finished."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._finished = 0

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Count the trial, and what trained with it, and pack if that fills a pack."""
        packs = self._finished // PACK_ROWS
        self._finished += len(specs_of(trial.config))
        if self._finished // PACK_ROWS > packs:
            with contextlib.suppress(OSError, StudyError):  # a full disk, say: the rows stay where they are
                self._study.pack()
