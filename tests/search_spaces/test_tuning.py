"""The search space: every point is a valid recipe for every arm, and the recipe itself is one of them."""

from dataclasses import asdict, replace

import optuna
import pytest
import torch

from sweeper.audio.augmentation import augment
from sweeper.search.plan import plan_searches
from sweeper.search_spaces.tuning import SPACE
from sweeper.space import ScopedTrial, SearchScope, fixed_fields, recipe_values, searched_fields, tuned
from sweeper.switches import flat_fields
from sweeper.training_config import EMAConfig, TrainingConfig
from tests.studies import ARMS, PAPER, RECIPES

SCOPES = (SearchScope("accuracy_ema"), SearchScope("accuracy"), SearchScope("accuracy_ema", "gflops"))


def asked(trial, base, scope):
    return SPACE(ScopedTrial(trial, scope), base)


def random_trials(count):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [study.ask() for _ in range(count)]


@pytest.mark.parametrize("scope", SCOPES, ids=str)
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_recipe_is_a_point_of_the_space(recipe, scope):
    base = RECIPES[recipe]().training
    values = recipe_values(SPACE, scope, base)
    assert tuned(SPACE, scope, values, base) == base
    assert ("ema_forgetting" in values) == (scope.objective == "accuracy_ema")
    assert ("epochs" in values) == (scope.cost is not None)


@pytest.mark.parametrize("epochs", [1, 2, 7])
@pytest.mark.parametrize("recipe", RECIPES)
def test_other_epochs_than_the_recipes_are_no_obstacle(recipe, epochs):
    base = replace(RECIPES[recipe]().training, epochs=epochs)
    for scope in SCOPES:
        assert tuned(SPACE, scope, recipe_values(SPACE, scope, base), base) == base


def test_what_was_chosen_gives_the_same_training_again():
    base = RECIPES["paper"]().training
    for trial in random_trials(50):
        training = asked(trial, base, SCOPES[2])
        assert tuned(SPACE, SCOPES[2], trial.params, base) == training
        assert 0.9 <= training.ema.decay < 1
        assert 188 <= training.epochs <= 1500


def test_every_point_augments():
    waveforms, one_hot = torch.randn(4, 1, 4000), torch.eye(4)
    for trial in random_trials(60):
        training = asked(trial, RECIPES["small"]().training, SCOPES[0])
        result = augment(waveforms, one_hot, training.augmentation, sample_rate=8000, seed=0, step=0, epoch=99)
        assert result.waveforms.shape == waveforms.shape
        assert torch.isfinite(result.waveforms).all()


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_arm_can_be_searched(recipe):
    """Arms of one branch have no self-distillation to be tuned under, and no heads."""
    searches = plan_searches(
        study="s", source=PAPER, arms=list(ARMS.values()), recipe=RECIPES[recipe](), dataset="demo", split="official",
        folds=(1, 2), classes=10, scope=SCOPES[0],
    )  # fmt: skip
    assert len({search.name for search in searches}) == 24
    for search, trial in zip(searches, random_trials(24), strict=True):
        spec = search.make(trial)
        assert spec.selects
        assert spec.model.branch_heads == (
            spec.training.distillation is not None and spec.model.semantic and spec.model.detail
        )
        assert spec.training.distillation == RECIPES[recipe]().training.distillation


def test_a_value_that_is_switched_off_is_not_asked_for():
    for trial in random_trials(100):
        asked(trial, RECIPES["small"]().training, SCOPES[0])
        assert ("noise_snr_db" in trial.params) == trial.params["noise"]
        assert ("mixing_kind" in trial.params) == trial.params["mixing"]
        assert ("resampling_probability" in trial.params) == trial.params["resampling"]


@pytest.mark.parametrize("scope", SCOPES, ids=str)
def test_every_field_is_either_searched_or_fixed(scope):
    base = RECIPES["paper"]().training
    fixed = fixed_fields(SPACE, scope, base)
    changed = set()
    for trial in random_trials(200):
        found = flat_fields(asked(trial, base, scope))
        assert {name: found[name] for name in fixed} == fixed
        changed |= {name for name, value in found.items() if value != flat_fields(base)[name]}
    assert changed | fixed.keys() == flat_fields(base).keys()
    assert not changed & fixed.keys()
    searched = {field.name: field for field in searched_fields(SPACE, scope, base)}
    assert searched["learning_rate"].recipe == 3e-4
    assert ("ema.decay" in fixed) != (scope.objective == "accuracy_ema")


def test_a_recipe_outside_of_the_space_is_told():
    with pytest.raises(ValueError, match=r"learning_rate 0\.5 lies outside of the searched range"):
        recipe_values(SPACE, SCOPES[0], TrainingConfig(max_lr=0.5))
    sound = TrainingConfig().augmentation
    uneven = replace(sound, signal=replace(sound.signal, gain_probability=0.25))
    with pytest.raises(ValueError, match="no point for this recipe"):
        recipe_values(SPACE, SCOPES[0], TrainingConfig(augmentation=uneven))


def test_the_decay_keeps_the_recipes_unit():
    base = TrainingConfig(ema=EMAConfig(decay=0.9, unit="epoch"))
    assert asdict(tuned(SPACE, SCOPES[0], recipe_values(SPACE, SCOPES[0], base), base).ema)["unit"] == "epoch"
