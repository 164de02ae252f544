"""Trials that would not fit are refused before they start."""

import pytest

from search_spaces.ablations import ARMS
from search_spaces.recipes import RECIPES
from sweeper.execution import cluster, memory
from sweeper.execution.cluster import TrialResources
from sweeper.execution.memory import memory_per_trial
from sweeper.plan import PlanError, build_plan


def trials(recipe):
    return build_plan(
        study="s",
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

    def remote(self, _function):
        return self

    def options(self, **resources):
        self.asked = resources
        return type("Task", (), {"remote": lambda _self, spec: spec})()

    def get(self, spec):
        self.asked["arm"] = spec.arm
        return self._gpu


CPU = TrialResources(1, 0.0)


def test_the_papers_size_needs_more_than_a_laptop_has(monkeypatch):
    monkeypatch.setattr(cluster, "ray", Ray(memory=8e9))
    assert 0.6e9 < memory_per_trial(trials("quick"), CPU) < 1.5e9
    with pytest.raises(PlanError, match=r"a trial of full needs about \d+\.\d GB of memory and Ray has 8\.0 GB"):
        memory_per_trial(trials("paper"), CPU)


def test_a_share_of_a_gpu_must_hold_a_trial(monkeypatch):
    ray = Ray(gpu=(7e9, 24e9))
    monkeypatch.setattr(memory, "ray", ray)
    assert memory_per_trial(trials("quick"), TrialResources(1, 0.5)) == 0
    assert ray.asked == {"num_gpus": 0.5, "num_cpus": 0, "arm": "full"}
    with pytest.raises(PlanError, match=r"--gpus-per-trial 0\.25: a trial of full needs 7\.0 GB .* is 6\.0 GB"):
        memory_per_trial(trials("quick"), TrialResources(1, 0.25))
