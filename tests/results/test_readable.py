"""What was written once stays readable, by us and in one line by others."""

import duckdb
import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweeper.results import schema
from sweeper.results.leaderboard import derive
from sweeper.results.store import Study
from sweeper.results.summary import summarise
from tests.results.golden import FOLDER as GOLDEN
from tests.results.rows import grid, study_of

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
    today = {"trial": schema.TRIAL, "summary": schema.SUMMARY}[kind]
    assert path.stem.endswith(f"-v{version}")
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
