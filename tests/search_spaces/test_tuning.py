"""The search space: every point is a valid recipe for every arm, and the recipe itself is one of them."""

from dataclasses import asdict, replace

import optuna
import pytest
import torch

from sweeper.audio.augmentation import augment
from sweeper.search_plan import plan_searches
from sweeper.search_spaces.ablations import ARMS
from sweeper.search_spaces.config import EMAConfig, TrainingConfig
from sweeper.search_spaces.recipes import RECIPES
from sweeper.search_spaces.tuning import Chosen, Turns, fixed_fields, flat_fields, recipe_values, searched_fields, tuned

TURNS = (Turns(ema=True), Turns(ema=False), Turns(ema=True, epochs=True))


def random_trials(count):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [study.ask() for _ in range(count)]


@pytest.mark.parametrize("turns", TURNS, ids=str)
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_recipe_is_a_point_of_the_space(recipe, turns):
    base = RECIPES[recipe]().training
    values = recipe_values(base, turns)
    assert tuned(Chosen(values), base, turns) == base
    assert ("ema_forgetting" in values) == turns.ema
    assert ("epochs" in values) == turns.epochs


@pytest.mark.parametrize("epochs", [1, 2, 7])
@pytest.mark.parametrize("recipe", RECIPES)
def test_other_epochs_than_the_recipes_are_no_obstacle(recipe, epochs):
    base = replace(RECIPES[recipe]().training, epochs=epochs)
    for turns in TURNS:
        assert tuned(Chosen(recipe_values(base, turns)), base, turns) == base


def test_what_was_chosen_gives_the_same_training_again():
    base = RECIPES["paper"]().training
    for trial in random_trials(50):
        training = tuned(trial, base, TURNS[2])
        assert tuned(Chosen(trial.params), base, TURNS[2]) == training
        assert 0.9 <= training.ema.decay < 1
        assert 188 <= training.epochs <= 1500


def test_every_point_augments():
    waveforms, one_hot = torch.randn(4, 1, 4000), torch.eye(4)
    for trial in random_trials(60):
        training = tuned(trial, RECIPES["small"]().training, TURNS[0])
        result = augment(waveforms, one_hot, training.augmentation, sample_rate=8000, seed=0, step=0, epoch=99)
        assert result.waveforms.shape == waveforms.shape
        assert torch.isfinite(result.waveforms).all()


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_arm_can_be_searched(recipe):
    """Arms of one branch have no self-distillation to be tuned under, and no heads."""
    searches = plan_searches(
        study="s", arms=list(ARMS.values()), recipe=RECIPES[recipe](), dataset="demo", split="official", folds=(1, 2),
        classes=10, turns=TURNS[0],
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
        tuned(trial, RECIPES["small"]().training, TURNS[0])
        assert ("noise_snr_db" in trial.params) == trial.params["noise"]
        assert ("mixing_kind" in trial.params) == trial.params["mixing"]
        assert ("resampling_probability" in trial.params) == trial.params["resampling"]


@pytest.mark.parametrize("turns", TURNS, ids=str)
def test_every_field_is_either_searched_or_fixed(turns):
    base = RECIPES["paper"]().training
    fixed = fixed_fields(base, turns)
    changed = set()
    for trial in random_trials(200):
        found = flat_fields(tuned(trial, base, turns))
        assert {name: found[name] for name in fixed} == fixed
        changed |= {name for name, value in found.items() if value != flat_fields(base)[name]}
    assert changed | fixed.keys() == flat_fields(base).keys()
    assert not changed & fixed.keys()
    searched = {field.name: field for field in searched_fields(base, turns)}
    assert searched["learning_rate"].recipe == 3e-4
    assert ("ema.decay" in fixed) != turns.ema


def test_a_recipe_outside_of_the_space_is_told():
    with pytest.raises(ValueError, match=r"learning_rate 0\.5 lies outside of the searched range"):
        recipe_values(TrainingConfig(max_lr=0.5), TURNS[0])
    sound = TrainingConfig().augmentation
    uneven = replace(sound, signal=replace(sound.signal, gain_probability=0.25))
    with pytest.raises(ValueError, match="no point for this recipe"):
        recipe_values(TrainingConfig(augmentation=uneven), TURNS[0])


def test_the_decay_keeps_the_recipes_unit():
    base = TrainingConfig(ema=EMAConfig(decay=0.9, unit="epoch"))
    assert asdict(tuned(Chosen(recipe_values(base, TURNS[0])), base, TURNS[0]).ema)["unit"] == "epoch"
