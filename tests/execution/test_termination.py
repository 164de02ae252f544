"""SIGTERM while trials run, and two commands on one study: by the real command line."""

import json
import os
import signal
import time

import pandas as pd
import safetensors

from sweeper.results.attempts import read_attempts
from sweeper.results.store import Study
from tests.execution.conftest import cpus

STUDY = "s"
LONG = ("run", "ablations", "--epochs", "500", "--arm", "full", "--seeds", "2", "--study", STUDY)
SHARED = ("run", "ablations", "--epochs", "4", "--arm", "full", "fusion-sum", "--seeds", "3", "--study", STUDY)


def wait_for(condition, process, seconds=200):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def progress_kept(folder):
    """Of each checkpoint: how many epochs are in it, and how many clips of the next."""
    found = []
    for path in (folder / "checkpoints").glob("*.safetensors"):
        with safetensors.safe_open(path, framework="np") as file:
            header = json.loads(file.metadata()["sweeper"])
            found.append((header["epoch"], header["position"]))
    return found


def test_sigterm_to_all_processes_keeps_the_state_and_leaves_nothing(sweeper, tidy):
    """As Slurm sends it: Ray's own processes hear it too."""
    sweeper.environment["TMPDIR"] = str(tidy)
    del sweeper.environment["RAY_TMPDIR"]
    sweeper.ray_folder.rmdir()
    sweeper.ray_folder = tidy  # where Ray's processes have their logs open
    process = sweeper.start(*LONG, "--grace", "3")
    folder = sweeper.folder / "results" / STUDY
    wait_for(lambda: len(list(folder.glob("attempts/*.parquet"))) == 2, process)
    time.sleep(4)
    begin = time.monotonic()
    for process_id in (process.pid, *sweeper.ray_processes()):
        os.kill(process_id, signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143, output
    assert time.monotonic() - begin > 3, "trials had their grace"
    assert "those that run have 3 s to finish" in output
    assert "Interrupted with 2 of 2 trials to go. The same command continues." in output
    assert "***" not in output, "no stack of C++"
    assert "Traceback" not in output
    assert sweeper.ray_processes() == {}
    assert read_attempts(Study(folder)).column("outcome").to_pylist() == ["stopped", "stopped"]
    kept = progress_kept(folder)
    assert len(kept) == 2
    assert min(kept) > (0, 0)
    assert not [path for path in (folder / "checkpoints").iterdir() if path.name.startswith(".")]


def test_two_commands_share_a_study_and_one_goes_on_when_the_other_is_terminated(sweeper):
    sweeper.environment |= cpus(1)
    first = sweeper.start(*SHARED, "--grace", "1")
    folder = sweeper.folder / "results" / STUDY
    wait_for(lambda: list(folder.glob("attempts/*.parquet")), first)
    second = sweeper.start(*SHARED)
    wait_for(lambda: len(sweeper.finished(STUDY)) >= 3, second)
    first.send_signal(signal.SIGTERM)
    output, _ = first.communicate(timeout=120)
    assert first.returncode in (0, 143), output
    output, _ = second.communicate(timeout=300)
    assert second.returncode == 0, output
    assert "another command" in output
    rows = pd.read_parquet(folder / "leaderboard.parquet")
    assert len(rows) == 6
    attempts = read_attempts(Study(folder)).to_pandas()
    complete = attempts[attempts.outcome == "complete"]
    assert complete.trial_id.is_unique, "no trial was trained twice"
    assert complete.attempt_id.str[:6].nunique() == 2, "both had their share"
