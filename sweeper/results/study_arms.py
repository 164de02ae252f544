"""What a study compares, as its `plan.json` says it: arms in order, reference, switches, tables, published values.

A leaderboard and a report read it from here, so they run none of a study's code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from sweeper.results.tables import StudyError

LONGEST_LABEL = 30  # letters; longer words are no heading


@dataclass(frozen=True)
class StudyTable:
    """Arms that are read side by side: names of the rows, and headings of columns by switch; see `sweeper.study`."""

    title: str
    arms: tuple[str, ...]
    columns: Mapping[str, str]
    against: str = ""


@dataclass(frozen=True)
class StudyArms:
    """The arms of a study.

    Attributes:
        name: of the study.
        argument: what names it on the command line; '' for the default.
        reference: the arm that all others are compared with.
        switches: what each arm changes of the reference, by arm, in the order in which arms are listed.
        values: what the reference has, by switch.
        factors: what each arm lacks, in words.
        published: accuracies, fractions of 1, of the arms for which one was published on this study's data set.
        published_on: the data sets on which any accuracy was published; "" where the study does not say.
        tables: by name.
        protocol: how the published values were measured, with the fields of `sweeper.study.Protocol`; for this study's
            data set where values were published on it. Empty where the study has none.
        recipes: epochs of each.
    """

    name: str
    argument: str
    reference: str
    switches: Mapping[str, Mapping[str, Any]]
    values: Mapping[str, Any]
    factors: Mapping[str, str]
    published: Mapping[str, float]
    tables: Mapping[str, StudyTable]
    protocol: Mapping[str, Any] = field(default_factory=dict)
    recipes: Mapping[str, int] = field(default_factory=dict)
    published_on: tuple[str, ...] = ()

    def ordered(self, arms: set[str]) -> tuple[str, ...]:
        """These arms in order; unknown ones last, by name."""
        known = tuple(arm for arm in self.switches if arm in arms)
        return (*known, *sorted(arms - set(known)))

    def published_difference(self, arm: str) -> float | None:
        """Published accuracy of the arm minus the reference's; None for the reference, and where one is missing."""
        if arm == self.reference or not {arm, self.reference} <= self.published.keys():
            return None
        return self.published[arm] - self.published[self.reference]

    @property
    def labels(self) -> dict[str, str]:
        """Switches in words, of those that one arm switches alone: what that arm removes."""
        alone: dict[str, list[str]] = {}
        for arm, switches in self.switches.items():
            if len(switches) == 1:
                alone.setdefault(next(iter(switches)), []).append(self.factors[arm])
        words = {switch: found[0] for switch, found in alone.items() if len(found) == 1}
        return {s: label for s, label in words.items() if label and len(label) <= LONGEST_LABEL and "→" not in label}


def study_arms(plan: Mapping[str, Any], dataset: str | None = None) -> StudyArms:
    """The arms of the study with this `plan.json`, which may be missing (empty).

    A plan from a version that did not write its study down belongs to the paper's, then the only one.

    Args:
        plan: the study's.
        dataset: on which its trials ran; None: as the plan says. It selects the published values; where the plan does
            not say it either, only those published for no particular data set are taken.

    Raises:
        StudyError: the plan says its study in another form.
    """
    try:
        heard = dataset or plan.get("design", {}).get("data", {}).get("dataset", "")
        return _read(plan, plan.get("definition") or _first_study(), heard)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StudyError(f"plan.json does not say its study as it should ({error!r}); run its command again") from None


def _read(plan: Mapping[str, Any], told: Mapping[str, Any], dataset: str) -> StudyArms:
    protocol = told["protocol"] or {}
    published = {arm["name"]: _by_dataset(arm["published"], protocol) for arm in told["arms"]}
    place = {name: number for number, name in enumerate(told["order"])}

    def ordered(switches: Mapping[str, Any]) -> dict[str, Any]:
        return dict(sorted(switches.items(), key=lambda pair: place[pair[0]]))

    return StudyArms(
        name=told["name"],
        argument=told["argument"],
        reference=plan.get("reference", told["reference"]),
        switches={arm["name"]: ordered(arm["switches"]) for arm in told["arms"]},
        values=ordered(told["switches"]),
        factors={arm["name"]: arm["removes"] for arm in told["arms"]},
        published={arm: by[name] for arm, by in published.items() for name in (dataset, "") if name in by},
        tables={
            table["name"]: StudyTable(table["title"], tuple(table["arms"]), dict(table["columns"]), table["against"])
            for table in told["tables"]
        },
        protocol=_on(dataset, protocol),
        recipes=told["recipes"],
        published_on=tuple(sorted({name for by in published.values() for name in by})),
    )


def _by_dataset(published: Any, protocol: Mapping[str, Any]) -> dict[str, float]:
    """An arm's published accuracies by data set. One number is of the protocol's, or without one of any ("")."""
    if published is None:
        return {}
    found = dict(published) if isinstance(published, Mapping) else {protocol.get("dataset", ""): published}
    for value in found.values():
        if not (isinstance(value, int | float) and 0 <= value <= 1):
            raise ValueError(f"published {value!r} is no fraction of 1")
    return found


def _on(dataset: str, protocol: Mapping[str, Any]) -> Mapping[str, Any]:
    """The protocol on this data set where values were measured on several."""
    clips = protocol.get("clips")
    if not isinstance(clips, Mapping):
        return protocol
    name = dataset if dataset in clips else protocol["dataset"]
    return {**protocol, "dataset": name, "clips": clips[name]}


@cache
def _first_study() -> dict[str, Any]:
    """The paper's study, as it was when plans did not say it."""
    return dict(json.loads(files("sweeper.results").joinpath("first_study.json").read_text("utf-8")))
