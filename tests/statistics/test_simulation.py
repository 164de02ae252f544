"""By simulation: each method errs as often as it says, and the naive one does not; see `simulate.py`."""

import numpy as np
import pytest

from tests.statistics import simulate

# Four Monte Carlo standard errors: the seed is fixed, the margin is for the methods' own approximation.
MARGIN = 4


@pytest.fixture(scope="module")
def rows():
    table = simulate.table(seed=0)
    for row in table:
        print(f"{row.scenario:48} {row.method:46} {row.false_alarms} {row.coverage}")
    return table


def find(rows, scenario, method):
    return next(row for row in rows if scenario in row.scenario and row.method.startswith(method))


EXACT = [
    ("Gaussian", "corrected t"),
    ("one algorithm twice", "exact sign-flip"),
    ("differs by fold", "sign-flip, whole folds"),
    ("recordings", "exact McNemar"),
    ("recordings", "BCa bootstrap of recordings, difference"),
    ("recordings", "percentile bootstrap of recordings, difference"),
]


@pytest.mark.parametrize(("scenario", "method"), EXACT)
def test_false_alarms_are_nominal(rows, scenario, method):
    alarms = find(rows, scenario, method).false_alarms
    assert alarms.rate == pytest.approx(simulate.ALPHA, abs=MARGIN * alarms.error)


@pytest.mark.parametrize(
    ("scenario", "method"),
    [
        ("real learners", "corrected t"),
        ("one algorithm twice", "corrected t"),
        ("differs by fold", "corrected t"),
        ("11 arms", "sign-flip, Holm"),
    ],
)
def test_false_alarms_are_at_most_nominal_where_a_method_is_cautious(rows, scenario, method):
    alarms = find(rows, scenario, method).false_alarms
    assert alarms.rate <= simulate.ALPHA + 2 * alarms.error


def test_intervals_cover(rows):
    sound = [row for row in rows if row.coverage and not row.method.startswith("naive")]
    assert len(sound) == 8
    for row in sound:
        assert row.coverage.rate >= 0.95 - MARGIN * row.coverage.error, row
    for row in sound:
        if "Gaussian" in row.scenario or "recordings" in row.scenario:
            assert row.coverage.rate <= 0.95 + MARGIN * row.coverage.error, row


def test_naive_methods_fail(rows):
    naive = [row for row in rows if row.method.startswith("naive")]
    assert len(naive) == 9
    for row in naive:
        if row.false_alarms:
            assert row.false_alarms.rate > 2.5 * simulate.ALPHA, row
        if row.coverage:
            assert row.coverage.rate < 0.88, row


def test_detectable_difference_is_found_with_the_stated_power():
    found = simulate.power_at_smallest_difference(4000, np.random.default_rng(1))
    assert found.rate == pytest.approx(0.8, abs=MARGIN * found.error)
