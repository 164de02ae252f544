"""What a study compares: its arms in order, the reference, what each arm switches, and what was published of it.

The one place under `results` and `report` that knows where this is written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sweeper.search_spaces.ablations import ARMS, REFERENCE, TABLES
from sweeper.search_spaces.published import published_accuracy

_LABELS = MappingProxyType(
    {
        "semantic": "semantic branch",
        "detail": "detail branch",
        "macem_a": "MACEM-A",
        "macem_b": "MACEM-B",
        "garm": "GARM",
        "fusion": "guided fusion",
    }
)


@dataclass(frozen=True)
class StudyArms:
    """The arms of a study.

    Attributes:
        reference: the arm that all others are compared with.
        switches: what each arm changes of the reference, by arm, in the order in which arms are listed.
        factors: what each arm lacks, in words.
        labels: switches in words.
        published: accuracies, fractions of 1, of the arms that have one.
        tables: the arms of each published table, by its number.
    """

    reference: str
    switches: Mapping[str, Mapping[str, Any]]
    factors: Mapping[str, str]
    labels: Mapping[str, str]
    published: Mapping[str, float]
    tables: Mapping[str, tuple[str, ...]]

    def ordered(self, arms: set[str]) -> tuple[str, ...]:
        """These arms in order; unknown ones last, by name."""
        known = tuple(arm for arm in self.switches if arm in arms)
        return (*known, *sorted(arms - set(known)))

    def published_difference(self, arm: str) -> float | None:
        """Published accuracy of the arm minus the reference's; None for the reference, and where one is missing."""
        if arm == self.reference or not {arm, self.reference} <= self.published.keys():
            return None
        return self.published[arm] - self.published[self.reference]


def study_arms(plan: Mapping[str, Any]) -> StudyArms:
    """The arms of the study with this `plan.json`, which may be missing (empty)."""
    published = {arm: accuracy for arm in ARMS if (accuracy := published_accuracy(arm)) is not None}
    return StudyArms(
        reference=plan.get("reference", REFERENCE),
        switches={name: arm.switches for name, arm in ARMS.items()},
        factors={name: arm.factor for name, arm in ARMS.items()},
        labels=_LABELS,
        published=published,
        tables=TABLES,
    )
