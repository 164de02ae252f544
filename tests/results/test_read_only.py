"""A study that can't be written, a colleague's or an archive, can be read all the same, and nothing of it changes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sweeper.cli.main import main
from sweeper.results import row_files, store
from sweeper.results.folder import Folder, StorageError
from sweeper.results.leaderboard import derive
from tests.results.rows import grid, prediction, study_of

ROOT = Path(__file__).resolve().parents[2]
# Root may write everywhere, unless it gives that up.
PREFIX = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


@pytest.fixture
def study(tmp_path):
    if PREFIX and shutil.which(PREFIX[0]) is None:
        pytest.skip("root may write everywhere, and setpriv, which takes that away, is not installed")
    study = study_of(tmp_path / "results" / "s", [], {"trials": []})
    for row in grid(("full", "garm"), folds=(1,)):
        study.commit(row, [], [prediction(row["trial_id"])])
    yield study
    for path in (study.folder, *study.folder.rglob("*")):
        path.chmod(0o755)


def lock(study):
    """Take the right to write from everybody; returns what the study holds."""
    held = {path: path.read_bytes() if path.is_file() else b"" for path in study.folder.rglob("*")}
    for path in (*held, study.folder):
        path.chmod(0o555)
    return held


def sweeper(*words, cwd):
    command = [*PREFIX, sys.executable, "-m", "sweeper", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, env=environment)


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_tables_are_printed_and_one_line_says_that_they_are_not_written(study, tmp_path, form):
    held = lock(study)
    ended = sweeper("leaderboard", study.folder, "--format", form, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "garm" in ended.stdout
    assert "leaderboard.parquet" not in ended.stdout
    (line,) = ended.stderr.splitlines()
    assert line.startswith(
        f"sweeper: the tables were not written: can't write {study.folder}/leaderboard.parquet: Permission denied"
    )
    assert {path: path.read_bytes() if path.is_file() else b"" for path in study.folder.rglob("*")} == held


def test_reports_comparisons_and_states_need_no_right_to_write(study, tmp_path):
    held = lock(study)
    page = tmp_path / "page.html"
    for words in (
        ["report", study.folder, "--output", page],
        ["compare", study.folder, study.folder],
        ["status", study.folder],
    ):
        ended = sweeper(*words, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        told = (ended.stderr + ended.stdout).count("tables were not written: can't write")
        assert told == {"report": 1, "compare": 2, "status": 0}[words[0]]
    assert "garm" in page.read_text()
    ended = sweeper("report", study.folder, cwd=tmp_path)
    assert ended.returncode == 2
    assert f"can't write {study.folder}/report.html: Permission denied" in ended.stderr
    assert "--output FILE" in ended.stderr
    assert {path: path.read_bytes() if path.is_file() else b"" for path in study.folder.rglob("*")} == held


def test_a_run_is_refused_in_a_line(study, tmp_path):
    lock(study)
    for design in ("ablations", "search"):
        ended = sweeper("run", design, "--study", "s", "--epochs", "1", cwd=tmp_path)
        assert ended.returncode == 2
        (line,) = ended.stderr.splitlines()
        assert "Permission denied" in line or "another design" in line


def test_a_study_that_cannot_even_be_read_is_one_line(study, tmp_path):
    lock(study)
    for place in (study.folder / "trials", study.folder / "plan.json"):
        place.chmod(0)
        for command in ("leaderboard", "status"):
            ended = sweeper(command, study.folder, cwd=tmp_path)
            assert ended.returncode == 2
            (line,) = ended.stderr.splitlines()
            assert f"{place}: Permission denied; ask its owner" in line
        place.chmod(0o555)
    study.folder.chmod(0)
    ended = sweeper("leaderboard", study.folder, cwd=tmp_path)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1


def test_packing_that_is_not_allowed_stops_no_table(study, monkeypatch):
    before = derive(study)
    for module in (row_files, store):
        monkeypatch.setattr(module, "PACK_ROWS", 2)

    def refused(*_args, **_options):
        raise StorageError("can't write: Read-only file system; ask its owner, or work on a copy")

    monkeypatch.setattr(Folder, "write", refused)
    monkeypatch.setattr(Folder, "delete", refused)
    board = derive(study)
    assert board.trials.equals(before.trials)
    assert "Read-only file system" in board.unwritten
    assert before.unwritten == ""


def test_a_store_that_may_only_be_read_shows_its_tables(s3, capsys, monkeypatch):
    study = store.Study(s3.url + "/s")
    study.write_plan({"design": {}, "trials": []})
    for row in grid(("full", "garm"), folds=(1,)):
        study.commit(row, [], [])

    def refused(*_args, **_options):
        raise PermissionError("Access Denied")

    monkeypatch.setattr(study.storage.filesystem, "pipe_file", refused)  # the same for all who ask there
    assert main(["leaderboard", str(study)]) == 0
    told = capsys.readouterr()
    assert "garm" in told.out
    (line,) = told.err.splitlines()
    assert line.startswith(
        f"sweeper: the tables were not written: {study}: PermissionError: Access Denied; check the cred"
    )
