"""A study as JSON values: what all trials of a results folder have in common, and all that is read of a study later.

Leaderboards and reports read these from `plan.json`, so they run none of a study's code.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

from sweeper.factorial import aliases
from sweeper.study import HEADS, Network, Recipe, Study, Table, kind


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


def canonical_json(value: Any) -> str:
    """JSON with one spelling per value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class Source:
    """A study and where it comes from.

    Attributes:
        name: of the study that comes with the project, or of the file.
        study: what it says.
        code: digest of the network's code, '' for a network that comes with the project.
        argument: what names it on the command line; '' for the default.
        package: name and digest of the installed package that the network's class comes from, '' if from none.
    """

    name: str
    study: Study
    code: str = ""
    argument: str = ""
    package: str = ""


def design(source: Source, recipe: Recipe, data: DataConfig, classes: int) -> dict[str, Any]:
    """What every trial of one results folder must have in common, whatever its arm, fold and seed."""
    study = source.study
    where = asdict(data)
    del where["fold"]
    network = filled_network(study, recipe, classes).decides()
    switches = {name for arm in study.arms for name in arm.network}
    shared = {
        "recipe": recipe.name,
        "data": where,
        "training": study.recipe_training(recipe).decides(),
        "classes": classes,
        "sizes": {name: network[name] for name in network.keys() - switches - {HEADS}},
        "switches": {name: network[name] for name in network.keys() & switches},
    }
    if source.code:
        shared["code"] = source.code
    if source.package:
        shared["package"] = source.package
    return dict(json.loads(canonical_json(shared)))


def definition(source: Source, recipe: Recipe) -> dict[str, Any]:
    """The study as JSON values: all that a leaderboard or a report asks of it."""
    study = source.study
    values = reference_values(study, recipe)
    relative = [
        {} if arm.name == study.reference else {n: v for n, v in arm.switches.items() if v != values[n]}
        for arm in study.arms
    ]
    described = {
        "name": source.name,
        "argument": source.argument,
        "network": kind(type(study.network)),
        "code": source.code,
        "reference": study.reference,
        "switches": values,
        "order": list(values),  # plan.json is written with its names in order
        "arms": [
            {
                "name": arm.name,
                "removes": arm.removes,
                "network": arm.network,
                "training": arm.training,
                "switches": switches,
                "published": arm.published,
            }
            for arm, switches in zip(study.arms, relative, strict=True)
        ],
        "tables": [
            {
                "name": table.name,
                "title": table.title or table.name,
                "arms": table.arms,
                "against": table.against,
                "columns": list((_columns(table, study) if table.columns is None else table.columns).items()),
            }
            for table in study.all_tables
        ],
        "protocol": None if study.protocol is None else asdict(study.protocol) | {"epochs": _epochs(study)},
        "aliases": aliases(relative, list(values)),
        "recipes": {each.name: each.training.epochs for each in study.recipes},
    }
    return dict(json.loads(canonical_json(plain(described))))


def reference_values(study: Study, recipe: Recipe) -> dict[str, Any]:
    """The reference's value of every field that some arm switches, by the switch's name."""
    network, training = study.recipe_network(recipe), study.recipe_training(recipe)
    values: dict[str, Any] = {}
    for arm in study.arms:
        for name in arm.switches:
            in_network = name in arm.network
            config: Any = network if in_network else training
            for part in (name if in_network else name.removeprefix("training.")).split("."):
                config = getattr(config, part, None)
            values.setdefault(name, config)
    return values


def _columns(table: Table, study: Study) -> dict[str, str]:
    """Headings by switch, of those that an arm of the table switches."""
    names = [name for arm in table.arms if arm != study.reference for name in study.by_name[arm].switches]
    return {name: name for name in dict.fromkeys(names)}


def _epochs(study: Study) -> int | None:
    """How long the published values' recipe trains."""
    assert study.protocol is not None
    named = study.protocol.recipe
    names = (named,) if isinstance(named, str) else named
    return next((r.training.epochs for r in study.recipes if r.name in names), None)


def plain(value: Any) -> Any:
    """Dataclasses and read-only mappings as dictionaries."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def filled_network(study: Study, recipe: Recipe, classes: int) -> Network:
    """The reference's network for the recipe's clips.

    Raises:
        PlanError: it can't take them.
    """
    try:
        return study.recipe_network(recipe).filled(classes, recipe.sample_rate, recipe.length)
    except ValueError as error:
        raise PlanError(f"the network of {study.reference!r} in recipe {recipe.name!r}: {error}") from None
