"""Ours against the published difference: noise never helps."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.statistics import agreement

POINTS = st.floats(-0.2, 0.2)
WIDTHS = st.floats(0, 0.2)


@pytest.mark.parametrize(
    ("ours", "half", "theirs", "their_half", "word"),
    [
        (-0.021, 0.004, -0.020, 0.003, "consistent"),
        (-0.020, 0.015, -0.020, 0.015, "inconclusive"),  # margin of 2.1 points
        (-0.004, 0.003, -0.003, 0.002, "inconclusive"),  # margin larger than the published difference
        (0.030, 0.010, -0.020, 0.005, "contradicted"),
        (0.030, 0.060, -0.020, 0.005, "inconclusive"),
        (-0.020, 0.0, -0.020, 0.0, "consistent"),
        (0.0001, 0.0, 0.0, 0.0, "contradicted"),
        (-0.02, math.nan, -0.02, 0.001, "inconclusive"),
        (math.nan, 0.001, -0.02, 0.001, "inconclusive"),
    ],
)
def test_words(ours, half, theirs, their_half, word):
    assert agreement(ours, half, theirs, their_half) == word


@given(POINTS, WIDTHS, POINTS, WIDTHS, WIDTHS, WIDTHS)
def test_a_wider_interval_never_makes_it_consistent(ours, half, theirs, their_half, more, their_more):
    if agreement(ours, half + more, theirs, their_half + their_more) == "consistent":
        assert agreement(ours, half, theirs, their_half) == "consistent"


@given(POINTS, WIDTHS, POINTS, WIDTHS)
def test_what_is_consistent_has_the_published_sign(ours, half, theirs, their_half):
    if agreement(ours, half, theirs, their_half) == "consistent":
        assert ours * theirs >= 0 or abs(ours) < 1e-15, "rounding"
        assert math.hypot(half, their_half) <= min(0.02, abs(theirs))


@given(POINTS, WIDTHS, POINTS, WIDTHS)
def test_the_mirror_image_agrees_alike(ours, half, theirs, their_half):
    assert agreement(ours, half, theirs, their_half) == agreement(-ours, half, -theirs, their_half)


@pytest.mark.parametrize("gap", [0.0, 0.01, 0.05])
def test_more_noise_makes_consistent_no_likelier_than_the_error_promised(gap):
    rng, shares = np.random.default_rng(0), []
    for sd in (0.001, 0.003, 0.006, 0.01, 0.02, 0.05):
        draws = rng.normal(-0.03 + gap, sd, 2000)
        shares.append(np.mean([agreement(x, 1.96 * sd, -0.03, 0.0) == "consistent" for x in draws]))
    assert (np.diff(shares) <= 0.01).all()
    assert shares[0] == (1 if gap < 0.02 else 0)


def test_a_gap_of_five_points_is_not_consistent_from_two_seeds():
    rng = np.random.default_rng(1)
    halves = 12.7 * np.abs(rng.normal(size=1000)) * 0.02  # a t interval of two seeds
    words = [agreement(x, half, -0.01, 0.01) for x, half in zip(rng.normal(-0.06, 0.02, 1000), halves, strict=True)]
    assert words.count("consistent") == 0
