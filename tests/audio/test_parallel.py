"""Items in parallel: in order, a bounded number ahead, and nothing left behind."""

import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import pytest

from sweeper.audio import build, parallel
from sweeper.audio.store import StoreError, prepare

MANY = 1000


def mark(i: int, folder: Path) -> tuple[int, int]:
    """Leaves a file; returns the item and its process."""
    (folder / str(i)).touch()
    return i, os.getpid()


def die(i: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return i


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_results_come_in_order_and_a_bounded_number_ahead(tmp_path):
    results = parallel.ordered_map(partial(mark, folder=tmp_path), range(MANY), workers=2)
    processes = set()
    for taken in range(100):
        i, process = next(results)
        assert i == taken
        processes.add(process)
    time.sleep(1)  # for as long as they may, they'd run on
    batches_taken = -(-100 // parallel.BATCH)
    assert len(list(tmp_path.iterdir())) <= (batches_taken + 2 * parallel.AHEAD + 2) * parallel.BATCH < MANY
    rest = list(results)
    assert [i for i, _ in rest] == list(range(100, MANY))
    processes |= {process for _, process in rest}
    assert os.getpid() not in processes
    assert not any(map(alive, processes))


def test_a_few_are_done_here(tmp_path):
    results = list(parallel.ordered_map(partial(mark, folder=tmp_path), range(parallel.FEW), workers=2))
    assert results == [(i, os.getpid()) for i in range(parallel.FEW)]


def test_leaving_early_stops_the_processes(tmp_path):
    results = parallel.ordered_map(partial(mark, folder=tmp_path), range(MANY), workers=2)
    _, process = next(results)
    assert alive(process)
    results.close()
    assert not alive(process)


def test_a_killed_process_is_told(collection, tmp_path, monkeypatch):
    with pytest.raises(BrokenProcessPool):
        list(parallel.ordered_map(die, range(MANY), workers=2))
    monkeypatch.setattr(build, "ordered_map", lambda *_: parallel.ordered_map(die, range(MANY), workers=2))
    with pytest.raises(StoreError, match=r"decoding .*: a process was killed, .* run the same command"):
        prepare(collection(), 8000, tmp_path, progress=False)
    assert not list(tmp_path.rglob("*.tmp-*"))


def test_a_store_built_in_processes_is_the_one_built_here(collection, tmp_path, monkeypatch):
    here = prepare(collection(12, 11025), 8000, tmp_path / "here", progress=False)
    monkeypatch.setattr(parallel, "FEW", 0)
    there = prepare(collection(12, 11025), 8000, tmp_path / "there", workers=2, progress=False)
    assert there.digest == here.digest
    assert (there.folder / "samples").read_bytes() == (here.folder / "samples").read_bytes()
