"""By simulation: the rule errs as seldom as it promises, and finds what it should; see `simulate.py` for more of it."""

import math

import pytest

from tests.statistics import simulate

STUDIES = 200
SCENARIOS = {scenario.name: scenario for scenario in simulate.scenarios()}
RUN = (
    "1 fold x 2",
    "1 fold x 5",
    "1 fold x 10",
    "1 fold x 3, reference x3",
    "1 fold x 5, reference x3",
    "1 fold x 10, one x4",
    "1 fold x 5, three x4",
    "1 fold x 5, arms differ",
    "1 fold x 5, skewed",
    "1 fold x 5, t3",
    "4 arms, 1 fold x 5, reference x3",
    "30 arms, 1 fold x 3",
    "2 arms, 1 fold x 3, 40 clips",
    "12 arms, 1 fold x 2, 40 clips",
    "10 of 10 folds x 1, fold sd 2",
    "2 of 10 folds x 10, fold sd 1",
    "5 of 5 folds x 3, fold sd 0",
    "10 of 10 folds x 2, fold sd 0.5",
    "5 fold x 3, holes: a fifth, fold sd 0.5",
    "1 fold x 5, holes: late arms",
    "10 fold x 3, holes: one seed, fold sd 0",
)


@pytest.fixture(scope="module")
def outcome():
    """A scenario's outcome, simulated once."""
    known = {}

    def of(name):
        if name not in known:
            known[name] = simulate.simulate(SCENARIOS[name], STUDIES)
            print(name, known[name])
        return known[name]

    return of


@pytest.mark.parametrize("name", RUN)
def test_false_alarms_are_as_rare_as_promised_and_intervals_cover(outcome, name):
    found, promised = outcome(name), SCENARIOS[name].promised
    assert found.false <= promised + 3 * math.sqrt(promised * (1 - promised) / STUDIES)
    assert found.cover >= 0.94
    assert found.means >= 0.93


@pytest.mark.parametrize(
    ("name", "power"),
    [("1 fold x 2", 0.08), ("1 fold x 5", 0.45), ("1 fold x 10", 0.88), ("1 fold x 10, one x4", 0.75)],
)
def test_differences_are_found(outcome, name, power):
    assert outcome(name).power >= power


def test_effects_cover_and_are_surer_than_comparisons():
    together, single, ratio = simulate.effect_coverage(1500, 3)
    assert together == pytest.approx(0.95, abs=0.02)
    assert single > 0.98
    assert ratio <= 0.55


@pytest.mark.parametrize("noise", ["arms differ", "one x4"])
def test_effects_cover_where_folds_suit_arms_and_noise_differs(noise):
    assert simulate.effect_coverage(300, 5, noise=noise, folds=True)[0] > 0.94


@pytest.mark.parametrize("seeds", [2, 5])
def test_intervals_for_other_recordings_cover(seeds):
    assert simulate.recordings_coverage(60, seeds) == pytest.approx(0.955, abs=0.025)


def test_one_pair_of_networks():
    different, held = simulate.one_pair_of_networks(250)
    assert different <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 250)
    assert held == pytest.approx(0.95, abs=0.045)
