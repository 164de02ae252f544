"""A sequential study in its folder: looks are planned once and taken once; kills change nothing."""

import math

import numpy as np
import pyarrow as pa
import pytest

from sweeper.report.tables import heading, rule_notes
from sweeper.results import deciding as module
from sweeper.results import leaderboard
from sweeper.results.checks import find_problems
from sweeper.results.deciding import Deciding
from sweeper.results.looks import needed_trials, plan_sequential, read_sequential
from sweeper.results.plans import merge, parse_plan, plan_bytes
from sweeper.results.schema import TRIAL
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.statistics.sequential import Look, Said
from tests.results.rows import prediction, trial_row

ARMS = ("full", "garm", "macem-a", "macem-b")
WORSE = {"garm": 0.3, "macem-a": 0.02}  # of noise of 0.01
SEEDS = 8
PLANNED = plan_sequential(ARMS, "full", (1,), SEEDS)
FAILS = ("macem-a", 2)


def score(arm, seed):
    rng = np.random.default_rng([ARMS.index(arm), seed])
    return round(0.6 - WORSE.get(arm, 0.0) + 0.01 * float(rng.normal()), 4)


IDS = {(arm, seed): trial_row(arm, 1, seed)["trial_id"] for arm in ARMS for seed in range(30)}
CELLS = {name: cell for cell, name in IDS.items()}


def planned(arm, seed):
    return {"trial_id": IDS[arm, seed], "kind": "ablation", "arm": arm, "fold": 1, "replicate": seed}


@pytest.fixture
def study(tmp_path):
    found = Study(tmp_path / "study")
    found.create()
    plan = {"data_digest": "x", "design": {}, "all_folds": [1], "trials": [], "reference": "full"}
    found.write_plan(plan | {"sequential": PLANNED})
    return found


def train(study, arm, seed):
    row = trial_row(arm, 1, seed, accuracy=score(arm, seed), data_digest="x", train_clips=8000, test_clips=2000)
    study.write_plan(study.read_plan() | {"trials": [planned(arm, seed)]})
    study.commit(row, [], [prediction(row["trial_id"])])


def begin(study, most=SEEDS, said=None):
    ids = [[IDS[arm, seed] for seed in range(most)] for arm in ARMS]
    return Deciding(study, ids, most=most, margin=0.001, say=[].append if said is None else said.append)


def go_on(study, trials=10**9, most=SEEDS, fails=()):
    """Train what is asked for; returns how many trials that were."""
    deciding, count = begin(study, most), 0
    while (step := deciding.step()).look and count < trials:
        arm, seed = step.now[0]
        name = IDS[ARMS[arm], seed]
        if (ARMS[arm], seed) not in fails:
            train(study, ARMS[arm], seed)
        deciding.note(name, failed=(ARMS[arm], seed) in fails)
        count += 1
    return count


def looks(study):
    return read_sequential(study.read_plan()).taken


def test_it_goes_from_look_to_look_and_stops(study):
    assert go_on(study) < SEEDS * len(ARMS)
    said = read_sequential(study.read_plan()).said()
    assert said["garm"][1].outcome == "worse" and said["garm"][0] == 4
    assert study.read_plan()["looks"][0]["blocks"] == 4
    garm = [trial for trial in study.read_plan()["trials"] if trial["arm"] == "garm"]
    assert len(garm) == 4, "a decided arm gets no further trial"


@pytest.fixture
def to_the_end(monkeypatch):
    """`macem-b` is worse by so little that it is there to the last look."""
    monkeypatch.setitem(WORSE, "macem-b", 0.015)


def test_the_last_look_is_taken_late_for_whom_it_lacked_and_then_the_study_is_over(study, to_the_end):
    go_on(study, fails=[FAILS])
    before = study.read_plan()["looks"]
    assert before[-1]["blocks"] == SEEDS and "macem-a" not in read_sequential(study.read_plan()).said()
    deciding = begin(study)
    assert deciding.step().now[0] == (ARMS.index("macem-a"), FAILS[1])
    assert {arm for arm, _ in deciding.left()} == {ARMS.index("macem-a")}
    go_on(study)
    *rest, late = study.read_plan()["looks"]
    assert rest == before and (late["blocks"], list(late["arms"])) == (SEEDS, ["macem-a"])
    found = read_sequential(study.read_plan()).said()["macem-a"][1]
    diffs = [score("macem-a", seed) - score("full", seed) for seed in range(SEEDS)]
    assert found.diff == pytest.approx(np.mean(diffs)) and found.chance == 0.0
    assert go_on(study) == 0 and not begin(study).step().look
    board = leaderboard.derive(study, 0.001)
    assert board.problems == () and {row["arm"]: row["n"] for row in board.ablation}["macem-a"] == SEEDS


def test_a_late_look_of_two_commands_is_the_firsts(study, to_the_end):
    go_on(study, fails=[FAILS])
    old = study.read_plan()
    go_on(study)
    plan = study.read_plan()
    late = plan["looks"][-1]
    other = {**late, "arms": {"macem-a": {**late["arms"]["macem-a"], "diff": 0.5}}}
    assert merge(plan, {**old, "looks": [*old["looks"], other]}, "s")["looks"] == plan["looks"]
    assert merge(old, {**old, "looks": [other]}, "s")["looks"] == [*old["looks"], other]


def test_what_is_left_at_most_falls_to_nothing(study):
    deciding = begin(study)
    assert len(deciding.left()) == SEEDS * len(ARMS)
    go_on(study, trials=16)
    assert len(begin(study).left()) <= (SEEDS - 4) * (len(ARMS) - 1)
    go_on(study)
    assert begin(study).left() == []


def test_killed_in_the_middle_of_a_look_and_continued_it_is_the_same(study, tmp_path):
    whole = Study(tmp_path / "whole")
    whole.create()
    whole.write_plan(study.read_plan())
    go_on(whole)
    trials = 0
    while spent := go_on(study, trials=3):  # a new process each time
        trials += spent
    assert looks(study) == looks(whole) and len(looks(study)) > 1
    assert study.finished() == whole.finished() and trials == len(study.finished())


def test_two_commands_take_each_look_once(study):
    said = []
    first, second = begin(study, said=said), begin(study, said=said)
    for seed in range(4):
        for arm in ARMS:
            train(study, arm, seed)
            first.note(IDS[arm, seed], failed=False)
    assert first.step().look == 5
    assert second.step().look == 4, "it has not looked at the folder again yet"
    second._refreshed = -1e9
    assert first.step() == second.step()
    assert [look.blocks for look in looks(study)] == [4] and len(said) == 1


def test_a_look_that_another_command_took_a_moment_before_is_that_commands(study):
    for seed in range(4):
        for arm in ARMS:
            train(study, arm, seed)
    slow = begin(study)
    go_on(study, trials=0)
    before = study.read_plan()["looks"]
    step = slow._next()
    assert not step.now
    slow._margin = 1.0
    slow._take(step)
    assert study.read_plan()["looks"] == before and slow.state.taken == looks(study)


def test_a_failed_trial_keeps_its_arm_back_and_a_later_command_takes_it_in(study):
    go_on(study, fails=(FAILS,))
    assert "macem-a" not in read_sequential(study.read_plan()).said()
    assert "garm" in read_sequential(study.read_plan()).said()
    last = looks(study)[-1].blocks
    go_on(study, most=12)
    said = read_sequential(study.read_plan()).said()
    assert said["macem-a"][0] > last


def test_a_raised_end_spends_what_was_kept_for_it_and_changes_nothing_that_was_said(study):
    go_on(study)
    before = study.read_plan()
    go_on(study, most=12)
    after = study.read_plan()
    assert after["looks"][: len(before["looks"])] == before["looks"] and after["sequential"] == before["sequential"]
    new = [look["blocks"] for look in after["looks"][len(before["looks"]) :]]
    assert new == [] or new[-1] <= 12


def test_only_planned_ends(study):
    state = read_sequential(study.read_plan())
    assert state.most(8) == 8 and state.most(12) == 12
    with pytest.raises(StudyError, match=r"--max-seeds 9: no look was planned .* 4, 5, 6, 7, 8, 12, 18"):
        state.most(9)


def test_a_score_that_cannot_be_true_is_not_looked_at(study):
    go_on(study, trials=2)
    name = "trials/" + IDS["garm", 0] + ".parquet"
    row = study.row(IDS["garm", 0])
    study.storage.delete(name)
    study.write_table(name, [row | {"accuracy": 17.0}], TRIAL)
    go_on(study)
    assert "garm" not in read_sequential(study.read_plan()).said()


def test_the_table_says_what_the_looks_said(study):
    go_on(study)
    board = leaderboard.derive(study, 0.001)
    rows = {row["arm"]: row for row in board.ablation}
    blocks, found = read_sequential(study.read_plan()).said()["garm"]
    garm = rows["garm"]
    assert (garm["outcome"], garm["diff"], garm["units"], garm["n"]) == ("worse", found.diff, blocks, 4)
    assert garm["p"] is None and garm["significant"]
    assert rows["full"]["n"] == looks(study)[-1].blocks and rows["full"]["outcome"] == "reference"
    assert board.effects == () and board.problems == ()


def test_another_margin_reads_the_same_intervals(study):
    go_on(study)
    words = {row["arm"]: row["outcome"] for row in leaderboard.derive(study, 0.9).ablation}
    assert words["garm"] == "equivalent"


def test_trials_that_ran_ahead_of_the_look_that_decided_their_arm_are_no_holes(study):
    go_on(study)
    study.write_plan(study.read_plan() | {"trials": [planned("garm", 4)]})
    trials = pa.Table.from_pylist(study.trials().to_pylist(), schema=TRIAL)
    assert find_problems(trials, study.read_plan()) == ()
    assert IDS["garm", 4] not in {trial["trial_id"] for trial in needed_trials(study.read_plan())}
    study.write_plan(study.read_plan() | {"trials": [planned("garm", 3)]})
    train(study, "garm", 4)  # one that was finished all the same
    assert find_problems(study.trials(), study.read_plan()) == ()


def test_who_finished_ahead_of_the_look_that_settled_its_arm_changes_no_number(study):
    """Else results depended on what was killed when, or on who was faster."""
    go_on(study)
    before = leaderboard.derive(study, 0.001)
    last = looks(study)[-1].blocks
    train(study, "garm", 4)
    train(study, "full", last)
    train(study, "full", last + 1)
    after = leaderboard.derive(study, 0.001)
    assert after.summary == before.summary
    assert after.grid.seeds == before.grid.seeds and after.trials.num_rows == before.trials.num_rows + 3
    assert f"{last} seeds" in heading(after)
    assert "not counted, as a look had settled the arm before it was finished: 3 trials" in rule_notes(after)
    assert not any("not counted" in note for note in rule_notes(before))


def test_what_is_missing_of_a_look_to_come_is_a_hole(study):
    go_on(study, trials=6)
    study.write_plan(study.read_plan() | {"trials": [planned("full", 3)]})
    (problem,) = find_problems(study.trials(), study.read_plan())
    assert str(problem) == "missing: 1 of 7 trials: full fold 1 seed 3"


def test_a_study_extended_by_hand_is_noticed(study):
    plan = {"extended": [{"blocks": 2, "to": 5, "finished": 8}, {"blocks": 5, "to": 9, "finished": 20}]}
    problems = find_problems(study.trials(), plan | {"trials": []})
    assert any("(2 → 5 → 9 blocks), so this is look 3" in str(problem) for problem in problems)


def test_a_merged_plan_keeps_the_looks_of_the_old_one(study):
    go_on(study)
    old = study.read_plan()
    forged = old | {"sequential": {}, "looks": [{**old["looks"][0], "arms": {}}], "trials": []}
    found = merge(old, forged, "s")
    assert found["looks"] == old["looks"] and found["sequential"] == old["sequential"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("looks", {}),
        ("looks", [1]),
        ("looks", [{"blocks": "4", "end": 8, "arms": {}}]),
        ("sequential", []),
    ],
)
def test_a_plan_with_garbled_looks_is_refused(study, name, value):
    with pytest.raises(StudyError, match="is damaged"):
        parse_plan(plan_bytes(study.read_plan() | {name: value}), "plan.json")


@pytest.mark.parametrize(
    "change",
    [
        {"levels": [0.1]},
        {"levels": [0.5] * 14},
        {"arms": ["garm"]},
        {"looks": None},
        {"folds": "x"},
    ],
)
def test_a_garbled_schedule_is_refused(study, change):
    plan = study.read_plan()
    with pytest.raises(StudyError, match=r"garbles the study's looks"):
        read_sequential(plan | {"sequential": plan["sequential"] | change})


def test_a_line_tells_each_look(study):
    said = []
    deciding = begin(study, said=said)
    while (step := deciding.step()).look:
        arm, seed = step.now[0]
        train(study, ARMS[arm], seed)
        deciding.note(IDS[ARMS[arm], seed], failed=False)
    assert said[0].startswith("look after 4 seeds: garm is worse, -") and "that was the last one" in said[-1]
    assert module.describe_look(looks(study)[0], read_sequential(study.read_plan())) == said[0]


def test_a_look_that_shows_no_interval_is_kept_as_json_knows_it(study):
    state = read_sequential(study.read_plan())
    unknown = Said(math.nan, math.nan, math.nan, False, "", 1.0)
    record = module.look_record(Look(4, 8, {1: unknown}), state, 0.01)
    study.write_plan(study.read_plan() | {"looks": [record]})
    (found,) = looks(study)
    assert math.isnan(found.arms[1].low) and not found.arms[1].decided


def test_an_arm_that_is_withheld_is_passed_by_and_the_others_are_decided_as_they_would_be(study, tmp_path):
    whole = Study(tmp_path / "whole")
    whole.create()
    whole.write_plan(study.read_plan())
    go_on(whole)
    deciding = begin(study)
    deciding.withhold(ARMS.index("macem-b"))
    while (step := deciding.step()).look:
        arm, seed = step.now[0]
        assert ARMS[arm] != "macem-b"
        train(study, ARMS[arm], seed)
        deciding.note(IDS[ARMS[arm], seed], failed=False)
    said = read_sequential(study.read_plan()).said()
    assert "macem-b" not in said and said["garm"][1].outcome == "worse"
    assert (
        deciding.chance(ARMS.index("macem-b")) == 1.0 and deciding.is_open("macem-b") and not deciding.is_open("garm")
    )
    go_on(study, most=12)
    assert "macem-b" in read_sequential(study.read_plan()).said()
