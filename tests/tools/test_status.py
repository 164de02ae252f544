"""How far a study is, seen from its folder."""

import os
import time

import pytest

from sweeper.results import attempts
from sweeper.results.attempts import attempt
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.tools.status import describe, status
from tests.results.rows import trial_row


@pytest.fixture
def study(tmp_path):
    study = Study(tmp_path / "s")
    study.create()
    rows = [trial_row("full", replicate=replicate) for replicate in range(5)]
    study.write_plan({"design": {}, "data_digest": "d", "trials": [_planned(row) for row in rows]})
    study.commit(rows[0], [], [])
    study.record_failure(rows[1] | {"status": "failed"}, [])
    return study, rows


def _planned(row):
    return {key: row[key] for key in ("trial_id", "arm", "fold", "replicate")}


def test_counts_and_what_runs(study):
    study, rows = study
    with attempt(study, rows[2]["trial_id"], device="cpu", cpus=1, gpus=0):
        now = status(study)
    assert (now.planned, now.finished, now.failed) == (5, 1, 1)
    assert [(arm, fold, replicate) for arm, fold, replicate, _, _ in now.running] == [("full", 1, 2)]
    assert describe(now)[0] == "1 of 5 trials finished, 1 running, 1 failed, 2 waiting"
    assert "the command that began the study continues it" in describe(status(study))[-1]


def test_a_dead_attempt_does_not_run(study, monkeypatch):
    study, rows = study
    with attempt(study, rows[2]["trial_id"], device="cpu", cpus=1, gpus=0):
        (path,) = (study.folder / "attempts").iterdir()
        old = time.time() - 2 * attempts.LOST_SECONDS
        os.utime(path, (old, old))
        now = status(study)
    assert now.running == ()
    assert now.attempts["lost"] == 1


def test_a_failed_trial_that_is_tried_again_runs(study):
    study, rows = study
    with attempt(study, rows[1]["trial_id"], device="cpu", cpus=1, gpus=0):
        assert describe(status(study))[0] == "1 of 5 trials finished, 1 running, 0 failed, 3 waiting"
    assert status(study).failed == 1


def test_a_folder_without_a_plan(tmp_path):
    with pytest.raises(StudyError, match="no run has begun"):
        status(Study(tmp_path))


def test_a_search_is_counted_against_its_budget(study):
    study, _ = study
    plan = study.read_plan()
    search = {"goal": {"objective": "accuracy", "cost": None}, "trials": 4, "top": 1}
    study.write_plan(plan | {"search": search, "searches": [{"arm": "full", "fold": 1, "recipe_params": "{}"}]})
    study.commit(trial_row("full", kind="search", stage="explore", trial_id="e" * 16, params="{}"), [], [])
    with attempt(study, "f" * 16, device="cpu", cpus=1, gpus=0):
        lines = describe(status(study))
    assert lines[:2] == ["search of full, fold 1: 1 of 4 trials explored", "1 trials of searches running"]
    study.write_plan(plan | {"searches": [{"arm": "full", "fold": 1, "recipe_params": "{}", "most": 2}]})
    assert describe(status(study))[0] == "search of full, fold 1: 1 of 2 trials explored", (
        "its space has no more points"
    )
    assert "the command that began the study continues it" in describe(status(study))[-1]
