"""What was written once stays readable, by us and in one line by others."""

import json

import duckdb
import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweeper.cli.main import main
from sweeper.results import schema
from sweeper.results.leaderboard import derive
from sweeper.results.store import Study
from sweeper.results.summary import summarise
from tests.results.golden import FOLDER as GOLDEN
from tests.results.rows import grid, study_of

WITHOUT_SUCCESSOR = {"blocks", "p_value", "p_unit", "p_smallest", "p_holm", "effect_size", "p_better"}
WITHOUT_SUCCESSOR |= {"boot_diff_low", "boot_diff_high"}

READERS = {
    # The README shows these lines.
    "pandas": 'pd.read_parquet("leaderboard.parquet").groupby("arm").accuracy.mean()',
    "Polars": 'polars.read_parquet("leaderboard.parquet").group_by("arm").agg(polars.mean("accuracy"))',
    "DuckDB": "duckdb.sql(\"SELECT arm, avg(accuracy) FROM 'leaderboard.parquet' GROUP BY arm\").fetchall()",
}


@pytest.mark.parametrize("reader", READERS)
def test_one_line_reads_a_leaderboard(tmp_path, monkeypatch, reader):
    trials = grid(("full", "garm"))
    derive(study_of(tmp_path, trials))
    monkeypatch.chdir(tmp_path)
    found = eval(READERS[reader], {"pd": pd, "polars": polars, "duckdb": duckdb})
    pairs = found.items() if reader == "pandas" else found.rows() if reader == "Polars" else found
    expected = {arm: np.mean([t["accuracy"] for t in trials if t["arm"] == arm]) for arm in ("full", "garm")}
    assert dict(pairs) == pytest.approx(expected)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.parquet")), ids=lambda path: path.stem)
def test_tables_of_every_released_schema_stay_readable(path):
    table = pq.read_table(path)
    kind, version = (table.schema.metadata[f"sweeper.{key}".encode()].decode() for key in ("schema", "schema_version"))
    today = {"trial": schema.TRIAL, "summary": schema.SUMMARY, "effects": schema.EFFECTS}[kind]
    assert path.stem.endswith(f"-v{version}")
    if kind == "summary" and int(version) < 3:
        assert set(table.schema.names) >= WITHOUT_SUCCESSOR, "the tests of before one rule gave star, p and interval"
        table = table.drop_columns(list(WITHOUT_SUCCESSOR))
    for field in table.schema:
        assert field.name in today.names, f"{field.name} is gone: raise SCHEMA_VERSION, and read version {version} here"
        assert today.field(field.name).type == field.type, field.name
    for name in set(today.names) - set(table.schema.names):
        assert today.field(name).nullable, f"{name} came later: old files don't have it, so it must be nullable"
    if kind == "trial":
        rows = [dict.fromkeys(schema.TRIAL.names) | row for row in table.to_pylist()]
        table = pa.Table.from_pylist(rows, schema=schema.TRIAL)
        summary = {row["arm"]: row for row in summarise(table, {}, Study("there are no predictions"))}
        assert summary["garm"]["mean"] == pytest.approx(0.5 + 0.01 * 2)
        assert summary["garm"]["diff"] == pytest.approx(0.02)


def test_the_current_schema_has_a_golden_file():
    assert (GOLDEN / f"leaderboard-v{schema.SCHEMA_VERSION}.parquet").exists()
    assert (GOLDEN / f"summary-v{schema.SCHEMA_VERSION}.parquet").exists()
    assert (GOLDEN / f"effects-v{schema.SCHEMA_VERSION}.parquet").exists()


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("with_plan", [True, False], ids=["plan", "no plan"])
def test_a_study_of_an_older_version_is_shown_by_every_command(tmp_path, capsys, version, with_plan):
    rows = pq.read_table(GOLDEN / f"leaderboard-v{version}.parquet").to_pylist()
    study = Study(tmp_path / "old")
    study.create()
    for row in rows:
        old = pq.read_schema(GOLDEN / f"leaderboard-v{version}.parquet")
        pq.write_table(pa.Table.from_pylist([row], schema=old), study.folder / "trials" / f"{row['trial_id']}.parquet")
    if with_plan:
        names = ("trial_id", "arm", "fold", "replicate", "seed")
        design = {"recipe": "quick", "training": {"epochs": 1}, "data": {"dataset": "demo", "split": "official"}}
        plan = {"study": "old", "design": design, "trials": [{name: row[name] for name in names} for row in rows]}
        (study.folder / "plan.json").write_text(json.dumps(plan))
    commands = [["leaderboard"], ["leaderboard", "--format", "json"], ["report"], ["compare", str(study.folder)]]
    for command, *rest in commands + [["status"]] * with_plan:
        assert main([command, str(study.folder), *rest]) == 0, command
    out = capsys.readouterr().out
    assert "+2.0 [" in out, "the difference of garm"
    assert "Undecided" in out
    table = pq.read_table(study.folder / "summary.parquet")
    assert table.schema.equals(schema.SUMMARY, check_metadata=True)
