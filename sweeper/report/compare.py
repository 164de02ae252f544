"""Two studies side by side: what differs in design, data and software, and what each found per arm."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sweeper.audio.datasets.base import shorten
from sweeper.report.cells import NONE, PaperTable, difference, interval, percent, planned, points
from sweeper.report.formats import print_grids
from sweeper.report.tables import distinct
from sweeper.results import leaderboard
from sweeper.results.leaderboard import Leaderboard
from sweeper.results.score_grid import REFERENCE_KIND, change
from sweeper.results.store import Study

Change = tuple[float, float, float]  # B − A and the ends of its interval, NaN where there is none

_SHARED = ("data_digest", "git_commit", "sweeper_version", "torch_version", "ray_version", "python_version", "device")
_GRID = {"fold": "folds", "replicate": "seeds"}


def compare(study_a: Study, study_b: Study) -> str:
    """Both studies for a terminal: differing fields, then a row per arm that either has.

    Raises:
        StudyError: one has no trial yet, or a damaged file.
    """
    a, b = leaderboard.derive(study_a), leaderboard.derive(study_b)
    fields = differing_fields(a, b)
    unpaired = _why_unpaired(a, b)
    paired = {} if unpaired else _paired_changes(a, b)
    unpaired = unpaired or ("" if paired else "they share no blocks")
    tables = [_arms(a, b, paired)]
    if fields:
        header = ("field", "A", "B")
        tables.insert(
            0, PaperTable("What differs", header, tuple(fields), frozenset(header), wraps=frozenset({"A", "B"}))
        )
    notes = [
        "B − A: change of the mean, in points, with the 95 % interval of each arm alone, "
        + (f"not paired, as {unpaired}" if unpaired else "block by block, as both have the same data")
        + ("" if fields else "; the studies differ in nothing but chance"),
        f"to {a.arms.reference}: each study's own paired difference to its reference, with the 95 % interval of all "
        "its arms",
    ]
    if not fields:
        notes.insert(0, "Design, data and software are the same.")
    notes += [
        f"{name}: its own tables were not written: {board.unwritten}"
        for name, board in (("A", a), ("B", b))
        if board.unwritten
    ]
    problems = [f"{name}: {problem}" for name, board in (("A", a), ("B", b)) for problem in board.problems]
    names = [f"{study}{_imported(board)}" for study, board in ((study_a, a), (study_b, b))]
    return print_grids("A: {}\nB: {}".format(*names), tables, notes, problems)


def _imported(board: Leaderboard) -> str:
    told = board.plan.get("imported")
    return f" (imported from {told['file']})" if told else ""


def differing_fields(a: Leaderboard, b: Leaderboard) -> list[tuple[str, str, str]]:
    """`(field, value in A, value in B)` of everything but the results that the studies don't share."""
    described = [_described(board) for board in (a, b)]
    names = dict.fromkeys(name for description in described for name in description)
    rows = [(name, *(description.get(name, NONE) for description in described)) for name in names]
    return [*((name, left, right) for name, left, right in rows if left != right), *_differing_arms(a, b)]


def _differing_arms(a: Leaderboard, b: Leaderboard) -> list[tuple[str, str, str]]:
    left, right = ([row["arm"] for row in board.summary] for board in (a, b))
    if set(left) == set(right):
        return []
    return [("arms", _only_here(left, right), _only_here(right, left))]


def _only_here(arms: Sequence[str], others: Sequence[str]) -> str:
    only = [arm for arm in arms if arm not in others]
    return f"{len(arms)}, only here: {shorten(only)}" if only else f"{len(arms)}"


def _described(board: Leaderboard) -> dict[str, str]:
    fields = dict(_flat(board.plan.get("design", {}), ""))
    for column, name in _GRID.items():
        fields[name] = ", ".join(map(str, sorted(distinct(board, column))))
    for column in _SHARED:
        fields[column] = ", ".join(sorted(map(str, distinct(board, column)))) or "unknown"
    return fields


def _flat(value: Any, path: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _flat(value[key], f"{path}.{key}".strip("."))
    else:
        yield path, str(value)


def _why_unpaired(a: Leaderboard, b: Leaderboard) -> str:
    """Why the studies can have no blocks in common, in words; '' where they can."""
    if None in (digests := [board.plan.get("data_digest") for board in (a, b)]):
        return "imported runs don't tell what data they had"
    if digests[0] != digests[1]:
        return "their data differ"
    if len({str(board.plan.get("design", {}).get("data", {}).get("split")) for board in (a, b)}) > 1:
        return "their splits differ, so that a fold of one is none of the other"
    return "" if a.arms.reference == b.arms.reference else "their references differ"


def _paired_changes(a: Leaderboard, b: Leaderboard) -> dict[str, Change]:
    """By arm, B − A over the blocks that both have; of the same data and split."""
    grid = change(a.grid, b.grid)
    found = None if grid is None else grid.compare((-1.0, 1.0))
    if grid is None or found is None:
        return {}
    return {
        arm: (float(found.mean[i]), float(found.mean_low[i]), float(found.mean_high[i]))
        for i, arm in enumerate(grid.arms)
        if not math.isnan(found.mean[i])
    }


def unpaired_change(a: Mapping[str, Any], b: Mapping[str, Any]) -> Change | None:
    """B − A of two independent means, with an interval made from their own intervals, in fractions of 1.

    None if a mean is missing; the ends are NaN if one of their intervals is.

    "MOVER": G. Zou, A. Donner. Statistics in Medicine 27 (2008) 1693–1702.
    """
    if a["mean"] is None or b["mean"] is None:
        return None
    diff = b["mean"] - a["mean"]
    if a["ci_low"] is None or b["ci_low"] is None:
        return diff, math.nan, math.nan
    low = diff - math.hypot(b["mean"] - b["ci_low"], a["ci_high"] - a["mean"])
    return diff, low, diff + math.hypot(b["ci_high"] - b["mean"], a["mean"] - a["ci_low"])


def _arms(a: Leaderboard, b: Leaderboard, paired: Mapping[str, Change]) -> PaperTable:
    left, right = ({(row["kind"], row["arm"]): row for row in board.summary} for board in (a, b))
    rows = []
    for kind, arm in dict.fromkeys([*left, *right]):
        sides = [side.get((kind, arm)) for side in (left, right)]
        found = paired.get(arm) if kind == REFERENCE_KIND else None
        if found is None and sides[0] is not None and sides[1] is not None:
            found = unpaired_change(sides[0], sides[1])
        rows.append(
            (
                arm if kind == REFERENCE_KIND else f"{arm} ({kind})",
                *(NONE if row is None else planned(row) for row in sides),
                *(NONE if row is None else percent(row["mean"]) for row in sides),
                NONE if found is None else _change(*found),
                *(NONE if row is None else difference(row) for row in sides),
            )
        )
    to = [f"{side} to {board.arms.reference} [95 %]" for side, board in (("A", a), ("B", b))]
    header = ("arm", "n A", "n B", "acc % A", "acc % B", "B − A [95 %]", *to)
    return PaperTable(
        "Arms",
        header,
        tuple(rows),
        frozenset({"arm"}),
        reference=a.arms.reference,
        repeats=frozenset({"n A", "n B"}),
        least=("n A", "n B", "acc % A", "acc % B", *to),
    )


def _change(diff: float, low: float, high: float) -> str:
    ends = (None, None) if math.isnan(low) else (low, high)
    return f"{points(diff)} {interval(*ends)}"
