"""`leaderboard`, `report` and `compare` as a user calls them."""

import csv
import io
import json
import re
import shlex
import sys

import pyarrow.parquet as pq
import pytest

import sweeper
from sweeper.cli.main import main
from sweeper.report import tables
from sweeper.report.answer import answer
from sweeper.report.rerun import rerun_command
from sweeper.results import leaderboard, schema
from sweeper.results.looks import plan_sequential
from sweeper.results.summary import margin_of
from sweeper.run.options import OK, Outcome
from tests.report.conftest import ARMS, FILE
from tests.results.rows import grid, study_of


def printed(capsys, *words, code=0):
    assert main(list(map(str, words))) == code
    return capsys.readouterr()


def test_tables_stand_beside_the_paper(capsys, tmp_path):
    made = study_of(tmp_path / "s", grid(dataset="urbansound8k"))
    out = printed(capsys, "leaderboard", made.folder).out
    for expected in ("Table 6", "Table 7", "90.91", "88.79", "one random 80:20", "not comparable", "published †", "±"):
        assert expected in out, expected
    assert "72 trials · summary.parquet: 12 arms" in out


def test_published_values_stand_beside_their_own_data_set_only(capsys, study, tmp_path):
    out = printed(capsys, "leaderboard", study.folder).out
    assert "12 trials · summary.parquet: 4 arms" in out and "synthetic" in out and "†" not in out
    nothing = "nothing was published for these arms on demo: only on cremad, esc50, ravdess, urbansound8k"
    assert nothing in " ".join(out.split())
    esc50 = study_of(tmp_path / "s", grid(("dual-branch", "full"), dataset="esc50"))
    out = printed(capsys, "leaderboard", esc50.folder).out
    assert "93.25" in out and "† the paper: one random 80:20 split, one run, on esc50" in out
    assert not any(number in out for number in ("90.91", "87.55", "diff†", "Held against"))
    rows = pq.read_table(esc50.folder / "summary.parquet").to_pylist()
    assert {row["arm"]: row["published"] for row in rows} == {"dual-branch": None, "full": pytest.approx(0.9325)}
    assert {(row["published_diff"], row["verdict"]) for row in rows} == {(None, "")}
    page = tmp_path / "page.html"
    printed(capsys, "report", esc50.folder, "--output", page)
    assert "93.25" in page.read_text() and "</svg>as published" not in page.read_text()


def test_the_map_of_a_network_of_ones_own_needs_its_file(capsys, own, demo_store, tmp_path):
    drawn = tmp_path / "fig7.png"
    words = ["report", own.folder, "--output", tmp_path / "page.html", "--tsne", drawn]
    said = printed(capsys, *words, code=2).err
    assert "holds weights of MelNet, which is not ours: pass the file of study barks" in said and not drawn.exists()
    (tmp_path / "mel.py").write_text(FILE.read_text().replace(".relu()", ".tanh()"))
    said = printed(capsys, *words, "--study", tmp_path / "mel.py", code=2).err
    assert "holds other code" in said and not drawn.exists()
    printed(capsys, *words, "--study", FILE)
    assert drawn.exists()
    assert re.findall(r"t-SNE, ([\w ]+) · silhouette", (tmp_path / "page.html").read_text()) == ["raw audio", "logits"]


def test_what_is_of_one_study_is_refused_for_several(capsys, study):
    for option in ("--tsne", "--study"):
        said = printed(capsys, "report", study.folder, study.folder, option, "x.png", code=2).err
        assert f"{option} is for the report of one study, and here are 2" in said


def test_a_run_says_what_its_study_cost(capsys, monkeypatch, study):
    monkeypatch.setattr("sweeper.run.ablations.run_ablations", lambda _options, _say: Outcome(OK, study))
    assert " at 2.5 per core-hour" in printed(capsys, "run", "ablations", "--price-per-hour", "2.5").out


def test_no_line_of_a_table_is_cut_off_in_a_narrow_terminal(capsys, monkeypatch, study):
    monkeypatch.setenv("COLUMNS", "40")
    out = printed(capsys, "leaderboard", study.folder).out
    assert "…" not in out
    first = next(line for line in out.splitlines() if line.strip().startswith("semantic-only"))
    assert first.endswith(("worse", "undecided")), "the last column"


@pytest.mark.parametrize("width", [80, 100])
def test_it_fits_the_terminal(capsys, monkeypatch, study, width):
    monkeypatch.setenv("COLUMNS", str(width))
    out = printed(capsys, "leaderboard", study.folder).out
    lines = [line for line in out.splitlines() if not line.startswith(("python ", str(study.folder), "cost: "))]
    assert max(map(len, lines)) <= width
    assert "in every row of Table 6: S ✓; n 3" in out
    assert not re.search(r"\d\.\d{3}", "\n".join(lines)), "two decimals at most"


def test_what_a_narrow_terminal_leaves_out_is_named(capsys, monkeypatch, study):
    monkeypatch.setenv("COLUMNS", "60")
    narrow = printed(capsys, "leaderboard", study.folder).out
    named = " ".join(narrow.partition("left out, as this terminal is narrow: ")[2].splitlines()[:3])
    assert "sd, D" in named and not re.search(r"^ arm .* sd ", narrow, re.MULTILINE)
    monkeypatch.setenv("COLUMNS", "200")
    wide = printed(capsys, "leaderboard", study.folder).out
    assert "left out" not in wide and re.search(r"^ arm .* sd ", wide, re.MULTILINE)


def test_markdown_has_as_many_cells_in_every_row(capsys, study):
    out = printed(capsys, "leaderboard", study.folder, "--format", "markdown").out
    blocks = [block.splitlines() for block in out.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 3
    for rows in blocks:
        assert len({len(re.split(r"(?<!\\)\|", row)) for row in rows}) == 1
        assert re.fullmatch(r"\|( :?-+:? \|)+", rows[1])


def test_latex_has_as_many_cells_as_columns_and_no_bare_signs(capsys, study):
    out = printed(capsys, "leaderboard", study.folder, "--format", "latex").out
    bodies = re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", out, re.DOTALL)
    assert len(bodies) == 3
    for columns, body in bodies:
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(columns)}
    assert not re.search(r"(?<!\\)[%_#](?! abl)", out), "a bare sign would break or comment out the line"
    assert re.sub(r"[ -~\n]", "", out) == "", "nothing that pdflatex doesn't know"


def test_csv_is_the_summary(capsys, study):
    rows = list(csv.DictReader(io.StringIO(printed(capsys, "leaderboard", study.folder, "--format", "csv").out)))
    table = pq.read_table(study.folder / "summary.parquet").to_pylist()
    assert list(rows[0]) == schema.SUMMARY.names
    assert [row["arm"] for row in rows] == [row["arm"] for row in table] == list(ARMS)
    assert [float(row["mean"]) for row in rows] == pytest.approx([row["mean"] for row in table], rel=1e-9)
    assert max(len(row["mean"]) for row in rows) <= len("0.") + 10, "no 0.6499999999999999"


def test_json_says_design_problems_and_arms(capsys, spoiled):
    found = json.loads(printed(capsys, "leaderboard", spoiled.folder, "--format", "json").out)
    assert found["design"]["recipe"] == "quick"
    assert [problem["kind"] for problem in found["problems"]] == ["missing"]
    assert found["arms"][-1]["planned"] == 3
    assert found["arms"][-1]["n"] == 2


def test_holes_are_shown_and_strict_refuses_them(capsys, study, spoiled):
    assert printed(capsys, "leaderboard", study.folder, "--strict").err == ""
    shown = printed(capsys, "leaderboard", spoiled.folder).out
    assert "missing: 1 of 12 trials: fusion-sum fold 1 seed 2" in shown
    assert "2 of 3" in next(line for line in shown.splitlines() if line.strip().startswith("fusion-sum"))
    refused = printed(capsys, "leaderboard", spoiled.folder, "--strict", code=1)
    assert "sweeper: error: --strict: 1 reason not to trust this table" in refused.err
    assert "missing: 1 of 12 trials" in refused.err
    assert "Table 6" in refused.out


def test_rebuild_reads_everything_again(capsys, spoiled):
    printed(capsys, "leaderboard", spoiled.folder)
    first = (spoiled.folder / "leaderboard.parquet").read_bytes()
    (spoiled.folder / "leaderboard.parquet").write_bytes(b"")
    printed(capsys, "leaderboard", spoiled.folder, "--rebuild")
    assert (spoiled.folder / "leaderboard.parquet").read_bytes() == first


def test_a_study_has_a_name_or_a_folder(capsys, study):
    by_name = printed(capsys, "leaderboard", study.name, "--results", study.folder.parent).out
    assert by_name == printed(capsys, "leaderboard", study.folder).out
    error = printed(capsys, "leaderboard", "nosuch", "--results", study.folder.parent, code=2).err
    assert "no study 'nosuch'" in error
    assert f"there: {study.name}" in error


def test_compare_says_what_differs(capsys, study, spoiled, board):
    same = printed(capsys, "compare", study.folder, study.folder).out
    assert "Design, data and software are the same." in same
    plan = json.loads((spoiled.folder / "plan.json").read_text())
    plan["design"]["training"]["epochs"] = 99
    (spoiled.folder / "plan.json").write_text(json.dumps(plan))
    out = printed(capsys, "compare", study.folder, spoiled.folder).out
    assert re.search(r"training\.epochs +5 +99", out)
    assert "B: missing: 1 of 12 trials" in out
    row = next(line for line in out.splitlines() if line.strip().startswith("semantic-only"))
    assert tables.percent(board.summary[0]["mean"]) in row
    assert "+0.0 [" in row


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda plan: plan, "block by block, as both have the same data"),
        (
            lambda plan: plan["design"]["data"].update(split="paper"),
            "not paired, as their splits differ, so that",
        ),
        (lambda plan: plan.update(data_digest="other"), "not paired, as their data differ"),
        (lambda plan: plan.update(data_digest=None), "not paired, as imported runs don't tell what data they had"),
        (lambda plan: plan.update(reference="semantic-only"), "not paired, as their references differ"),
    ],
)
def test_compare_pairs_blocks_of_the_same_data_and_split_and_says_why_not(capsys, study, spoiled, change, why):
    plan = json.loads((spoiled.folder / "plan.json").read_text())
    change(plan)
    (spoiled.folder / "plan.json").write_text(json.dumps(plan))
    out = " ".join(printed(capsys, "compare", study.folder, spoiled.folder).out.split())
    assert why in out


def test_tables_are_at_the_margin_that_the_study_was_run_with(capsys, spoiled):
    plan = json.loads((spoiled.folder / "plan.json").read_text())
    assert "at ±1 " in printed(capsys, "leaderboard", spoiled.folder).out, "one of an older version"
    look = {"blocks": 4, "end": 4, "level": 0.04, "margin": 0.03, "arms": {}}
    assert margin_of(plan) == 0.01 and margin_of({"looks": [look]}) == 0.03
    (spoiled.folder / "plan.json").write_text(json.dumps(plan | {"margin": 0.04}))
    assert "at ±4 " in printed(capsys, "leaderboard", spoiled.folder).out
    assert "at ±2 " in printed(capsys, "leaderboard", spoiled.folder, "--margin", "2").out
    assert sweeper.read_study(spoiled.folder)._board.margin == 0.04
    (spoiled.folder / "plan.json").write_text(json.dumps(plan | {"margin": "4"}))
    assert "margin" in printed(capsys, "leaderboard", spoiled.folder, code=2).err


def test_the_command_to_run_again_means_the_same_trials(capsys, tmp_path, monkeypatch, board, demo_store):
    words = shlex.split(rerun_command(board.plan))
    assert words[:3] == ["python", "-m", "sweeper"]
    out = printed(capsys, *words[3:], "--results", board.study.folder.parent, "--dry-run").out
    assert "12 of them already committed" in out


def test_the_command_to_go_on_has_what_the_study_was_run_with(board, tmp_path, monkeypatch):
    """Another margin would call other arms, another folder begin another study, another policy stop at a bad clip."""
    assert not {"--margin", "--results", "--bad-clips"} & set(shlex.split(rerun_command(board.plan)))
    plan = board.plan | {"skipped": [["a", "empty"]]}
    command = rerun_command(plan, margin=0.03, folder="s3://b/r/renamed")
    assert (
        "--bad-clips skip" in command
        and "--margin 3" in command
        and command.endswith("--study renamed --results s3://b/r")
    )
    planned = plan_sequential(("full", "garm"), "full", (1,), 4)
    look = {"blocks": planned["looks"][0], "end": 4, "level": 0.01, "margin": 0.08, "arms": {}}
    assert "--margin 8" in rerun_command(plan | {"sequential": planned, "looks": [look]}, margin=0.03)
    sentences = " ".join(answer(board))
    assert f"--results {board.study.folder.parent}" in sentences
    monkeypatch.chdir(tmp_path)
    here = study_of(tmp_path / "results" / "s", board.trials.to_pylist(), board.plan)
    assert "--results" not in " ".join(answer(leaderboard.derive(here))), "as it is the usual folder, seen from here"


@pytest.mark.parametrize("price", ["nan", "-3", "0", "inf", "much"])
def test_a_price_is_a_number_above_0(capsys, price):
    with pytest.raises(SystemExit) as raised:
        main(["leaderboard", "s", f"--price-per-hour={price}"])
    assert raised.value.code == 2 and f"'{price}' is not a price above 0" in capsys.readouterr().err


def test_a_price_is_refused_where_no_cost_is_shown(capsys, study):
    said = printed(capsys, "leaderboard", study.folder, "--price-per-hour", "2", "--format", "csv", code=2).err
    assert "--price-per-hour: the cost stands under a table, and not in --format csv" in said


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_package_is_named_with_the_line_that_installs_it(capsys, monkeypatch, study, package):
    for name in [
        name for name in sys.modules if name.partition(".")[0] == package or name.startswith("sweeper.report.")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    error = printed(capsys, "report", study.folder, code=2).err
    assert error == f"sweeper: error: the report needs {package}: pip install {package}\n"


def test_a_place_that_cannot_be_written_is_named(capsys, study, tmp_path):
    error = printed(capsys, "report", study.folder, "--output", tmp_path / "no" / "page.html", code=2).err
    assert re.fullmatch(
        r"sweeper: error: can't write .*page\.html: No such file or directory; use --output FILE\n", error
    )
