"""Break things while a sweep runs, prove that they broke, and find the results of an undisturbed sweep."""

import os
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import replace

import pandas as pd
import pytest
import ray

from sweeper.audio import datasets
from sweeper.audio.fold_data import cut
from sweeper.audio.store import prepare
from sweeper.execution import sweep as sweep_module
from sweeper.execution import worker
from sweeper.execution.own_ray import TOKEN
from sweeper.execution.sweep import Machine, run_sweep
from sweeper.plan import build_plan
from sweeper.results.attempts import read_attempts
from sweeper.results.store import Study
from tests.studies import ARMS, PAPER, RECIPES

pytestmark = pytest.mark.chaos
TIMES = [
    "seconds",
    "evaluation_seconds",
    "finished",
    "node",
    "attempts",
    "device_seconds",
    "waste_device_seconds",
    "evidence",
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def in_cache(cache, monkeypatch):
    monkeypatch.setenv("SWEEPER_CACHE", str(cache))


def run(study, address=None, epochs=2, **options):
    """The plan's missing trials, as the command line runs them."""
    recipe = RECIPES["quick"]()
    recipe = replace(recipe, training=replace(recipe.training, epochs=epochs))
    plan = build_plan(
        study="chaos",
        source=PAPER,
        arms=[ARMS["detail-only"], ARMS["semantic-only"]],
        recipe=recipe,
        dataset="demo",
        split="official",
        folds=(1,),
        classes=10,
        replicates=3,
    )
    study.create()
    store = prepare(datasets.load("demo", None), 8000, progress=False)
    missing = [trial for trial in plan.trials if not study.is_finished(trial.trial_id)]
    return run_sweep(missing, cut(store, "official", (1,)), study, store, Machine(address=address, **options))


def rows(study):
    return study.trials().to_pandas().drop(columns=TIMES)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, cache):
    os.environ["SWEEPER_CACHE"] = str(cache)
    study = Study(tmp_path_factory.mktemp("undisturbed") / "s")
    assert run(study) == ()
    assert len(study.finished()) == 6
    return rows(study)


def assert_same(study, undisturbed):
    pd.testing.assert_frame_equal(rows(study), undisturbed)


def test_killed_in_the_middle_of_a_commit(tmp_path, undisturbed, monkeypatch):
    study = Study(tmp_path / "s")
    marker = tmp_path / "killed"

    def dies_committing(config, sweep):
        original = os.link

        def link(source, target):
            if "/trials/" in str(target) and not marker.exists():
                marker.write_text(str(target))
                os.kill(os.getpid(), signal.SIGKILL)  # everything is written but the row's own name
            original(source, target)

        os.link = link
        try:
            worker.train_trial(config, sweep)
        finally:
            os.link = original

    monkeypatch.setattr(sweep_module, "train_trial", dies_committing)
    assert run(study) == ()
    assert "/trials/" in marker.read_text(), "no commit was interrupted"
    assert len(read_attempts(study)) == 7
    assert_same(study, undisturbed)


def test_a_node_dies_with_its_trials(tmp_path, undisturbed, monkeypatch):
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # Ray keeps the first one that a process has
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    study = Study(tmp_path / "s")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        cluster.wait_for_nodes()
        killed = []

        def kill():
            deadline = time.monotonic() + 120
            while len(study.finished()) < 1 and time.monotonic() < deadline:
                time.sleep(0.02)
            victim = nodes[0].all_processes["raylet"][0].process
            victim.kill()
            killed.append(len(study.finished()))

        thread = threading.Thread(target=kill)
        thread.start()
        failures = run(study, address=cluster.address)
        thread.join()
        assert killed
        assert killed[0] < 6, "it came too late"
        assert failures == ()
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert_same(study, undisturbed)


def test_the_clip_store_is_deleted_while_trials_run(tmp_path, undisturbed, cache):
    study = Study(tmp_path / "s")
    deleted = []

    def delete():
        deadline = time.monotonic() + 120
        while len(study.finished()) < 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        shutil.rmtree(cache / "clips")
        deleted.append(len(study.finished()))

    thread = threading.Thread(target=delete)
    thread.start()
    assert run(study) == ()
    thread.join()
    assert deleted
    assert deleted[0] < 6, "it came too late"
    assert_same(study, undisturbed)


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system can only be mounted by root")
def test_the_disk_is_full_and_then_it_is_not(tmp_path, undisturbed):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        study = Study(disk / "s")
        failures = run(study, max_failures=0)
        assert failures, "the disk was large enough"
        assert all("No space left" in failure.error or "os error 28" in failure.error for failure in failures)
        kept = study.finished()
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert run(study) == ()
        assert kept < study.finished()
        assert_same(study, undisturbed)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
