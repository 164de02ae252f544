"""The floor: what it hears, what it is fitted on, and that it is the same each time."""

import numpy as np
import pytest

from sweeper.audio.clips import Clips
from sweeper.audio.fold_data import FoldData
from sweeper.training import floor
from sweeper.training.floor import BANDS, floors, statistics

RATE = 8000


def clips(frequencies, seconds=0.5, seed=0, first=0):
    """Tones in noise, of a class per frequency, four each."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(RATE * seconds)) / RATE
    tones = [np.sin(2 * np.pi * f * time) + 0.1 * rng.standard_normal(len(time)) for f in frequencies for _ in range(4)]
    samples = [(8000 * tone).astype(np.int16) for tone in tones]
    lengths = np.array([len(s) for s in samples], dtype=np.int32)
    return Clips(
        samples=np.concatenate(samples),
        offsets=np.cumsum([0, *lengths[:-1]]).astype(np.int64),
        lengths=lengths,
        targets=np.repeat(np.arange(len(frequencies)), 4) + first,
        ids=np.array([f"{seed}-{i}" for i in range(len(samples))]),
        groups=np.array(["g"] * len(samples)),
        rows=np.arange(len(samples)),
        sample_rate=RATE,
    )


TONES = (300, 900, 2000)


def test_what_can_be_told_by_its_spectrum_is_told():
    found = floors({1: FoldData((clips(TONES),), (clips(TONES, seed=1),), "")}, 3)[1]
    assert found.confusion.tolist() == np.diag([4, 4, 4]).tolist()
    assert found.train_clips == 12


def test_it_is_the_same_each_time_and_folds_do_not_touch_one_another():
    one, two = clips(TONES), clips(TONES[::-1], seconds=0.3, seed=2)
    folds = {1: FoldData((one,), (two,), ""), 2: FoldData((two,), (one,), "")}
    both, again, alone = floors(folds, 3), floors(folds, 3), floors({2: folds[2]}, 3)
    for fold in folds:
        assert np.array_equal(both[fold].confusion, again[fold].confusion)
    assert np.array_equal(both[2].confusion, alone[2].confusion)
    assert both[1].confusion.trace() == 4, "it learned the labels of the training clips: those here are turned round"


def test_it_does_not_depend_on_how_clips_are_parted(monkeypatch):
    seen = []
    monkeypatch.setattr(floor, "_floor", lambda known, labels, *_: seen.append((known, labels)))
    whole, asked = clips(TONES), clips(TONES, seed=1)
    parted = (whole.take([1, 5, 11]), whole.take([0, 2, 3, 4, 6, 7, 8, 9, 10]))
    for train in ((whole,), parted, parted[::-1]):
        floors({1: FoldData(train, (asked,), "")}, 3)
    for known, labels in seen[1:]:
        assert np.array_equal(known, seen[0][0]) and np.array_equal(labels, seen[0][1])


def test_a_class_without_training_clips_is_missed_and_counted():
    scored = clips(TONES, seed=3)
    found = floors({1: FoldData((clips(TONES[:2]),), (scored,), "")}, 3)[1]
    assert found.confusion.sum() == 12 and found.confusion[:, 2].sum() == 0


@pytest.mark.parametrize("seconds", [0.001, 0.5])
def test_statistics_are_finite_whatever_the_clip_and_do_not_know_its_level(seconds):
    loud = clips(TONES, seconds)
    found = statistics(loud)
    assert found.shape == (12, 2 * BANDS) and np.isfinite(found).all()
    soft = Clips(**{**vars(loud), "samples": loud.samples // 2})
    assert np.allclose(statistics(soft)[:, :BANDS].max(1), found[:, :BANDS].max(1), atol=0.1)
    silent = Clips(**{**vars(loud), "samples": np.zeros_like(loud.samples)})
    assert np.isfinite(statistics(silent)).all()
