"""`compare_arms`: against SciPy's Dunnett test, by hand, on degenerate data, and with holes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from sweeper.statistics import compare_arms, verdicts
from sweeper.statistics.arms import copies

RNG = np.random.default_rng
ONE_FOLD = {"test_train_ratio": 1 / 9, "folds_in_all": 10}


def even(arms=8, units=12, seed=0):
    """Scores of one fold in which no arm stands out, `[arms, 1, units]`: every arm has the same residuals, permuted."""
    noise = np.linspace(-1, 1, units) + 0.3 * np.cos(np.arange(units))
    rng = RNG(seed)
    return np.stack([rng.permutation(noise) for _ in range(arms)])[:, None] + rng.normal(size=(arms, 1, 1))


def assert_agree(found):
    known = np.isfinite(found.low)
    assert np.array_equal(known, np.isfinite(found.p))
    assert (found.low < found.high)[known].all()
    excluded = (found.low > 0) | (found.high < 0)
    assert np.array_equal(found.significant, excluded)
    assert np.array_equal(found.significant, np.nan_to_num(found.p, nan=1) <= 1 - found.confidence)


def test_equal_variances_give_dunnetts_interval():
    scores = even(units=200)
    scores -= scores.mean(axis=0, keepdims=True) - scores.mean()  # so that blocks explain nothing, as SciPy thinks
    found = compare_arms(scores, 0, **ONE_FOLD)
    y = scores[:, 0]
    theirs = stats.dunnett(*y[1:], control=y[0], rng=RNG(0)).confidence_interval()
    assert found.pooled[1:].all()
    # Its variance has 8 × 199 degrees of freedom where blocks leave 7 × 199.
    assert (found.high - found.low)[1:] == pytest.approx((theirs.high - theirs.low) * math.sqrt(8 / 7), rel=0.02)


def test_two_arms_give_the_paired_t_test():
    scores = RNG(1).normal(size=(2, 1, 6))
    found = compare_arms(scores, 1, **ONE_FOLD)
    theirs = stats.ttest_rel(scores[0, 0], scores[1, 0])
    interval = theirs.confidence_interval()
    assert (found.low[0], found.high[0]) == pytest.approx((interval.low, interval.high), rel=1e-5)
    assert found.p[0] == pytest.approx(theirs.pvalue, rel=1e-4)
    assert (found.df[0], found.units[0], bool(found.pooled[0])) == (5, 6, False)
    assert np.isnan([found.diff[1], found.low[1], found.p[1]]).all()


def test_folds_are_the_unit_and_their_overlap_widens():
    scores = RNG(2).normal(size=(2, 5, 1))
    one = compare_arms(scores.reshape(2, 1, 5), 0, test_train_ratio=1 / 4, folds_in_all=5)
    five = compare_arms(scores, 0, test_train_ratio=1 / 4, folds_in_all=5)
    assert (five.high - five.low)[1] / (one.high - one.low)[1] == pytest.approx(math.sqrt((1 / 5 + 1 / 4) / (1 / 5)))
    assert (one.unit, one.claim) == ("seed", "on this split, over retraining")
    assert (five.unit, five.claim) == ("fold", "on other data of this kind")


def test_a_part_of_the_folds_overlaps_as_all_of_them():
    scores = RNG(2).normal(size=(2, 3, 1))
    few = compare_arms(scores, 0, test_train_ratio=0.1, folds_in_all=10)
    independent = compare_arms(scores, 0, test_train_ratio=0, folds_in_all=1)
    ratio = (few.high - few.low)[1] / (independent.high - independent.low)[1]
    assert ratio == pytest.approx(math.sqrt((1 / 3 + 1 / 9) / (1 / 3)))


def test_seeds_are_averaged_within_folds():
    scores = RNG(3).normal(size=(6, 4, 3))
    found = compare_arms(scores, 0, test_train_ratio=0, folds_in_all=1)
    averaged = compare_arms(scores.mean(axis=2, keepdims=True), 0, test_train_ratio=0, folds_in_all=1)
    assert found.low == pytest.approx(averaged.low, nan_ok=True)
    assert found.units.tolist() == [4] * 6


def test_what_retraining_makes_of_a_difference_does_not_overlap():
    rng = RNG(4)
    seeds_only = rng.normal(size=(12, 10, 5))
    folds_only = rng.normal(size=(12, 10, 1)) + 0.01 * rng.normal(size=(12, 10, 5))
    ratios = []
    for scores in (seeds_only, folds_only):
        overlapping = compare_arms(scores, 0, test_train_ratio=1 / 9, folds_in_all=10)
        apart = compare_arms(scores, 0, test_train_ratio=0, folds_in_all=1)
        ratios.append(np.nanmedian((overlapping.high - overlapping.low) / (apart.high - apart.low)))
    assert ratios[0] < 1.2
    assert ratios[1] == pytest.approx(math.sqrt((1 / 10 + 1 / 9) / (1 / 10)), rel=0.02)


def test_a_noisy_reference_widens_all_and_a_noisy_arm_only_its_own():
    scores = even()
    plain = compare_arms(scores, 0, **ONE_FOLD)
    assert plain.pooled[1:].all()
    centre = scores.mean(axis=2, keepdims=True)
    for noisy in (0, 5):
        louder = scores.copy()
        louder[noisy] += 9 * (scores - centre)[noisy]
        found = compare_arms(louder, 0, **ONE_FOLD)
        wider = (found.high - found.low)[1:] / (plain.high - plain.low)[1:]
        alone = wider[4]
        rest = np.delete(wider, 4)
        assert alone > 4
        assert (rest > 4).all() if noisy == 0 else (rest < 1.25).all()
        assert found.pooled[1:].all()  # the other of the two is still pooled
        assert (found.df[1:] < plain.df[1:]).all() if noisy == 0 else found.df[5] < plain.df[5]


def test_the_family_is_the_plan():
    scores = RNG(5).normal(size=(4, 1, 6))
    planned = np.concatenate([scores, np.full((8, 1, 6), np.nan)])
    few, many = compare_arms(scores, 0, **ONE_FOLD), compare_arms(planned, 0, **ONE_FOLD)
    assert ((many.high - many.low)[1:4] > 1.1 * (few.high - few.low)[1:4]).all()
    assert (many.p[1:4] >= few.p[1:4]).all()
    assert np.isnan(many.diff[4:]).all() and not many.significant[4:].any() and (many.units[4:] == 0).all()


def test_swapping_signs_mirrors():
    scores = RNG(6).normal(size=(5, 3, 2))
    options = {"test_train_ratio": 0.5, "folds_in_all": 3}
    forth, back = compare_arms(scores, 0, **options), compare_arms(-scores, 0, **options)
    assert forth.low == pytest.approx(-back.high, nan_ok=True)
    assert forth.p == pytest.approx(back.p, nan_ok=True)


def test_units_of_measurement_do_not_matter():
    scores = RNG(7).normal(size=(5, 1, 4))
    fraction, points = compare_arms(scores, 0, **ONE_FOLD), compare_arms(100 * scores + 7, 0, **ONE_FOLD)
    assert points.low == pytest.approx(100 * fraction.low, nan_ok=True)
    assert points.mean_low == pytest.approx(100 * fraction.mean_low + 7)


def test_one_unit_shows_no_spread():
    found = compare_arms(RNG(8).normal(size=(12, 1, 1)), 0, **ONE_FOLD)
    assert np.isfinite(found.diff[1:]).all()
    assert np.isnan(found.low).all() and np.isnan(found.p).all() and np.isnan(found.mean_low).all()
    assert np.isnan(found.sd).all() and not found.significant.any()


def test_an_arm_with_one_unit_borrows_the_others_spread():
    scores = even()
    scores[5, 0, 1:] = np.nan
    found = compare_arms(scores, 0, **ONE_FOLD)
    assert found.pooled[5] and found.units[5] == 1 and np.isnan(found.sd[5])
    assert (found.high - found.low)[5] > 3 * (found.high - found.low)[4]
    assert_agree(found)


def test_only_paired_units_count():
    scores = even()
    scores[3, 0, :2] = np.nan
    scores[0, 0, 4] = np.nan
    found = compare_arms(scores, 0, **ONE_FOLD)
    both = np.isfinite(scores[3, 0] - scores[0, 0])
    assert found.diff[3] == pytest.approx((scores[3, 0] - scores[0, 0])[both].mean())
    assert (found.units[3], found.units[1], found.units[0]) == (9, 11, 11)
    assert found.mean[3] == pytest.approx(np.nanmean(scores[3]))


def test_blocks_that_an_arm_misses_do_not_bias_its_spread():
    rng = RNG(9)
    blocks = 100 * rng.normal(size=(1, 5, 4))
    noise = rng.normal(size=(12, 5, 4))
    noise[rng.random(noise.shape) < 0.2] = np.nan
    options = {"test_train_ratio": 1 / 4, "folds_in_all": 5}
    quiet, shared = compare_arms(noise, 0, **options), compare_arms(noise + blocks, 0, **options)
    assert shared.diff == pytest.approx(quiet.diff, nan_ok=True)
    assert shared.high - shared.low == pytest.approx(quiet.high - quiet.low, nan_ok=True)


def test_an_arm_that_misses_seeds_of_every_fold_is_less_sure():
    scores = RNG(10).normal(size=(8, 6, 4))
    whole = compare_arms(scores, 0, test_train_ratio=0, folds_in_all=1)
    scores[3, :, 1:] = np.nan
    found = compare_arms(scores, 0, test_train_ratio=0, folds_in_all=1)
    assert (found.high - found.low)[3] > 1.6 * (whole.high - whole.low)[3]


def test_without_a_reference_there_are_means_and_no_differences():
    scores = even()
    scores[0] = np.nan
    found = compare_arms(scores, 0, **ONE_FOLD)
    assert np.isnan(found.diff).all() and np.isnan(found.low).all() and not found.significant.any()
    assert np.isfinite(found.mean_low[1:]).all() and np.isnan(found.mean[0])


@pytest.mark.parametrize("arms", [2, 3, 12])
def test_equal_scores_are_not_certain(arms):
    found = compare_arms(np.full((arms, 1, 3), 0.7), 0, **ONE_FOLD, limits=(0, 1))
    assert (found.diff[1:] == 0).all() and not found.significant.any()
    assert (found.high > found.low)[1:].all() and (found.mean_high > found.mean_low).all()
    assert found.p[1:] == pytest.approx(1)  # whatever the level was raised to
    assert_agree(found)


@pytest.mark.parametrize("arms", [2, 12])
def test_a_constant_difference_of_one_step_is_no_star(arms):
    scores = np.full((arms, 1, 2), 0.7)
    scores[1] += 1 / 40
    found = compare_arms(scores, 0, **ONE_FOLD)
    assert not found.significant.any() and (found.high > found.low)[1:].all()


def test_a_known_resolution_is_the_floor():
    scores = np.full((12, 1, 3), 1.0)
    found = compare_arms(scores, 0, **ONE_FOLD, limits=(0, 1), resolution=1 / 400)
    assert (found.high[1:] > 0).all() and (found.high[1:] < 0.01).all()
    assert (found.mean_high == 1).all() and (found.mean_low > 0.99).all()


def test_intervals_stay_within_what_is_possible():
    scores = RNG(11).random((3, 1, 2))
    loose, bound = compare_arms(scores, 0, **ONE_FOLD), compare_arms(scores, 0, **ONE_FOLD, limits=(0, 1))
    assert loose.low[1] < -1 and loose.mean_low[0] < 0
    assert (bound.low[1:] >= -1).all() and (bound.high[1:] <= 1).all()
    assert (bound.mean_low >= 0).all() and (bound.mean_high <= 1).all()
    assert_agree(bound)


@settings(max_examples=150, deadline=None)
@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 4)),
        elements=st.one_of(st.integers(0, 40).map(lambda k: k / 40), st.just(math.nan)),
    ),
    st.sampled_from([0.8, 0.95, 0.99]),
)
def test_star_p_and_interval_agree_whatever_the_data(scores, confidence):
    found = compare_arms(scores, 0, test_train_ratio=0.5, folds_in_all=3, confidence=confidence, limits=(0, 1))
    assert_agree(found)
    known = np.isfinite(found.low)
    tolerance = 1e-12
    assert ((found.low <= found.diff + tolerance) & (found.diff <= found.high + tolerance))[known].all()
    assert (np.isfinite(found.mean) == np.isfinite(scores).any(axis=(1, 2))).all()


def test_means_of_one_arm_have_the_t_interval():
    scores = RNG(12).normal(size=(1, 1, 5))
    found = compare_arms(scores, 0, **ONE_FOLD)
    interval = stats.ttest_1samp(scores[0, 0], 0).confidence_interval()
    assert (found.mean_low[0], found.mean_high[0]) == pytest.approx((interval.low, interval.high))
    assert found.sd[0] == pytest.approx(scores.std(ddof=1))


def test_means_are_surer_where_blocks_are_alike():
    widths = []
    for shift in (0.0, 5.0):
        studies = RNG(13).normal(size=(50, 12, 1, 2)) + np.array([-shift, shift])
        found = [compare_arms(scores, 0, **ONE_FOLD) for scores in studies]
        widths.append(np.median([f.mean_high - f.mean_low for f in found]))
    assert widths[0] < 6  # a t interval of two seeds: 12, in the median
    assert widths[1] > 50


@pytest.mark.parametrize(
    ("low", "high", "star", "word"),
    [
        (-0.5, 0.5, False, "equivalent"),
        (0.1, 0.9, True, "equivalent"),
        (-0.9, -0.1, True, "equivalent"),
        (0.5, 1.5, True, "better"),
        (-3.0, -0.1, True, "worse"),
        (-0.5, 1.5, False, "undecided"),
        (math.nan, math.nan, False, ""),
    ],
)
def test_verdicts(low, high, star, word):
    scores = RNG(0).normal(size=(2, 1, 3))
    found = compare_arms(scores, 0, **ONE_FOLD)
    given = type(found)(
        **{
            **vars(found),
            "low": np.array([math.nan, low]),
            "high": np.array([math.nan, high]),
            "significant": np.array([False, star]),
        }
    )
    assert verdicts(given, 1.0) == ("", word)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.zeros((3, 4))}, r"scores: expected \[arms, folds, seeds\].*\(3, 4\)"),
        ({"scores": np.zeros((0, 1, 1))}, r"at least one of each"),
        ({"scores": np.full((2, 1, 2), np.inf)}, "finite values or NaN, got inf"),
        ({"reference": 3}, "reference: expected an arm from 0 to 2, got 3"),
        ({"test_train_ratio": -1}, "test_train_ratio: .* got -1"),
        ({"folds_in_all": 0}, "folds_in_all: .* got 0"),
        ({"confidence": 95}, "confidence: .* got 95"),
        ({"resolution": 0}, "resolution: .* got 0"),
        ({"limits": (1, 0)}, r"limits: .* got \(1, 0\)"),
    ],
)
def test_errors_repeat_what_was_given(change, message):
    options = {"scores": np.zeros((3, 1, 2)), "reference": 0, "test_train_ratio": 0.1, "folds_in_all": 10} | change
    with pytest.raises(ValueError, match=message):
        compare_arms(**options)


def test_a_negative_margin_is_refused():
    with pytest.raises(ValueError, match=r"margin: .* got -1"):
        verdicts(compare_arms(np.zeros((2, 1, 2)), 0, **ONE_FOLD), -1)


def test_who_copies_the_reference_or_an_earlier_arm():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(5, 2, 3))
    y[1], y[4] = y[3], y[2]  # the reference's, and another arm's
    assert copies(y, 3).tolist() == [False, True, False, False, True]
    y[1, 0, 0], y[4, 0] = np.nan, np.nan
    assert copies(y, 3).tolist() == [False, True, False, False, True], "wherever both were run"
    y[1, 1, 1] += 1e-9
    y[4, 1, 1:] = np.nan
    assert not copies(y, 3).any(), "one block says nothing"


@pytest.mark.parametrize(("arms", "same"), [(3, [2]), (12, [2, 3, 4, 5])])
def test_arms_with_the_references_scores_make_no_stars_of_the_others(arms, same):
    """They would make the pooled spread look smaller than it is: at two seeds, one study in ten had a false star."""
    rng, false, studies = np.random.default_rng(5), 0, 400
    for _ in range(studies):
        y = np.round(0.7 + 0.02 * rng.normal(size=(arms, 1, 2)), 3)
        y[same] = y[0]
        found = compare_arms(y, 0, test_train_ratio=0.25, folds_in_all=1, resolution=1e-3)
        false += found.significant.any()
        assert not found.significant[same].any()
    assert false / studies < 0.05 + 2 * np.sqrt(0.05 * 0.95 / studies)


def test_a_copy_of_one_of_two_arms_has_the_others_spread():
    y = np.array([[[0.7, 0.72, 0.69]], [[0.7, 0.72, 0.69]], [[0.65, 0.71, 0.66]]])
    found = compare_arms(y, 0, test_train_ratio=0.25, folds_in_all=1, resolution=1e-3)
    assert found.diff[1] == 0 and found.high[1] - found.low[1] == pytest.approx(found.high[2] - found.low[2])
    alone = compare_arms(y[[0, 2]], 0, test_train_ratio=0.25, folds_in_all=1, resolution=1e-3)
    assert found.error[2] == pytest.approx(alone.error[1])


def test_a_twin_that_was_rounded_otherwise_is_a_copy():
    scores = RNG(3).integers(200, 260, (4, 1, 8)) / 400
    scores[1] = scores[0]
    scores[1, 0, 2] += 1 / 400
    assert copies(scores, 0, 1 / 400).tolist() == [False, True, False, False]
    assert not copies(scores, 0).any()
    scores[1, 0, 3] += 2 / 400
    assert not copies(scores, 0, 1 / 400).any()
    assert not copies(scores[:, :, :3], 0, 1 / 400).any(), "of few scores, all are the same"
