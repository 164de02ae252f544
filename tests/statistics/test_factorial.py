"""Which factorial a study's arms contain, found from their switches."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.statistics import effects, find_factorial
from tests.studies import ARMS


def test_the_papers_arms_contain_a_cube():
    found = find_factorial([arm.switches for arm in ARMS.values()])
    assert found.factors == ("macem_a", "macem_b", "garm")
    names = [list(ARMS)[index] for index in found.arms]
    assert set(names) == {
        "dual-branch",
        "macem-a",
        "macem-b",
        "garm",
        "macem-a+b",
        "macem-b+garm",
        "macem-a+garm",
        "full",
    }
    levels = dict(zip(names, found.levels.tolist(), strict=True))
    assert levels["full"] == [1, 1, 1] and levels["macem-a"] == [1, -1, -1] and levels["dual-branch"] == [-1, -1, -1]
    assert found.low == ("False",) * 3 and found.high == ("unchanged",) * 3


def test_one_switch_at_a_time_is_no_factorial():
    assert find_factorial([{}, {"a": False}, {"b": False}, {"c": False}]) is None
    assert find_factorial([]) is None
    assert find_factorial([{}, {"a": 1}]) is None


def test_a_square_within_more():
    arms = [{"a": 0, "b": 0}, {"a": 1, "b": 0}, {"a": 0, "b": 1}, {"a": 1, "b": 1}, {"a": 2, "b": 0}, {"a": 0, "c": 5}]
    found = find_factorial(arms)
    assert found.arms.tolist() == [0, 1, 2, 3] and found.factors == ("a", "b")
    assert found.levels.tolist() == [[-1, -1], [1, -1], [-1, 1], [1, 1]]


def test_a_background_switch_is_held_still():
    square = [{"a": a, "b": b} for a, b in itertools.product([False, True], repeat=2)]
    arms = [*square[:3], *({**setting, "c": 1} for setting in square)]
    assert find_factorial(arms).arms.tolist() == [3, 4, 5, 6]


def test_half_a_cube():
    half = [dict(zip("abc", bits, strict=True)) for bits in itertools.product([0, 1], repeat=3) if sum(bits) % 2]
    found = find_factorial(half)
    assert found.factors == ("a", "b", "c") and len(found.arms) == 4
    assert effects(np.zeros((4, 1, 2)), found.levels, test_train_ratio=0, folds_in_all=1).aliases[0] == ("B × C",)


def test_a_full_design_comes_before_a_fraction_of_as_many_arms():
    cube = [dict(zip("abc", bits, strict=True)) for bits in itertools.product([0, 1], repeat=3)]
    assert find_factorial([{**setting, "d": 0} for setting in cube]).factors == ("a", "b", "c")


def test_switches_that_move_together_are_one_factor():
    arms = [{"a": a, "a_too": a, "b": b} for a, b in itertools.product([False, True], repeat=2)]
    assert find_factorial(arms).factors == ("a+a_too", "b")


def test_equal_values_of_different_types_are_different():
    arms = [{"a": a, "b": b} for a, b in itertools.product([1, 1.0], [True, 1])]
    found = find_factorial(arms)
    assert found is not None and len(found.arms) == 4


def test_unhashable_values():
    arms = [{"a": a, "b": b} for a, b in itertools.product([[1, 2], [3]], ["x", None])]
    assert len(find_factorial(arms).arms) == 4


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2)), max_size=14))
def test_whatever_is_found_is_a_design(settings):
    found = find_factorial(settings)
    if found is not None:
        assert len(found.arms) >= 4 and len(set(found.arms.tolist())) == len(found.arms)
        effects(np.zeros((len(found.arms), 1, 2)), found.levels, test_train_ratio=0, folds_in_all=1)


@pytest.mark.parametrize("count", [5, 6])
def test_a_large_one_is_found_soon(count):
    arms = [dict(zip("abcdef", bits, strict=False)) for bits in itertools.product([0, 1], repeat=count)]
    began = time.perf_counter()
    assert len(find_factorial(arms).arms) == 2**count
    assert time.perf_counter() - began < 5


def square(name, low, high):
    """The arms of a 2^2 design as relative to a reference that has `low`, and to one that has `high`."""
    return [[{}, {name: high}, {"b": 1}, {name: high, "b": 1}], [{name: low}, {}, {name: low, "b": 1}, {"b": 1}]]


@pytest.mark.parametrize(("low", "high"), [(False, True), (0.0, 0.995), (32, 64), (None, "batch"), (None, 3)])
def test_the_part_is_high_whether_arms_add_it_or_remove_it(low, high):
    for usual, arms in zip((low, high), square("a", low, high), strict=True):
        found = find_factorial(arms, {"a": usual, "b": 0})
        assert found.levels[:, found.factors.index("a")].tolist() == [-1, 1, -1, 1]
        assert (found.low[found.factors.index("a")], found.high[found.factors.index("a")]) == (str(low), str(high))


def test_of_words_the_references_is_high_and_so_is_a_part_that_arms_lack():
    for usual in ("mean", "sum"):
        arms = [{} if value == usual else {"a": value} for value in ("mean", "sum")]
        arms += [{**arm, "b": 1} for arm in arms]
        found = find_factorial(arms, {"a": usual, "b": 0})
        assert found.high[found.factors.index("a")] == usual
    removed = square("a", False, True)[0]  # an arm "without sparsity" switches norm on
    assert find_factorial(removed, {"a": False, "b": 0}, ["a"]).levels[:, 0].tolist() == [1, -1, 1, -1]
