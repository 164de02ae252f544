"""The clustered McNemar test against statsmodels, brute force and its published special cases."""

import itertools

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from sweeper.statistics import mcnemar_clustered

RNG = np.random.default_rng


def answers(seed, clips=60, better=0.0):
    rng = RNG(seed)
    return rng.random(clips) < 0.7 + better, rng.random(clips) < 0.7


@pytest.mark.parametrize("seed", range(5))
def test_one_clip_per_recording_is_the_exact_mcnemar_test(seed):
    arm, reference = answers(seed, better=0.15)
    both, neither = (arm & reference).sum(), (~arm & ~reference).sum()
    arm_only, reference_only = (arm & ~reference).sum(), (~arm & reference).sum()
    table = [[both, arm_only], [reference_only, neither]]
    result = mcnemar_clustered(arm, reference, np.arange(60))
    assert result.p_value == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert result.statistic == pytest.approx(mcnemar(table, exact=False, correction=False).statistic)
    assert (result.arm_only, result.reference_only) == (arm_only, reference_only)


@pytest.mark.parametrize("seed", range(5))
def test_p_agrees_with_flipping_recordings(seed):
    arm, reference = answers(seed, better=0.2)
    source = RNG(seed).integers(0, 10, size=60)
    d = np.bincount(source, weights=arm.astype(int) - reference, minlength=10)
    signs = np.array(list(itertools.product([-1, 1], repeat=10)))
    expected = np.mean(np.abs(signs @ d) >= abs(d.sum()))
    assert mcnemar_clustered(arm, reference, source).p_value == pytest.approx(expected)


def test_statistic_and_p_agree_for_many_recordings():
    arm, reference = answers(1, clips=6000, better=0.02)
    source = np.arange(6000) // 4
    result = mcnemar_clustered(arm, reference, source)
    assert result.recordings == 1500
    assert result.p_value == pytest.approx(stats.chi2.sf(result.statistic, 1), rel=0.1)
    d = np.bincount(source, weights=arm.astype(int) - reference)
    variance = 1500 / 1499 * (d**2).sum() / 6000**2  # Obuchowski, as simplified by Yang, Sun and Hardin.
    obuchowski = (arm.mean() - reference.mean()) ** 2 / variance
    assert result.statistic == pytest.approx(1500 / 1499 * obuchowski)


def test_equal_answers():
    arm, _ = answers(0)
    result = mcnemar_clustered(arm, arm, np.arange(60) // 3)
    assert (result.arm_only, result.reference_only, result.statistic, result.p_value) == (0, 0, 0, 1)


def test_copies_of_a_clip_are_no_evidence():
    arm, reference = answers(3, better=0.2)
    once = mcnemar_clustered(arm, reference, np.arange(60))
    tenfold = mcnemar_clustered(arm.repeat(10), reference.repeat(10), np.arange(60).repeat(10))
    assert tenfold.p_value == pytest.approx(once.p_value)
    assert tenfold.statistic == pytest.approx(once.statistic)


def test_errors_repeat_what_was_given():
    with pytest.raises(ValueError, match=r"arm_correct: expected right or wrong .* got 0\.5"):
        mcnemar_clustered([0.5, 1], [0, 1], [0, 1])
    with pytest.raises(ValueError, match=r"reference_correct \(1,\), recordings \(2,\)"):
        mcnemar_clustered([0, 1], [0], [0, 1])
