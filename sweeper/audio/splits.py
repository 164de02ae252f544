"""Splits: which clips train, which select, which test.

`official`  the folds the data set's authors prescribe, each the test fold once. Refused where it leaks.
`grouped`   five folds by scikit-learn's StratifiedGroupKFold: no group, and no identical audio, on both sides.
`paper`     the paper's random stratified 80:20. Slices of one recording land on both sides: labelled wherever
            a number from it is shown.

Inside the training part, a validation share serves whatever gets selected. For official folds it is the next
fold in cyclic order, as ESC-50's author does it (3/1/1); where folds are missing, a fifth, drawn like the split
itself. The test rows serve the final evaluation alone. All draws are scikit-learn's, from explicit seeds, so a
split is the same on every machine.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sweeper.audio.datasets.base import Dataset, DatasetError
from sweeper.audio.leaks import LeakAudit, LeakError, audit
from sweeper.audio.store import ClipStore

__all__ = ["NAMES", "LeakError", "Split", "SplitError", "folds_of", "split"]

SplitName = Literal["official", "grouped", "paper"]
NAMES: tuple[str, ...] = get_args(SplitName)
FOLDS = 5
TEST_SHARE = 0.2
Rows = NDArray[np.int64]


class SplitError(DatasetError):
    """A split that can't be made of these clips; the message says why and what else there is."""


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of a store's table, ascending; no row is in two of them.

    Attributes:
        train: what is trained on while something is selected.
        validation: what selects.
        test: for the final evaluation only.
        audit: what the training part, validation included, shares with the test.
    """

    train: Rows
    validation: Rows
    test: Rows
    audit: LeakAudit

    @property
    def training(self) -> Rows:
        """The whole training part, for a fixed budget where nothing is selected."""
        return np.sort(np.concatenate([self.train, self.validation]))


def folds_of(dataset: Dataset, name: str) -> tuple[int, ...]:
    """The folds over which a split of this data set is run, before anything is decoded.

    Raises:
        SplitError: no such split.
    """
    _check_name(name)
    if name == "official":
        return dataset.folds
    if name == "paper":
        return (1,)
    targets = np.array([clip.target for clip in dataset.clips])
    return tuple(range(1, _fold_count(targets, len({clip.group for clip in dataset.clips})) + 1))


def split(store: ClipStore, name: str, fold: int, seed: int = 0) -> Split:
    """One fold of a split.

    Args:
        store: the decoded clips.
        name: `official`, `grouped` or `paper`.
        fold: one of `folds_of`.
        seed: of `grouped`, `paper` and a drawn validation share; `official` test folds don't depend on it.

    Raises:
        SplitError: no such split or fold, or too few clips or groups for it.
        LeakError: an official split with groups or identical clips on both sides, not by its author's design.
    """
    folds = folds_of(store.dataset, name)
    if fold not in folds:
        raise SplitError(f"{store.dataset.name} has no fold {fold} in its {name} split; it has {_listed(folds)}")
    by_design = name == "official" and not store.dataset.separates_groups
    grouped = name != "paper" and not by_design
    test = _test_rows(store, name, fold, len(folds), seed)
    everything = np.arange(len(store.clips), dtype=np.int64)
    training = np.setdiff1d(everything, test)
    if not len(test) or not len(training):
        side = "test" if not len(test) else "training"
        raise SplitError(f"{store.dataset.name}, fold {fold}: no clips on the {side} side; use --split paper")
    result = audit(store, training, test, by_design)
    if name == "official":
        result.refuse(store.dataset.name)
    validation = _next_fold(store, training, fold) if name == "official" else None
    if validation is None:
        validation = _drawn_share(store, training, grouped, seed)
    return Split(np.setdiff1d(training, validation), validation, test, result)


def _test_rows(store: ClipStore, name: str, fold: int, count: int, seed: int) -> Rows:
    clips = store.clips
    if name == "official":
        return np.flatnonzero(clips.folds == fold)
    everything = np.arange(len(clips), dtype=np.int64)
    if name == "paper":
        return _shuffled(store, everything, TEST_SHARE, seed)
    return _folds_by_group(store, everything, count, seed)[fold - 1]


def _next_fold(store: ClipStore, training: Rows, fold: int) -> Rows | None:
    """The fold after `fold`, cyclically; None where that would be no fair share of the training part.

    Which is so where folds are missing (a third of what is left, not a ninth, would go), where only one is
    tested (FSDD), or where a class of the training part is found in no other fold.
    """
    folds = store.dataset.folds
    if len(folds) < 3 or folds != tuple(range(1, len(folds) + 1)):
        return None
    targets, chosen = store.clips.targets[training], store.clips.folds[training] == folds[fold % len(folds)]
    if not chosen.any() or len(np.unique(targets[~chosen])) < len(np.unique(targets)):
        return None
    return np.asarray(training[chosen])


def _drawn_share(store: ClipStore, training: Rows, grouped: bool, seed: int) -> Rows:
    if not grouped:
        return _shuffled(store, training, 1 / FOLDS, seed)
    groups = len(np.unique(_inseparable(store)[training]))
    count = _fold_count(store.clips.targets[training], groups)
    if count < 2:
        raise SplitError(f"{store.dataset.name}: one {store.dataset.group_name} trains; none is left to validate with")
    return _folds_by_group(store, training, count, seed)[0]


def _folds_by_group(store: ClipStore, rows: Rows, count: int, seed: int) -> list[Rows]:
    from sklearn.model_selection import StratifiedGroupKFold

    groups = _inseparable(store)[rows]
    targets = store.clips.targets[rows]
    present = len(np.unique(groups))
    if count < 2 or _fold_count(targets, present) < count:
        what = f"{len(rows)} clips of {present} {store.dataset.group_name}s"
        raise SplitError(f"{store.dataset.name}: {what} are too few for {max(count, 2)} folds")
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes with fewer clips than folds can't be in every fold
        return [rows[test] for _train, test in splitter.split(rows, targets, groups)]


def _fold_count(targets: Rows, groups: int) -> int:
    """Five, or as many as there are groups, or clips in the largest class."""
    return min(FOLDS, groups, int(np.bincount(targets).max()))


def _inseparable(store: ClipStore) -> Rows:
    """Group numbers, where groups that hold the same audio count as one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    clips = store.clips
    names, group = np.unique(clips.groups, return_inverse=True)
    heard = np.flatnonzero(clips.fingerprints.any(axis=1))
    _contents, first, content = np.unique(clips.hashes[heard], axis=0, return_index=True, return_inverse=True)
    same = (group[heard], group[heard[first[content.ravel()]]])
    links = coo_array((np.ones(len(heard)), same), shape=(len(names), len(names)))
    _count, component = connected_components(links, directed=False)
    return np.asarray(component[group], dtype=np.int64)


def _shuffled(store: ClipStore, rows: Rows, share: float, seed: int) -> Rows:
    from sklearn.model_selection import StratifiedShuffleSplit

    targets = store.clips.targets[rows]
    classes, counts = np.unique(targets, return_counts=True)
    size = max(math.ceil(share * len(rows)), len(classes))  # of a very small set more than the share: one per class
    if counts.min() < 2 or len(rows) - size < len(classes):
        what = f"{len(rows)} clips of {len(classes)} classes, {counts.min()} in the smallest,"
        raise SplitError(f"{store.dataset.name}: {what} are too few to draw {share:.0%} from every class")
    splitter = StratifiedShuffleSplit(1, test_size=size, random_state=seed)
    _rest, chosen = next(splitter.split(rows, targets))
    return np.sort(rows[chosen])


def _check_name(name: str) -> None:
    if name not in NAMES:
        raise SplitError(f"unknown split {name!r}; the splits are: {', '.join(NAMES)}")


def _listed(folds: tuple[int, ...]) -> str:
    return ", ".join(map(str, folds)) or "none"
