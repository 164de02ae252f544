"""Tables 1 to 5 of a benchmark, from made-up trials: what was measured stands in its printed place."""

import json

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from sweeper.cli.main import main
from sweeper.report import benchmark
from sweeper.report.floor import FLOOR
from sweeper.report.rerun import rerun_command
from sweeper.results import leaderboard
from sweeper.results.benchmark import printed as read_printed
from sweeper.results.benchmark import table_5, verdict
from sweeper.results.floors import Floor, write_floor
from sweeper.results.tables import StudyError
from sweeper.search_spaces.benchmark import NETWORKS, printed
from sweeper.search_spaces.published import TABLE_1, TABLE_2, TABLE_5
from tests.results.rows import plan_of, study_of, trial_row

MEANS = {"full": 0.8, "acdnet": 0.7, "sb-cnn": 0.75, "cnn10": 0.82}


def rows_of(dataset, means=MEANS, seeds=3, **changes):
    rng = np.random.default_rng(0)
    rows = []
    for number, (name, mean) in enumerate(means.items()):
        for seed in range(seeds):
            row = trial_row("full", 1, seed, float(mean + rng.normal(0, 0.005)), dataset=dataset, **changes)
            identity = {"trial_id": f"{number:08x}{seed:08x}", "evidence": f"{number:06x}{seed:06x}", "arm": name}
            rows.append(row | identity | {"kind": "ablation" if name == "full" else "peer"})
    return rows


def benchmark_of(folder, dataset, rows=None, floor=0.6):
    rows = rows or rows_of(dataset)
    study = study_of(folder, rows, plan_of(rows) | {"benchmark": printed(dataset)})
    if floor is not None:
        write_floor(
            study, Floor("m", {1: np.array([[round(100 * floor), round(100 - 100 * floor)], [0, 0]])}, {1: 9}), "x"
        )
    return study


def cells(table):
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


def test_the_networks_of_the_command_line_are_known_to_the_tables():
    assert set(printed("esc50")["networks"]) == set(NETWORKS)


def test_measured_rows_stand_in_their_printed_places(tmp_path):
    board = leaderboard.derive(benchmark_of(tmp_path / "b", "esc50"))
    table = benchmark.comparison(board, read_printed(board))
    rows = cells(table)
    assert table.title.startswith("Table 1 · ESC-50 · measured: official split, recipe ")
    named = [f"{row.model} [{row.reference}]" if row.reference else row.model for row in TABLE_1]
    assert [row["model"] for row in rows] == [*named[:-1], "CNN10", "SB-CNN", "Ours", FLOOR]
    by_model = {row["model"]: row for row in rows}
    for row, name in zip(TABLE_1, named, strict=True):
        found = by_model[name]
        assert found["printed %"] == f"{row.accuracy:.2f}"
        assert (found["E2E"] == "✓", found["pre-trained"] == "✓") == (row.end_to_end, row.pretrained)
        assert bool(found["acc % [95 %]"]) == (name in ("Ours", "ACDNet [61]")), "what was not measured is empty"
    assert by_model["ACDNet [61]"]["outcome"] == "worse" and "*" in by_model["ACDNet [61]"]["difference [95 %]"]
    assert by_model["Ours"]["difference [95 %]"] == "reference"
    assert by_model["SB-CNN"]["printed %"] == "–" and by_model[FLOOR]["acc % [95 %]"] == "60.0"
    assert "*" not in "".join(by_model[FLOOR].values())


def test_a_network_that_was_printed_pre_trained_gets_a_row_of_its_own_beside_it(tmp_path):
    board = leaderboard.derive(benchmark_of(tmp_path / "b", "urbansound8k"))
    rows = cells(benchmark.comparison(board, read_printed(board)))
    at = next(i for i, row in enumerate(rows) if row["model"] == "CNN10 [63]")
    assert [(row["model"], row["pre-trained"], bool(row["acc % [95 %]"])) for row in rows[at : at + 2]] == [
        ("CNN10 [63]", "✓", False),
        ("CNN10", "", True),
    ]
    assert len(rows) == len(TABLE_2) + len(MEANS) - 1 + 1, "ours has a row; a floor"


def test_a_data_set_that_the_paper_does_not_have_shows_what_was_measured(tmp_path):
    board = leaderboard.derive(benchmark_of(tmp_path / "b", "fsdd", floor=None))
    table = benchmark.comparison(board, read_printed(board))
    assert table.title.startswith("fsdd · not in the paper")
    assert {row["printed %"] for row in cells(table)} == {"–"} and len(table.rows) == len(MEANS)
    assert verdict(board, read_printed(board)) == ""


def answers(study_rows, rng):
    """Predictions of each trial over 40 clips of 4 classes, unequal in number; and what they come to."""
    targets = np.repeat(np.arange(4), [20, 10, 6, 4])
    told = {}
    for row in study_rows:
        guessed = [np.where(rng.random(40) < 0.7, targets, rng.integers(0, 4, 40)) for _ in range(2)]
        told[row["trial_id"]] = (targets, *guessed)
    return told


def predictions(trial_id, targets, raw, averaged):
    eye = np.eye(4) * 0.9 + 0.025
    return [
        {"trial_id": trial_id, "clip_id": f"{i}", "group": f"{i}", "target": int(target)}
        | {"probabilities": eye[raw[i]].tolist(), "probabilities_ema": eye[averaged[i]].tolist()}
        for i, target in enumerate(targets)
    ]


def test_table_5_is_macro_and_weighted_of_both_sets_of_weights(tmp_path):
    rng = np.random.default_rng(3)
    rows = rows_of("esc50", {"full": 0.8})
    told = answers(rows, rng)
    for row in rows:
        targets, *both = told[row["trial_id"]]
        for ending, guessed in zip(("", "_ema"), both, strict=True):
            scores = precision_recall_fscore_support(targets, guessed, average="macro", zero_division=0)[:3]
            named = zip(("precision", "recall", "f1"), scores, strict=True)
            row |= {f"{name}{ending}": float(score) for name, score in named}
            row[f"accuracy{ending}"] = float((targets == guessed).mean())
        row["test_clips"] = 40
    study = study_of(tmp_path / "b", [], plan_of(rows) | {"benchmark": printed("esc50")})
    for row in rows:
        study.commit(row, [], predictions(row["trial_id"], *told[row["trial_id"]]))
    board = leaderboard.derive(study)
    found = table_5(board)
    assert set(found) == {(w, a) for w in ("last epoch", "average") for a in ("macro", "weighted")}
    for at, weights in enumerate(("last epoch", "average"), start=1):
        expected = [
            precision_recall_fscore_support(t[0], t[at], average="weighted", zero_division=0)[2] for t in told.values()
        ]
        score = found[weights, "weighted"]["f1"]
        assert score.mean == pytest.approx(np.mean(expected)) and score.low < score.mean < score.high
        assert found[weights, "weighted"]["recall"].mean == pytest.approx(found[weights, "macro"]["accuracy"].mean)
    shown = cells(benchmark.scores([(board, read_printed(board))]))
    assert [row["weights"] for row in shown] == ["printed", "last epoch", "last epoch", "average", "average"]
    assert shown[0]["F1 %"] == f"{TABLE_5['ESC-50'].f1:.2f}"


def test_without_answers_table_5_is_macro_alone(tmp_path):
    board = leaderboard.derive(benchmark_of(tmp_path / "b", "esc50"))
    assert {average for _, average in table_5(board)} == {"macro"}


@pytest.mark.parametrize(
    ("mean", "word"), [(0.9325, "inconclusive: "), (0.7, "contradicted: 70."), (None, "not comparable: official split")]
)
def test_the_printed_accuracy_is_held_against_only_where_it_was_measured_likewise(tmp_path, mean, word):
    likewise = {"split": "paper", "recipe": "paper", "epochs": 1500, "train_clips": 1600, "test_clips": 400}
    rows = rows_of("esc50", {"full": mean or 0.9}, **(likewise if mean else {}))
    board = leaderboard.derive(benchmark_of(tmp_path / "b", "esc50", rows))
    assert verdict(board, read_printed(board)).startswith(word)


def test_the_answer_names_rivals_floor_and_leaks(tmp_path):
    rows = rows_of("esc50", MEANS | {"cnn10": 0.9}, leak="9 of 20 test clips share a recording with training")
    board = leaderboard.derive(benchmark_of(tmp_path / "b", "esc50", rows, floor=0.78))
    said = " ".join(benchmark.answer(board, read_printed(board)))
    assert "of 3 rivals measured beside full: 1 better (cnn10), 2 worse (acdnet, sb-cnn)" in said
    assert "the floor is 78.0 %; acdnet, sb-cnn below it" in said
    assert "leaking split: 9 of 20 test clips share a recording with training" in said


def test_the_command_line_shows_all_that_lie_in_a_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for dataset in ("esc50", "fsdd"):
        benchmark_of(tmp_path / "results" / f"benchmark-{dataset}", dataset)
    study_of(tmp_path / "results" / "ablations", [trial_row("full"), trial_row("garm")])
    assert main(["leaderboard", "--benchmark"]) == 0
    shown = capsys.readouterr().out
    assert "Table 1 · ESC-50" in shown and "fsdd · not in the paper" in shown and "Table 5" in shown
    assert main(["leaderboard", "--benchmark", "results/benchmark-esc50", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["tables"]) == 2 and told["tables"][0]["rows"][-1]["model"] == FLOOR
    for form in ("markdown", "latex"):
        assert main(["leaderboard", "--benchmark", "benchmark-esc50", "--format", form]) == 0
        assert "EnvNet-v2" in capsys.readouterr().out
    assert main(["report", "--benchmark"]) == 0
    page = (tmp_path / "results" / "benchmark.html").read_text()
    assert "Table 1 · ESC-50" in page and "<script" not in page and "http" not in page.replace("http-equiv", "")
    assert main(["leaderboard", "--benchmark", "ablations"]) == 2
    assert "is no benchmark; make one with: python -m sweeper run benchmark" in capsys.readouterr().err
    assert main(["leaderboard", "ablations", "benchmark-esc50"]) == 2
    assert "2 studies named: one is shown at a time, or several with --benchmark" in capsys.readouterr().err
    assert main(["leaderboard", "--benchmark", "--format", "csv"]) == 2


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [("leaderboard", "--price-per-hour", "1"), ("report", "--price-per-hour", "1"), ("report", "--tsne", "map.png")],
)
def test_what_is_of_one_study_is_refused_for_a_benchmark(command, option, value, capsys):
    assert main([command, "--benchmark", option, value]) == 2
    what = {"leaderboard": "table"}.get(command, command)
    assert f"{option} is for the {what} of one study, not for --benchmark" in capsys.readouterr().err


@pytest.mark.parametrize(
    "garbled", [{}, [], {"networks": {}}, printed("esc50") | {"rows": [{}]}, printed("esc50") | {"table_5": {"f1": 1}}]
)
def test_a_plan_that_garbles_what_was_printed_is_told(tmp_path, garbled):
    rows = rows_of("esc50")
    board = leaderboard.derive(study_of(tmp_path / "b", rows, plan_of(rows) | {"benchmark": garbled}))
    with pytest.raises(StudyError, match=r"plan\.json does not say its benchmark as it should"):
        benchmark.document([board])


def test_the_command_that_makes_it_again():
    rows = rows_of("esc50", seeds=2)
    design = {"recipe": "quick", "training": {"epochs": 12}, "data": {"dataset": "esc50", "split": "official"}}
    plan = plan_of(rows) | {"benchmark": printed("esc50"), "design": design, "study": "benchmark-esc50-quick"}
    assert rerun_command(plan) == (
        "python -m sweeper run benchmark --dataset esc50 --data esc50=DIR --split official --folds 1 --seeds 2 "
        "--recipe quick --networks full acdnet sb-cnn cnn10"
    )
