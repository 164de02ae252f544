"""What of the optimiser's settings runs, and that configuration, ids, plan and report say just that."""

from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

from sweeper.plan import PlanError, variant
from sweeper.report.facts import _betas
from sweeper.study import Arm
from sweeper.training.optimiser import optimiser, schedule
from sweeper.training.slabs import apart
from sweeper.training_config import TrainingConfig
from tests.studies import RECIPES, STUDY

STEPS = 40


def betas_of(config):
    """Both betas of every step's update."""
    network = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    adam = optimiser(apart(network), config)
    course = schedule(adam, config, STEPS)
    found = []
    for _ in range(STEPS):
        network(torch.ones(1, 2)).sum().backward()
        found.append(adam.param_groups[0]["betas"])
        adam.step()
        course.step()
    return [first for first, _ in found], {second for _, second in found}


@pytest.mark.parametrize(
    "config",
    [
        TrainingConfig(),
        TrainingConfig(momentum=(0.5, 0.9)),
        TrainingConfig(momentum=None),
        TrainingConfig(momentum=None, betas=(0.6, 0.999)),
        TrainingConfig(schedule="constant", betas=(0.6, 0.99)),
    ],
)
def test_the_first_beta_is_what_the_configuration_says(config):
    first, second = betas_of(config)
    assert second == {config.betas[1]}
    if len(config.first_beta) == 1:
        assert set(first) == set(config.first_beta) == {config.betas[0]}
    else:
        start, at_the_highest_rate, end = config.first_beta
        assert (first[0], min(first)) == (start, pytest.approx(at_the_highest_rate, abs=0.02))
        assert first[-1] == pytest.approx(end, abs=0.02)
        assert first.index(min(first)) == pytest.approx(config.pct_start * STEPS, abs=1)


def test_in_a_one_cycle_schedule_the_first_of_the_betas_has_no_effect():
    one, other = TrainingConfig(), TrainingConfig(betas=(0.5, 0.99))
    assert betas_of(one) == betas_of(other)
    assert one.effective() == other.effective() != TrainingConfig(betas=(0.9, 0.999)).effective()
    assert TrainingConfig(momentum=None).effective() != TrainingConfig(momentum=None, betas=(0.5, 0.99)).effective()


def test_what_later_versions_can_say_is_in_ids_only_where_it_changes_what_runs():
    before = asdict(TrainingConfig())
    for name in ("schedule", "momentum", "decay_all", "crops"):
        del before[name]
    assert TrainingConfig().decides() == before
    assert TrainingConfig(schedule="constant").decides() == before | {"schedule": "constant"}
    assert TrainingConfig(schedule="constant", momentum=None).decides() == before | {"schedule": "constant"}
    assert TrainingConfig(momentum=None).decides() == before | {"momentum": None}
    assert TrainingConfig(momentum=[0.8, 0.9]).decides() == before | {"momentum": (0.8, 0.9)}
    assert TrainingConfig(decay_all=True).decides() == before | {"decay_all": True}


@pytest.mark.parametrize("momentum", [(0.95, 0.85), (-0.1, 0.5), (0.5, 1.0)])
def test_a_cycle_goes_from_low_to_high(momentum):
    with pytest.raises(ValueError, match="expected a low and a high"):
        TrainingConfig(momentum=momentum)


def test_an_arm_that_switches_what_has_no_effect_is_refused():
    recipe = RECIPES["quick"]()
    with pytest.raises(PlanError, match=r"'b' switches \['betas'\], which changes nothing that runs: the one-cycle"):
        variant(STUDY, Arm("b", training={"betas": (0.5, 0.99)}), recipe, 10)
    for switches in ({"betas": (0.9, 0.999)}, {"momentum": None}, {"momentum": None, "betas": (0.5, 0.99)}):
        variant(STUDY, Arm("b", training=switches), recipe, 10)
    constant = replace(recipe, training=replace(recipe.training, schedule="constant"))
    variant(STUDY, Arm("b", training={"betas": (0.5, 0.99)}), constant, 10)
    with pytest.raises(PlanError, match="the constant schedule"):
        variant(STUDY, Arm("b", training={"pct_start": 0.5}), constant, 10)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (TrainingConfig(), "first 0.95 → 0.85 → 0.95 (the one-cycle schedule moves it), second 0.99"),
        (TrainingConfig(momentum=(0.5, 0.9)), "first 0.9 → 0.5 → 0.9 (the one-cycle schedule moves it), second 0.99"),
        (TrainingConfig(momentum=None), "first 0.9, second 0.99"),
        (TrainingConfig(schedule="constant"), "first 0.9, second 0.99"),
    ],
)
def test_a_report_says_what_ran_of_a_plan_of_any_version(config, said):
    training = {name: list(value) if name in ("betas", "momentum") and value else value
                for name, value in config.decides().items()}  # fmt: skip
    assert _betas({"design": {"training": training}}) == [said]
    assert _betas({}) == _betas({"design": {"training": {}}}) == []


def test_decay_is_on_weights_or_on_all():
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    for decay_all, expected in ((False, {2: 0.5, 1: 0.0}), (True, {2: 0.5, 1: 0.5})):
        groups = optimiser(apart(network), TrainingConfig(weight_decay=0.5, decay_all=decay_all)).param_groups
        found = {parameter.ndim: group["weight_decay"] for group in groups for parameter in group["params"]}
        assert found == expected
