"""What a conclusion costs: half-widths as the rule gives them, and the blocks that reach one."""

import math

import numpy as np
import pytest

from sweeper.results.conclusion import Widths, block_seconds, factorial_levels
from sweeper.results.reach import Design, Spread
from sweeper.statistics import compare_arms, effects, half_widths

ONE_FOLD = Design(5, 1, 2, 0.25, 5)
SPREAD = Spread(0.02, None, df=8)
CUBE = [[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]


def test_half_of_the_studies_have_narrower_intervals():
    told, _ = half_widths(5, 1, 4, test_train_ratio=0.25, folds_in_all=5, rng=np.random.default_rng(0))
    rng, found = np.random.default_rng(1), []
    for _ in range(60):
        result = compare_arms(rng.normal(size=(5, 1, 4)), 0, test_train_ratio=0.25, folds_in_all=5)
        found += list((result.high - result.low)[1:] / 2)
    assert told == pytest.approx(np.median(found), rel=0.1)


def test_effects_of_a_factorial_are_narrower_than_differences():
    options = {"test_train_ratio": 0.25, "folds_in_all": 5}
    arm, effect = half_widths(8, 1, 3, levels=CUBE, rng=np.random.default_rng(0), **options)
    rng = np.random.default_rng(1)
    found = [effects(rng.normal(size=(8, 1, 3)), CUBE, **options) for _ in range(30)]
    assert effect == pytest.approx(np.median([e.high[0] - e.low[0] for e in found]) / 2, rel=0.15)
    assert effect < 0.7 * arm


def test_where_there_is_no_interval_it_is_infinite():
    assert half_widths(5, 1, 1, test_train_ratio=0.25, folds_in_all=5, rng=np.random.default_rng(0)) == (
        math.inf,
        math.inf,
    )


def test_the_fewest_blocks_that_reach_it():
    widths = Widths(ONE_FOLD, SPREAD)
    found = widths.needed(0.02)
    assert widths.of(1, found.seeds)[0] <= 0.02 < widths.of(1, found.seeds - 1)[0]
    assert found.least < found.blocks < found.most
    half = widths.needed(0.01)
    assert 3 * found.blocks < half.blocks < 5 * found.blocks


def test_the_spreads_own_interval_is_chi_square():
    low, high = Widths(ONE_FOLD, SPREAD).scales()
    rng = np.random.default_rng(0)
    ratios = np.sqrt(8 / rng.chisquare(8, 100_000))
    assert (low, high) == pytest.approx(np.quantile(ratios, [0.025, 0.975]), rel=0.02)
    few = Widths(Design(5, 3, 2, 0.25, 5), Spread(0.02, 0.01, df=20, fold_df=8)).scales()
    assert few == (low, high), "of several folds, what tells of folds counts"


def test_many_seeds_follow_from_few():
    widths = Widths(Design(4, 3, 2, 0.25, 5), Spread(0.03, 0.01, df=20, fold_df=8))
    simulated = widths._simulate(3, 20, *widths._sds(3))[0]
    assert widths.of(3, 20)[0] == pytest.approx(simulated, rel=0.08)


def test_folds_that_differ_set_a_limit_and_all_folds_lower_it():
    widths = Widths(Design(4, 2, 2, 0.25, 5), Spread(0.01, 0.03, df=20, fold_df=4))
    limit = widths.of(5, 10_000)[0]
    assert widths.needed(0.9 * limit).seeds is None and widths.needed(1.05 * limit).folds == 5


def test_a_factorial_among_the_arms():
    switches = {"full": {}, "a": {"x": False}, "b": {"y": False}, "ab": {"x": False, "y": False}}
    assert factorial_levels(switches, ["a", "ab", "b", "full"]).shape == (4, 2)
    assert factorial_levels(switches, ["a", "full"]) is None


def test_an_arm_that_was_never_run_costs_what_others_do():
    assert block_seconds({"full": 10.0, "a": 20.0}, ["full", "a", "b"]) == 45.0
