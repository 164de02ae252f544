"""Effects of a factorial: the paper's, against least squares by statsmodels, fractions, and what can't be estimated."""

import itertools
import math

import numpy as np
import pytest
from statsmodels.api import OLS

from sweeper.statistics import effects
from sweeper.statistics.dunnett import critical_t

RNG = np.random.default_rng
ONE_FOLD = {"test_train_ratio": 1 / 9, "folds_in_all": 10}
CUBE = np.array(list(itertools.product([-1, 1], repeat=3)))


def test_the_papers_table_read_as_a_design():
    # dual-branch, GARM, B, B+GARM, A, A+GARM, A+B, full: Table 6 in the order of CUBE.
    accuracy = np.array([87.55, 89.17, 89.04, 89.29, 88.67, 88.54, 89.29, 90.91])
    found = effects(accuracy[:, None, None], CUBE, names=["A", "B", "GARM"], **ONE_FOLD)
    estimate = dict(zip(found.names, found.estimate, strict=True))
    assert estimate["A"] == pytest.approx(0.59)
    assert estimate["B"] == pytest.approx(1.15)
    assert estimate["GARM"] == pytest.approx(0.84)
    assert estimate["A × B × GARM"] == pytest.approx(0.78)
    assert max(abs(estimate[name]) for name in ("A × B", "A × GARM", "B × GARM")) == pytest.approx(0.345)
    assert found.order.tolist() == [1, 1, 1, 2, 2, 2, 3]
    assert found.units == 1 and found.df == 0 and np.isnan(found.low).all() and not found.significant.any()


def test_estimates_and_errors_are_those_of_least_squares():
    scores = RNG(0).normal(size=(8, 1, 6)) + 3 * RNG(1).normal(size=(1, 1, 6))
    found = effects(scores, CUBE, **ONE_FOLD)
    columns = [CUBE[:, list(chosen)].prod(axis=1) for n in (1, 2, 3) for chosen in itertools.combinations(range(3), n)]
    design = np.column_stack([np.repeat(column, 6) for column in columns] + [np.tile(np.eye(6), (8, 1))])
    fit = OLS(scores[:, 0].ravel(), design).fit()
    assert found.estimate == pytest.approx(2 * fit.params[:7])
    assert fit.df_resid == 35 and found.df in (34, 35)  # rounded down
    critical = critical_t(0.05 * (1 + 0.1 / 5), found.df, 0.0, 7)
    assert (found.high - found.low) / 2 == pytest.approx(2 * fit.bse[:7] * critical)


def test_an_effect_is_twice_as_sure_as_a_single_difference():
    scores = RNG(2).normal(size=(8, 1, 50))
    found = effects(scores, CUBE, **ONE_FOLD)
    variance = scores[:, 0].var(axis=1, ddof=1).mean()
    error = (found.high - found.low)[0] / 2 / critical_t(0.05 * (1 + 0.1 / 49), found.df, 0.0, 7)
    assert error**2 == pytest.approx(variance / (2 * 50), rel=0.05)


def test_no_effect_has_a_p_of_one():
    scores = np.tile(RNG(4).normal(size=2), (8, 1))[:, None]
    assert effects(scores, CUBE, **ONE_FOLD).p == pytest.approx(1)


def test_a_noisy_arm_leaves_few_degrees_of_freedom():
    scores = RNG(3).normal(size=(8, 1, 6))
    plain = effects(scores, CUBE, **ONE_FOLD)
    scores[3] *= 20
    found = effects(scores, CUBE, **ONE_FOLD)
    assert plain.df > 30 and found.df < 6


def test_folds_are_the_unit_and_their_overlap_widens():
    scores = RNG(4).normal(size=(8, 5, 1))
    five = effects(scores, CUBE, test_train_ratio=1 / 4, folds_in_all=5)
    one = effects(scores.reshape(8, 1, 5), CUBE, test_train_ratio=1 / 4, folds_in_all=5)
    assert (five.high - five.low) / (one.high - one.low) == pytest.approx(np.full(7, math.sqrt((1 / 5 + 1 / 4) * 5)))
    assert (five.unit, one.unit) == ("fold", "seed")


def test_only_seeds_that_all_arms_have_count():
    scores = RNG(5).normal(size=(8, 3, 4))
    scores[2, 0, 1] = np.nan
    scores[4, 2] = np.nan
    found = effects(scores, CUBE, test_train_ratio=0, folds_in_all=1)
    kept = np.stack([scores[:, 0, [0, 2, 3]].mean(axis=1), scores[:, 1].mean(axis=1)], axis=1)
    assert found.units == 2
    assert found.estimate[0] == pytest.approx((CUBE[:, 0] @ kept.mean(axis=1)) / 4)


def test_no_seed_that_all_arms_have():
    scores = np.full((8, 1, 2), np.nan)
    scores[:4, 0, 0] = scores[4:, 0, 1] = 1.0
    found = effects(scores, CUBE, **ONE_FOLD)
    assert found.units == 0 and np.isnan(found.estimate).all() and np.isnan(found.p).all()


def test_half_a_cube_names_what_it_confounds():
    half = CUBE[CUBE.prod(axis=1) == -1]
    found = effects(RNG(6).normal(size=(4, 1, 3)), half, **ONE_FOLD)
    assert found.names == ("A", "B", "C")
    assert found.aliases == (("−B × C",), ("−A × C",), ("−A × B",))
    full = effects(RNG(6).normal(size=(8, 1, 3)), CUBE, **ONE_FOLD)
    assert full.aliases == ((),) * 7


def test_equal_scores_are_not_certain():
    scores = np.tile(RNG(7).integers(20, 40, size=(8, 1, 1)) / 40, (1, 1, 3))
    found = effects(scores, CUBE, **ONE_FOLD)
    assert (found.high > found.low).all() and not found.significant.any()
    assert (found.p > 0.05).all()


def test_star_p_and_interval_agree():
    for seed in range(40):
        scores = RNG(seed).normal(size=(8, 1, 3)) + 1.2 * CUBE[:, :1, None]
        found = effects(scores, CUBE, **ONE_FOLD)
        excluded = (found.low > 0) | (found.high < 0)
        assert np.array_equal(found.significant, excluded) and np.array_equal(excluded, found.p <= 0.05)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (CUBE[:4], r"levels: expected \[8 arms, factors\]"),
        (np.where(CUBE == 1, 2, CUBE), "levels: expected -1 or 1, got 2"),
        (np.ones((8, 1)), "no factor varies"),
        (np.array([[-1] * 3 + [1] * 5]).T, "not a full factorial"),
    ],
)
def test_what_is_no_design_is_refused(levels, message):
    with pytest.raises(ValueError, match=message):
        effects(np.zeros((8, 1, 2)), levels, **ONE_FOLD)


def test_names_must_fit():
    with pytest.raises(ValueError, match="names: expected 3, got 2"):
        effects(np.zeros((8, 1, 2)), CUBE, names=["A", "B"], **ONE_FOLD)


def test_arms_with_the_same_scores_are_one_that_counts_several_times():
    """A switch that reaches nothing: its arms tell of the spread once, and what they err, they err together."""
    scores = RNG(0).normal(size=(4, 1, 6))
    plane = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]])
    scores[2:] = scores[:2]
    found = effects(scores, plane, **ONE_FOLD)
    difference = scores[1, 0] - scores[0, 0]
    assert found.estimate == pytest.approx([difference.mean(), 0, 0])
    critical = critical_t(0.05 * (1 + 0.1 / 5), 5, 0.0, 3)
    assert found.high[0] - found.estimate[0] == pytest.approx(
        critical * difference.std(ddof=1) / math.sqrt(6), rel=1e-3
    )
    assert (found.high > 0).all() and (found.low < 0)[1:].all()


@pytest.mark.parametrize("seeds", [2, 5])
def test_nor_do_they_make_noise_an_effect(seeds):
    rng, plane = RNG(1), np.array(list(itertools.product([1, -1], repeat=2)))
    stars = 0
    for _ in range(300):
        scores = rng.normal(size=(4, 1, seeds))
        scores[1::2] = scores[::2]
        stars += effects(scores, plane, **ONE_FOLD).significant.any()
    assert stars / 300 < 0.07
