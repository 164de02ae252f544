"""A gate may be asked again and again: what it spends is kept, and how seldom it errs is simulated."""

import hashlib
import json

import numpy as np
import pytest

from sweeper.results import looks
from sweeper.results.gates import ERROR, GATES, ask_gate, passes
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from tests.results.rows import plan_of, prediction, trial_row

MARGIN = 0.01


@pytest.fixture
def study(tmp_path):
    found = Study(tmp_path / "study")
    found.create()
    return found


def add(study, scores, first=0):
    """Commit trials of `full` and others, by seed."""
    for arm, values in scores.items():
        for seed, accuracy in enumerate(values, first):
            row = trial_row(arm, 1, seed, accuracy=float(accuracy), train_clips=8000, test_clips=2000)
            study.write_plan(plan_of([row]) | {"design": {}})
            study.commit(row, [], [prediction(row["trial_id"])])


def noisy(mean, seeds=5, seed=0):
    return mean + 0.005 * np.random.default_rng(seed).normal(size=seeds)


def test_better_worse_undecided_and_equivalent(study):
    add(study, {"full": noisy(0.6), "garm": noisy(0.8, seed=1), "macem-a": noisy(0.4, seed=2), "macem-b": noisy(0.6)})
    outcomes = {arm: ask_gate(study, arm, None, MARGIN) for arm in ("garm", "macem-a")}
    assert [found["outcome"] for found in outcomes.values()] == ["better", "worse"]
    assert [passes(found, equivalent=False) for found in outcomes.values()] == [0, 1]
    same = ask_gate(study, "macem-b", None, 0.2)
    assert same["outcome"] == "equivalent"
    assert (passes(same, equivalent=True), passes(same, equivalent=False)) == (0, 2)
    assert ask_gate(study, "garm", "macem-a", MARGIN)["outcome"] == "better"


def test_each_new_question_spends_less_and_the_same_one_nothing(study):
    add(study, {"full": noisy(0.6), "garm": noisy(0.8, seed=1), "macem-a": noisy(0.5, seed=2)})
    first = ask_gate(study, "garm", None, MARGIN)
    assert (first["gate"], first["level"]) == (1, ERROR / 2)
    assert ask_gate(study, "garm", None, MARGIN) == first
    assert ask_gate(study, "macem-a", None, MARGIN)["level"] == ERROR / 6
    assert ask_gate(study, "garm", None, 0.5)["gate"] == 1, "another margin reads the same interval"
    add(study, {arm: noisy(0.6, 1, seed=9) for arm in ("full", "garm")}, first=5)
    third = ask_gate(study, "garm", None, MARGIN)
    assert (third["gate"], third["level"], third["units"]) == (3, ERROR / 12, 6)
    assert len(json.loads((study.folder / GATES).read_text())) == 3


def test_trials_of_other_arms_make_no_new_question(study):
    """They add blocks, in which the two that are asked about have nothing."""
    add(study, {arm: noisy(mean) for arm, mean in (("full", 0.6), ("garm", 0.8), ("macem-a", 0.5))})
    first = ask_gate(study, "garm", None, MARGIN)
    add(study, {"macem-a": noisy(0.5, 2, seed=3)}, first=5)
    assert ask_gate(study, "garm", None, MARGIN) == first


def test_a_question_that_was_kept_as_it_once_was_is_no_new_one(study):
    add(study, {"full": noisy(0.6), "garm": noisy(0.8, seed=1)})
    scores = np.stack([noisy(0.6), noisy(0.8, seed=1)])[:, None]
    former = hashlib.sha256(json.dumps(["garm", "full"]).encode() + scores.tobytes()).hexdigest()[:16]
    kept = [{"arm": "garm", "against": "full", "trials": former, "gate": 1, "level": ERROR / 2}]
    study.write_json(GATES, kept)
    assert ask_gate(study, "garm", None, MARGIN)["gate"] == 1
    assert json.loads((study.folder / GATES).read_text()) == kept


def test_what_cannot_be_told_spends_nothing(study):
    add(study, {"full": [0.6], "garm": [0.8]})
    assert "no spread" in ask_gate(study, "garm", None, MARGIN)["why"]
    missing = trial_row("garm", 1, 1)
    study.write_plan(plan_of([missing]) | {"design": {}})
    assert ask_gate(study, "garm", None, MARGIN)["why"] == "1 of its trials are missing"
    assert not (study.folder / GATES).exists()


def test_of_an_arm_that_was_defined_anew_nothing_is_told(study):
    add(study, {"full": noisy(0.5), "garm": noisy(0.8)})
    plan = study.read_plan()
    plan["trials"] += [
        trial | {"trial_id": f"{i:016}"} for i, trial in enumerate(plan["trials"]) if trial["arm"] == "garm"
    ]
    study.write_plan(plan)
    told = ask_gate(study, "garm", None, MARGIN)
    assert told["why"] == "garm was defined anew under its name, and has trials of each definition"
    assert told["outcome"] == "undecided" and "gate" not in told


def test_wrong_names_are_refused(study):
    add(study, {"full": noisy(0.6), "garm": noisy(0.8)})
    with pytest.raises(StudyError, match="no arm 'gram'; its arms are: garm, full"):
        ask_gate(study, "gram", None, MARGIN)
    with pytest.raises(StudyError, match="itself"):
        ask_gate(study, "full", None, MARGIN)


@pytest.mark.parametrize(
    ("plan", "what"),
    [({"variance": {"seeds": 2}}, "crosses seeds"), ({"searches": [{"arm": "full"}], "trials": []}, "searches")],
)
def test_a_study_that_compares_no_arms_is_refused(study, monkeypatch, plan, what):
    add(study, {"full": noisy(0.6), "garm": noisy(0.8)})
    whole = study.read_plan() or {}
    monkeypatch.setattr(Study, "read_plan", lambda _self: whole | plan)
    with pytest.raises(StudyError, match=f"{what}, and compares no arms"):
        ask_gate(study, "garm", None, MARGIN)


@pytest.mark.parametrize("content", ["{", 200_000 * "[", "[1]", '[{"gate": 2, "trials": "x", "level": 0.1}]'])
def test_what_was_spent_is_not_forgotten_where_the_file_is_damaged(study, content):
    add(study, {"full": noisy(0.6), "garm": noisy(0.8)})
    (study.folder / GATES).write_text(content)
    with pytest.raises(StudyError, match=r"gates\.json is damaged"):
        ask_gate(study, "garm", None, MARGIN)


def test_what_a_look_does_not_know_is_left_out(study):
    """JSON has no NaN."""
    add(study, {"full": noisy(0.6, 1), "garm": noisy(0.8, 1)})
    planned = looks.plan_sequential(("full", "garm"), "full", (1,), 1)
    said = {"significant": False, "outcome": "", "chance": 1.0}
    taken = {"blocks": planned["looks"][-1], "end": 1, "level": 0.05, "margin": MARGIN, "arms": {"garm": said}}
    study.write_plan(study.read_plan() | {looks.SEQUENTIAL: planned, looks.LOOKS: [taken]})
    found = ask_gate(study, "garm", None, MARGIN)
    assert found["outcome"] == "undecided" and "low" not in found
    json.dumps(found, allow_nan=False)
