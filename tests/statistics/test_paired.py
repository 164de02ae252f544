"""Intervals, sign-flip test and the comparison of an arm with the reference, against independent oracles."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sweeper.statistics import compare_paired, mean_interval, sign_flip_p, smallest_p

RNG = np.random.default_rng
ARM = np.array([0.91, 0.88, 0.93, 0.90, 0.89, 0.94])
REFERENCE = np.array([0.90, 0.86, 0.90, 0.91, 0.85, 0.92])


def brute_force_p(differences):
    signs = np.array(list(itertools.product([-1, 1], repeat=len(differences))))
    return float(np.mean(np.abs(signs @ differences) >= abs(np.sum(differences)) - 1e-12))


def test_without_correction_the_interval_is_the_classical_one():
    expected = stats.ttest_1samp(ARM, 0).confidence_interval(0.9)
    assert mean_interval(ARM, test_train_ratio=0, confidence=0.9) == pytest.approx(tuple(expected))


def test_correction_widens_by_the_published_factor():
    plain = mean_interval(ARM, test_train_ratio=0)
    corrected = mean_interval(ARM, test_train_ratio=0.25)
    factor = math.sqrt((1 / 6 + 0.25) / (1 / 6))
    assert corrected.high - corrected.low == pytest.approx(factor * (plain.high - plain.low))
    assert sum(corrected) / 2 == pytest.approx(ARM.mean())


def test_comparison_by_hand():
    d = ARM - REFERENCE
    result = compare_paired(ARM, REFERENCE, test_train_ratio=0.2, rng=RNG(0))
    error = d.std(ddof=1) * math.sqrt(1 / 6 + 0.2)
    assert result.n == 6
    assert result.diff == pytest.approx(d.mean())
    assert result.diff_high == pytest.approx(d.mean() + stats.t.ppf(0.975, 5) * error)
    assert (result.ci_low, result.ci_high) == pytest.approx(mean_interval(ARM, test_train_ratio=0.2))
    assert result.p_value == brute_force_p(d)
    assert result.p_smallest == 2 / 2**6
    assert result.p_better == pytest.approx(stats.t.cdf(d.mean() / error, 5))
    small_sample = math.gamma(2.5) / (math.sqrt(2.5) * math.gamma(2))
    assert result.effect_size == pytest.approx(small_sample * d.mean() / d.std(ddof=1))
    assert small_sample == pytest.approx(1 - 3 / (4 * 5 - 1), abs=2e-3)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_sign_flip_agrees_with_brute_force(differences):
    # Hundredths, so that ties are everywhere and rounding would break them.
    scores = np.array(differences) / 100 + 0.1
    assert sign_flip_p(scores, rng=RNG(0)) == pytest.approx(brute_force_p(scores))
    assert sign_flip_p(scores, rng=RNG(0)) >= smallest_p(len(scores))


def test_sign_flip_agrees_with_scipy():
    d = RNG(3).normal(0.5, 1, 10)
    result = stats.permutation_test(
        (d, np.zeros(10)),
        lambda a, b, axis: (a - b).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    assert sign_flip_p(d, rng=RNG(0)) == pytest.approx(result.pvalue)


def test_drawn_patterns_approach_the_exact_p(monkeypatch):
    d = RNG(5).normal(0.4, 1, 16)
    exact = sign_flip_p(d, rng=RNG(0))
    monkeypatch.setattr("sweeper.statistics.sign_flip.MAX_EXACT", 4)
    drawn = sign_flip_p(d, rng=RNG(0))
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 99_999))
    assert drawn == sign_flip_p(d, rng=RNG(0))
    assert drawn != exact


def test_drawn_p_is_never_zero():
    d = np.ones(40)
    assert sign_flip_p(d, rng=RNG(0)) == smallest_p(40) == 1e-5


def test_groups_flip_together():
    d = np.array([0.01, 0.03, 0.02, 0.04, 0.05, 0.01])
    folds = ["a", "a", "b", "b", "c", "c"]
    assert sign_flip_p(d, rng=RNG(0), groups=folds) == brute_force_p([0.04, 0.06, 0.06]) == smallest_p(3)
    grouped = compare_paired(d + 0.5, np.full(6, 0.5), test_train_ratio=0, rng=RNG(0), groups=folds)
    assert (grouped.n, grouped.p_smallest) == (6, smallest_p(3))
    alone = sign_flip_p(d, rng=RNG(0), groups=range(6))
    assert alone == sign_flip_p(d, rng=RNG(0))


def test_one_block_gives_no_interval():
    result = compare_paired([0.9], [0.8], test_train_ratio=0.1, rng=RNG(0))
    bounds = [result.ci_low, result.ci_high, result.diff_low, result.diff_high]
    assert np.isnan([*bounds, result.effect_size, result.p_better]).all()
    assert (result.mean, result.p_value, result.p_smallest) == (0.9, 1, 1)


def test_equal_scores():
    result = compare_paired(ARM, ARM, test_train_ratio=0.1, rng=RNG(0))
    assert (result.diff, result.diff_low, result.diff_high) == (0, 0, 0)
    assert (result.p_value, result.effect_size, result.p_better) == (1, 0, 0.5)


def test_constant_difference_is_certain_in_spite_of_rounding():
    result = compare_paired([0.9, 0.8, 0.7, 0.3], [0.8, 0.7, 0.6, 0.2], test_train_ratio=0.1, rng=RNG(0))
    assert (result.diff_low, result.diff_high) == pytest.approx((0.1, 0.1))
    assert (result.p_value, result.effect_size, result.p_better) == (0.125, math.inf, 1)


def test_swapping_arm_and_reference_mirrors_the_result():
    forth = compare_paired(ARM, REFERENCE, test_train_ratio=0.2, rng=RNG(0))
    back = compare_paired(REFERENCE, ARM, test_train_ratio=0.2, rng=RNG(0))
    assert (back.diff, back.diff_low, back.diff_high) == pytest.approx((-forth.diff, -forth.diff_high, -forth.diff_low))
    assert (back.p_value, back.effect_size) == pytest.approx((forth.p_value, -forth.effect_size))
    assert back.p_better == pytest.approx(1 - forth.p_better)


@pytest.mark.parametrize(
    ("arm", "reference", "message"),
    [
        ([0.9, 0.8], [0.9], r"arm \(2,\), reference \(1,\)"),
        ([0.9, math.nan], [0.9, 0.8], "arm: expected finite values, got nan at index 1"),
        ([], [], r"got shape \(0,\)"),
        ([[0.9]], [[0.8]], r"got shape \(1, 1\)"),
    ],
)
def test_errors_repeat_what_was_given(arm, reference, message):
    with pytest.raises(ValueError, match=message):
        compare_paired(arm, reference, test_train_ratio=0.1, rng=RNG(0))


@pytest.mark.parametrize("ratio", [-0.1, math.nan, math.inf])
def test_impossible_ratio(ratio):
    with pytest.raises(ValueError, match=f"test_train_ratio: expected .* got {ratio}"):
        mean_interval(ARM, test_train_ratio=ratio)


def test_impossible_confidence():
    with pytest.raises(ValueError, match="confidence: expected a value between 0 and 1, got 95"):
        mean_interval(ARM, test_train_ratio=0, confidence=95)
