"""What another process makes of the page is what this one would, its errors too, and it never outlives the page."""

import os
import shutil
import signal
import time

import fsspec
import pytest

from sweeper.report import beside
from sweeper.report.beside import Beside
from sweeper.report.page import render
from sweeper.results.leaderboard import derive
from sweeper.results.store import Study
from sweeper.results.tables import StudyError


@pytest.fixture
def begun(monkeypatch):
    """Two cores, and which calls were begun in another process."""
    begin, calls = Beside.begin, []
    monkeypatch.setattr(beside, "available_cores", lambda: 2)
    monkeypatch.setattr(Beside, "begin", lambda self: (calls.append(self), begin(self)))
    return calls


def test_another_process_makes_what_was_begun(begun):
    with Beside(os.getpid) as here, Beside(os.getpid) as there:
        there.begin()
        assert here.result() == os.getpid() != there.result()


def test_its_error_is_the_calls(begun):
    with pytest.raises(ValueError, match="invalid literal"), Beside(int, "no number") as call:
        call.begin()
        call.result()


def test_that_it_was_killed_is_told(begun):
    with pytest.raises(ChildProcessError, match="code -9"), Beside(signal.raise_signal, signal.SIGKILL) as call:
        call.begin()
        call.result()


def test_it_ends_at_once_where_this_one_is_interrupted(begun):
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Beside(time.sleep, 60) as call:
        call.begin()
        raise KeyboardInterrupt
    assert time.monotonic() - started < 30
    assert call._process.returncode == -signal.SIGKILL


def test_one_core_and_two_make_the_same_page(board, demo_store, monkeypatch, begun):
    beside_it = render(board)
    assert len(begun) == 1
    monkeypatch.setattr(beside, "available_cores", lambda: 1)
    assert render(board) == beside_it


def test_a_store_is_read_by_one_process_alone(study, demo_store, begun):
    """Not each store is there for another: fsspec's memory is its process's own."""
    url = f"memory://beside/{study.name}"
    fsspec.filesystem("memory").put(f"{study.folder}/", url, recursive=True)
    assert "confusion-full" in render(derive(Study(url)))
    assert not begun


def test_where_there_are_no_maps_one_process_makes_the_page(spoiled, begun):
    assert "are gone" in render(derive(spoiled))
    assert not begun


def test_a_damaged_file_is_named_whoever_reads_it(study, demo_store, tmp_path, begun):
    copy = tmp_path / study.name
    shutil.copytree(study.folder, copy)
    damaged = next((copy / "curves").iterdir())
    damaged.write_bytes(b"no table")
    with pytest.raises(StudyError, match=damaged.name):
        render(derive(Study(copy)))
    assert len(begun) == 1
