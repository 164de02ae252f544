"""The two sides of every fold, cut such that folds share what they have in common and nothing else.

A store is cut into parts, and each side of each fold is a set of whole parts. Whatever number of folds run, an object
store holds every clip once; and a training side still can't reach a test clip, because it holds other parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweeper.audio.clips import Clips
from sweeper.audio.splits import split
from sweeper.audio.store import ClipStore


@dataclass(frozen=True)
class FoldData:
    """What one fold trains on and is scored on; `leak` is empty, or says in a sentence how training and test overlap.

    A part that several folds use is the same object in each.
    """

    train: tuple[Clips, ...]
    scored: tuple[Clips, ...]
    leak: str


def cut(store: ClipStore, split_name: str, folds: Sequence[int], *, selecting: bool = False) -> dict[int, FoldData]:
    """The sides of `folds` under a split.

    With a fixed budget nothing is selected, so the validation part trains too, and the test clips score. Where
    something is selected (`selecting`), the validation part scores, and the test clips are in no part at all.

    Raises:
        SplitError: see `splits.split`.
        LeakError: the split promises separate groups and does not keep them apart.
    """
    splits = {fold: split(store, split_name, fold) for fold in folds}
    member = np.zeros((len(store), 2, len(folds)), dtype=bool)
    for column, fold in enumerate(folds):
        found = splits[fold]
        member[found.train if selecting else found.training, 0, column] = True
        member[found.validation if selecting else found.test, 1, column] = True
    _, part_of = np.unique(member.reshape(len(store), -1), axis=0, return_inverse=True)
    used = np.unique(part_of[member.any(axis=(1, 2))])
    parts = {int(part): store.part(np.flatnonzero(part_of == part)) for part in used}

    def side(which: int, column: int) -> tuple[Clips, ...]:
        return tuple(parts[int(part)] for part in np.unique(part_of[member[:, which, column]]))

    return {
        fold: FoldData(side(0, column), side(1, column), splits[fold].audit.message)
        for column, fold in enumerate(folds)
    }
