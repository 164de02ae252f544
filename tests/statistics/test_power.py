"""What a design can show: against statsmodels' power, and the sentence for the dry run."""

import math

import pytest
from statsmodels.stats.power import TTestPower

from sweeper.statistics import blocks_needed, holm, reach_sentence, smallest_detectable_difference, smallest_p


@pytest.mark.parametrize("n", [3, 5, 15, 50])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 11])
def test_independent_blocks_agree_with_statsmodels(n, alpha):
    found = smallest_detectable_difference(0.02, n, test_train_ratio=0, alpha=alpha)
    assert TTestPower().power(found / 0.02, n, alpha) == pytest.approx(0.8, abs=1e-6)


def test_shared_training_data_inflates():
    plain = smallest_detectable_difference(0.02, 10, test_train_ratio=0)
    corrected = smallest_detectable_difference(0.02, 10, test_train_ratio=1 / 9)
    assert corrected / plain == pytest.approx(math.sqrt((1 / 10 + 1 / 9) / (1 / 10)))


def test_seeds_cannot_buy_what_only_data_can():
    many = smallest_detectable_difference(0.02, 10_000, test_train_ratio=0.25)
    assert many == pytest.approx(2.80 * 0.02 * 0.5, rel=0.01)


def test_extremes():
    assert smallest_detectable_difference(0.02, 1, test_train_ratio=0.25) == math.inf
    assert smallest_detectable_difference(0.0, 5, test_train_ratio=0.25) == 0
    assert smallest_detectable_difference(0.02, 2, test_train_ratio=0, alpha=0.001) > 10


@pytest.mark.parametrize("arms", [1, 2, 3, 11, 12, 40])
def test_blocks_needed_is_the_first_that_suffices(arms):
    n = blocks_needed(arms)
    assert holm([smallest_p(n), *[1.0] * (arms - 1)])[0] <= 0.05
    assert holm([smallest_p(n - 1), *[1.0] * (arms - 1)])[0] > 0.05


@pytest.mark.parametrize(
    ("n", "arms", "blocks_per_seed", "sentence"),
    [
        (
            5, 1, 1,
            "5 blocks can't go below p = 0.0625: no arm can be significant at 0.05; add 1 seed for 6 blocks",
        ),
        (
            5, 11, 1,
            "5 blocks can't go below p = 0.0625 (0.688 after Holm over 11 arms): "
            "no arm can be significant at 0.05; add 4 seeds for 9 blocks",
        ),
        (
            5, 11, 5,
            "5 blocks can't go below p = 0.0625 (0.688 after Holm over 11 arms): "
            "no arm can be significant at 0.05; add 1 seed for 10 blocks",
        ),
        (
            1, 1, 1,
            "1 block can't go below p = 1: no arm can be significant at 0.05; add 5 seeds for 6 blocks",
        ),
        (
            10, 11, 10,
            "10 blocks can go down to p = 0.00195 (0.0215 after Holm over 11 arms): "
            "significance at 0.05 is within reach",
        ),
    ],
)  # fmt: skip
def test_sentence(n, arms, blocks_per_seed, sentence):
    assert reach_sentence(n, arms, blocks_per_seed=blocks_per_seed) == sentence


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: smallest_detectable_difference(-1, 5, test_train_ratio=0), "sd: .* got -1"),
        (lambda: smallest_detectable_difference(1, 0, test_train_ratio=0), "n: .* got 0"),
        (lambda: smallest_detectable_difference(1, 5, test_train_ratio=0, power=0.01), "power: .* got 0.01"),
        (lambda: blocks_needed(0), "arms: .* got 0"),
        (lambda: blocks_needed(10**9), "no number of blocks reaches p = 5e-11"),
        (lambda: smallest_p(0), "units: .* got 0"),
        (lambda: reach_sentence(5, 1, blocks_per_seed=0), "blocks_per_seed: .* got 0"),
    ],
)
def test_errors_repeat_what_was_given(call, message):
    with pytest.raises(ValueError, match=message):
        call()
