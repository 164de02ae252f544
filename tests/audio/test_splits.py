"""Splits: property tests that hold for any labels, and the rules of each split."""

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sweeper.audio import splits
from sweeper.audio.splits import LeakError, SplitError, folds_of, split

RELAXED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def labelled(draw, by_fold: bool = False):
    """Groups of one to four clips, each group of one class and, with `by_fold`, in one fold; 2 to 4
    classes."""
    classes = draw(st.integers(2, 4))
    sizes = draw(st.lists(st.integers(1, 4), min_size=6 * classes, max_size=12 * classes))
    targets, groups, folds = [], [], []
    for i, size in enumerate(sizes):
        targets += [i % classes] * size
        groups += [f"g{i}"] * size
        folds += [1 + i // classes % 5] * size
    return targets, groups, folds if by_fold else None


def check_is_a_partition(store, sides):
    rows = np.concatenate([sides.train, sides.validation, sides.test])
    assert sorted(rows) == list(range(len(store)))
    for part in (sides.train, sides.validation, sides.test):
        assert len(part)
        assert np.all(np.diff(part) > 0)
    assert np.array_equal(sides.training, np.setdiff1d(np.arange(len(store)), sides.test))


def groups_of(store, rows):
    return set(store.clips.groups[rows])


@RELAXED
@given(labels=labelled(), seed=st.integers(0, 2**31))
def test_grouped_never_separates_a_group(table_store, labels, seed):
    store = table_store(*labels)
    tested = []
    for fold in folds_of(store.dataset, "grouped"):
        sides = split(store, "grouped", fold, seed)
        check_is_a_partition(store, sides)
        train, validation, test = (groups_of(store, r) for r in (sides.train, sides.validation, sides.test))
        assert not train & test
        assert not train & validation
        assert not validation & test
        assert sides.audit.safe
        tested += list(sides.test)
    assert sorted(tested) == list(range(len(store)))


@RELAXED
@given(labels=labelled(by_fold=True), seed=st.integers(0, 2**31))
def test_official_tests_each_fold_once_and_validates_on_the_next(table_store, labels, seed):
    store = table_store(*labels)
    assume(store.dataset.folds == (1, 2, 3, 4, 5))
    for fold in store.dataset.folds:
        sides = split(store, "official", fold, seed)
        check_is_a_partition(store, sides)
        assert set(store.clips.folds[sides.test]) == {fold}
        assert sides.audit.safe
        assert not groups_of(store, sides.train) & groups_of(store, sides.validation)
        following = set(store.clips.folds[sides.validation])
        rest = set(store.clips.targets[sides.train])
        if following == {fold % 5 + 1}:
            assert rest == set(store.clips.targets[sides.training])
        else:  # the next fold would have left training without a class
            held = store.clips.folds[sides.training] == fold % 5 + 1
            assert set(store.clips.targets[sides.training[~held]]) != set(store.clips.targets[sides.training])


@RELAXED
@given(labels=labelled(), seed=st.integers(0, 2**31))
def test_paper_is_eighty_to_twenty_with_every_class_on_each_side(table_store, labels, seed):
    store = table_store(*labels)
    assume(np.bincount(labels[0]).min() >= 5)
    sides = split(store, "paper", 1, seed)
    check_is_a_partition(store, sides)
    assert abs(len(sides.test) - 0.2 * len(store)) <= 1
    for rows in (sides.train, sides.validation, sides.test):
        assert set(store.clips.targets[rows]) == set(labels[0])


@RELAXED
@given(labels=labelled(), seed=st.integers(0, 2**31))
def test_the_audit_counts_what_a_plain_loop_counts(table_store, labels, seed):
    store = table_store(*labels)
    assume(np.bincount(labels[0]).min() >= 5)
    sides = split(store, "paper", 1, seed)
    training = groups_of(store, sides.training)
    leaking = [row for row in sides.test if store.clips.groups[row] in training]
    audit = sides.audit
    assert (audit.leaking_clips, audit.test_clips) == (len(leaking), len(sides.test))
    assert set(audit.shared_groups) == {str(store.clips.groups[row]) for row in leaking}
    expected = f"not leakage-safe: {len(leaking)} of {len(sides.test)} test clips share a recording with training"
    assert audit.message == (expected if leaking else "")


@pytest.mark.parametrize("name", splits.NAMES)
def test_every_class_is_in_every_test_fold_where_there_are_enough(table_store, name):
    targets, groups, folds = [], [], []
    for i in range(100):
        targets += [i % 4] * 3
        groups += [f"g{i}"] * 3
        folds += [1 + i // 4 % 5] * 3
    store = table_store(targets, groups, folds)
    for fold in folds_of(store.dataset, name):
        sides = split(store, name, fold, 3)
        for rows in (sides.train, sides.validation, sides.test):
            assert set(store.clips.targets[rows]) == {0, 1, 2, 3}


def test_seeds_decide_random_splits_and_not_official_ones(table_store):
    targets = [i % 2 for i in range(60)]
    store = table_store(targets, [f"g{i // 2}" for i in range(60)], [1 + i // 12 for i in range(60)])
    for name in ("paper", "grouped"):
        assert np.array_equal(split(store, name, 1, 5).test, split(store, name, 1, 5).test)
        assert not np.array_equal(split(store, name, 1, 5).test, split(store, name, 1, 6).test)
    assert np.array_equal(split(store, "official", 1, 5).train, split(store, "official", 1, 6).train)


GOLDEN = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from pathlib import Path
from sweeper.audio.datasets.base import Clip, Dataset
from sweeper.audio.store import ClipStore, ClipTable
from sweeper.audio.splits import split
n = 40
table = ClipTable(np.array([f"c{i}" for i in range(n)]), np.array([f"g{i // 2}" for i in range(n)]),
    np.arange(n) % 2, np.ones(n, int), np.arange(n), np.ones(n, np.int32),
    np.arange(1, 2 * n + 1, dtype=np.uint64).reshape(n, 2).view(np.uint8), np.zeros((n, 512), np.int8))
clips = tuple(Clip(str(table.ids[i]), Path("x"), i % 2, str(table.groups[i]), 1) for i in range(n))
store = ClipStore(Path("x"), Dataset("made", ("a", "b"), clips, (1,), True, "", ()), 8000, "", (), table)
print(*split(store, "paper", 1, 7).test, "|", *split(store, "grouped", 2, 7).test)
"""


def test_splits_are_the_same_in_every_process_and_on_every_platform():
    root = Path(splits.__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", GOLDEN, root], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "6 8 11 14 25 30 33 39 | 16 17 20 21 30 31 32 33"


def test_validation_is_a_drawn_share_where_folds_are_missing(table_store):
    n = 120
    folds = [(1, 2, 3, 10)[i % 4] for i in range(n)]
    store = table_store([i // 4 % 3 for i in range(n)], [f"g{i}" for i in range(n)], folds)
    sides = split(store, "official", 10, 0)
    assert len(set(store.clips.folds[sides.validation])) == 3
    assert abs(len(sides.validation) - 18) <= 2


def test_a_split_the_author_meant_to_share_groups_runs_and_says_so(table_store):
    folds = [1 if i % 10 < 1 else 0 for i in range(200)]
    labels = [i // 10 % 2 for i in range(200)], [f"speaker {i // 100}" for i in range(200)], folds
    store = table_store(*labels, separates_groups=False)
    assert folds_of(store.dataset, "official") == (1,)
    sides = split(store, "official", 1)
    assert "as the data set's author prescribes" in sides.audit.message
    assert sides.audit.by_design
    with pytest.raises(LeakError):
        split(table_store(*labels), "official", 1)


def test_an_official_split_with_a_group_on_both_sides_is_refused(table_store):
    groups = [f"g{i}" for i in range(20)]
    groups[13] = "g3"
    store = table_store([i % 2 for i in range(20)], groups, [1 + i // 10 for i in range(20)])
    with pytest.raises(LeakError, match=r"1 of 10 test clips share a recording with training \(recordings g3\)"):
        split(store, "official", 1)


def test_an_official_split_with_identical_audio_on_both_sides_is_refused(table_store):
    hashes = np.arange(1, 21, dtype=np.uint64)[:, None].repeat(2, axis=1).view(np.uint8)
    hashes[13] = hashes[3]
    targets, groups = [i % 2 for i in range(20)], [f"g{i}" for i in range(20)]
    store = table_store(targets, groups, [1 + i // 10 for i in range(20)], hashes)
    with pytest.raises(LeakError, match=r"1 of 10 test clips are also in training \(clips c0003 = c0013\)"):
        split(store, "official", 1)


@RELAXED
@given(twins=st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=6), seed=st.integers(0, 99))
def test_grouped_keeps_identical_audio_of_different_groups_together(table_store, twins, seed):
    hashes = np.arange(1, 31, dtype=np.uint64)[:, None].repeat(2, axis=1).view(np.uint8)
    for a, b in twins:
        hashes[a] = hashes[b]
    store = table_store([i % 2 for i in range(30)], [f"g{i}" for i in range(30)], None, hashes)
    for fold in folds_of(store.dataset, "grouped"):
        sides = split(store, "grouped", fold, seed)
        assert sides.audit.exact_duplicates == ()
        held = defaultdict(set)
        for name, rows in (("train", sides.train), ("validation", sides.validation), ("test", sides.test)):
            for row in rows:
                held[store.clips.hashes[row].tobytes()].add(name)
        assert all(len(names) == 1 for names in held.values())


def test_what_cannot_be_split_says_why(table_store):
    store = table_store([0, 1] * 10, [f"g{i}" for i in range(20)], [1 + i // 10 for i in range(20)])
    with pytest.raises(SplitError, match="unknown split 'random'; the splits are: official, grouped, paper"):
        split(store, "random", 1)
    with pytest.raises(SplitError, match="made has no fold 3 in its official split; it has 1, 2"):
        split(store, "official", 3)
    with pytest.raises(SplitError, match="too few to draw 20% from every class"):
        split(table_store([0, 0, 0, 1], list("abcd")), "paper", 1)
    with pytest.raises(SplitError, match="no clips on the training side"):
        split(table_store([0, 1] * 5, [f"g{i}" for i in range(10)]), "official", 1)
    with pytest.raises(SplitError, match="too few for 2 folds"):
        split(table_store([0, 1] * 5, ["one"] * 10), "grouped", 1)


UNFIT = {
    "one class": (
        ([0] * 12, [f"g{i}" for i in range(12)], [1 + i % 3 for i in range(12)]),
        "official",
        "fold 1: all 8 training clips are of one class, 'class 0'; classification needs two",
    ),
    "one class is left to train": (
        ([0, 1] + [0] * 8, [f"g{i}" for i in range(10)], [2, 1] + [2] * 4 + [3] * 4),
        "official",
        "fold 1: all 9 training clips are of one class, 'class 0'",
    ),
    "classes that are tested and not trained": (
        ([0, 1] * 3 + [2, 3] * 3, [f"g{i}" for i in range(12)], [1] * 6 + [2] * 6),
        "official",
        "fold 1: none of the 6 test clips is of a class that is trained; every class needs clips in several folds",
    ),
    "one fold": (
        ([0, 1] * 5, [f"g{i}" for i in range(10)], [1] * 10),
        "official",
        "fold 1: no clips on the training side",
    ),
    "one group": (([0, 1] * 5, ["one"] * 10, [1, 2] * 5), "grouped", None),
    "nothing left to validate with": (
        ([0, 1, 0, 1], list("abcd"), [1, 1, 2, 2]),
        "official",
        "fold 1: 2 clips train, 1 in the largest class, of 2 recordings; some must be set aside to validate with",
    ),
    "too few for the random split": (
        ([0, 0, 0, 0, 1], list("abcde"), [1, 2, 1, 2, 1]),
        "paper",
        "5 clips of 2 classes, 1 in the smallest, are too few to draw 20% from every class",
    ),
    "too few for its validation": (
        ([0, 0, 1, 1, 1, 1], list("abcdef"), [1, 2, 1, 2, 1, 2]),
        "paper",
        "1 in the smallest, are too few to draw 20% from every class",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_cannot_be_learned_from_is_told_before_anything_is_decoded(table_store, name):
    labels, split_name, reason = UNFIT[name]
    dataset = table_store(*labels).dataset
    folds = folds_of(dataset, split_name) or (1,)
    if reason is None:
        assert folds_of(dataset, split_name) == (1,)
        reason = "too few for 2 folds"
    with pytest.raises(SplitError) as caught:
        splits.check(dataset, split_name, folds)
    assert reason in str(caught.value)
    assert str(caught.value).startswith("made")


@RELAXED
@given(labels=labelled(by_fold=True), name=st.sampled_from(splits.NAMES))
def test_what_is_found_fit_can_be_split(table_store, labels, name):
    store = table_store(*labels)
    folds = folds_of(store.dataset, name)
    try:
        splits.check(store.dataset, name, folds)
    except SplitError:
        return
    for fold in folds:
        check_is_a_partition(store, split(store, name, fold))


def test_groups_on_both_sides_are_told_before_anything_is_decoded(table_store):
    labels = ([0, 1, 0, 1, 0, 1], ["a", "b", "a", "c", "d", "e"], [1, 1, 2, 2, 3, 3])
    with pytest.raises(LeakError, match=r"1 of 2 test clips share a recording with training \(recordings a\)"):
        splits.check(table_store(*labels).dataset, "official", (1,))
    splits.check(table_store(*labels).dataset, "official", (3,))
    splits.check(table_store(*labels, separates_groups=False).dataset, "official", (1,))
    splits.check(table_store(*labels).dataset, "grouped", (1,))
