"""The searches of a study: which arm on which fold, and the trials of each of their stages.

A search never sees its fold's test clips: until its winner is named, it trains without the validation clips and is
scored on them. Its configurations share a seed, so that they differ in nothing else; each later stage has seeds of its
own, which no earlier decision has seen.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from sweeper.definition import Source
from sweeper.plan import (
    STUDY_SEED,
    DataConfig,
    PlanError,
    Stage,
    TrialSpec,
    arm_training,
    canonical_json,
    derive_seed,
    own_switches,
    variant,
    with_heads,
)
from sweeper.search.points import points
from sweeper.space import (
    ScopedTrial,
    Searched,
    SearchScope,
    Space,
    Trial,
    ask,
    ask_ends,
    fixed_fields,
    recipe_values,
    searched_fields,
)
from sweeper.study import Arm, Recipe, TrainingConfig
from sweeper.switches import switched
from sweeper.training.raised import place_in_code


@dataclass(frozen=True)
class ArmSearch:
    """The search for an arm's hyperparameters on one fold's training part."""

    study: str
    source: Source
    arm: Arm
    recipe: Recipe
    data: DataConfig
    classes: int
    scope: SearchScope

    @property
    def key(self) -> tuple[str, int]:
        """Arm and fold."""
        return self.arm.name, self.data.fold

    @property
    def name(self) -> str:
        """The search's name in Optuna's storage."""
        return f"{self.study}/{self.arm.name}/fold{self.data.fold}"

    @property
    def _space(self) -> Space:
        space = self.source.study.space
        assert space is not None, "refused by plan_searches"
        return space

    @property
    def _asked(self) -> tuple[Space, SearchScope, TrainingConfig]:
        return self._space, self.scope, self.source.study.recipe_training(self.recipe)

    @property
    def recipe_params(self) -> str:
        """The recipe's own values, as a row has them; '{}' where the space has no point for it."""
        try:
            return canonical_json(recipe_values(*self._asked))
        except ValueError:
            return canonical_json({})

    @property
    def outside(self) -> str:
        """Why the space has no point for the recipe; '' where it has."""
        try:
            recipe_values(*self._asked)
        except ValueError as error:
            return str(error)
        return ""

    @property
    def searched(self) -> tuple[Searched, ...]:
        """What the search may turn."""
        return searched_fields(*self._asked)

    @property
    def fixed(self) -> dict[str, object]:
        """What it leaves as the recipe has it."""
        return fixed_fields(*self._asked)

    def make(self, trial: Trial) -> TrialSpec:
        """A trial that explores, with the values that Optuna suggests."""
        base = self.source.study.recipe_training(self.recipe)
        with _told(self.source):
            training = ask(self._space, ScopedTrial(trial, self.scope), base)
        return self._spec("explore", 0, switched(training, own_switches(self.source.study, self.arm).training), "")

    def most(self, trials: int) -> int:
        """So many trials, or as many as the space has points, where that is fewer."""
        if trials not in self._most:
            found = points(self.make, trials)
            self._most[trials] = trials if found is None else len(found)
        return self._most[trials]

    @cached_property
    def _most(self) -> dict[int, int]:  # it is asked before each stage, and a trial's id takes a millisecond
        return {}

    def training(self, params: str) -> TrainingConfig:
        """The recipe's training with a row's `params`, and with what the arm switches."""
        return arm_training(self.source.study, self.arm, self.recipe, self.scope, params)

    def trials(self, stage: Stage, params: Sequence[str], replicates: int) -> list[TrialSpec]:
        """Trials of a later stage: configurations × seeds, seeds outermost."""
        return [
            self._spec(stage, replicate, self.training(chosen), chosen)
            for replicate in range(replicates)
            for chosen in params
        ]

    def _spec(self, stage: Stage, replicate: int, training: TrainingConfig, params: str) -> TrialSpec:
        resolved = variant(self.source.study, self.arm, self.recipe, self.classes)
        return TrialSpec(
            study=self.study,
            kind="search",
            arm=self.arm.name,
            recipe=self.recipe.name,
            replicate=replicate,
            seed=derive_seed(STUDY_SEED, self.data.dataset, self.data.fold, stage, replicate),
            model=with_heads(resolved.network, training),
            training=training,
            data=self.data,
            stage=stage,
            params=params,
            code=self.source.code,
            switches=resolved.switches,
        )


@contextlib.contextmanager
def _told(source: Source) -> Iterator[None]:
    """A mistake in a study's space in one line, with its place.

    Raises:
        PlanError: in the place of what the space raises.
    """
    try:
        yield
    except Exception as error:  # a user's space may raise anything, and Optuna what only Optuna's side understands
        if type(error).__module__.startswith("optuna"):
            raise
        words = " ".join(f"{type(error).__name__}: {error}".split())
        if isinstance(error, AttributeError) and str(error.name).startswith("suggest_"):
            words = f"a trial has suggest_float, suggest_int and suggest_categorical, not {error.name}"
        what = f"{source.argument}: the search space" if source.argument else "the search space"
        raise PlanError(f"{what} fails: {words}{place_in_code(error)}") from error


def plan_searches(
    *,
    study: str,
    source: Source,
    arms: Sequence[Arm],
    recipe: Recipe,
    dataset: str,
    split: str,
    folds: Sequence[int],
    classes: int,
    scope: SearchScope,
) -> tuple[ArmSearch, ...]:
    """A search for every arm on every fold.

    Raises:
        PlanError: the study has no space, or one that fails or has a range without values, or an arm can't be planned.
    """
    if source.study.space is None:
        raise PlanError(
            f"the study {source.name!r} has no search space: give it a function space(trial, training) that returns "
            "the training with what trial.suggest_float(…) and the like suggest"
        )
    for arm in arms:
        variant(source.study, arm, recipe, classes)
    with _told(source):
        ask_ends(source.study.space, scope, source.study.recipe_training(recipe))
    return tuple(
        ArmSearch(
            study,
            source,
            arm,
            recipe,
            DataConfig(dataset, split, fold, recipe.sample_rate, recipe.seconds),
            classes,
            scope,
        )
        for fold in folds
        for arm in arms
    )
