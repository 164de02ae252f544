"""Several data sets: against statsmodels and SciPy, published numbers, and by what must hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sweeper.statistics import heterogeneity, ranking
from sweeper.statistics.data_sets import ENOUGH


@pytest.mark.parametrize("sets", [2, 5, 9])
def test_heterogeneity_is_statsmodels(sets):
    meta = pytest.importorskip("statsmodels.stats.meta_analysis")
    rng = np.random.default_rng(sets)
    diff, error = rng.normal(0, 3, (4, sets)), rng.uniform(0.5, 2, (4, sets))
    found = heterogeneity(diff, error)
    for arm in range(4):
        theirs = meta.combine_effects(diff[arm], error[arm] ** 2, method_re="dl")
        assert found.p[arm] == pytest.approx(theirs.test_homogeneity().pvalue)
        assert found.share[arm] == pytest.approx(max(theirs.i2, 0))
        assert found.sd[arm] ** 2 == pytest.approx(max(theirs.tau2, 0), abs=1e-12)


def test_equal_differences_are_homogeneous_and_far_ones_are_not():
    found = heterogeneity([[1.0, 1.0, 1.0], [-9.0, 0.0, 9.0]], np.full((2, 3), 0.5))
    assert found.p[0] == pytest.approx(1)
    assert found.share[0] == found.sd[0] == 0
    assert found.p[1] < 1e-6
    assert found.share[1] > 0.9
    assert found.sd[1] == pytest.approx(9, rel=0.1)


def test_what_is_missing_counts_for_nothing():
    whole = heterogeneity([[1.0, 2.0, 4.0]], [[0.5, 0.7, 0.9]])
    holed = heterogeneity([[1.0, np.nan, 2.0, 4.0, 3.0]], [[0.5, 1.0, 0.7, 0.9, np.nan]])
    assert [holed.p[0], holed.sd[0]] == pytest.approx([whole.p[0], whole.sd[0]])
    assert np.isnan(heterogeneity([[1.0, np.nan]], [[1.0, np.nan]]).p[0])


@pytest.mark.parametrize(("arms", "q"), [(2, 1.960), (4, 2.569), (7, 2.949), (10, 3.164)])
def test_the_critical_difference_is_demsars_table_5(arms, q):
    scores = np.random.default_rng(0).normal(size=(arms, 14))
    assert ranking(scores).apart == pytest.approx(q * np.sqrt(arms * (arms + 1) / (6 * 14)), rel=1e-3)


def test_friedman_as_iman_and_davenport_correct_it():
    scores = np.random.default_rng(1).normal(size=(5, 12)) + 0.5 * np.arange(5)[:, None]
    chi2 = stats.friedmanchisquare(*scores).statistic
    f = 11 * chi2 / (12 * 4 - chi2)
    assert ranking(scores).p == pytest.approx(stats.f.sf(f, 4, 44))


def test_an_arm_that_always_leads_stands_apart():
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(4, 40))
    scores[2] += 50
    found = ranking(scores)
    assert found.rank[2] == 1
    assert found.p < 1e-6
    assert found.alike == (tuple(int(i) for i in np.argsort(found.rank)[1:]),)


def test_without_a_difference_overall_no_two_are_told_apart():
    scores = np.random.default_rng(3).normal(size=(6, 8))
    found = ranking(scores)
    assert found.p > 0.05
    assert [sorted(run) for run in found.alike] == [list(range(6))]


@given(st.integers(2, 6), st.integers(2, 9), st.integers(0, 99))
def test_runs_hold_together_and_none_lies_within_another(arms, sets, seed):
    found = ranking(np.random.default_rng(seed).normal(size=(arms, sets)))
    assert found.rank.mean() == pytest.approx((arms + 1) / 2)
    for run in found.alike:
        assert found.p > 0.05 or np.ptp(found.rank[list(run)]) < found.apart
        assert not any(set(run) < set(other) for other in found.alike)


def test_few_data_sets_can_not_show_anything():
    assert stats.binomtest(ENOUGH - 1, ENOUGH - 1).pvalue > 0.05
    assert stats.binomtest(ENOUGH, ENOUGH).pvalue <= 0.05


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: heterogeneity([1.0], [1.0]), "arms, data sets"),
        (lambda: heterogeneity([[1.0]], [[0.0]]), "above 0"),
        (lambda: ranking([[1.0, 2.0]]), "at least two"),
        (lambda: ranking([[1.0, np.nan], [1.0, 2.0]]), "finite"),
    ],
)
def test_what_makes_no_sense_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize(("df", "sets"), [(1, 3), (2, 6), (4, 3)])
def test_errors_of_few_degrees_of_freedom_make_no_difference_of_data_sets(df, sets):
    rng = np.random.default_rng(df)
    diff = rng.normal(size=(300, sets))
    error = np.sqrt(rng.chisquare(df, size=diff.shape) / df)
    degrees = np.full(diff.shape, float(df))
    assert (heterogeneity(diff, error).p < 0.05).mean() > 0.1
    assert (heterogeneity(diff, error, degrees).p < 0.05).mean() < 0.08


def test_errors_that_are_well_known_are_as_good_as_exact():
    rng = np.random.default_rng(5)
    diff, error = rng.normal(size=(4, 5)), rng.uniform(0.5, 1.5, (4, 5))
    found = heterogeneity(diff, error, np.full(diff.shape, 1e6))
    assert found.p == pytest.approx(heterogeneity(diff, error).p, abs=0.015)
