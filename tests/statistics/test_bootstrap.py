"""The cluster bootstrap: right unit, degenerate cases, and agreement with closed forms."""

import math

import numpy as np
import pytest
from scipy import stats

from sweeper.statistics import bootstrap_accuracy

RNG = np.random.default_rng


def split(seed=0, recordings=80, clips=5):
    rng = RNG(seed)
    chance = rng.beta(4, 1, size=recordings).repeat(clips)
    return rng.random(chance.size) < chance, np.arange(recordings).repeat(clips)


def test_agrees_with_the_normal_approximation_over_recordings():
    correct, source = split(recordings=400)
    per_recording = np.bincount(source, weights=correct) / 5
    low, high = bootstrap_accuracy(correct, source, rng=RNG(1))
    margin = 1.96 * per_recording.std() / math.sqrt(400)
    assert (low, high) == pytest.approx((correct.mean() - margin, correct.mean() + margin), abs=0.1 * margin)


@pytest.mark.parametrize(("recordings", "confidence"), [(80, 0.95), (7, 0.9)])
def test_is_scipys_bca_interval_to_rounding(recordings, confidence):
    correct, source = split(recordings=recordings)
    correct, source = correct[3:], source[3:]  # recordings of unlike sizes
    sums, clips = np.bincount(source, weights=correct), np.bincount(source)
    expected = stats.bootstrap(
        (sums, clips),
        lambda s, c, axis: s.sum(axis) / c.sum(axis),
        paired=True,
        n_resamples=2500,
        batch=1000,
        confidence_level=confidence,
        rng=RNG(3),
    ).confidence_interval
    found = bootstrap_accuracy(correct, source, rng=RNG(3), confidence=confidence, resamples=2500)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_resamples_recordings_not_clips():
    correct = np.arange(40).repeat(10) % 4 > 0  # All ten clips of a recording share their fate.
    source = np.arange(40).repeat(10)
    by_recording = bootstrap_accuracy(correct, source, rng=RNG(0))
    by_clip = bootstrap_accuracy(correct, np.arange(400), rng=RNG(0))
    wider = (by_recording.high - by_recording.low) / (by_clip.high - by_clip.low)
    assert wider == pytest.approx(math.sqrt(10), rel=0.1)


def test_unequal_recordings_count_by_their_clips():
    correct = np.repeat([1.0, 0.0, 1.0], [8, 1, 1])
    low, high = bootstrap_accuracy(correct, np.repeat([0, 1, 2], [8, 1, 1]), rng=RNG(0))
    assert low < 0.5 and high == 1


def test_labels_and_order_do_not_matter():
    correct, source = split()
    order = RNG(2).permutation(correct.size)
    names = np.array([f"recording-{label:03d}.wav" for label in source])
    expected = bootstrap_accuracy(correct, source, rng=RNG(0), resamples=999)
    assert bootstrap_accuracy(correct[order], names[order], rng=RNG(0), resamples=999) == expected


def test_one_recording_gives_no_interval():
    assert np.isnan(bootstrap_accuracy([1, 0, 1], ["a", "a", "a"], rng=RNG(0))).all()


@pytest.mark.parametrize(("share", "recordings"), [(1.0, 40), (0.0, 40), (0.5, 20)])
def test_equal_recordings_are_not_certain(share, recordings):
    correct = np.full(2 * recordings, share)
    low, high = bootstrap_accuracy(correct, np.arange(recordings).repeat(2), rng=RNG(0))
    exact = stats.binomtest(round(share * recordings), recordings).proportion_ci(method="exact")
    assert (low, high) == pytest.approx((exact.low, exact.high))
    assert low < high


def test_errors_repeat_what_was_given():
    with pytest.raises(ValueError, match=r"correct: expected values from 0 to 1, got 0\.0 to 91\.0"):
        bootstrap_accuracy([0, 91], [0, 1], rng=RNG(0))
    with pytest.raises(ValueError, match=r"correct \(2,\), recordings \(3,\)"):
        bootstrap_accuracy([0, 1], [0, 1, 2], rng=RNG(0))
    with pytest.raises(ValueError, match=r"confidence: .* got 95"):
        bootstrap_accuracy([0, 1], [0, 1], rng=RNG(0), confidence=95)
