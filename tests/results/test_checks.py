"""Each reason not to average a study's rows is found, and named."""

import pyarrow as pa
import pytest

from sweeper.results import schema
from sweeper.results.checks import find_problems
from tests.results.rows import FAILED, grid, plan_of, trial_row


def problems(trials, plan=None):
    table = pa.Table.from_pylist(trials, schema=schema.TRIAL)
    return [str(problem) for problem in find_problems(table, plan_of(trials) if plan is None else plan)]


def test_a_whole_study_has_none():
    assert problems(grid()) == []


def test_holes_are_counted_and_named():
    trials = grid()
    (line,) = problems(trials[8:], plan_of(trials))
    assert line.startswith("missing: 8 of 72 trials: semantic-only fold 1 seed 0, ")
    assert line.endswith(", and 2 more")


def test_without_a_plan_holes_cannot_be_told():
    assert problems(grid(), {})[0].startswith("no plan: plan.json is missing")


def test_a_trial_that_was_never_planned():
    trials = grid(("full",), folds=(1,))
    (line,) = problems(trials, plan_of(trials[:1]))
    assert line == f"unplanned: 1 trial not in plan.json: {trials[1]['trial_id']}"


def test_failures_say_why():
    trials = grid(("full", "garm"))
    trials[-1] |= FAILED | {"error": "NonFiniteLoss: boom"}
    assert problems(trials) == ["failed: 1 trial: garm fold 3 seed 1: NonFiniteLoss: boom"]


def test_two_trials_for_one_block():
    trials = grid(("full",), folds=(1,))
    again = trials[0] | {"trial_id": "again"}
    for run in ([*trials, again], trials):  # the second may still be to come
        (line,) = [line for line in problems(run, plan_of([*trials, again])) if not line.startswith("missing")]
        assert line.startswith(
            "double: more than one trial of an arm in a block: full fold 1 seed 0; full: defined anew"
        )
        assert line.endswith("give the new definition a name of its own, or use --study NAME for a study of its own")


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("git_commit", "abc", "mixed code: git_commit is x in 5 trials, abc in 1 trial"),
        ("sweeper_version", "9", "mixed code: sweeper_version is x in 5 trials, 9 in 1 trial"),
        ("torch_version", "3", "mixed code: torch_version is x in 5 trials, 3 in 1 trial"),
        ("data_digest", "y", "mixed data: data_digest is x in 5 trials, y in 1 trial"),
        ("device", "H100", "differing devices: device is x in 5 trials, H100 in 1 trial"),
        ("leak", "not leakage-safe: 3 of 9", "leaking split: not leakage-safe: 3 of 9"),
    ],
)
def test_mixtures(column, value, expected):
    trials = grid(("full",))
    trials[0] |= {column: value}
    assert problems(trials) == [expected]


def test_code_that_was_never_committed():
    trials = [row | {"git_commit": "abc+dirty"} for row in grid(("full",))]
    assert problems(trials) == ["uncommitted code: abc+dirty: nobody else can get this code"]


def test_data_other_than_the_plans():
    trials = [trial_row("full")]
    (line,) = problems(trials, plan_of(trials) | {"data_digest": "z"})
    assert line == "mixed data: data_digest is x in 1 trial, z in the plan"
