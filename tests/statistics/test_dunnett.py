"""Dunnett's distribution against SciPy: one comparison is Student's t, several are `scipy.stats.dunnett`."""

import math

import numpy as np
import pytest
from scipy import stats

from sweeper.statistics.dunnett import coarse, critical_t, largest_t_p


@pytest.mark.parametrize("df", [1, 2, 3.5, 11, 100])
@pytest.mark.parametrize("loading", [0.0, 0.7, 0.98])
def test_one_comparison_is_students_t(df, loading):
    assert critical_t(0.05, df, loading, 1) == pytest.approx(stats.t.isf(0.025, df), rel=1e-4)
    for t in (0.5, 1, 2, 4):
        assert largest_t_p(t, df, loading, 1) == pytest.approx(2 * stats.t.sf(t, df), rel=2e-3)


@pytest.mark.parametrize("level", [0.2, 0.05, 0.001])
@pytest.mark.parametrize(("df", "comparisons"), [(1, 11), (4, 2), (600, 11)])
def test_the_critical_value_is_exceeded_with_its_probability(level, df, comparisons):
    critical = critical_t(level, df, 0.7, comparisons)
    assert largest_t_p(critical, df, 0.7, comparisons) == pytest.approx(level, rel=1e-6)


@pytest.mark.parametrize(("arms", "n"), [(2, 3), (5, 4), (11, 10)])
def test_several_agree_with_scipy(arms, n):
    rng = np.random.default_rng(arms)
    samples = rng.normal(size=(arms + 1, n)) + 0.5 * rng.normal(size=(arms + 1, 1))
    theirs = stats.dunnett(*samples[1:], control=samples[0], rng=np.random.default_rng(0))
    ours = [largest_t_p(abs(t), (arms + 1) * (n - 1), math.sqrt(0.5), arms) for t in theirs.statistic]
    assert ours == pytest.approx(theirs.pvalue, abs=2e-3)


@pytest.mark.parametrize(("df", "comparisons", "table"), [(10, 3, 2.76), (20, 5, 2.73), (60, 9, 2.77)])
def test_published_table(df, comparisons, table):
    # Dunnett 1964, Biometrics 20, Table II: two-sided, joint confidence 95 %, equal group sizes.
    assert critical_t(0.05, df, math.sqrt(0.5), comparisons) == pytest.approx(table, abs=0.006)


def test_independent_comparisons_are_sidaks():
    p = largest_t_p(2.5, 1000, 0.0, 7)
    assert p == pytest.approx(1 - (1 - 2 * stats.norm.sf(2.5)) ** 7, rel=0.02)


@pytest.mark.parametrize("df", [1.0, 2.37, 9.99, 44.0, 63.0, 5000.0])
def test_degrees_of_freedom_are_rounded_down_and_little(df):
    assert 0.93 * min(df, 1000) <= coarse(df) <= df
    assert critical_t(0.05, coarse(df), 0.7, 11) >= critical_t(0.05, min(df, 1000), 0.7, 11) - 1e-6


def test_critical_value_inverts_p():
    for level in (0.001, 0.05, 0.3):
        assert largest_t_p(critical_t(level, 7.0, 0.6, 11), 7.0, 0.6, 11) == pytest.approx(level, rel=1e-5)
