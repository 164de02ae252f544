"""Values from strangers' JSON, held against shapes."""

import json

import pytest

from sweeper.results.plans import parse_plan
from sweeper.results.shapes import Values, mismatch, strict_json
from sweeper.results.tables import StudyError


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ({}, {"a": int}),
        ({"a": 1, "b": "anything"}, {"a": int}),
        ([], [str]),
        ([["a", "b"]], [(str, str)]),
        ({"x": 1, "y": 2}, Values(int)),
        (1, float),
        (None, float | None),
        (True, bool),
    ],
)
def test_what_fits(value, shape):
    assert mismatch(value, shape, "x") == ""


@pytest.mark.parametrize(
    ("value", "shape", "words"),
    [
        ({"a": [1, "b"]}, {"a": [int]}, 'a[1] is "b", not a whole number'),
        ({"a": None}, {"a": str}, "a is null, not text"),
        (5, {"a": str}, "it is 5, not an object"),
        ({"a": {"b": 5}}, {"a": Values(str | None)}, "a.b is 5, not text or null"),
        ({"a": [["x"]]}, {"a": [(str, str)]}, 'a[0] is ["x"], not a list of 2'),
        ({"a": True}, {"a": int}, "a is true, not a whole number"),
        ({"a": True}, {"a": float | None}, "a is true, not a number or null"),
        ({"a": 1}, {"a": bool}, "a is 1, not true or false"),
        ({"a": 1.5}, {"a": int}, "a is 1.5, not a whole number"),
    ],
)
def test_what_does_not_is_said_with_its_place(value, shape, words):
    assert mismatch(value, shape, "") == words


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", "1e400", "-1e400", "9223372036854775808", "1" * 5000, "[" * 10**5]
)
def test_numbers_that_are_none_are_refused(text):
    with pytest.raises((ValueError, RecursionError)):
        strict_json(text.encode())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("all_folds", 5),
        ("all_folds", [None]),
        ("data_digest", ["x"]),
        ("classes", "abc"),
        ("synthetic", 1),
        ("fixed_study", None),
        ("design", {"training": 5}),
        ("design", {"data": {"dataset": None}}),
        ("definition", {"arms": [{"name": 5}]}),
        ("definition", {"tables": [{"columns": [["a"]]}]}),
        ("definition", {"protocol": {"clips": 5}}),
        ("definition", {"protocol": 5}),
        ("searches", {}),
    ],
)
def test_a_plan_that_its_readers_could_not_use_is_damaged(name, value):
    plan = {"trials": [], name: value}
    with pytest.raises(StudyError, match=rf"plan\.json is damaged \((it is|{name}|definition)") as caught:
        parse_plan(json.dumps(plan).encode(), "plan.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("clips", "share"), [(0, 0.2), (-5, 0.2), (100, 0.0), (100, 1.5)])
def test_published_values_of_no_clips_are_damage(clips, share):
    protocol = {"dataset": "a", "split": "b", "recipe": "c", "epochs": 1, "clips": clips, "test_share": share}
    with pytest.raises(StudyError, match="tested no clips"):
        parse_plan(json.dumps({"trials": [], "definition": {"protocol": protocol}}).encode(), "plan.json")
