"""Every attempt is a row, also those that could not say how they ended."""

import datetime
import itertools
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from sweeper.results import attempts, schema
from sweeper.results.attempts import Cost, attempt, cost_of_running, costs, end_dead, read_attempts
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.tools.status import describe, status

HELD = {"device": "cpu", "cpus": 2.0, "gpus": 0.0}
A, B = "a" * 16, "b" * 16


@pytest.fixture
def study(tmp_path):
    study = Study(tmp_path / "s")
    study.create()
    return study


def test_outcomes(study):
    with attempt(study, A, **HELD):
        assert read_attempts(study).column("outcome").to_pylist() == ["running"]
    with pytest.raises(ValueError, match="boom"), attempt(study, A, **HELD):
        raise ValueError("boom")
    with attempt(study, B, **HELD) as running:
        running.outcome = "failed: recorded"
    rows = read_attempts(study).to_pylist()
    assert [(row["trial_id"], row["outcome"]) for row in rows] == [
        (A, "complete"),
        (A, "failed: ValueError: boom"),
        (B, "failed: recorded"),
    ]
    assert all(row["started"] <= row["ended"] for row in rows)


def test_a_killed_attempt_ends_at_its_last_heartbeat(study, monkeypatch):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from sweeper.results import attempts; from sweeper.results.store import Study\n"
        "attempts.HEARTBEAT_SECONDS = 0.05\n"
        f"with attempts.attempt(Study(Path(sys.argv[1])), '{A}', device='cpu', cpus=2.0, gpus=0.0):\n"
        "    print('running', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(study.folder)], stdout=subprocess.PIPE)
    process.stdout.readline()
    time.sleep(0.6)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    monkeypatch.setattr(attempts, "LOST_SECONDS", 0.5)
    time.sleep(0.7)
    (row,) = read_attempts(study).to_pylist()
    assert row["outcome"] == "lost"
    held = (row["ended"] - row["started"]).total_seconds()
    assert 0.4 < held < 5
    cost = costs(study)[A]
    assert cost.attempts == 1
    assert cost.waste_device_seconds == cost.device_seconds == pytest.approx(2 * held)


def test_attempts_of_a_process_that_is_gone_end_with_it(study):
    mine, other = "abcdef", "fedcba"
    with attempt(study, A, **HELD, run=mine):
        pass
    with attempt(study, A, **HELD, run=mine), attempt(study, A, **HELD, run=other), attempt(study, B, **HELD, run=mine):
        time.sleep(0.1)
        assert [row["outcome"] for row in end_dead(study, A, mine)] == ["complete", "lost"]
        found = {(row["trial_id"], row["attempt_id"][:6]): row for row in read_attempts(study).to_pylist()}
        assert found[A, other]["outcome"] == found[B, mine]["outcome"] == "running"
        lost = found[A, mine]
        assert lost["outcome"] == "lost"
        assert 0.1 <= (lost["ended"] - lost["started"]).total_seconds() < attempts.HEARTBEAT_SECONDS
        end_dead(study, A, mine)
        assert lost in read_attempts(study).to_pylist(), "it ends once"


def test_a_death_that_is_noticed_late_was_before_the_next_heartbeat(study, monkeypatch):
    with attempt(study, A, **HELD, run="abcdef"):
        monkeypatch.setattr(attempts, "HEARTBEAT_SECONDS", 0.05)
        time.sleep(0.2)
        (row,) = end_dead(study, A, "abcdef")
        assert (row["ended"] - row["started"]).total_seconds() <= 0.1


def test_waste_is_what_did_not_complete(study, monkeypatch):
    times = iter((0, 10, 20, 25, 26))
    monkeypatch.setattr(attempts, "time", SimpleNamespace(monotonic=lambda: next(times)))
    with pytest.raises(RuntimeError), attempt(study, A, **HELD):
        raise RuntimeError
    with attempt(study, A, **HELD) as running:
        committed = cost_of_running(study, A, complete=True, running=running)
    assert committed == Cost(2, 2 * 15.0, 2 * 10.0)
    monkeypatch.undo()
    assert costs(study)[A] == Cost(2, 2 * 16.0, 2 * 10.0)


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_clock_that_is_set_changes_no_cost(study, monkeypatch, hours):
    started = datetime.datetime.now(datetime.UTC)
    moments = itertools.chain([started], itertools.repeat(started + datetime.timedelta(hours=hours)))

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return next(moments)

    with monkeypatch.context() as patch:
        patch.setattr(attempts.datetime, "datetime", Clock)
        with attempt(study, A, **HELD) as running:
            committed = cost_of_running(study, A, complete=True, running=running)
    for cost in (committed, costs(study)[A]):
        assert 0 <= cost.device_seconds < 60
        assert cost.waste_device_seconds == 0


def test_an_attempt_of_an_older_version_that_ended_before_it_began_costs_nothing(study):
    with attempt(study, A, **HELD):
        pass
    (name,) = study.attempts.single()
    row = study.attempts.read_single([name]).to_pylist()[0]
    early = row["started"] - datetime.timedelta(hours=5)
    study.write_table(study.attempts.path(name), [row | {"ended": early}], schema.ATTEMPT)
    assert costs(study)[A] == Cost(1, 0.0, 0.0)
    assert cost_of_running(study, A, complete=False) == Cost(1, 0.0, 0.0)
    study.write_plan({"design": {}, "trials": []})
    assert describe(status(study))[-1] == "attempts: 1 complete; 0 device-seconds held"


def test_records_that_cannot_be_read_do_not_keep_a_trial_from_ending(study):
    with attempt(study, A, **HELD):
        pass
    (path,) = (study.folder / "attempts").iterdir()
    path.write_bytes(b"PAR1")
    with attempt(study, A, **HELD) as running:
        assert cost_of_running(study, A, complete=True, running=running).attempts == 1
    with pytest.raises(StudyError, match=f"{path.name} is damaged"):
        costs(study)
