"""What an arm switches, in a table's cells; what is too long for one, such as a whole configuration, in notes."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from sweeper.audio.datasets.base import shorten
from sweeper.report.cells import NONE
from sweeper.results.plans import differences
from sweeper.results.study_arms import StudyArms, StudyTable

LONGEST = 24  # characters of a value in a cell
OTHER = "other"


def switch_cells(arms: StudyArms, table: StudyTable, arm: str) -> tuple[str, ...]:
    """The values of a table's switches in an arm; of long ones whether it is another than the reference's."""
    switched = arms.switches.get(arm, {})

    def cell(switch: str) -> str:
        if _is_long(arms, switch):
            return OTHER if switch in switched else ""
        return _said({**arms.values, **switched}.get(switch))

    return tuple(map(cell, table.columns))


def switch_notes(arms: StudyArms, columns: Mapping[str, str], shown: Collection[str]) -> list[str]:
    """What the arms that are shown change of the switches with long values; `columns`: headings by switch."""
    return [
        f"{heading} of {arm}: {shorten(differences(arms.values.get(switch), switched[switch]))}"
        for switch, heading in columns.items()
        if _is_long(arms, switch)
        for arm, switched in arms.switches.items()
        if switch in switched and arm in shown
    ]


def _is_long(arms: StudyArms, switch: str) -> bool:
    values = [arms.values.get(switch), *(switched[switch] for switched in arms.switches.values() if switch in switched)]
    return any(len(_said(value)) > LONGEST for value in values)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "✓" if value else ""
    if isinstance(value, float):
        return f"{value:g}"
    return NONE if value is None else str(value) if isinstance(value, str | int) else json.dumps(value)
