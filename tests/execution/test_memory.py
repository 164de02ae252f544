"""Trials that would not fit are refused before they start."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import ray
import torch

from sweeper.execution import cluster, fits, memory
from sweeper.execution.cluster import TrialResources
from sweeper.execution.fits import largest
from sweeper.execution.memory import memory_per_trial
from sweeper.plan import PlanError, build_plan
from sweeper.results.store import Study
from tests.networks import Tiny
from tests.studies import ARMS, PAPER, RECIPES

STUDY = Study("results/unused")


def trials(recipe):
    return build_plan(
        study="s",
        source=PAPER,
        arms=[ARMS["full"], ARMS["detail-only"]],
        recipe=RECIPES[recipe](),
        dataset="demo",
        split="official",
        folds=(1,),
        classes=10,
        replicates=1,
    ).trials


class Ray:
    """As much of Ray as the guard asks."""

    def __init__(self, memory=0.0, gpu=(0, 0)):
        self._memory, self._gpu = memory, gpu
        self.asked = {}

    def nodes(self):
        head_without_trials, dead = {"memory": 1e15}, {"CPU": 4.0, "memory": 1e15}
        return [
            {"Alive": True, "Resources": {"CPU": 4.0, "memory": self._memory}},
            {"Alive": True, "Resources": head_without_trials},
            {"Alive": False, "Resources": dead},
        ]

    def remote(self, **resources):
        self.asked = resources
        task = type("Task", (), {"remote": lambda _self, spec, _study: spec})()
        return lambda _function: task

    def get(self, spec):
        self.asked["arm"] = spec.arm
        return self._gpu


CPU = TrialResources(1, 0.0)


def test_what_a_container_keeps_of_files_is_available(tmp_path):
    """Reading fills it to its limit, and the system gives that up for what processes need."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal:       65536000 kB\nMemAvailable:   31250000 kB\n")
    assert fits._available_memory(tmp_path) == 32e9
    group = tmp_path / "sys" / "fs" / "cgroup"
    (group / "memory").mkdir(parents=True)
    held = {"anon": 1e9, "file": 7e9, "inactive_file": 4e9, "active_file": 3e9}
    (group / "memory.max").write_text("8000000000\n")
    (group / "memory.current").write_text("7900000000\n")
    assert fits._available_memory(tmp_path) == 1e8, "as far as it tells"
    (group / "memory.stat").write_text("".join(f"{name} {size:.0f}\n" for name, size in held.items()))
    assert fits._available_memory(tmp_path) == 7.1e9
    (group / "memory.max").write_text("max\n")
    assert fits._available_memory(tmp_path) == 32e9
    version_1 = held | {f"total_{name}": size / 2 for name, size in held.items()}
    (group / "memory" / "memory.limit_in_bytes").write_text("4000000000\n")
    (group / "memory" / "memory.usage_in_bytes").write_text("4000000000\n")
    (group / "memory" / "memory.stat").write_text("".join(f"{name} {size:.0f}\n" for name, size in version_1.items()))
    assert fits._available_memory(tmp_path) == 3.5e9


def test_the_papers_size_needs_more_than_a_laptop_has(monkeypatch):
    monkeypatch.setattr(cluster, "ray", Ray(memory=8e9))
    assert 0.6e9 < memory_per_trial(trials("quick"), CPU, STUDY) < 1.5e9
    with pytest.raises(PlanError, match=r"a trial of full needs about \d+\.\d GB of memory and Ray has 8\.0 GB"):
        memory_per_trial(trials("paper"), CPU, STUDY)


def test_a_share_of_a_gpu_must_hold_a_trial(monkeypatch):
    asked_ray = Ray(gpu=(7e9, 24e9))
    monkeypatch.setattr(memory, "ray", asked_ray)
    assert memory_per_trial(trials("quick"), TrialResources(1, 0.5), STUDY) == 0
    assert asked_ray.asked == {"max_calls": 1, "num_gpus": 0.5, "num_cpus": 0, "arm": "full"}
    with pytest.raises(PlanError, match=r"--gpus-per-trial 0\.25: a trial of full needs 7\.0 GB .* is 6\.0 GB"):
        memory_per_trial(trials("quick"), TrialResources(1, 0.25), STUDY)


@pytest.fixture
def one_gpu():
    """A cluster that counts one GPU, whether it is there or not."""
    ray.init(address="local", num_cpus=1, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield TrialResources(1, 1.0)
    ray.shutdown()


def test_measuring_leaves_nothing_on_the_gpu(one_gpu, monkeypatch, tmp_path):
    note = tmp_path / "process"

    def on_gpu(_spec, _study):
        note.write_text(str(os.getpid()))
        return 1, 10

    monkeypatch.setattr(memory, "_on_gpu", on_gpu)
    assert memory_per_trial(trials("quick"), one_gpu, STUDY) == 0
    process = Path("/proc") / note.read_text()
    deadline = time.monotonic() + 30
    while process.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not process.exists(), "its process, and with it the memory that torch keeps, is there while trials run"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_torch_cannot_use_is_refused(one_gpu):
    with pytest.raises(PlanError, match=r"Ray counts a GPU that torch .* can't use; `sweeper doctor` there says why"):
        memory_per_trial(trials("quick"), one_gpu, STUDY)


def test_of_networks_without_a_count_each_is_estimated():
    clip = {"classes": 10, "sample_rate": 8000, "samples": 8000}
    (first, *_) = trials("quick")
    small, large, larger = (
        Tiny(body="gru", **clip),
        Tiny(body="orthogonal", **clip),
        Tiny(body="orthogonal", extra=True, **clip),
    )
    asked = [replace(first, model=network) for network in (first.model, small, large, large, larger)]
    assert [trial.model for trial in largest(asked)] == [first.model, large, larger]
    twice = replace(asked[1], training=replace(first.training, batch_size=10_000))
    assert largest([*asked[:2], twice]) == [twice], "a batch counts, too"
