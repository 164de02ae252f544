"""What a study is made of, and what it refuses."""

from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

import pytest

from sweeper.factorial import aliases
from sweeper.study import Arm, Network, Protocol, Recipe, Study, Table, TrainingConfig, factorial

RECIPE = Recipe("r", training=TrainingConfig(), sample_rate=8000, seconds=1.0)


@dataclass(frozen=True, kw_only=True)
class Net(Network):
    width: int = 8
    norm: bool = True


class Kind(IntEnum):
    A = 1


@dataclass(frozen=True, kw_only=True)
class Other(Network):
    pass


class Bare(Network):
    width: int = 8


def study(**changes):
    return Study(
        **({"network": Net(), "arms": (Arm("full"), Arm("b", network={"norm": False})), "recipes": (RECIPE,)} | changes)
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": (Arm("a"),)}, "reference='full' is no arm; the arms are: a; name one of them"),
        ({"arms": (Arm("full"), Arm("full"))}, "two arms are called 'full'"),
        ({"arms": (Arm("full"), Arm("x", network={"nrm": 1}))}, "arm 'x' switches 'nrm', .* Net; it has: norm, width"),
        (
            {"network": Bare(), "arms": (Arm("full"), Arm("x", network={"width": 1}))},
            r"not a field of Bare; it has: none of its own; is @dataclass\(…\) missing above class Bare\?",
        ),
        ({"tables": (Table("t", ("full", "c")),)}, "table 't' names 'c'; the arms are: full, b"),
        ({"tables": (Table("t", ("full",), columns={"width": "w"}),)}, "column 'width', which no arm switches"),
        ({"tables": (Table("t", ("full",), against="u"),)}, "'t' is held against 'u', which is no table"),
        ({"recipes": ()}, "a study needs one at least"),
        ({"recipes": (RECIPE, RECIPE)}, "two recipes are called 'r'"),
        ({"network": Net}, "expected an instance of a dataclass derived from Network"),
        ({"network": 3}, "network=3: expected an instance of a dataclass derived from Network"),
        ({"arms": "full"}, "arms holds 'full': expected Arms"),
        ({"arms": 3}, "arms holds 3: expected Arms"),
        ({"recipes": ("quick",)}, "recipes holds 'quick': expected Recipes"),
        ({"protocol": {"source": "s"}}, "protocol holds {'source': 's'}: expected Protocols"),
        ({"space": {"max_lr": (1, 2)}}, "expected a function space"),
        ({"arms": (Arm("full"), Arm("b"))}, "arm 'b' switches nothing, as 'full': leave one of them out"),
        (
            {"arms": (Arm("full"), *(Arm(name, network={"norm": False}) for name in "bc"))},
            "arm 'c' switches the same as 'b': leave one of them out",
        ),
        ({"tables": (Table("all", ("full",)),)}, "a table is called 'all', as one that there is anyway"),
        ({"tables": (Table("others", ("full",)),)}, "a table is called 'others', as one that there is anyway"),
        (
            {"recipes": (Recipe("s", training=TrainingConfig(), sample_rate=1, seconds=1, network=Other()),)},
            "recipe 's': its network is a Other, the study's is a Net",
        ),
    ],
)
def test_a_study_with_a_mistake_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        study(**changes)


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"name": "a/b"}, "without slashes"),
        ({"name": ""}, "a name is a word or more"),
        ({"name": 5}, "arm 5: a name is a word or more"),
        ({"name": "a\nb"}, "on one line"),
        ({"name": "a" * 501}, "arm 'aaa.*its name has 501 letters; at most 500"),
        ({"name": "a", "published": "0.8"}, "published='0.8' must be a fraction of 1"),
        ({"name": "a", "removes": {"norm": False}}, r"removes=.'norm': False.: expected words; .* network="),
        ({"name": "a", "network": ["norm"]}, "network=.'norm'.: expected fields and values"),
        ({"name": "a", "network": {"norm": {1}}}, r"switches norm to \{1\}: expected a number, a text, a flag, None"),
        ({"name": "a", "network": {"norm": float("nan")}}, "switches norm to nan: expected a number"),
        ({"name": "a", "network": {"norm": (1, Path("x"))}}, r"switches norm to \(1, PosixPath\('x'\)\): expected"),
        ({"name": "a", "network": {"norm": Kind.A}}, "switches norm to <Kind.A: 1>: expected .* make anything else of"),
        ({"name": "a", "published": 86.8}, "published=86.8 must be a fraction of 1"),
        ({"name": "a", "published": {"esc50": 86.8}}, "published=86.8 must be a fraction of 1"),
        ({"name": "a", "published": {"esc50": "0.8"}}, "published='0.8' must be a fraction of 1"),
        ({"name": "a", "network": {"classes": 3}}, "switches classes, which the plan sets"),
    ],
)
def test_an_arm_with_a_mistake_is_refused(arm, message):
    with pytest.raises(ValueError, match=message):
        Arm(**arm)


def test_a_protocol_knows_the_size_of_its_data_set():
    given = {"source": "me", "split": "official", "recipe": "r", "test_share": 0.2, "clips": {"esc50": 2000}}
    assert Protocol(dataset="esc50", **given).clips == {"esc50": 2000}
    with pytest.raises(ValueError, match="does not say how many clips 'fsdd' has"):
        Protocol(dataset="fsdd", **given)


def test_a_recipe_hears_something():
    with pytest.raises(ValueError, match="0 s at 8000 Hz; both must be more than 0"):
        Recipe("r", training=TrainingConfig(), sample_rate=8000, seconds=0)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"name": "a\nb"}, "recipe .*: a name is a word or more, on one line"),
        ({"training": None}, "recipe 'r': training=None: expected a TrainingConfig"),
        ({"sample_rate": 8000.5}, "sample_rate=8000.5, seconds=1.0: expected a whole number of Hz"),
        ({"seconds": float("inf")}, "seconds=inf: expected a whole number of Hz, and a number of seconds"),
        ({"seconds": "1"}, "seconds='1': expected"),
    ],
)
def test_a_recipe_with_a_mistake_is_refused(recipe, message):
    with pytest.raises(ValueError, match=message):
        replace(RECIPE, **recipe)


@pytest.mark.parametrize(
    ("arms", "message"),
    [((), "expected names of arms"), ("full", "expected names of arms"), (("a", "a"), "table 't' names 'a' twice")],
)
def test_a_table_names_arms_once_each(arms, message):
    with pytest.raises(ValueError, match=message):
        Table("t", arms)


def test_a_part_that_stands_alone_is_the_only_one():
    alone = Study(network=Net(), arms=Arm("full"), recipes=RECIPE, tables=Table("t", ("full",)))
    assert (alone.arms, alone.recipes, len(alone.tables)) == ((Arm("full"),), (RECIPE,), 1)


def test_arms_cannot_be_changed_afterwards():
    arm = Arm("a", network={"widths": [1, 2]})
    assert arm.network["widths"] == (1, 2)
    with pytest.raises(TypeError):
        arm.network["widths"] = (3,)


def test_a_switch_of_both_network_and_training_is_told_apart():
    arm = Arm("a", network={"dropout": 0.1, "epochs": 2}, training={"epochs": 9, "max_lr": 1.0})
    assert arm.switches == {"dropout": 0.1, "epochs": 2, "training.epochs": 9, "max_lr": 1.0}


def test_a_full_factorial_has_every_combination_the_references_first():
    arms = factorial(network={"norm": (True, False), "width": (8, 16, 32)}, training={"max_lr": (1e-3, 1e-4)})
    assert len(arms) == len({arm.name for arm in arms}) == 12
    assert arms[0] == Arm("full", network={"norm": True, "width": 8}, training={"max_lr": 1e-3})
    assert arms[-1].name == "norm=False,width=32,max_lr=0.0001"
    assert arms[-1].removes == "norm True → False, width 8 → 32, max_lr 0.001 → 0.0001"
    assert study(arms=arms).by_name.keys() == {arm.name for arm in arms}


@pytest.mark.parametrize("fraction", [1 / 2, "1/2", "a b c abc"])
def test_half_of_four_factors_is_balanced_and_says_its_aliases(fraction):
    names = ("p", "q", "r", "s")
    arms = factorial(network={name: (0, 1) for name in names[:3]}, training={"s": (0, 1)}, fraction=fraction)
    runs = [arm.switches for arm in arms[1:]]
    assert len(arms) == 8 and arms[0].name == "full"
    for name in names:
        assert sum(name in run for run in runs) == 4
    assert all(len(run) in (2, 4) for run in runs)
    told = aliases([{}, *runs], names)
    assert told[0] == "p = q × r × s" and told[-1] == "mean = p × q × r × s"
    assert "p × q = r × s" in told


def test_arms_that_are_no_fraction_have_no_aliases():
    assert aliases([{}, {"a": 1}], ["a"]) == []
    assert aliases([{}, {"a": 1}, {"b": 1}, {"a": 1, "b": 1}], ["a", "b"]) == []
    assert aliases([{}, {"a": 1}, {"b": 1}, {"c": 1}], ["a", "b", "c"]) == [], "one switch at a time is no fraction"


@pytest.mark.parametrize(
    ("levels", "fraction", "message"),
    [
        ({}, None, "needs a switch at least"),
        ({"a": (1,)}, None, "switch 'a' has 1 value; a factorial design needs two"),
        ({"a": (1, 2, 3), "b": (1, 2)}, 0.5, "switch 'a' has 3 values; a fraction is of switches with two"),
        ({"a": (1, 2), "b": (1, 2)}, 0.3, "fraction=0.3 of 2 switches: expected 1/2 or a power of it, down to 1/2"),
        ({"a": (1, 2), "b": (1, 2)}, "a b ab", "is of 3 factors; there are 2 switches"),
        ({"a": (1, 2), "b": (1, 2), "c": (1, 2)}, "a b -ab", "leaves out the reference"),
    ],
)
def test_designs_that_cannot_be_made_are_refused(levels, fraction, message):
    with pytest.raises(ValueError, match=message):
        factorial(network=levels, fraction=fraction)
