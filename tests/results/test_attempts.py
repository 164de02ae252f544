"""Every attempt is a row, also those that could not say how they ended."""

import datetime
import os
import signal
import subprocess
import sys
import time

import pytest

from sweeper.results import attempts
from sweeper.results.attempts import Cost, attempt, cost_of_running, costs, read_attempts
from sweeper.results.store import Study

HELD = {"device": "cpu", "cpus": 2.0, "gpus": 0.0}


@pytest.fixture
def study(tmp_path):
    study = Study(tmp_path / "s")
    study.create()
    return study


def test_outcomes(study):
    with attempt(study, "a", **HELD):
        assert read_attempts(study).column("outcome").to_pylist() == ["running"]
    with pytest.raises(ValueError, match="boom"), attempt(study, "a", **HELD):
        raise ValueError("boom")
    with attempt(study, "b", **HELD) as running:
        running.outcome = "failed: recorded"
    rows = read_attempts(study).to_pylist()
    assert [(row["trial_id"], row["outcome"]) for row in rows] == [
        ("a", "complete"),
        ("a", "failed: ValueError: boom"),
        ("b", "failed: recorded"),
    ]
    assert all(row["started"] <= row["ended"] for row in rows)


def test_a_killed_attempt_ends_at_its_last_heartbeat(study, monkeypatch):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from sweeper.results import attempts; from sweeper.results.store import Study\n"
        "attempts.HEARTBEAT_SECONDS = 0.05\n"
        "with attempts.attempt(Study(Path(sys.argv[1])), 'a', device='cpu', cpus=2.0, gpus=0.0):\n"
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
    cost = costs(study)["a"]
    assert cost.attempts == 1
    assert cost.waste_device_seconds == cost.device_seconds == pytest.approx(2 * held)


def test_waste_is_what_did_not_complete(study, monkeypatch):
    times = iter(datetime.datetime(2026, 1, 1, 0, 0, second, tzinfo=datetime.UTC) for second in (0, 10, 20, 24, 25, 26))

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return next(times)

    monkeypatch.setattr(attempts.datetime, "datetime", Clock)
    with pytest.raises(RuntimeError), attempt(study, "a", **HELD):
        raise RuntimeError
    with attempt(study, "a", **HELD):
        committed = cost_of_running(study, "a", complete=True)
    assert committed == Cost(2, 2 * 15.0, 2 * 10.0)
    monkeypatch.undo()
    assert costs(study)["a"] == Cost(2, 2 * 16.0, 2 * 10.0)
