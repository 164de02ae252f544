"""The searches of a study: which arm on which fold, and the trials of each of their stages.

A search never sees its fold's test clips: until its winner is named, it trains without the validation clips and is
scored on them. Its configurations share a seed, so that they differ in nothing else; each later stage has seeds of its
own, which no earlier decision has seen.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sweeper.plan import (
    STUDY_SEED,
    DataConfig,
    Stage,
    TrialSpec,
    arm_network,
    canonical_json,
    derive_seed,
)
from sweeper.search_spaces.ablations import Arm
from sweeper.search_spaces.config import TrainingConfig
from sweeper.search_spaces.recipes import Recipe
from sweeper.search_spaces.tuning import Chosen, Trial, Turns, recipe_values, tuned


@dataclass(frozen=True)
class ArmSearch:
    """The search for an arm's hyperparameters on one fold's training part."""

    study: str
    arm: Arm
    recipe: Recipe
    data: DataConfig
    classes: int
    turns: Turns

    @property
    def key(self) -> tuple[str, int]:
        """Arm and fold."""
        return self.arm.name, self.data.fold

    @property
    def name(self) -> str:
        """The search's name in Optuna's storage."""
        return f"{self.study}/{self.arm.name}/fold{self.data.fold}"

    @property
    def recipe_params(self) -> str:
        """The recipe's own values, as a row has them."""
        return canonical_json(recipe_values(self.recipe.training, self.turns))

    def make(self, trial: Trial) -> TrialSpec:
        """A trial that explores, with the values that Optuna suggests."""
        return self._spec("explore", 0, tuned(trial, self.recipe.training, self.turns), "")

    def training(self, params: str) -> TrainingConfig:
        """The recipe's training with a row's `params`."""
        return tuned(Chosen(json.loads(params)), self.recipe.training, self.turns)

    def trials(self, stage: Stage, params: Sequence[str], replicates: int) -> list[TrialSpec]:
        """Trials of a later stage: configurations × seeds, seeds outermost."""
        return [
            self._spec(stage, replicate, self.training(chosen), chosen)
            for replicate in range(replicates)
            for chosen in params
        ]

    def _spec(self, stage: Stage, replicate: int, training: TrainingConfig, params: str) -> TrialSpec:
        return TrialSpec(
            study=self.study,
            kind="search",
            arm=self.arm.name,
            recipe=self.recipe.name,
            replicate=replicate,
            seed=derive_seed(STUDY_SEED, self.data.dataset, self.data.fold, stage, replicate),
            model=arm_network(self.arm, replace(self.recipe.model, classes=self.classes), training),
            training=training,
            data=self.data,
            stage=stage,
            params=params,
        )


def plan_searches(
    *,
    study: str,
    arms: Sequence[Arm],
    recipe: Recipe,
    dataset: str,
    split: str,
    folds: Sequence[int],
    classes: int,
    turns: Turns,
) -> tuple[ArmSearch, ...]:
    """A search for every arm on every fold."""
    return tuple(
        ArmSearch(
            study, arm, recipe, DataConfig(dataset, split, fold, recipe.sample_rate, recipe.seconds), classes, turns
        )
        for fold in folds
        for arm in arms
    )
