"""The floor of a study's folds: `floor.json`, beside its trials.

It is no arm: it is in no family, nothing is compared with it by a test, and a study without it is as good as before.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.results.store import Study
from sweeper.results.tables import damaged
from sweeper.training.metrics import metrics

FILE = "floor.json"
_REMEDY = "delete it and run the study's command again"
MOST_CLASSES = 10_000


@dataclass(frozen=True, eq=False)
class Floor:
    """What a plain method gets on the folds of a study.

    Attributes:
        method: it, in words.
        confusions: of the test clips, by fold: int64 `[classes, classes]`; row = true class, column = predicted class.
        train_clips: how many it was fitted on, by fold.
    """

    method: str
    confusions: Mapping[int, NDArray[np.int64]]
    train_clips: Mapping[int, int]

    def accuracy(self) -> float:
        """Mean over the folds, a fraction of 1."""
        return float(np.mean([metrics(confusion).accuracy for confusion in self.confusions.values()]))


def read_floor(study: Study, plan: Mapping[str, Any]) -> Floor | None:
    """The study's floor; None where there is none, or one of other data than the plan's.

    Raises:
        StudyError: the file is damaged.
    """
    try:
        (data,) = study.storage.read(FILE)
    except FileNotFoundError:
        return None
    told = _parse(data, f"{study}/{FILE}")
    if told["data_digest"] != plan.get("data_digest"):
        return None
    folds = {int(fold): found for fold, found in told["folds"].items()}
    return Floor(
        told["method"],
        {fold: np.array(folds[fold]["confusion"], dtype=np.int64) for fold in sorted(folds)},
        {fold: folds[fold]["train_clips"] for fold in sorted(folds)},
    )


def write_floor(study: Study, floor: Floor, data_digest: str) -> None:
    """Write (or replace) the study's floor, whole."""
    folds = {
        str(fold): {"confusion": confusion.tolist(), "train_clips": floor.train_clips[fold]}
        for fold, confusion in floor.confusions.items()
    }
    told = {"method": floor.method, "data_digest": data_digest, "folds": folds}
    study.storage.write(FILE, (json.dumps(told, sort_keys=True) + "\n").encode())


def _parse(data: bytes, name: str) -> dict[str, Any]:
    try:
        told = json.loads(data.decode())
        sound = isinstance(told["method"], str) and isinstance(told["data_digest"], str) and told["folds"]
        sound = sound and all(int(fold) and _sound(found) for fold, found in told["folds"].items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(name, str(error), _REMEDY) from error
    if not sound:
        raise damaged(name, "it does not hold a floor", _REMEDY)
    return dict(told)


def _sound(found: Mapping[str, Any]) -> bool:
    """Whether it is a square of counts, of one clip at least."""
    rows = found["confusion"]
    if not _count(found["train_clips"]) or not 0 < len(rows) <= MOST_CLASSES:
        return False
    square = all(len(row) == len(rows) and all(map(_count, row)) for row in rows)
    return square and any(map(any, rows))


def _count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**53
