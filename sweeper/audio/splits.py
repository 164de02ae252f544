"""Splits: which clips train, which select, which test.

`official`  the folds the data set's authors prescribe, each the test fold once. Refused where it leaks.
`grouped`   five folds by scikit-learn's StratifiedGroupKFold: no group, and no identical audio, on both sides.
`paper`     the paper's random stratified 80:20. Slices of one recording land on both sides: labelled wherever
            a number from it is shown.

Inside the training part, a validation share serves whatever gets selected. For official folds it is what the data
set prescribes, or the next fold in cyclic order, as ESC-50's author does it (3/1/1); where folds are missing, a fifth,
drawn like the split itself. The test rows serve the final evaluation alone. All draws are scikit-learn's, from explicit
seeds, so a split is the same on every machine.
"""

import functools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweeper.audio.datasets.base import VALIDATION, Dataset, DatasetError
from sweeper.audio.leaks import LeakAudit, LeakError, audit
from sweeper.audio.split_names import NAMES
from sweeper.audio.store import ClipStore

__all__ = ["NAMES", "LeakError", "Split", "SplitError", "check", "folds_of", "split"]

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


def check(dataset: Dataset, name: str, folds: Sequence[int], seed: int = 0) -> None:
    """Refuse, before anything is decoded, folds that can't be made or can't be learned from.

    Args:
        dataset: not decoded yet, so that identical audio in several groups is not known.
        name: `official`, `grouped` or `paper`.
        folds: some of `folds_of`.
        seed: as for `split`.

    Raises:
        SplitError: too few clips, groups or classes; with the numbers.
        LeakError: an official split with groups on both sides, not by its author's design.
    """
    _check_name(name)
    names, groups = np.unique([clip.group for clip in dataset.clips], return_inverse=True)
    labels = _Labels(
        dataset,
        np.array([clip.target for clip in dataset.clips], dtype=np.int64),
        np.array([clip.fold for clip in dataset.clips], dtype=np.int64),
        groups.astype(np.int64),
    )
    tests = _test_rows(labels, name, folds, len(folds_of(dataset, name)), seed)
    for fold, test in zip(folds, tests, strict=True):
        training = _training_rows(labels, fold, test)
        if name == "official":
            _shared_groups(labels, training, test, _by_design(labels, name)).refuse(dataset.name)
        _validation_rows(labels, name, fold, training, seed)
        _check_classes(labels, fold, training, test)
        if name == "official" and dataset.separates_groups:
            _refuse_shared_groups(labels, names, training, test)


def _check_classes(labels: "_Labels", fold: int, training: Rows, test: Rows) -> None:
    dataset, trained = labels.dataset, np.unique(labels.targets[training])
    if len(trained) < 2:
        raise SplitError(
            f"{dataset.name}, fold {fold}: all {len(training)} training clips are of one class, "
            f"{dataset.classes[trained[0]]!r}; classification needs two"
        )
    if not np.isin(labels.targets[test], trained).any():
        raise SplitError(
            f"{dataset.name}, fold {fold}: none of the {len(test)} test clips is of a class that is trained; every "
            "class needs clips in several folds"
        )


def _refuse_shared_groups(labels: "_Labels", names: NDArray[np.str_], training: Rows, test: Rows) -> None:
    both = np.intersect1d(labels.groups[training], labels.groups[test])
    found = LeakAudit(
        test_clips=len(test),
        shared_groups=tuple(map(str, names[both])),
        leaking_clips=int(np.isin(labels.groups[test], both).sum()),
        exact_duplicates=(),
        near_duplicates=(),
        group_name=labels.dataset.group_name,
        by_design=False,
    )
    found.refuse(labels.dataset.name)


@dataclass(frozen=True, eq=False)
class _Labels:
    """What a split is drawn from: int64 `[clips]` each; `groups` are numbers of what stays together."""

    dataset: Dataset
    targets: Rows
    folds: Rows
    groups: Rows


@functools.lru_cache(maxsize=64)  # the audit of a large store takes a second, and the stages of a search ask again
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
    labels = _Labels(store.dataset, store.clips.targets, store.clips.folds, _inseparable(store))
    test = _test_rows(labels, name, [fold], len(folds), seed)[0]
    training = _training_rows(labels, fold, test)
    _check_classes(labels, fold, training, test)  # again, as files that can't be read may have been left out
    result = audit(store, training, test, _by_design(labels, name))
    if name == "official":
        result.refuse(store.dataset.name)
    validation = _validation_rows(labels, name, fold, training, seed)
    return Split(np.setdiff1d(training, validation), validation, test, result)


def refuse_remembered(store: ClipStore, name: str, fold: int) -> None:
    """Refuse to select by validation clips that are trained on, where the split promises that none is.

    Raises:
        LeakError: groups or identical clips among those that train and those that select.
    """
    if name == "official" and store.dataset.separates_groups:
        sides = split(store, name, fold)
        found = audit(store, sides.train, sides.validation, by_design=False, near=False)
        if not found.safe:
            what = found.message.removeprefix("not leakage-safe: ").replace("test clips", "validation clips")
            raise LeakError(
                f"{store.dataset.name}, fold {fold}: {what}, so that a search would choose what remembers them; "
                "correct the folds or remove the clips, or use --split grouped"
            )


def _shared_groups(labels: _Labels, training: Rows, test: Rows, by_design: bool) -> LeakAudit:
    """What can be audited of labels alone."""
    both = np.intersect1d(labels.groups[training], labels.groups[test])
    names = np.unique([clip.group for clip in labels.dataset.clips])
    return LeakAudit(
        test_clips=len(test),
        shared_groups=tuple(str(names[group]) for group in both),
        leaking_clips=int(np.isin(labels.groups[test], both).sum()),
        exact_duplicates=(),
        near_duplicates=(),
        group_name=labels.dataset.group_name,
        by_design=by_design,
    )


def _by_design(labels: _Labels, name: str) -> bool:
    return name == "official" and not labels.dataset.separates_groups


def _test_rows(labels: _Labels, name: str, folds: Sequence[int], count: int, seed: int) -> list[Rows]:
    if name == "official":
        return [np.flatnonzero(labels.folds == fold) for fold in folds]
    everything = np.arange(len(labels.targets), dtype=np.int64)
    if name == "paper":
        return [_shuffled(labels, everything, TEST_SHARE, seed)]
    drawn = _folds_by_group(labels, everything, count, seed)
    return [drawn[fold - 1] for fold in folds]


def _training_rows(labels: _Labels, fold: int, test: Rows) -> Rows:
    training = np.setdiff1d(np.arange(len(labels.targets), dtype=np.int64), test)
    if not len(test) or not len(training):
        side = "test" if not len(test) else "training"
        raise SplitError(f"{labels.dataset.name}, fold {fold}: no clips on the {side} side; use --split paper")
    return training


def _validation_rows(labels: _Labels, name: str, fold: int, training: Rows, seed: int) -> Rows:
    prescribed: Rows = training[labels.folds[training] == VALIDATION]
    if name == "official" and len(prescribed):
        return prescribed
    validation = _next_fold(labels, training, fold) if name == "official" else None
    if validation is not None:
        return validation
    if name == "paper" or _by_design(labels, name):
        return _shuffled(labels, training, 1 / FOLDS, seed)
    groups = len(np.unique(labels.groups[training]))
    count = _fold_count(labels.targets[training], groups)
    if count < 2:
        largest = int(np.bincount(labels.targets[training]).max())
        raise SplitError(
            f"{labels.dataset.name}, fold {fold}: {len(training)} clips train, {largest} in the largest class, of "
            f"{groups} {labels.dataset.group_name}s; some must be set aside to validate with, so add clips"
        )
    return _folds_by_group(labels, training, count, seed)[0]


def _next_fold(labels: _Labels, training: Rows, fold: int) -> Rows | None:
    """The fold after `fold`, cyclically; None where that would be no fair share of the training part.

    Which is so where folds are missing (a third of what is left, not a ninth, would go), where only one is
    tested (FSDD), or where a class of the training part is found in no other fold.
    """
    folds = labels.dataset.folds
    if len(folds) < 3 or folds != tuple(range(1, len(folds) + 1)):
        return None
    targets, chosen = labels.targets[training], labels.folds[training] == folds[fold % len(folds)]
    if not chosen.any() or len(np.unique(targets[~chosen])) < len(np.unique(targets)):
        return None
    return np.asarray(training[chosen])


def _folds_by_group(labels: _Labels, rows: Rows, count: int, seed: int) -> list[Rows]:
    from sklearn.model_selection import StratifiedGroupKFold

    groups = labels.groups[rows]
    targets = labels.targets[rows]
    present = len(np.unique(groups))
    if count < 2 or _fold_count(targets, present) < count:
        largest = int(np.bincount(targets).max())
        what = f"{len(rows)} clips of {present} {labels.dataset.group_name}s, {largest} in the largest class,"
        raise SplitError(f"{labels.dataset.name}: {what} are too few for {max(count, 2)} folds")
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
    heard = np.flatnonzero(store.heard)
    _contents, first, content = np.unique(clips.hashes[heard], axis=0, return_index=True, return_inverse=True)
    same = (group[heard], group[heard[first[content.ravel()]]])
    links = coo_array((np.ones(len(heard)), same), shape=(len(names), len(names)))
    _count, component = connected_components(links, directed=False)
    return np.asarray(component[group], dtype=np.int64)


def _shuffled(labels: _Labels, rows: Rows, share: float, seed: int) -> Rows:
    from sklearn.model_selection import StratifiedShuffleSplit

    targets = labels.targets[rows]
    classes, counts = np.unique(targets, return_counts=True)
    size = max(math.ceil(share * len(rows)), len(classes))  # of a very small set more than the share: one per class
    if counts.min() < 2 or len(rows) - size < len(classes):
        what = f"{len(rows)} clips of {len(classes)} classes, {counts.min()} in the smallest,"
        raise SplitError(f"{labels.dataset.name}: {what} are too few to draw {share:.0%} from every class")
    splitter = StratifiedShuffleSplit(1, test_size=size, random_state=seed)
    _rest, chosen = next(splitter.split(rows, targets))
    return np.sort(rows[chosen])


def _check_name(name: str) -> None:
    if name not in NAMES:
        raise SplitError(f"unknown split {name!r}; the splits are: {', '.join(NAMES)}")


def _listed(folds: tuple[int, ...]) -> str:
    return ", ".join(map(str, folds)) or "none"
