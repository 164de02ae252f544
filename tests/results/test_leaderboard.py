"""The files that trial rows and a row per arm are kept in: whole, byte-stable, and never behind the trials."""

import pyarrow.parquet as pq
import pytest

from sweeper.results import schema
from sweeper.results.leaderboard import derive
from sweeper.results.tables import StudyError
from tests.results.rows import FAILED, grid, study_of


def tables(study):
    return [(study.folder / name).read_bytes() for name in ("leaderboard.parquet", "summary.parquet")]


def test_both_tables_are_written_and_byte_stable(tmp_path):
    empty = study_of(tmp_path / "empty", [])
    with pytest.raises(StudyError, match="no trial yet"):
        derive(empty)
    study = study_of(tmp_path / "s", grid(("full", "garm")))
    board = derive(study)
    assert (len(board.trials), len(board.summary)) == (12, 2)
    assert pq.read_schema(study.folder / "summary.parquet").equals(schema.SUMMARY, check_metadata=True)
    first = tables(study)
    derive(study)
    assert tables(study) == first


def test_a_damaged_trial_is_named(tmp_path):
    study = study_of(tmp_path / "s", grid(("full", "garm")))
    path = next((study.folder / "trials").iterdir())
    path.write_bytes(b"unreadable")
    with pytest.raises(StudyError, match=f"{path.name} is damaged .*; delete it and run"):
        derive(study)


def test_a_trial_that_was_deleted_or_trained_again_is_noticed(tmp_path):
    trials = grid(("full", "garm"))
    study = study_of(tmp_path / "s", trials)
    derive(study)
    for row in trials[:2]:
        (study.folder / "trials" / f"{row['trial_id']}.parquet").unlink()
    study.commit(trials[0] | {"accuracy": 0.125}, [], [])
    rows = {row["trial_id"]: row["accuracy"] for row in derive(study).trials.to_pylist()}
    assert len(rows) == len(trials) - 1
    assert rows[trials[0]["trial_id"]] == 0.125


def test_a_damaged_leaderboard_is_replaced(tmp_path):
    study = study_of(tmp_path / "s", grid(("full", "garm")))
    derive(study)
    good = tables(study)
    (study.folder / "leaderboard.parquet").write_bytes(b"PAR1")
    derive(study)
    assert tables(study) == good


def test_a_failure_that_was_mended_leaves_no_trace(tmp_path):
    trials = grid(("full", "garm"))
    study = study_of(tmp_path / "s", [*trials[:-1], trials[-1] | FAILED])
    board = derive(study)
    assert board.trials["status"].to_pylist().count("failed") == 1
    study.commit(trials[-1], [], [])
    assert derive(study).problems == ()


def test_a_file_of_an_older_version_is_read_without_the_newer_columns(tmp_path):
    trials = grid(("full", "garm"))
    study = study_of(tmp_path / "s", trials)
    path = study.folder / "trials" / f"{trials[0]['trial_id']}.parquet"
    row = pq.read_table(path)
    pq.write_table(row.drop_columns(["train_loss"]), path)
    assert derive(study).trials["train_loss"].null_count == 1
    pq.write_table(row.drop_columns(["seed"]), path)
    with pytest.raises(StudyError, match=f"{path.name} has no seed: .*delete it"):
        derive(study)


def test_a_study_from_before_there_were_searches_has_the_same_summary(tmp_path):
    study = study_of(tmp_path / "s", grid(("full", "garm")))
    before = derive(study).summary
    for path in (study.folder / "trials").iterdir():
        pq.write_table(pq.read_table(path).drop_columns(["params", "stage", "scored_on"]), path)
    assert derive(study).summary == before
