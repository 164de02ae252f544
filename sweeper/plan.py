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

from sweeper.definition import DataConfig, PlanError, Source, canonical_json, definition, design, filled_network, plain
from sweeper.space import SearchScope, tuned
from sweeper.study import HEADS, Arm, Network, Recipe, Study, TrainingConfig, kind
from sweeper.switches import flat_fields, switched

__all__ = [
    "DataConfig",
    "Described",
    "Plan",
    "PlanError",
    "Source",
    "Stage",
    "TrialSpec",
    "Tuning",
    "Variant",
    "build_plan",
    "canonical_json",
    "derive_seed",
    "select_arms",
    "variant",
]

STUDY_SEED = 0

Kind = Literal["ablation", "peer", "search", "variance"]
# What a trial draws, each of which may have a seed of its own; the rest (dropout) always goes by the trial's seed.
RandomSource = Literal["initialisation", "order", "augmentation"]
# Of a search's trials: looking for configurations, telling the best apart on further seeds, scoring the winner on yet
# further ones, and, when all is decided, on the test clips. '' are trials that belong to no search.
Stage = Literal["", "explore", "replicate", "confirm", "test"]
SELECTING = ("explore", "replicate", "confirm")


@dataclass(frozen=True)
class TrialSpec:
    """One training run and its evaluation, complete: two equal specs give the same result on the same machine.

    `stage` says why a search runs the trial; `params` (canonical JSON) what a search chose for it; `code` is the digest
    of the file that defines the network, '' where it comes with the project; `switches` (JSON) what the arm switches;
    `seeds` those of single sources, where they differ from `seed`.
    """

    study: str
    kind: Kind
    arm: str
    recipe: str
    replicate: int
    seed: int
    model: Network
    training: TrainingConfig
    data: DataConfig
    stage: Stage = ""
    params: str = ""
    code: str = ""
    switches: str = ""
    seeds: tuple[tuple[str, int], ...] = ()

    def seed_of(self, source: RandomSource) -> int:
        """The seed of what is drawn: initial values; the order of the clips; crops and augmentation."""
        return dict(self.seeds).get(source, self.seed)

    @property
    def selects(self) -> bool:
        """Whether this trial's score selects something: then the validation clips are not trained on, but scored."""
        return self.stage in SELECTING

    @cached_property
    def trial_id(self) -> str:
        """SHA-256 over all that decides the result, 16 hex digits. Names (study, arm, recipe) don't decide it."""
        decides = {
            "seed": self.seed,
            "model": self.model.decides(),
            "training": self.training.decides(),
            "data": asdict(self.data),
        }
        decides |= {"scored_on": "validation"} if self.selects else {}
        decides |= {"code": self.code} if self.code else {}
        own = {source: seed for source, seed in self.seeds if seed != self.seed}
        decides |= {"seeds": own} if own else {}
        return hashlib.sha256(canonical_json(decides).encode()).hexdigest()[:16]

    def __deepcopy__(self, _memo: dict[int, Any]) -> "TrialSpec":
        """Itself, as nothing in it changes: Ray Tune copies what it is given, and keeps all copies of all trials."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """What travels: of a network that only a study's file can build, the data."""
        data = self.code and not isinstance(self.model, Described)
        return vars(self) | ({"model": Described.of(self.model)} if data else {})


@dataclass(frozen=True, kw_only=True)
class Described(Network):
    """A network as data, in a process that has not loaded the study's file: see `sweeper.study_file.with_network`."""

    name: str = ""
    values: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, network: Network) -> "Described":
        """A network's kind and fields."""
        values = {f.name: getattr(network, f.name) for f in fields(network)}
        filled = {f.name: values[f.name] for f in fields(Network)}
        return cls(name=kind(type(network)), values=tuple(values.items()), **filled)

    def decides(self) -> dict[str, Any]:
        """As the network that it describes."""
        return {"kind": self.name} | dict(self.values)


@dataclass(frozen=True)
class Plan:
    """The trials of a study, arms innermost: each block (fold × replicate) is finished before the next begins.

    `design` is what all have in common, `definition` the study as data.
    """

    study: str
    trials: tuple[TrialSpec, ...]
    design: Mapping[str, Any]
    definition: Mapping[str, Any]

    def describe(self) -> dict[str, Any]:
        """The plan as JSON values: what all trials share, once, and what each trial is."""
        return {
            "study": self.study,
            "reference": self.definition["reference"],
            "metric": "accuracy",
            "design": self.design,
            "definition": self.definition,
            "trials": [
                {
                    "trial_id": trial.trial_id,
                    "kind": trial.kind,
                    "arm": trial.arm,
                    "fold": trial.data.fold,
                    "replicate": trial.replicate,
                    "seed": trial.seed,
                }
                | ({"seeds": dict(trial.seeds)} if trial.seeds else {})
                for trial in self.trials
            ],
        }


def derive_seed(*parts: object) -> int:
    """A 31-bit seed from a hash of `parts`: the same on every platform and in every process."""
    digest = hashlib.sha256(canonical_json([str(part) for part in parts]).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def select_arms(study: Study, table: str = "all", names: Iterable[str] = ()) -> tuple[Arm, ...]:
    """The arms of a table, or the named ones, in the study's order.

    Raises:
        PlanError: a name that is no arm, or no table.
    """
    wanted = set(names)
    for name in sorted(wanted - study.by_name.keys()):
        raise PlanError(f"unknown arm {name!r}; the arms are: {', '.join(study.by_name)}")
    tables = {table.name: table.arms for table in study.all_tables}
    if not wanted and table != "all":
        if table not in tables:
            raise PlanError(f"unknown table {table!r}; the tables are: {', '.join(tables)}, or all")
        wanted = set(tables[table])
    return tuple(arm for arm in study.arms if not wanted or arm.name in wanted)


@dataclass(frozen=True)
class Tuning:
    """Each arm's own hyperparameters, by arm and fold: what was chosen, and the training that it makes.

    `scope`: of the searches that chose.
    """

    scope: SearchScope
    params: Mapping[tuple[str, int], str]
    trainings: Mapping[tuple[str, int], TrainingConfig]

    def check(self, source: Source, arm: Arm, recipe: Recipe, fold: int) -> None:
        """Refuse a training that is not the recipe's with just the arm's switches and what its search chose.

        Raises:
            PlanError: some other field differs.
        """
        found = flat_fields(self.trainings[arm.name, fold])
        chosen = flat_fields(arm_training(source.study, arm, recipe, self.scope, self.params[arm.name, fold]))
        if differing := sorted(name for name in found.keys() | chosen.keys() if found.get(name) != chosen.get(name)):
            raise PlanError(f"arm {arm.name!r}, fold {fold}: {', '.join(differing)} differ, which no search turned")


def arm_training(study: Study, arm: Arm, recipe: Recipe, scope: SearchScope, params: str) -> TrainingConfig:
    """The recipe's training with the values a search chose (`params`); the arm's own switches override these."""
    base = study.recipe_training(recipe)
    chosen = json.loads(params)
    training = base if not chosen or study.space is None else tuned(study.space, scope, chosen, base)
    return switched(training, own_switches(study, arm).training)


def build_plan(
    *,
    study: str,
    source: Source,
    arms: Sequence[Arm],
    recipe: Recipe,
    dataset: str,
    split: str,
    folds: Sequence[int],
    classes: int,
    replicates: int,
    peers: Mapping[str, Network] | None = None,
    tuning: Tuning | None = None,
) -> Plan:
    """Every trial of an ablation study: (arms and peers) × folds × replicates.

    With `tuning`, each arm trains with its own hyperparameters instead of the recipe's.

    Raises:
        PlanError: no arm, fold or replicate; an arm that changes more than it declares, or whose hyperparameters differ
            in more than was tuned; or a network that can't take the recipe's clips.
    """
    if not arms or not folds or replicates < 1:
        raise PlanError(f"nothing to run: {len(arms)} arms × {len(folds)} folds × {replicates} seeds")
    variants = [variant(source.study, arm, recipe, classes) for arm in arms]
    variants += [_peer(name, network, recipe, classes) for name, network in (peers or {}).items()]
    _check_twins(variants)
    if tuning is not None:
        for arm in arms:
            for fold in folds:
                tuning.check(source, arm, recipe, fold)
    trials = [
        TrialSpec(
            study=study,
            kind=found.kind,
            arm=found.name,
            recipe=recipe.name,
            replicate=replicate,
            seed=derive_seed(STUDY_SEED, dataset, fold, replicate),
            model=found.network,
            training=found.training if tuning is None else tuning.trainings[found.name, fold],
            data=DataConfig(dataset, split, fold, recipe.sample_rate, recipe.seconds),
            params="" if tuning is None else tuning.params[found.name, fold],
            code=source.code if found.kind == "ablation" else "",
            switches=found.switches,
        )
        for replicate in range(replicates)
        for fold in folds
        for found in variants
    ]
    return Plan(study, tuple(trials), design(source, recipe, trials[0].data, classes), definition(source, recipe))


@dataclass(frozen=True)
class Variant:
    """What an arm comes to: its network and its training."""

    kind: Literal["ablation", "peer"]
    name: str
    network: Network
    training: TrainingConfig
    switches: str = ""


def variant(study: Study, arm: Arm, recipe: Recipe, classes: int) -> Variant:
    """An arm's network and training. A network with a field `branch_heads` is told if distillation trains such heads.

    Raises:
        PlanError: the arm differs from the reference in more, or in less, than it declares.
    """
    reference, base = filled_network(study, recipe, classes), study.recipe_training(recipe)
    own = own_switches(study, arm)
    try:
        network, training = replace(reference, **own.network), switched(base, own.training)
        switches = canonical_json(plain(own.switches))
    except (TypeError, ValueError) as error:
        raise PlanError(f"arm {arm.name!r}: {error}") from None
    _check_unconfounded(own, _changes(reference, network), own.network.keys())
    _check_unconfounded(own, _changes(base, training), own.training.keys())
    if own.training and not own.network and training.effective() == base.effective():
        raise PlanError(
            f"arm {arm.name!r} switches {sorted(own.training)}, which changes nothing that runs: the "
            f"{base.schedule} schedule overrides it (see `momentum` of TrainingConfig)"
        )
    return Variant("ablation", arm.name, with_heads(network, training), training, switches)


def _check_twins(variants: Sequence[Variant]) -> None:
    """Two arms that come to the same would be one, whose trials stand under one of the names.

    Raises:
        PlanError: there are such arms.
    """
    seen: dict[str, str] = {}
    for found in variants:
        comes_to = canonical_json([found.kind, found.network.decides(), found.training.decides()])
        if (other := seen.setdefault(comes_to, found.name)) != found.name:
            raise PlanError(f"arm {found.name!r} comes to the same as {other!r}: leave one of them out")


def own_switches(study: Study, arm: Arm) -> Arm:
    """The arm with its switches relative to the reference; the reference itself then has none."""
    return replace(arm, network={}, training={}) if arm.name == study.reference else arm


def with_heads(network: Network, training: TrainingConfig) -> Network:
    """Tell a network that has the field whether self-distillation trains heads of its branches."""
    if HEADS not in {f.name for f in fields(network)}:
        return network
    return replace(network, **{HEADS: training.distillation is not None})


def _changes(reference: Network | TrainingConfig, arm: Network | TrainingConfig) -> set[str]:
    before, after = flat_fields(reference), flat_fields(arm)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} - {HEADS}


def _check_unconfounded(arm: Arm, changed: set[str], declared: Iterable[str]) -> None:
    """Exactly what the arm declares may differ from the reference.

    Raises:
        PlanError: some other field differs, or a declared switch changes nothing.
    """
    switches = set(declared)
    # A switch may replace a whole part of the training, and then stands for all of its fields.
    hidden = {name for name in changed if not any(name == s or name.startswith(f"{s}.") for s in switches)}
    if hidden:
        raise PlanError(
            f"arm {arm.name!r} declares {sorted(switches)}, but {sorted(hidden)} differ too: switch one thing, or "
            "declare them"
        )
    idle = {s for s in switches if not any(name == s or name.startswith(f"{s}.") for name in changed)}
    if idle:
        raise PlanError(f"arm {arm.name!r} switches {sorted(idle)}, but the reference has these values too")


def _peer(name: str, network: Network, recipe: Recipe, classes: int) -> Variant:
    try:
        return Variant("peer", name, network.filled(classes, recipe.sample_rate, recipe.length), recipe.training)
    except ValueError as error:
        raise PlanError(str(error)) from None
