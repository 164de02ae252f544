"""Commits are whole, once, and survive whatever happens around them."""

import datetime
import multiprocessing
import os

import pyarrow.parquet as pq
import pytest

from sweeper.results import schema
from sweeper.results.folder import Folder
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from tests.results.rows import prediction, trial_row


@pytest.fixture
def study(tmp_path):
    study = Study(tmp_path / "s")
    study.create()
    return study


def commit(study, row, **changes):
    return study.commit(row | changes, [], [prediction(row["trial_id"])])


def test_a_commit_can_be_read_back(study):
    row = trial_row("full", fold=3, accuracy=0.25)
    assert commit(study, row)
    assert study.finished() == {row["trial_id"]}
    (read,) = study.trials().to_pylist()
    assert {key: read[key] for key in row} == row
    assert study.trials().schema.equals(schema.TRIAL)


def test_the_first_commit_stays(study):
    row = trial_row("full", accuracy=0.25)
    assert commit(study, row)
    assert not commit(study, row, accuracy=0.99)
    assert study.trials().to_pylist()[0]["accuracy"] == 0.25


def test_a_failure_is_kept_until_the_trial_finishes(study):
    row = trial_row("full", accuracy=0.25)
    study.record_failure(row | {"status": "failed", "accuracy": None, "error": "RuntimeError: boom"}, [])
    assert study.finished() == set()
    assert [(r["status"], r["error"]) for r in study.trials().to_pylist()] == [("failed", "RuntimeError: boom")]
    commit(study, row)
    assert [r["status"] for r in study.trials().to_pylist()] == ["complete"]


def test_a_row_is_only_there_with_its_predictions(study, monkeypatch):
    """Whatever write fails, a declared trial is complete."""
    for failing in (0, 2, 4):  # of the flushes: each file's, then its folder's
        row, calls = trial_row("full", fold=failing), iter(range(6))

        def flush(handle, failing=failing, calls=calls):
            if next(calls) == failing:
                raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", flush)
        with pytest.raises(OSError, match="No space"):
            commit(study, row)
        assert row["trial_id"] not in study.finished()
        monkeypatch.undo()
        assert commit(study, row)
    left = [path.name for path in study.folder.rglob("*.tmp")]
    assert left == []


def _race(folder, value, barrier, queue):
    barrier.wait()
    queue.put(Folder(folder).write("x", value, once=True))


def test_of_many_writers_one_wins(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(6), context.Queue()
    writers = [
        context.Process(target=_race, args=(tmp_path, bytes([65 + i]) * 100_000, barrier, queue)) for i in range(6)
    ]
    for writer in writers:
        writer.start()
    results = [queue.get(timeout=60) for _ in writers]
    for writer in writers:
        writer.join()
    assert results.count(True) == 1
    content = (tmp_path / "x").read_bytes()
    assert len(content) == 100_000
    assert len(set(content)) == 1


def test_rows_come_in_one_order_however_they_were_committed(tmp_path):
    rows = [trial_row(arm, fold=fold) for arm in ("full", "garm") for fold in (2, 1)]
    tables = []
    for name, order in (("a", rows), ("b", rows[::-1])):
        study = Study(tmp_path / name)
        study.create()
        for row in order:
            commit(study, row)
        tables.append(study.trials())
    assert tables[0].equals(tables[1])


def test_plans_of_one_design_add_up_and_others_are_refused(study):
    def plan(trial_ids, digest="d", epochs=3):
        return {
            "design": {"training": {"epochs": epochs}},
            "data_digest": digest,
            "trials": [{"trial_id": 16 * name, "arm": "full", "fold": 1, "replicate": 0} for name in trial_ids],
        }

    study.write_plan(plan(["a", "b"]))
    study.write_plan(plan(["b", "c"]))
    assert [trial["trial_id"][0] for trial in study.read_plan()["trials"]] == ["a", "b", "c"]
    with pytest.raises(StudyError, match=r"training\.epochs: 3 → 5.*--study"):
        study.write_plan(plan(["d"], epochs=5))
    with pytest.raises(StudyError, match="other data"):
        study.write_plan(plan(["d"], digest="e"))


def test_a_damaged_plan_is_named(study):
    (study.folder / "plan.json").write_text('{"tri')
    with pytest.raises(StudyError, match=r"plan\.json is damaged"):
        study.read_plan()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StudyError, match=r"can't write results to .*--results"):
        Study(tmp_path / "results" / "s").create()


def test_every_column_says_what_it_is():
    for table in (schema.TRIAL, schema.CURVE, schema.PREDICTION, schema.SUMMARY):
        assert table.metadata[b"sweeper.schema_version"] == schema.SCHEMA_VERSION.encode()
        for field in table:
            assert field.metadata[b"description"], field.name


def test_derived_tables_are_byte_stable(study):
    row = trial_row("full") | {"finished": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)}
    commit(study, row)
    written = []
    for _ in range(2):
        study.write_table("leaderboard.parquet", study.trials(), schema.TRIAL)
        written.append((study.folder / "leaderboard.parquet").read_bytes())
    assert written[0] == written[1]
    assert pq.read_schema(study.folder / "leaderboard.parquet").metadata[b"sweeper.schema"] == b"trial"
