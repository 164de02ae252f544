"""Commits that answer alike to the last bit are equivalent, and are not counted twice in the spread."""

from dataclasses import replace

import pytest

from sweeper.results.gates import ask_gate
from sweeper.results.leaderboard import derive
from sweeper.results.store import Study
from tests.results.rows import plan_of, prediction, trial_row

SCORES = {"full": (0.60, 0.64, 0.70), "garm": (0.60, 0.64, 0.70), "macem-a": (0.55, 0.61, 0.62)}
COMMITS = {"commits": {"arms": ["full"], "of": []}, "design": {}}


def made(folder, changed="", **plan):
    """A study in which `garm` answers as `full` does, but for a bit of the arm `changed`."""
    study = Study(folder)
    study.create()
    rows = [
        trial_row(arm, 1, seed, accuracy=accuracy)
        for arm, scores in SCORES.items()
        for seed, accuracy in enumerate(scores)
    ]
    study.write_plan(plan_of(rows) | COMMITS | plan)
    for row in rows:
        answer = prediction(row["trial_id"])
        if row["arm"] == changed and row["replicate"] == 2:
            answer["probabilities"] = [0.25 + 2**-25, 0.75]
        study.commit(row, [], [answer])
    return study


def test_identical_answers_are_equivalent_and_no_evidence_of_a_small_spread(tmp_path):
    study = made(tmp_path / "s")
    board = derive(study)
    rows = {row["arm"]: row for row in board.summary}
    twin = rows["garm"]
    assert (twin["outcome"], twin["diff_low"], twin["diff_high"]) == ("equivalent", 0.0, 0.0)
    assert (twin["mean"], twin["sd"]) == (rows["full"]["mean"], rows["full"]["sd"])
    alone = board.grid.without(["garm"]).compare()
    index = board.grid.arms.index("macem-a")
    assert (rows["macem-a"]["diff_low"], rows["macem-a"]["diff_high"]) == (alone.low[index], alone.high[index])
    with_twin = board.grid.compare()
    assert (alone.low[index], alone.high[index]) == (with_twin.low[index], with_twin.high[index]), "by its scores alone"
    near = board.grid.scores.copy()
    near[board.grid.arms.index("garm"), 0, 0] += 1e-6
    narrower = replace(board.grid, scores=near).compare()
    assert alone.high[index] - alone.low[index] > narrower.high[index] - narrower.low[index], "as it would be with it"
    told = ask_gate(study, "garm", None, 0.01)
    assert told["outcome"] == "equivalent" and "gate" not in told, "nothing is spent"


@pytest.mark.parametrize("arm", ["full", "garm"])
def test_a_bit_that_differs_is_a_difference(tmp_path, arm):
    rows = {row["arm"]: row for row in derive(made(tmp_path / "s", arm)).summary}
    assert rows["garm"]["outcome"] == "undecided" and rows["garm"]["diff_low"] < 0 < rows["garm"]["diff_high"]


def test_arms_of_other_studies_are_not_called_identical(tmp_path):
    rows = {row["arm"]: row for row in derive(made(tmp_path / "s", commits={})).summary}
    assert rows["garm"]["diff_low"] < 0


def test_holes_are_not_equal_to_anything(tmp_path):
    study = made(tmp_path / "s")
    more = plan_of([trial_row("garm", 1, 3), trial_row("full", 1, 3), trial_row("macem-a", 1, 3)])
    study.write_plan(study.read_plan() | more)
    assert {row["outcome"] for row in derive(study).summary} == {"reference", "undecided"}
