"""What is said of a study first: what was found, what is undecided, and what could decide it."""

import json
import re
import shlex

import numpy as np
import pytest

from sweeper.cli.main import main
from sweeper.plan import build_plan, select_arms
from sweeper.report.answer import answer
from sweeper.report.tables import document
from sweeper.results.leaderboard import derive
from sweeper.results.looks import plan_sequential
from sweeper.results.reach import Design, Spread
from sweeper.search_spaces.recipes import quick
from tests.results.rows import FAILED, plan_of, study_of, trial_row
from tests.studies import PAPER


def study(folder, effects, *, folds=(1,), seeds=5, sd=0.01, all_folds=5):
    """A study of `full` and arms with these true effects; blocks share a spread of 5 points."""
    rng = np.random.default_rng(2)
    arms = {"full": 0.0} | effects
    trials = []
    for fold in folds:
        for seed in range(seeds):
            shared = 0.7 + 0.05 * rng.normal()
            for arm, effect in arms.items():
                accuracy = shared + effect + sd * rng.normal()
                clips = {"train_clips": 8000, "test_clips": 2000}  # many, so that one clip counts for little
                trials.append(trial_row(arm, fold, seed, accuracy=float(np.clip(accuracy, 0, 1)), **clips))
    plan = build_plan(
        study=folder.name, source=PAPER, arms=select_arms(PAPER.study, names=arms), recipe=quick(), dataset="demo",
        split="official", folds=folds, classes=10, replicates=seeds,
    )  # fmt: skip
    described = plan_of(trials) | {"study": folder.name, "design": plan.describe()["design"], "synthetic": True}
    return study_of(folder, trials, described | {"all_folds": list(range(1, all_folds + 1))})


def test_what_was_found_is_said_first(tmp_path):
    board = derive(study(tmp_path / "s", {"garm": -0.2, "macem-a": 0.15, "macem-b": 0.0}, sd=0.001))
    first, second, third, *_ = answer(board)
    assert first.startswith("Worse than full: garm -20.")
    assert second.startswith("Better than full: macem-a +")
    assert third.startswith("As good as full, within ±1 point: macem-b ")
    assert "Undecided" not in " ".join(answer(board))


def test_the_undecided_get_a_command_that_could_decide(tmp_path, capsys):
    made = study(tmp_path / "s", {"garm": -0.2, "macem-a": 0.0}, seeds=3)
    board = derive(made)
    said = answer(board)
    undecided = next(i for i, sentence in enumerate(said) if sentence.startswith("Undecided at ±1 point: macem-a. "))
    assert "That is not “no difference”." in said[undecided]
    assert re.search(r"from \d+\.\d points with 1 fold × 3 seeds, from .* with 1 fold × \d+ seeds \(\d+ trials\):$",
                     said[undecided + 1])  # fmt: skip
    words = shlex.split(said[undecided + 2])
    seeds = int(words[words.index("--seeds") + 1])
    spread = Spread(seed=0.01, fold=None)
    assert Design(3, 1, seeds, 0.25, 5).detectable(spread) < 0.015
    assert main([*words[3:], "--results", str(tmp_path), "--dry-run"]) == 0
    assert f"3 arms × 1 fold × {seeds} seeds" in capsys.readouterr().out


def test_several_folds_are_told_to_use_all_there_are(tmp_path):
    said = answer(derive(study(tmp_path / "s", {"garm": 0.0}, folds=(1, 2, 3), seeds=2)))
    command = next(sentence for sentence in said if sentence.startswith("python "))
    assert "--folds 1,2,3,4,5 " in command


def test_where_no_design_could_it_says_so(tmp_path):
    trials = {"garm": 0.0}
    said = " ".join(answer(derive(study(tmp_path / "s", trials, folds=(1, 2, 3), seeds=1, all_folds=3, sd=0.03))))
    assert "No further seeds are known to reach ±1 point: one seed per fold does not show what more bring." in said


def test_one_block_is_told_to_show_some_spread(tmp_path):
    said = answer(derive(study(tmp_path / "s", {"garm": -0.1, "macem-a": 0.0}, seeds=1)))
    assert said[0].startswith("Undecided at ±1 point: all 2 arms")
    assert said[1] == "One block shows no spread, so no difference can be told from noise. To see some:"
    assert "--seeds 2" in said[2]


def test_holes_are_named_instead(tmp_path):
    made = study(tmp_path / "whole", {"garm": -0.1})
    rows = made.trials().to_pylist()
    rows[-1] |= FAILED
    said = answer(derive(study_of(tmp_path / "holed", rows, made.read_plan())))
    assert "Trials of garm are missing, so it is called nothing: the command that began the study continues it." in said
    rows[0] |= FAILED
    said = answer(derive(study_of(tmp_path / "both", rows, made.read_plan())))
    assert "Trials of garm, full are missing, so nothing is called: the command that began the study continues it." in (
        said
    )


def test_arms_without_trials_are_not_counted_among_the_undecided(tmp_path):
    made = study(tmp_path / "whole", {"garm": 0.0, "macem-a": 0.0, "macem-b": 0.0})
    rows = [row | (FAILED if row["arm"] == "macem-b" else {}) for row in made.trials().to_pylist()]
    said = answer(derive(study_of(tmp_path / "holed", rows, made.read_plan())))
    assert said[0].startswith("Undecided at ±1 point: all 2 arms that can be compared.")
    assert said[1].startswith("Trials of macem-b are missing, so it is called nothing")


def test_trials_that_a_look_waits_for_come_with_the_command_that_runs_them(tmp_path):
    made = study(tmp_path / "whole", {"garm": -0.1, "macem-a": 0.0}, seeds=4)
    rows = made.trials().to_pylist()
    rows[-1] |= FAILED
    found = {"diff": -0.1, "low": -0.3, "high": 0.1, "significant": False, "outcome": "undecided", "chance": 0.0}
    look = {"blocks": 4, "end": 4, "level": 0.04, "margin": 0.01, "arms": {"garm": found}}
    planned = plan_sequential(("full", "garm", "macem-a"), "full", (1,), 4)
    plan = made.read_plan() | {"sequential": planned, "looks": [look]}
    said = answer(derive(study_of(tmp_path / "holed", rows, plan)))
    at = said.index("Trials of macem-a are missing, which a look waits for. To go on:")
    assert "--until decided --max-seeds 4" in said[at + 1]


def test_arms_that_looks_decided_at_another_margin_need_no_further_look(tmp_path):
    made = study(tmp_path / "s", {"garm": 0.0}, seeds=4)
    found = {"diff": 0.0, "low": -0.02, "high": 0.02, "significant": False, "outcome": "equivalent", "chance": 1.0}
    look = {"blocks": 4, "end": 4, "level": 0.04, "margin": 0.04, "arms": {"garm": found}}
    plan = made.read_plan() | {"sequential": plan_sequential(("full", "garm"), "full", (1,), 4), "looks": [look]}
    made.write_plan(plan)
    assert answer(derive(made, 0.01))[:2] == [
        "Undecided at ±1 point: garm. That is not “no difference”.",
        "Its looks decided each arm, at ±4 points: --margin says that.",
    ]
    assert answer(derive(made, 0.04))[0].startswith("As good as full, within ±4 points: garm +0.0")


def test_where_no_spread_is_seen_rounding_to_clips_is_what_there_is_and_no_command_is_the_one_just_run(tmp_path):
    made = study(tmp_path / "s", {"garm": -0.008, "macem-a": -0.009}, seeds=3, sd=0.0)
    said = answer(derive(made, 0.0085))
    at = next(i for i, sentence in enumerate(said) if sentence.startswith("True differences"))
    assert "from 0.0 points" not in said[at] and said[at].endswith("To tell those near ±0.85 points:")
    assert "--seeds 6 " in said[at + 1]


def test_without_significance_nothing_is_called_no_difference(tmp_path):
    shown = document(derive(study(tmp_path / "s", {"garm": 0.0, "macem-a": 0.0}, seeds=2)))
    text = " ".join([*shown.answer, *shown.notes, *(cell for table in shown.tables for r in table.rows for cell in r)])
    assert not re.search(r"(?<!“)no difference", text)
    assert "undecided" in text
    assert all("on this split, over retraining" in table.title for table in shown.tables if table.title[:5] == "Table")


@pytest.mark.parametrize("form", ["table", "markdown", "latex", "json"])
def test_every_format_says_the_answer(tmp_path, capsys, form):
    made = study(tmp_path / "s", {"garm": 0.0}, seeds=2)
    assert main(["leaderboard", str(made.folder), "--format", form, "--margin", "0.5"]) == 0
    out = capsys.readouterr().out
    assert "Undecided at" in out
    if form == "json":
        found = json.loads(out)
        assert found["margin"] == 0.005
        assert found["answer"][0].startswith("Undecided at ±0.5 points")
        assert [row["outcome"] for row in found["arms"]] == ["undecided", "reference"]


@pytest.mark.parametrize("text", ["0", "-1", "nan", "101", "one"])
def test_a_margin_that_is_none_is_refused(tmp_path, capsys, text):
    with pytest.raises(SystemExit):
        main(["leaderboard", str(tmp_path), f"--margin={text}"])
    assert f"'{text}' is not a number of percentage points above 0" in capsys.readouterr().err


def test_a_wide_margin_makes_small_differences_equivalent(tmp_path):
    made = study(tmp_path / "s", {"garm": 0.0}, seeds=6)
    assert [derive(made, margin).summary[0]["outcome"] for margin in (0.001, 0.1)] == ["undecided", "equivalent"]
