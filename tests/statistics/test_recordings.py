"""Intervals for other recordings: by hand, degenerate cases, holes. Coverage is in test_simulation."""

import numpy as np
import pytest

from sweeper.statistics import recordings_interval
from tests.statistics.simulate import clustered_answers

RNG = np.random.default_rng


def test_by_hand_for_two_arms():
    correct, source = clustered_answers(RNG(0), arms=2, seeds=4, recordings=20, clips=5)
    found = recordings_interval(correct, source, 0)
    d = (correct[1] - correct[0]).reshape(4, 20, 5).mean(axis=2)  # [seeds, recordings]; all have 5 clips
    residual = d - d.mean(axis=0) - d.mean(axis=1, keepdims=True) + d.mean()
    over_recordings, over_seeds = d.mean(axis=0).var(ddof=1) / 20, d.mean(axis=1).var(ddof=1) / 4
    rest = (residual**2).sum() / (3 * 19) / 80
    variance = over_recordings + over_seeds - rest
    df = variance**2 / (over_recordings**2 / 19 + over_seeds**2 / 3 + rest**2 / 57)
    assert found.diff[1] == pytest.approx(d.mean())
    assert found.df[1] == pytest.approx(df) and found.recordings == 20
    from scipy import stats

    assert found.high[1] - found.diff[1] == pytest.approx(stats.t.ppf(0.975, df) * np.sqrt(variance))
    assert np.isnan([found.diff[0], found.low[0]]).all()


def test_recordings_count_by_their_clips():
    correct = np.zeros((2, 2, 10))
    correct[1, :, :8] = 1
    found = recordings_interval(correct, np.repeat([0, 1, 2], [8, 1, 1]), 0)
    assert found.diff[1] == pytest.approx(0.8)


def test_labels_and_order_do_not_matter():
    correct, source = clustered_answers(RNG(1), arms=4, seeds=3, recordings=15, clips=4)
    order = RNG(2).permutation(source.size)
    names = np.array([f"recording-{label:03d}.wav" for label in source])
    found, same = recordings_interval(correct, source, 0), recordings_interval(correct[:, :, order], names[order], 0)
    assert same.low == pytest.approx(found.low, nan_ok=True)


def test_more_arms_make_the_seeds_variance_surer():
    correct, source = clustered_answers(RNG(3), arms=12, seeds=2, recordings=60, clips=5)
    alone, together = recordings_interval(correct[:2], source, 0), recordings_interval(correct, source, 0)
    assert together.df[1] > alone.df[1]


def test_what_gives_no_interval():
    correct, source = clustered_answers(RNG(4), arms=3, seeds=2, recordings=10, clips=3)
    single = recordings_interval(correct, np.zeros(30), 0)
    assert np.isnan(single.low).all() and np.isfinite(single.diff[1:]).all() and single.recordings == 1
    one_seed = recordings_interval(correct[:, :1], source, 0)
    assert np.isnan(one_seed.low).all() and np.isfinite(one_seed.diff[1:]).all()
    correct[0] = np.nan
    assert np.isnan(recordings_interval(correct, source, 0).diff).all()


def test_only_paired_seeds_count():
    correct, source = clustered_answers(RNG(5), arms=4, seeds=3, recordings=10, clips=3)
    correct[2, 0] = np.nan
    found = recordings_interval(correct, source, 0)
    assert found.diff[2] == pytest.approx((correct[2, 1:] - correct[0, 1:]).mean())
    assert np.isfinite(found.low[1:]).all()


def test_bounds_stay_possible():
    correct = np.zeros((2, 2, 6))
    correct[1, :, :5] = 1
    found = recordings_interval(correct, [0, 0, 1, 1, 2, 2], 0)
    assert -1 <= found.low[1] < found.high[1] <= 1


@pytest.mark.parametrize(
    ("correct", "reference", "message"),
    [
        (np.zeros((2, 3)), 0, r"correct: expected \[arms, seeds, 4 clips\], got shape \(2, 3\)"),
        (np.zeros((2, 3, 5)), 0, r"4 clips\], got shape \(2, 3, 5\)"),
        (np.zeros((2, 3, 4)), 2, "reference: expected an arm from 0 to 1, got 2"),
    ],
)
def test_errors_repeat_what_was_given(correct, reference, message):
    with pytest.raises(ValueError, match=message):
        recordings_interval(correct, [0, 0, 1, 1], reference)


def test_an_arm_that_answers_as_another_is_no_evidence_of_a_small_spread():
    correct, source = clustered_answers(RNG(6), arms=4, seeds=5, recordings=60, clips=3)
    correct[1], correct[3] = correct[0], correct[2]
    found = recordings_interval(correct, source, 0)
    alone = recordings_interval(correct[[0, 2]], source, 0)
    assert (found.low[2], found.high[2]) == pytest.approx((alone.low[1], alone.high[1]))
    assert found.diff[1] == 0 and np.isnan([found.low[1], found.high[1]]).all()


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
@pytest.mark.filterwarnings("error")
def test_where_all_answers_are_alike_nothing_is_said(accuracy):
    found = recordings_interval(np.full((3, 3, 30), accuracy), np.arange(30), 0)
    assert np.isnan(found.low).all() and np.isnan(found.high).all()
