"""The plan: every trial of a study, built before anything runs.

Pairing is by construction: a trial's seed is a hash of the study seed, the data set, the fold and the replicate, and
*not* of the arm, so the arms of one block (fold × replicate) see the same initial values, batches and draws. A trial's
id is the hash of all that decides its result, so running a plan again runs only what is missing.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

from sweeper.model.config import ACDNetConfig, EATConfig, ModelConfig
from sweeper.search_spaces.ablations import ARMS, REFERENCE, TABLES, Arm
from sweeper.search_spaces.config import TrainingConfig
from sweeper.search_spaces.peers import PEERS
from sweeper.search_spaces.recipes import Recipe
from sweeper.search_spaces.tuning import Turns, fixed_fields, flat_fields

STUDY_SEED = 0

Kind = Literal["ablation", "peer", "search"]
# Of a search's trials: looking for configurations, telling the best apart on further seeds, scoring the winner on yet
# further ones, and, when all is decided, on the test clips. '' are trials that belong to no search.
Stage = Literal["", "explore", "replicate", "confirm", "test"]
SELECTING = ("explore", "replicate", "confirm")


class PlanError(ValueError):
    """The plan asked for can't be built; the message says what to change."""


@dataclass(frozen=True)
class DataConfig:
    """What a trial trains and tests on: `sample_rate` in Hz, clips cut or zero-padded to `seconds` s."""

    dataset: str
    split: str
    fold: int
    sample_rate: int
    seconds: float

    @property
    def length(self) -> int:
        """Clip length in samples."""
        return round(self.sample_rate * self.seconds)


@dataclass(frozen=True)
class TrialSpec:
    """One training run and its evaluation, complete: two equal specs give the same result on the same machine.

    `stage` says why a search runs the trial; `params` (canonical JSON) what a search chose for it.
    """

    study: str
    kind: Kind
    arm: str
    recipe: str
    replicate: int
    seed: int
    model: ModelConfig | EATConfig | ACDNetConfig
    training: TrainingConfig
    data: DataConfig
    stage: Stage = ""
    params: str = ""

    @property
    def selects(self) -> bool:
        """Whether something is selected by this trial's score: then the validation clips don't train, but score."""
        return self.stage in SELECTING

    @cached_property
    def trial_id(self) -> str:
        """SHA-256 over all that decides the result, 16 hex digits. Names (study, arm, recipe) don't decide it."""
        decides = {
            "seed": self.seed,
            # The kind of network is told by its fields: no two have the same.
            "model": asdict(self.model),
            "training": asdict(self.training),
            "data": asdict(self.data),
        } | ({"scored_on": "validation"} if self.selects else {})
        return hashlib.sha256(canonical_json(decides).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """The trials of a study, arms innermost: each block (fold × replicate) is finished before the next begins."""

    study: str
    trials: tuple[TrialSpec, ...]

    def describe(self) -> dict[str, Any]:
        """The plan as JSON values: what all trials share, once, and what each trial is."""
        first = self.trials[0]
        return {
            "study": self.study,
            "reference": REFERENCE,
            "metric": "accuracy",
            "design": design(first),
            "trials": [
                {
                    "trial_id": trial.trial_id,
                    "kind": trial.kind,
                    "arm": trial.arm,
                    "fold": trial.data.fold,
                    "replicate": trial.replicate,
                    "seed": trial.seed,
                }
                for trial in self.trials
            ],
        }


def design(trial: TrialSpec) -> dict[str, Any]:
    """What every trial of one study must have in common, whatever its arm, fold and seed."""
    data = asdict(trial.data)
    del data["fold"]
    shared = {"recipe": trial.recipe, "data": data, "training": asdict(trial.training), "classes": trial.model.classes}
    if isinstance(trial.model, ModelConfig):
        sizes = asdict(trial.model)
        shared["sizes"] = {name: sizes[name] for name in sizes.keys() - {*ABLATION_SWITCHES, "branch_heads"}}
    return dict(json.loads(canonical_json(shared)))


ABLATION_SWITCHES = ("semantic", "detail", "macem_a", "macem_b", "garm", "fusion")


def canonical_json(value: Any) -> str:
    """JSON with one spelling per value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def derive_seed(*parts: object) -> int:
    """A 31-bit seed from a hash of `parts`: the same on every platform and in every process."""
    digest = hashlib.sha256(canonical_json([str(part) for part in parts]).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def select_arms(tables: Literal["6", "7", "all"] = "all", names: Iterable[str] = ()) -> tuple[Arm, ...]:
    """The arms of a table, or the named ones, in the paper's order.

    Raises:
        PlanError: a name that is no arm.
    """
    wanted = set(names)
    for name in sorted(wanted - ARMS.keys()):
        raise PlanError(f"unknown arm {name!r}; the arms are: {', '.join(ARMS)}")
    if not wanted:
        wanted = {name for key, rows in TABLES.items() if tables in (key, "all") for name in rows}
    return tuple(arm for name, arm in ARMS.items() if name in wanted)


@dataclass(frozen=True)
class Tuning:
    """Each arm's own hyperparameters, by arm and fold: what was chosen, and the training that it makes.

    `turns`: which ones a search may have turned at all.
    """

    turns: Turns
    params: Mapping[tuple[str, int], str]
    trainings: Mapping[tuple[str, int], TrainingConfig]

    def check(self, base: TrainingConfig) -> None:
        """Compare with the recipe's: besides its declared factor, an arm may differ in what was tuned, and no more.

        Raises:
            PlanError: some other field differs.
        """
        fixed = fixed_fields(base, self.turns)
        for (arm, fold), training in self.trainings.items():
            found = flat_fields(training)
            if differing := sorted(name for name, value in fixed.items() if found.get(name) != value):
                raise PlanError(f"arm {arm!r}, fold {fold}: {', '.join(differing)} differ, which no search turns")


def build_plan(
    *,
    study: str,
    arms: Sequence[Arm],
    recipe: Recipe,
    dataset: str,
    split: str,
    folds: Sequence[int],
    classes: int,
    replicates: int,
    peers: Sequence[str] = (),
    tuning: Tuning | None = None,
) -> Plan:
    """Every trial of an ablation study: (arms and peers) × folds × replicates.

    With `tuning`, each arm trains with its own hyperparameters instead of the recipe's.

    Raises:
        PlanError: no arm, fold or replicate; an arm that changes more than it declares, or whose hyperparameters differ
            in more than was tuned; or a peer that can't take the recipe's clips.
    """
    if not arms or not folds or replicates < 1:
        raise PlanError(f"nothing to run: {len(arms)} arms × {len(folds)} folds × {replicates} seeds")
    reference = replace(recipe.model, classes=classes)
    networks: list[Named] = [("ablation", arm.name, arm_network(arm, reference, recipe.training)) for arm in arms]
    networks += _peer_networks(peers, classes, recipe)
    if tuning is not None:
        tuning.check(recipe.training)
    trials = [
        TrialSpec(
            study=study,
            kind=kind,
            arm=name,
            recipe=recipe.name,
            replicate=replicate,
            seed=derive_seed(STUDY_SEED, dataset, fold, replicate),
            model=network,
            training=recipe.training if tuning is None else tuning.trainings[name, fold],
            data=DataConfig(dataset, split, fold, recipe.sample_rate, recipe.seconds),
            params="" if tuning is None else tuning.params[name, fold],
        )
        for replicate in range(replicates)
        for fold in folds
        for kind, name, network in networks
    ]
    return Plan(study, tuple(trials))


Named = tuple[Literal["ablation", "peer"], str, ModelConfig | EATConfig | ACDNetConfig]


def arm_network(arm: Arm, reference: ModelConfig, training: TrainingConfig) -> ModelConfig:
    """The arm's network; its branches have heads where self-distillation will train them.

    Raises:
        PlanError: it differs from the reference in more than the arm declares.
    """
    check_unconfounded(arm, reference)
    return _with_heads(arm.model(reference), training)


def _peer_networks(peers: Sequence[str], classes: int, recipe: Recipe) -> list[Named]:
    for name in peers:
        if name not in PEERS:
            raise PlanError(f"unknown peer {name!r}; the peers are: {', '.join(PEERS)}")
    length = round(recipe.sample_rate * recipe.seconds)
    try:
        return [("peer", name, PEERS[name](classes, recipe.sample_rate, length)) for name in peers]
    except ValueError as error:
        raise PlanError(str(error)) from None


def check_unconfounded(arm: Arm, reference: ModelConfig) -> None:
    """Compare the arm's resolved network with the reference: only ablation switches that it declares may differ.

    Raises:
        PlanError: some other field differs, or a declared switch changes nothing.
    """
    network = arm.model(reference)
    differing = {f.name for f in fields(network) if getattr(network, f.name) != getattr(reference, f.name)}
    declared = set(arm.switches)
    if undeclared := declared - set(ABLATION_SWITCHES):
        raise PlanError(f"arm {arm.name!r} changes {sorted(undeclared)}, which are sizes, not ablation switches")
    if differing != declared:
        raise PlanError(f"arm {arm.name!r} declares {sorted(declared)}, but {sorted(differing)} differ")


def _with_heads(network: ModelConfig, training: TrainingConfig) -> ModelConfig:
    """Heads on the branches exist only where self-distillation will train them."""
    heads = training.distillation is not None and network.semantic and network.detail
    return replace(network, branch_heads=heads)
