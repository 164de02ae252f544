"""Rows of other tools become a study that reads as any other, and says everywhere that it was imported."""

import hashlib
import json
import math
from pathlib import Path

import pandas as pd
import pytest

import sweeper
from sweeper.audio.datasets import DatasetError
from sweeper.cli.main import main
from sweeper.report.compare import compare
from sweeper.report.formats import FORMATS
from sweeper.results.gates import ask_gate
from sweeper.results.imported_runs import read_runs
from sweeper.results.importing import import_study
from sweeper.results.leaderboard import derive
from sweeper.results.merging import merge_studies
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.tools.status import describe, status

COLUMNS = {"arm": "arm", "score": "acc", "seed": "seed"}
SCORES = {"full": (0.90, 0.91, 0.92), "no-norm": (0.70, 0.72, 0.71), "no-ema": (0.90, 0.912, 0.921)}


def frame(**changes):
    rows = [
        {"arm": arm, "acc": score, "seed": seed, "State": "finished"}
        for arm, scores in SCORES.items()
        for seed, score in enumerate(scores)
    ]
    return pd.DataFrame(rows).assign(**changes)


def written(folder, table, name="runs.csv"):
    path = folder / name
    table.to_csv(path, index=False) if name.endswith(".csv") else table.to_parquet(path, index=False)
    return path


def imported(folder, table, columns=COLUMNS, unit=None, name="runs.csv", reference="full"):
    path = written(folder, table, name)
    study = Study(folder / "imported")
    import_study(read_runs(path, columns, unit), path, reference, "urban", study, 0.01)
    return study


@pytest.mark.parametrize("name", ["runs.csv", "runs.parquet"])
def test_a_table_becomes_a_study_with_the_rule_of_any_other(tmp_path, name):
    study = imported(tmp_path, frame(), name=name)
    board = derive(study)
    rows = {row["arm"]: row for row in board.summary}
    assert [row["arm"] for row in board.summary] == ["full", "no-norm", "no-ema"]
    assert rows["full"]["outcome"] == "reference" and rows["no-norm"]["outcome"] == "worse"
    assert math.isclose(rows["no-norm"]["diff"], -0.2) and rows["no-norm"]["units"] == 3
    assert all(row["n"] == row["planned"] == 3 for row in board.summary)
    assert derive(study).summary == board.summary


def test_it_says_everywhere_that_it_was_imported(tmp_path, capsys):
    study = imported(tmp_path, frame())
    board = derive(study)
    for form, render in FORMATS.items():
        assert "imported" in render(board).casefold(), form
    results = sweeper.read_study(str(study))
    assert (results.trials["imported"].str.startswith("runs.csv, line ")).all()
    assert any(line.startswith("imported:") for line in results.problems)
    assert "Imported from runs.csv" in Path(results.report()).read_text()
    assert ask_gate(study, "no-norm", None, 0.01)["imported"] == "runs.csv"
    assert describe(status(study)) == ["imported from runs.csv: 9 of 9 runs have a score, 0 failed, 0 are missing"]
    assert "imported from runs.csv" in compare(study, study).replace("\n", " ")
    assert main(["leaderboard", str(study), "--strict"]) == 1, "other tools' runs can't be checked"
    told = study.read_plan()["imported"]
    assert told["sha256"] == hashlib.sha256((tmp_path / "runs.csv").read_bytes()).hexdigest()


def test_what_failed_or_has_no_score_is_a_failure_that_is_named(tmp_path):
    table = frame()
    table["acc"] = table["acc"].astype(object)
    table.loc[[1, 3, 8], "acc"] = [0.99, "NaN", ""]
    table.loc[[1, 4], "State"] = ["crashed", "running"]
    study = imported(tmp_path, table)
    board = derive(study)
    assert {row["arm"]: (row["n"], row["failed"]) for row in board.summary} == {
        "full": (2, 1),
        "no-norm": (1, 2),
        "no-ema": (2, 1),
    }
    told = str([str(problem) for problem in board.problems])
    for words in ("crashed", "running", "its score is NaN", "its score is empty", "line 3"):
        assert words in told
    assert {row["outcome"] for row in board.summary} == {"reference", "undecided"}, "nothing is called with holes"


def test_a_failed_run_makes_way_for_the_one_that_was_run_again(tmp_path):
    again = pd.concat([frame(), frame().iloc[[3]].assign(State="crashed", acc=0.1)])
    found = read_runs(written(tmp_path, again), COLUMNS)
    assert len(found.runs) == 9 and all(run.score is not None for run in found.runs)
    assert any("no-norm fold 1 seed 0: run more than once; crashed" in note for note in found.notes)


def test_comparing_names_the_reference_that_there_is(tmp_path):
    study = imported(tmp_path, frame(), reference="no-norm")
    assert "A to no-norm" in compare(study, study) and "full network" not in compare(study, study)


def test_holes_are_missing_and_pairs_that_do_not_exist_are_said(tmp_path):
    short = frame().drop(index=[8])
    board = derive(imported(tmp_path, short))
    assert any(str(p).startswith("missing: 1 of 9 trials: no-ema fold 1 seed 2") for p in board.problems)
    assert any("unequal cells" in str(p) for p in board.problems)
    apart = tmp_path / "apart"
    apart.mkdir()
    board = derive(imported(apart, frame().assign(seed=range(9))))
    assert any("pairing: no-norm, no-ema share no fold and seed with full" in str(p) for p in board.problems)
    assert all(row["diff"] is None for row in board.summary)


def test_folds_are_units_and_clips_count_where_the_table_has_them(tmp_path):
    table = pd.concat([frame(fold=fold, train=80, test=20) for fold in (0, 1, 2)])
    columns = COLUMNS | {"fold": "fold", "train_clips": "train", "test_clips": "test"}
    board = derive(imported(tmp_path, table, columns))
    assert board.grid.folds == (0, 1, 2) and board.grid.folds_in_all == 5 and board.grid.resolution == 1 / 20
    assert board.summary[1]["unit"] == "fold" and board.summary[1]["claim"].endswith("as imported")
    assert not any("numbers of clips" in str(p) for p in board.problems)


def test_one_run_of_each_arm_has_no_interval_and_no_seed_is_needed(tmp_path):
    board = derive(imported(tmp_path, frame().query("seed == 0"), {"arm": "arm", "score": "acc"}))
    assert any("seeds: one run of each arm" in str(p) for p in board.problems)
    assert all(row["diff_low"] is None for row in board.summary)


@pytest.mark.parametrize(("factor", "unit"), [(1, "fraction"), (100, "percent")])
def test_fraction_or_percent_is_said(tmp_path, factor, unit):
    found = read_runs(written(tmp_path, frame(acc=frame().acc * factor)), COLUMNS)
    assert found.unit == unit and any(f"taken as {unit}" in note for note in found.notes)
    assert math.isclose(found.runs[0].score, 0.9)


def test_a_unit_that_is_not_clear_is_refused_unless_it_is_said(tmp_path):
    table = frame()
    table["acc"] *= 100
    table.loc[3, "acc"] = 0.8
    path = written(tmp_path, table)
    with pytest.raises(StudyError, match=r"may hold fractions or percent: 0.8 \(.*line 5\) and 90 .*--score percent"):
        read_runs(path, COLUMNS)
    assert math.isclose(read_runs(path, COLUMNS, "percent").runs[3].score, 0.008)


@pytest.mark.parametrize(
    ("change", "columns", "words"),
    [
        ({}, {"seed": "sead"}, r"no column 'sead'; its columns are: arm, acc, seed, State; .*--columns seed=COLUMN"),
        ({}, {"sede": "seed"}, "--columns sede=…: unknown; known are arm, score, seed"),
        ({}, {"score": ""}, "lacks score=COLUMN"),
        ({"acc": "high"}, {}, r"line 2, column 'acc': 'high' is not a number"),
        ({"acc": 140.0}, {}, r"line 2, column 'acc': 140 is no accuracy"),
        ({"acc": -1.0}, {}, r"line 2, column 'acc': -1 is no accuracy"),
        ({"seed": "first"}, {}, r"line 2: 'first' is not a number \(column 'seed'\)"),
        ({"seed": ""}, {}, r"line 2, column 'seed': '' is empty"),
        ({"arm": ""}, {}, r"line 2, column 'arm': '' is no arm's name"),
        ({"State": "done?"}, {}, r"line 2, column 'State': 'done\?' is neither one of finished"),
        ({"seed": 0}, {}, r"full fold 1 seed 0 twice: line 2 \(score 0.9\) and line 3 .*--columns fold=COLUMN"),
        ({"State": "crashed"}, {}, "no run has a score"),
    ],
)
def test_what_can_not_be_meant_is_named(tmp_path, change, columns, words):
    with pytest.raises((StudyError, DatasetError), match=words):
        read_runs(written(tmp_path, frame(**change)), COLUMNS | columns)


def test_nothing_is_begun_for_an_unknown_reference_or_a_name_that_is_taken(tmp_path):
    with pytest.raises(StudyError, match=r"no run is of that arm; the arms are: full, no-norm, no-ema"):
        imported(tmp_path, frame(), reference="fulll")
    assert not Study(tmp_path / "imported").exists()
    imported(tmp_path, frame())
    with pytest.raises(StudyError, match="is there already"):
        imported(tmp_path, frame())


def test_nothing_is_trained_or_merged_into_it(tmp_path, capsys):
    study = imported(tmp_path, frame())
    words = ["run", "ablations", "--arm", "full", "--results", str(tmp_path), "--study", "imported"]
    assert main(words) == 2
    assert "was imported from runs.csv" in capsys.readouterr().err
    with pytest.raises(StudyError, match=r"was imported from runs.csv"):
        merge_studies([study, study], Study(tmp_path / "whole"))
    assert len(study.trials()) == 9


WANDB = """"Name","State","Runtime","arm","seed","test/acc"
"a-1","finished","61.5","full","0","91"
"a-2","finished","60","full","1","92.5"
"a-3","failed","3","no-norm","0",""
"a-4","finished","60","no-norm","1","80"
"a-5","finished","62","no-norm","0","79"
"""


def test_a_wandb_export(tmp_path, capsys):
    (tmp_path / "wandb.csv").write_text(WANDB)
    columns = ["arm=arm", "score=test/acc", "seed=seed", "seconds=Runtime"]
    words = ["import", str(tmp_path / "wandb.csv"), "--reference", "full", "--results", str(tmp_path)]
    assert main([*words, "--columns", *columns]) == 0
    out = capsys.readouterr().out
    assert "taken as percent" in out and "cost: 244 seconds of training, as imported" in out
    assert json.loads((tmp_path / "wandb" / "plan.json").read_text())["imported"]["score"] == "percent"


@pytest.mark.parametrize(("column", "known"), [((), None), (("seconds=Runtime",), 121.5)])
def test_what_training_took_is_null_where_nobody_says(tmp_path, capsys, column, known):
    (tmp_path / "wandb.csv").write_text(WANDB)
    words = ["import", str(tmp_path / "wandb.csv"), "--reference", "full", "--results", str(tmp_path)]
    assert main([*words, "--columns", "arm=arm", "score=test/acc", "seed=seed", *column]) == 0
    summary = pd.read_parquet(tmp_path / "wandb" / "summary.parquet").set_index("arm")
    assert summary.loc["full", "seconds"] == known if known else pd.isna(summary.loc["full", "seconds"])


def test_an_mlflow_export(tmp_path, capsys):
    runs = [
        {"run_id": f"{arm}{seed}", "status": "FINISHED", "metrics.acc": score, "params.arm": arm, "params.seed": seed}
        for arm, scores in SCORES.items()
        for seed, score in enumerate(scores)
    ]
    pd.DataFrame(runs).to_csv(tmp_path / "mlflow.csv")  # with pandas' index, as MLflow's users write it
    words = ["import", str(tmp_path / "mlflow.csv"), "--reference", "full", "--results", str(tmp_path)]
    assert main([*words, "--columns", "arm=params.arm", "score=metrics.acc", "seed=params.seed"]) == 0
    assert "Worse than full: no-norm" in capsys.readouterr().out


def test_a_seed_may_be_any_that_other_tools_take(tmp_path):
    seeds = [2**32 - 1, 2**31, 7]
    study = imported(tmp_path, frame(seed=3 * seeds))
    assert set(study.trials()["seed"].to_pylist()) == set(seeds)
    assert derive(study).summary[1]["units"] == 3


def test_imported_studies_become_one_by_another_import(tmp_path):
    parts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        parts.append(imported(tmp_path / name, frame()))
    with pytest.raises(StudyError, match="put the tables of the runs together, and import that"):
        merge_studies(parts, Study(tmp_path / "merged"))
