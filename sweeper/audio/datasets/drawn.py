"""Folds for recordings whose owner prescribes none: scikit-learn's, with a fixed seed."""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sweeper.audio.datasets.base import DatasetError

FOLDS = 5


def draw_folds(
    source: Path, targets: Sequence[int], groups: Sequence[str], named: str
) -> tuple[list[int], tuple[str, ...]]:
    """Each clip's fold, counted from 1, and notes on the folds.

    StratifiedGroupKFold where groups have several clips, else StratifiedKFold. Fewer than five folds where there are
    fewer groups, or fewer clips in the largest class.

    Args:
        source: file or folder that error messages name.
        targets, groups: class index and group of each clip.
        named: what groups are, in the plural ("speakers").

    Raises:
        DatasetError: too few clips or groups for two folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    several = len(set(groups))
    largest = max(Counter(targets).values())
    classes = len(set(targets))
    if several < 2:
        raise DatasetError(
            f"{source}: only one group: nothing can be tested on what wasn't trained on; name more {named}"
        )
    if largest < 2:
        raise DatasetError(
            f"{source}: {len(targets)} clips in {classes} classes, one in each: a class can't be trained and tested "
            "with one clip; add clips, 5 or more to a class"
        )
    grouped = several < len(groups)
    count = min(FOLDS, several, largest)
    splitter = (StratifiedGroupKFold if grouped else StratifiedKFold)(count, shuffle=True, random_state=0)
    folds = [0] * len(targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rare classes are said in the data set's notes
        for fold, (_train, test) in enumerate(splitter.split(targets, targets, groups), 1):
            for row in test:
                folds[row] = fold
    if count == FOLDS:
        return folds, ()
    why = f"{several} {named}" if several < largest else f"{largest} clips in the largest class"
    return folds, (f"{count} folds and not {FOLDS}: {why}",)
