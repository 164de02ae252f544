"""What a design can find: against the rule run on studies with that difference, and its limits."""

import math
import time

import numpy as np
import pytest

from sweeper.statistics import compare_arms, detectable_difference

RNG = np.random.default_rng


def detectable(arms, folds, seeds, **options):
    defaults = {"test_train_ratio": 1 / 9, "folds_in_all": 10, "rng": RNG(0)}
    return detectable_difference(arms, folds, seeds, **(defaults | options))


def test_the_rule_finds_it_with_that_probability():
    delta = detectable(12, 1, 5)
    rng, found = RNG(1), []
    for _ in range(300):
        scores = rng.normal(size=(12, 1, 5))
        scores[3] += delta
        found.append(compare_arms(scores, 0, test_train_ratio=1 / 9, folds_in_all=10).significant[3])
    assert np.mean(found) == pytest.approx(0.8, abs=0.09)


def test_more_seeds_folds_and_fewer_arms_find_more():
    base = detectable(12, 1, 3)
    assert detectable(12, 1, 6) < 0.7 * base
    assert detectable(4, 1, 3) < base
    assert detectable(12, 10, 3, fold_sd=0.5) < detectable(12, 5, 3, fold_sd=0.5)


def test_in_the_unit_of_the_spread():
    assert detectable(6, 1, 4, seed_sd=0.02) == pytest.approx(0.02 * detectable(6, 1, 4), rel=1e-6)
    assert detectable(6, 5, 2, seed_sd=0.02, fold_sd=0.01) == pytest.approx(
        0.02 * detectable(6, 5, 2, fold_sd=0.5), rel=1e-6
    )


def test_one_fold_knows_no_spread_over_folds():
    assert detectable(6, 1, 4, fold_sd=9.0) == detectable(6, 1, 4)


@pytest.mark.parametrize(("arms", "folds", "seeds"), [(1, 1, 5), (12, 1, 1), (2, 1, 1)])
def test_what_can_never_be_found(arms, folds, seeds):
    assert detectable(arms, folds, seeds) == math.inf


def test_the_same_for_the_same_seed():
    assert detectable(5, 3, 2) == detectable(5, 3, 2)


def test_a_higher_power_asks_for_more():
    assert detectable(5, 1, 5, power=0.95) > detectable(5, 1, 5) > detectable(5, 1, 5, power=0.5)


def test_fast_enough_for_a_dry_run():
    began = time.process_time()
    detectable(12, 10, 3)
    assert time.process_time() - began < 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arms": 0}, "at least 1 arm, fold and seed, got 0, 1 and 2"),
        ({"power": 80}, r"power: .* got 80"),
        ({"seed_sd": -1}, r"seed_sd: .* got -1"),
        ({"fold_sd": math.nan}, r"fold_sd: .* got nan"),
    ],
)
def test_errors_repeat_what_was_given(options, message):
    with pytest.raises(ValueError, match=message):
        detectable(**({"arms": 2, "folds": 1, "seeds": 2} | options))
