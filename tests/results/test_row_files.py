"""Rows put together in packs are the same rows, whatever happens while they are moved."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweeper.results import row_files, store
from sweeper.results.attempts import attempt, costs, read_attempts
from sweeper.results.folder import Folder
from sweeper.results.leaderboard import derive
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from tests.results.rows import trial_row

ROWS = [trial_row(arm, fold) for arm in ("full", "garm") for fold in (1, 2, 3, 4)]  # 8: two packs of 3, and 2 more
HELD = {"device": "cpu", "cpus": 1.0, "gpus": 0.0}


@pytest.fixture(autouse=True)
def packs_of_three(monkeypatch):
    pack_rows(monkeypatch, 3)
    monkeypatch.setattr(row_files, "_names_in", {})


def pack_rows(monkeypatch, number):
    for module in (row_files, store):
        monkeypatch.setattr(module, "PACK_ROWS", number)


def committed(place):
    """A study with these trials, each after an attempt that failed and one that did not."""
    study = Study(place)
    study.create()
    for row in ROWS:
        with pytest.raises(ValueError, match="boom"), attempt(study, row["trial_id"], **HELD):
            raise ValueError("boom")
        with attempt(study, row["trial_id"], **HELD):
            assert study.commit(row, [], [])
    return study


def seen(study):
    """All that a reader can ask for."""
    return (
        study.trials(),
        read_attempts(study),
        costs(study),
        study.finished(),
        [study.is_finished(row["trial_id"]) for row in ROWS],
        [study.row(row["trial_id"]) for row in ROWS],
    )


def files(study):
    return {name: sorted(study.storage.files(name)) for name in ("trials", "attempts")}


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_packed_rows_are_the_same_rows_in_fewer_files(request, tmp_path, kind):
    study = committed(tmp_path / "s" if kind == "folder" else request.getfixturevalue("s3").url + "/s")
    before = seen(study)
    study.pack()
    assert seen(study) == before
    assert seen(Study(str(study))) == before
    after = files(study)
    # 2 packs and 2 files; 4 packs of the packed trials' attempts, and 4 files of the others'.
    assert {name: len(names) for name, names in after.items()} == {"trials": 4, "attempts": 8}
    study.pack()
    assert files(study) == after


def test_a_leaderboard_has_the_same_bytes(tmp_path, monkeypatch):
    study = committed(tmp_path / "s")
    written = []
    for number in (100, 3):
        pack_rows(monkeypatch, number)
        derive(study)
        written.append((study.folder / "leaderboard.parquet").read_bytes())
    assert any(name.startswith("pack-") for name in files(study)["trials"])
    assert written[0] == written[1]


def test_death_at_any_moment_loses_no_row(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    moments = 0
    while True:
        study = committed(tmp_path / str(moments) / "s")
        before = seen(study)
        left = iter(range(moments))

        def dying(method, left=left):
            def call(path, *args, **kwargs):
                if next(left, None) is None:
                    raise Killed
                return method(path, *args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(Folder, "write", dying(Folder.write))
            patch.setattr(Path, "unlink", dying(Path.unlink))
            try:
                study.pack()
            except Killed:
                moments += 1
            else:
                break
        assert seen(study) == before
        study.pack()
        assert seen(study) == before
        assert len(files(study)["trials"]) == 4
    # For each of 6 packs a write and its temporary file, and for each of 18 rows the file of its own.
    assert moments == 6 * 2 + 18


def test_what_may_still_change_keeps_its_own_file(tmp_path):
    study = committed(tmp_path / "s")
    packed_trial, unknown_trial = sorted(row["trial_id"] for row in ROWS)[0], "f" * 16
    with attempt(study, packed_trial, **HELD), attempt(study, unknown_trial, **HELD):
        study.pack()
        running = [name for name in study.attempts.single() if name.startswith((packed_trial, unknown_trial))]
        assert len(running) == 2
        assert read_attempts(study).column("outcome").to_pylist().count("running") == 2
    assert read_attempts(study).column("outcome").to_pylist().count("complete") == 10
    assert read_attempts(study, unknown_trial).num_rows == 1


def test_rows_that_two_processes_packed_count_once(tmp_path):
    study = committed(tmp_path / "s")
    before = seen(study)
    one, *rest = ROWS
    own = study.folder / study.rows.path(one["trial_id"])
    content = own.read_bytes()
    study.rows.pack([row["trial_id"] for row in ROWS[:3]])
    own.write_bytes(content)
    row_files._names_in.clear()
    other = Study(study.folder)
    other.rows.packed = set  # it looked before the first had written
    other.rows.pack([row["trial_id"] for row in (one, *rest[2:4])])
    packs = [name for name in files(study)["trials"] if name.startswith("pack-")]
    assert (
        sum(
            pq.read_table(study.folder / "trials" / name)["trial_id"].to_pylist().count(one["trial_id"])
            for name in packs
        )
        == 2
    )
    assert seen(study) == before


def test_a_row_that_is_committed_again_changes_nothing(tmp_path):
    study = committed(tmp_path / "s")
    study.pack()
    before = seen(study)
    for row in ROWS:
        with study.checkpoint(row["trial_id"]) as state:
            state.path.write_bytes(b"of the second one")
        assert not study.commit(row | {"accuracy": 0.99}, [], [])
    assert seen(study) == before
    assert study.storage.files("checkpoints") == {}


def test_readers_do_not_mind_who_packs(tmp_path, monkeypatch):
    study = committed(tmp_path / "s")
    before = study.trials()
    listed, calls = Folder.files, []

    def files_then_pack(self, folder, prefix=""):
        found = listed(self, folder, prefix)
        if (folder, len(calls)) == ("trials", 1):  # after the listing of packs, of which there was none
            calls.append(folder)
            Study(study.folder).pack()
        else:
            calls.append(folder) if folder == "trials" else None
        return found

    monkeypatch.setattr(Folder, "files", files_then_pack)
    assert study.trials() == before
    assert any(name.startswith("pack-") for name in files(study)["trials"])


def test_a_damaged_pack_is_named(tmp_path):
    study = committed(tmp_path / "s")
    study.pack()
    pack = next((study.folder / "trials").glob("pack-*"))
    pack.write_bytes(b"PAR1")
    with pytest.raises(StudyError, match=f"{pack.name} is damaged .*; restore it from a copy"):
        study.trials()


def test_attempts_left_by_a_death_are_packed_the_next_time(tmp_path):
    study = committed(tmp_path / "s")
    before = seen(study)
    study.rows.pack(study.rows.single())  # and then it was killed
    assert len(study.rows.single()) < row_files.PACK_ROWS
    study.pack()
    assert len(files(study)["attempts"]) == 8
    assert seen(study) == before


def test_rows_of_a_newer_version_keep_their_files(tmp_path):
    study = committed(tmp_path / "s")
    newer = [study.folder / study.rows.path(row["trial_id"]) for row in ROWS[:2]]
    for path in newer:
        table = pq.read_table(path)
        pq.write_table(table.append_column("future", pa.array([1])), path)
    before = seen(study)
    study.pack()
    assert [pq.read_schema(path).names[-1] for path in newer] == ["future", "future"]
    assert len(study.rows.packed()) == 6
    assert seen(study) == before
