"""Trials on two workers each, in a cluster of four CPUs that outlives them: what they leave behind is seen in it."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import ray
import torch
from ray import tune

from sweeper.audio.fold_data import FoldData
from sweeper.augmentation_config import AugmentationConfig
from sweeper.execution import multi_worker, sweep, train_run
from sweeper.execution.worker import FoldClips, SweepContext, tune_config
from sweeper.model.config import SIZES
from sweeper.plan import PlanError, build_plan
from sweeper.results.attempts import read_attempts
from sweeper.results.store import Study
from sweeper.study import Recipe
from sweeper.training.trial import run_trial
from sweeper.training_config import DistillationConfig, TrainingConfig
from tests.execution.conftest import interrupt_twice
from tests.studies import ARMS, PAPER
from tests.training.conftest import CLASSES, RATE, SECONDS, make_clips

ROOT = Path(__file__).resolve().parents[2]
TRAIN, TEST = make_clips(20, seed=4), make_clips(11, seed=1)


def plan(epochs, arms=("full", "garm", "semantic-only")):
    """A learning rate so low that rounding does not grow, see tests/training/test_distributed.py."""
    training = TrainingConfig(
        epochs=epochs,
        batch_size=9,
        max_lr=1e-4,
        distillation=DistillationConfig(),
        augmentation=AugmentationConfig.signal_only(),
    )
    return build_plan(
        study="test",
        source=PAPER,
        arms=[ARMS[arm] for arm in arms],
        recipe=Recipe("test", network=SIZES["tiny"], training=training, sample_rate=RATE, seconds=SECONDS),
        dataset="tones",
        split="official",
        folds=(1,),
        classes=CLASSES,
        replicates=1,
    ).trials


def command(folder, address, epochs):
    """What a driver runs: a sweep of three trials on two workers each, in a cluster that is there already."""
    study = Study(Path(folder))
    study.create()
    store = SimpleNamespace(dataset=SimpleNamespace(classes=("a", "b", "c"), synthetic=True), digest="tones")
    failures = sweep.run_sweep(
        plan(epochs), {1: FoldData((TRAIN,), (TEST,), "")}, study, store, sweep.Machine(workers=2, address=address)
    )
    assert not failures, failures


def start(folder, address, epochs):
    code = f"from tests.execution.test_multi_worker import command; command({str(folder)!r}, {address!r}, {epochs})"
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.fixture(scope="module")
def address():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        ray.init(
            address="local",
            num_cpus=4,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=folder,
        )
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()
    torch.set_num_threads(threads)


def parent(process):
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])


def processes():
    """Of this cluster: id and what Ray calls it."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if line.startswith("ray::") and parent(parent(path.name)) == os.getpid():
                found[int(path.name)] = line.split()[0].removeprefix("ray::")
        except OSError:
            continue
    return found


def left_over():
    """Placement groups, CPUs and processes of Train that are still there."""
    groups = [group["bundles"] for group in ray.util.placement_group_table().values() if group["state"] != "REMOVED"]
    cpus = ray.cluster_resources()["CPU"] - ray.available_resources().get("CPU", 0.0)
    names = ("RayTrainWorker", "TrainController", "PlacementGroupCleaner", "PreemptionWatcher", "SynchronizationActor")
    return groups, cpus, sorted(name for name in processes().values() if name.startswith(names))


def assert_nothing_is_left(seconds=20.0):
    deadline = time.monotonic() + seconds
    while left_over() != ([], 0.0, []) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left_over() == ([], 0.0, [])


@pytest.fixture(autouse=True)
def leaves_nothing(address):
    yield
    assert_nothing_is_left()


def wait_for(condition, driver):
    deadline = time.monotonic() + 120
    while not condition():
        assert driver.poll() is None, driver.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_trials_queue_survive_a_kill_and_commit_what_one_worker_commits(address, tmp_path):
    driver = start(tmp_path, address, 6)
    wait_for(lambda: list((tmp_path / "attempts").glob("*.parquet")), driver)
    # The worker that wrote it: another trial's may not have begun its attempt yet.
    victim = read_attempts(Study(tmp_path)).column("process")[0].as_py()
    assert processes()[victim].startswith("RayTrainWorker")
    os.kill(victim, signal.SIGKILL)
    output, _ = driver.communicate(timeout=240)
    assert driver.returncode == 0, output
    assert_nothing_is_left()
    rows = pd.read_parquet(tmp_path / "trials").set_index("trial_id")
    attempts = pd.read_parquet(tmp_path / "attempts")
    assert len(attempts) == 4, "three trials, one of them killed and tried again"
    assert (attempts.cpus == 2).all()
    assert not list((tmp_path / "checkpoints").iterdir())
    for spec in plan(6):
        alone, _ = run_trial(spec, [TRAIN], lambda: [TEST], device=torch.device("cpu"))
        row = rows.loc[spec.trial_id]
        # Where no ReLU is at its kink, as with these clips, rounding stays under 1e-5; see test_distributed.
        curve = pd.read_parquet(tmp_path / "curves" / f"{spec.trial_id}.parquet")
        losses = [point.loss for point in alone.curve]
        assert curve.loss.tolist() == pytest.approx(losses, rel=1e-4)
        assert row.train_loss == curve.loss.iloc[-1]
        assert row.accuracy == pytest.approx(alone.metrics.accuracy, abs=1 / len(TEST))
        predictions = pd.read_parquet(tmp_path / "predictions" / f"{spec.trial_id}.parquet")
        assert list(predictions.clip_id) == list(TEST.ids)
        np.testing.assert_allclose(np.stack(predictions.probabilities), alone.predictions.probabilities, atol=1e-3)


def test_an_interrupted_sweep_leaves_nothing(address, tmp_path):
    driver = start(tmp_path, address, 100_000)
    wait_for(lambda: list((tmp_path / "attempts").glob("*.parquet")), driver)
    assert left_over()[1] > 0
    output = interrupt_twice(driver, 60)
    assert driver.returncode == 0, output
    assert "Traceback" not in output
    assert_nothing_is_left()


def in_cluster():
    return SweepContext(
        study=None,
        folds={1: FoldClips((ray.put(TRAIN),), (ray.put(TEST),), "")},
        classes=("a", "b", "c"),
        synthetic=True,
        data_digest="tones",
        cpus=1,
        gpus=0.0,
        max_failures=0,
    )


def test_a_trial_that_tune_stops_frees_what_it_held(address, tmp_path):
    """While the sweep goes on: the actors of the other trials still live."""
    study = Study(tmp_path / "study")
    study.create()
    sweep = replace(in_cluster(), study=study)
    (trial,) = plan(100_000, ["full"])
    with multi_worker.trainable(sweep, 2, 0, trial.training.batch_size, 1) as (trainable, at_once):
        assert at_once == 2
        tuner = tune.Tuner(
            trainable,
            param_space=tune_config(trial),
            tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=at_once),
            run_config=tune.RunConfig(storage_path=str(tmp_path / "tune"), verbose=0, stop={"epoch": 3}),
        )
        (result,) = tuner.fit()
        assert result.metrics["epoch"] >= 3
        assert_nothing_is_left()
        assert "TrainRun" in processes().values()
    assert not study.finished()


def lives(process):
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes() != b""  # of one that has ended, if nobody has asked for it
    except OSError:
        return False


def work(config):
    """A train loop: its process, and the number of one that it starts, which calls itself a controller and stays."""
    if config["fails"]:
        raise ValueError(os.getpid())
    stray = "setsid bash -c 'exec -a ray::TrainController sleep 1000' >&- & echo $!"
    return os.getpid(), int(subprocess.check_output(["bash", "-c", stray]))


def talk(config):
    """A train loop that tells its client many things in a row."""
    for number in range(100):
        config["run"].report({"number": number})


def outcome(run, token):
    while not (news := ray.get(run.news.remote(token))).ended:
        pass
    return news


def assert_no_end_overtakes_a_report(run):
    for _ in range(20):
        token, numbers, ended = ray.get(run.start.remote(train_run.Work("a", talk, {}, 1, {"CPU": 1.0}))), [], False
        while not ended:
            news = ray.get(run.news.remote(token))
            numbers += [report["number"] for report in news.reports]
            ended = news.ended
        assert sorted(numbers) == list(range(100))


def test_a_run_serves_many_trials_hears_all_they_tell_and_leaves_nothing(address):
    """In one test, as a run takes ten seconds of two cores to start."""
    run = train_run.create(0)
    assert_no_end_overtakes_a_report(run)

    def start(fails=False):
        return ray.get(run.start.remote(train_run.Work("a", work, {"fails": fails}, 1, {"CPU": 1.0})))

    first = start()
    assert first
    assert start() == "", "one at a time"
    process, stray = outcome(run, first).value
    again, other = outcome(run, start()).value
    assert again == process, "a new one would have imported everything again"
    failed = outcome(run, start(fails=True))
    assert failed.error.args == (process,)
    while not (token := start()):
        time.sleep(0.1)
    anew, third = outcome(run, token).value
    assert anew != process, "the other workers of one that failed may wait for it for ever"
    assert left_over()[0] != []
    deadline, helpers = time.monotonic() + train_run.IDLE_SECONDS + 15, set()
    while left_over()[0] != []:
        assert time.monotonic() < deadline, "what nobody works with is given back"
        helpers |= {name.partition(".")[0] for name in processes().values()}
        time.sleep(0.2)
    assert "PlacementGroupCleaner" in helpers and "PreemptionWatcher" not in helpers
    # As controllers that hang in their exit, of which Ray knows no more.
    assert all(map(lives, (stray, other, third)))
    assert ray.get(run.close.remote(20.0))
    deadline = time.monotonic() + 5  # as the system ends them
    while any(map(lives, (stray, other, third))):
        assert time.monotonic() < deadline
    assert start() == "", "nothing begins that nobody would end"
    ray.kill(run)


def test_a_run_that_waits_for_a_node_is_closed_at_once(address):
    run = train_run.create(0)
    assert ray.get(run.start.remote(train_run.Work("a", work, {"fails": False}, 1, {"CPU": 100.0})))
    deadline = time.monotonic() + 60
    while not left_over()[0]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert ray.get(run.close.remote(10.0))
    assert_nothing_is_left(2.0)
    ray.kill(run)


@pytest.mark.parametrize(
    ("workers", "cpus", "gpus", "message"),
    [
        (5, 1, 0.0, "--workers-per-trial 5: there is room for 4; each holds 1 CPUs"),
        (3, 2, 0.0, "--workers-per-trial 3: there is room for 2; each holds 2 CPUs"),
        (2, 1, 1.0, "--workers-per-trial 2: there is room for 0; each holds 1 CPUs, 1 GPUs"),
        (2, 1, 0.5, "--gpus-per-trial 0.5: with --workers-per-trial 2, each needs whole GPUs"),
        (10, 1, 0.0, "--workers-per-trial 10: a batch has 9 clips"),
    ],
)
def test_more_workers_than_there_is_room_for_are_refused(address, workers, cpus, gpus, message):
    sweep = replace(in_cluster(), cpus=cpus, gpus=gpus)
    with pytest.raises(PlanError, match=message), multi_worker.trainable(sweep, workers, 0, 9, 1):
        pass
