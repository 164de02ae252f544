"""Rows are packed while the sweep goes on, and what goes wrong with that does not end it."""

import threading
from types import SimpleNamespace

import pytest

from sweeper.execution import packing
from sweeper.execution.packing import Packing
from sweeper.results import row_files, store
from sweeper.results.store import Study
from tests.results.rows import trial_row


@pytest.fixture(autouse=True)
def packs_of_three(monkeypatch):
    for module in (row_files, store, packing):
        monkeypatch.setattr(module, "PACK_ROWS", 3)


def finish(study, callback, folds):
    for fold in folds:
        study.commit(trial_row("full", fold), [], [])
        callback.on_trial_complete(0, [], SimpleNamespace(config={"spec": None}))
    callback.end()


def test_rows_are_packed_as_trials_finish(tmp_path):
    study = Study(tmp_path / "s")
    study.create()
    callback = Packing(study)
    finish(study, callback, (1, 2))
    assert len(study.rows.single()) == 2
    finish(study, callback, (3, 4))
    assert (len(study.rows.single()), len(study.rows.packed())) == (1, 3)


def test_a_row_that_cannot_be_read_ends_no_sweep(tmp_path):
    study = Study(tmp_path / "s")
    study.create()
    callback = Packing(study)
    finish(study, callback, (1, 2))
    damaged = study.folder / study.rows.path(trial_row("full", 1)["trial_id"])
    damaged.write_bytes(b"PAR1")
    finish(study, callback, (3,))
    assert len(study.rows.single()) == 3


def test_no_trial_waits_for_it(tmp_path, monkeypatch):
    study, packed, go_on = Study(tmp_path / "s"), [], threading.Event()
    monkeypatch.setattr(Study, "pack", lambda _study: packed.append(go_on.wait(10)))
    callback, trial = Packing(study), SimpleNamespace(config={"spec": None})
    for _ in range(7):
        callback.on_trial_complete(0, [], trial)
    assert not packed
    go_on.set()
    callback.end()
    assert packed == [True], "one at a time; the next takes what came meanwhile"
    for _ in range(2):
        callback.on_trial_complete(0, [], trial)
    callback.end()
    assert packed == [True, True]
