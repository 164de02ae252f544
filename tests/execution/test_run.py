"""The main job, end to end, as a user runs it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from sweeper.results.attempts import read_attempts
from sweeper.results.store import Study
from tests.execution.conftest import Command

STUDY = "ablations-demo-quick-1epochs"
SMALL = ("run", "ablations", "--epochs", "1", "--seeds", "3", "--arm", "full", "garm", "semantic-only")
TRIALS = 9
# What legitimately differs between two runs of one plan.
TIMES = ["seconds", "evaluation_seconds", "finished", "attempts", "device_seconds", "waste_device_seconds", "evidence"]


def leaderboard(sweeper, study=STUDY):
    return pd.read_parquet(sweeper.folder / "results" / study / "leaderboard.parquet")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, shared_cache):
    """Folder and output of a run that nothing disturbed, and TensorBoard watched."""
    sweeper = Command(tmp_path_factory.mktemp("undisturbed"), shared_cache)
    yield sweeper, sweeper(*SMALL, "--log", "tensorboard")
    shutil.rmtree(sweeper.ray_folder, ignore_errors=True)


def test_a_run_ends_in_tables_and_a_row_per_trial(undisturbed):
    sweeper, output = undisturbed
    assert "3 arms × 1 fold × 3 seeds = 9 trials" in output
    assert "synthetic" in output
    assert "Table 6" in output
    assert "90.91" not in output and "nothing was published for these arms on demo" in output
    assert "[9/9]" in output
    rows = leaderboard(sweeper)
    assert len(rows) == TRIALS
    assert set(rows.arm) == {"full", "garm", "semantic-only"}
    assert rows.synthetic.all()
    for name in ("accuracy", "precision", "recall", "f1"):
        assert rows[name].between(0, 1).all()
        assert rows[f"{name}_ema"].between(0, 1).all()
    for name in ("parameters", "gflops_per_clip", "seconds", "train_clips", "test_clips"):
        assert (rows[name] > 0).all()
    assert rows.groupby("replicate").seed.nunique().eq(1).all()
    assert rows.seed.nunique() == 3
    assert rows.data_digest.nunique() == 1
    assert (rows.torch_version.str.startswith("2.11")).all()
    summary = pd.read_parquet(sweeper.folder / "results" / STUDY / "summary.parquet")
    assert list(summary.arm) == ["semantic-only", "garm", "full"]
    sweeper.wait_until_ray_is_gone(60)


def test_predictions_agree_with_the_scores(undisturbed):
    sweeper, _ = undisturbed
    folder = sweeper.folder / "results" / STUDY
    for row in leaderboard(sweeper).itertuples():
        predictions = pd.read_parquet(folder / "predictions" / f"{row.trial_id}.parquet")
        assert len(predictions) == row.test_clips
        hits = [p.argmax() == t for p, t in zip(predictions.probabilities, predictions.target, strict=True)]
        assert sum(hits) / len(hits) == pytest.approx(row.accuracy)
        curve = pd.read_parquet(folder / "curves" / f"{row.trial_id}.parquet")
        assert len(curve) == row.epochs == 1
        assert (folder / "weights" / f"{row.trial_id}.safetensors").exists()
    assert list((folder / "checkpoints").iterdir()) == []


def test_tensorboard_files_are_kept_per_trial(undisturbed):
    sweeper, _ = undisturbed
    folder = sweeper.folder / "results" / STUDY / "logs" / "tensorboard"
    assert {path.name for path in folder.iterdir()} == sweeper.finished(STUDY)
    for trial in folder.iterdir():
        (events,) = trial.iterdir()
        content = events.read_bytes()
        assert b"ray/tune/loss" in content
        assert b"ray/tune/accuracy" in content


def test_the_same_command_again_trains_nothing(undisturbed):
    sweeper, _ = undisturbed
    before = {path: path.stat().st_mtime_ns for path in (sweeper.folder / "results").rglob("trials/*")}
    began = time.monotonic()
    output = sweeper(*SMALL)
    assert "No training was done" in output
    assert "Table 6" in output
    assert {path: path.stat().st_mtime_ns for path in (sweeper.folder / "results").rglob("trials/*")} == before
    assert time.monotonic() - began < 30


def test_leaderboard_takes_a_name_or_a_folder(undisturbed):
    sweeper, _ = undisturbed
    by_name = sweeper("leaderboard", STUDY)
    by_folder = sweeper("leaderboard", f"results/{STUDY}")
    assert by_name == by_folder
    assert "semantic-only" in by_name
    assert STUDY in sweeper("leaderboard", "nosuch", code=2)


def test_dry_run_prints_the_plan_and_does_nothing(sweeper):
    output = sweeper("run", "ablations", "--dry-run")
    assert "12 arms × 1 fold × 2 seeds = 24 trials" in output
    assert "by simulation of 12 arms × 1 fold × 2 seeds, on this split" in output
    assert "expected cost" in output
    assert not (sweeper.folder / "results").exists()


def same_results(sweeper, undisturbed):
    expected = leaderboard(undisturbed[0]).drop(columns=TIMES)
    pd.testing.assert_frame_equal(leaderboard(sweeper).drop(columns=TIMES), expected)


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_continues(sweeper, undisturbed):
    code, output = sweeper.stop_after(2, STUDY, [signal.SIGINT], *SMALL)
    assert code == 130, output
    assert "starting no other" in output
    assert "The same command continues" in output
    assert "Traceback" not in output
    kept = sweeper.finished(STUDY)
    assert 2 <= len(kept) < TRIALS
    outcomes = set(read_attempts(Study(sweeper.folder / "results" / STUDY)).column("outcome").to_pylist())
    assert outcomes == {"complete"}, "running trials were allowed to finish"
    sweeper.wait_until_ray_is_gone(60)
    assert f"{len(kept)} of them already committed" in sweeper(*SMALL)
    same_results(sweeper, undisturbed)


def test_a_process_that_has_imported_ray_before_sweeps_twice(sweeper):
    """As in a notebook: Ray has read its environment then, and would look for this machine's own at another address."""
    code = """
import ray
import sweeper
for seeds in (1, 2):
    found = sweeper.run_ablations(arms=["semantic-only"], seeds=seeds, epochs=1, say=lambda line: None)
    print(len(found.trials), ray.is_initialized())
"""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=sweeper.folder,
        env={name: value for name, value in sweeper.environment.items() if name != "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert re.findall("^. False$", ran.stdout, re.MULTILINE) == ["1 False", "2 False"]


def test_ctrl_c_twice_stops_at_once(sweeper):
    long = ("run", "ablations", "--epochs", "500", "--arm", "full", "--seeds", "2")
    study = "ablations-demo-quick-500epochs"
    process = sweeper.start(*long)
    deadline = time.monotonic() + 120
    while not list((sweeper.folder / "results" / study).glob("attempts/*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "stopping now" in output
    assert "Interrupted with 2 of 2 trials to go" in output
    assert "Traceback" not in output
    sweeper.wait_until_ray_is_gone(60)


def test_kill_9_of_the_driver_loses_no_finished_trial(sweeper, undisturbed):
    code, _ = sweeper.stop_after(2, STUDY, [signal.SIGKILL], *SMALL)
    assert code == -signal.SIGKILL
    sweeper.wait_until_ray_is_gone(30)
    kept = sweeper.finished(STUDY)
    assert 2 <= len(kept) < TRIALS
    assert f"{len(kept)} of them already committed" in sweeper(*SMALL)
    same_results(sweeper, undisturbed)
    sweeper.wait_until_ray_is_gone(30)


@pytest.mark.chaos
def test_kill_9_of_a_worker_is_retried(sweeper, undisturbed):
    process = sweeper.start(*SMALL)
    killed = None
    deadline = time.monotonic() + 200
    while killed is None and time.monotonic() < deadline:
        for worker, name in sweeper.ray_processes().items():
            if name.startswith("ray::") and "train" in name and len(sweeper.finished(STUDY)) >= 1:
                killed = worker
                os.kill(killed, signal.SIGKILL)
                break
        time.sleep(0.02)
    output, _ = process.communicate(timeout=300)
    assert killed is not None
    assert process.returncode == 0, output
    same_results(sweeper, undisturbed)


def test_other_training_in_the_same_study_is_refused(undisturbed):
    sweeper, _ = undisturbed
    output = sweeper("run", "ablations", "--epochs", "2", "--arm", "full", "--study", STUDY, code=2)
    assert "training.epochs: 1 → 2" in output
    assert "--study" in output


def test_more_than_the_machine_has_is_refused(sweeper):
    output = sweeper("run", "ablations", "--arm", "full", "--gpus-per-trial", "64000", code=2)
    (line,) = [line for line in output.splitlines() if line.startswith("sweeper: error: ")]
    assert "--gpus-per-trial 64000: this machine has" in line
    assert "Traceback" not in output
    sweeper.wait_until_ray_is_gone(60)
