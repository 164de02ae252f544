"""What each part is worth: the factorial's effects as a table, ours beside the published."""

import math
from collections.abc import Sequence
from typing import Any

from sweeper.report.cells import NONE, PaperTable, interval, p_value, points

Row = dict[str, Any]


def effects_table(rows: Sequence[Row]) -> PaperTable | None:
    """A row per effect; None without any."""
    if not rows:
        return None
    ours, theirs = ({row["effect"]: row for row in rows if row["source"] == s} for s in ("study", "published"))
    first = next(iter((ours or theirs).values()))
    names = list(ours or theirs)
    mains = [row for row in (ours or theirs).values() if row["order"] == 1]
    claim = next((f" · {row['claim']}" for row in ours.values() if row["claim"]), "")
    runs = first["arms"].count(", ") + 1
    header = ("effect", *(("points [95 %]", "p") if ours else ()), *(("published † [95 %]",) if theirs else ()))
    return PaperTable(
        title=f"What each part is worth · {_design(runs, len(mains))}{claim}",
        header=header,
        rows=tuple(
            (
                name,
                *((_effect(ours[name]), p_value(ours[name]["p"])) if ours else ()),
                *((_effect(theirs[name]),) if theirs else ()),
            )
            for name in names
        ),
        words=frozenset({"effect"}),
        least=("p",),
    )


def effect_notes(rows: Sequence[Row]) -> list[str]:
    """How to read the table; nothing without effects."""
    if not rows:
        return []
    arms = rows[0]["arms"]
    notes = [
        "effect: mean accuracy with the part minus without, or with what stands right of → minus left, over all arms "
        "of the design; ×: half of how much more a part is worth with the other than without it (of three parts, half "
        "of how much that differs with the third); "
        f"intervals hold for all effects together; the design: {arms}"
    ]
    ours = [row for row in rows if row["source"] == rows[0]["source"]]
    if aliased := [f"{row['effect']} = {row['aliases']}" for row in ours if row["aliases"]]:
        notes.append(f"the design is a fraction, which can't tell apart: {'; '.join(aliased)}")
    lenth = {row["source"] for row in rows if row["method"] == "Lenth"}
    if lenth:
        whose = {"published": "the published effects", "study": "ours"}
        notes.append(
            f"{' and '.join(whose[source] for source in sorted(lenth))}: one run of each arm, so the noise is told "
            "from the effects themselves, most of which are taken to be nothing (Lenth)"
        )
    return notes


def _design(runs: int, factors: int) -> str:
    missing = factors - round(math.log2(runs))
    return f"2^{factors} design" if not missing else f"2^({factors}-{missing}) design"


def _effect(row: Row) -> str:
    if row["estimate"] is None:
        return NONE
    return f"{points(row['estimate'])}{'*' if row['significant'] else ''} {interval(row['low'], row['high'])}"
