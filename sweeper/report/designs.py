"""Two designs side by side: all arms under the recipe's hyperparameters, and each arm under its own best ones.

The fixed design favours the network that the recipe was made for. What is left of a difference when each arm is tuned
with the same budget is what the part itself is worth.
"""

import math
from typing import Any

from sweeper.report.cells import NONE, PaperTable, difference, interval, percent, points
from sweeper.results import leaderboard
from sweeper.results.leaderboard import Leaderboard
from sweeper.results.score_grid import change
from sweeper.results.store import Study
from sweeper.results.tables import StudyError

Row = dict[str, Any]
Pair = tuple[Row, Row]


def sibling(board: Leaderboard, against: Study | None = None) -> Leaderboard | None:
    """The fixed design that a tuned study's plan names, or the given one, if it has trials.

    Raises:
        StudyError: the given study has no trial, or either is of other data.
    """
    if "fixed_study" not in board.plan and against is None:
        return None
    study = against or board.study.beside(str(board.plan["fixed_study"]))
    if against is None and not study.finished():
        return None
    fixed = leaderboard.derive(study)
    if fixed.plan.get("data_digest") != board.plan.get("data_digest"):
        if against is None:
            return None
        raise StudyError(f"{study} was made from other data than {board.study}: they can't be compared")
    return fixed


def pairs(tuned: Leaderboard, fixed: Leaderboard) -> list[Pair]:
    """Summary rows (fixed, tuned) of the arms that both designs have, in their order."""
    sides = [{row["arm"]: row for row in board.ablation} for board in (fixed, tuned)]
    return [(sides[0][arm], sides[1][arm]) for arm in tuned.arms.ordered(sides[0].keys() & sides[1].keys())]


def designs_table(tuned: Leaderboard, fixed: Leaderboard) -> PaperTable:
    """A row per arm: accuracy and difference to the full network in both designs, and how the difference moved."""
    moved = moves(tuned, fixed)
    rows = tuple(
        (
            one["arm"],
            percent(one["mean"]),
            difference(one),
            percent(other["mean"]),
            difference(other),
            "" if one["outcome"] == "reference" else moved.get(one["arm"], NONE),
        )
        for one, other in pairs(tuned, fixed)
    )
    header = ("arm", "fixed: acc %", "difference [95 %]", "tuned: acc %", "its difference [95 %]", "moved by [95 %]")
    words = frozenset({"arm"})
    return PaperTable("Fixed and tuned hyperparameters", header, rows, words, reference=tuned.arms.reference)


def moves(tuned: Leaderboard, fixed: Leaderboard) -> dict[str, str]:
    """By arm, the change of its difference from the fixed design to the tuned one, in points with its interval.

    It is paired by block, as both designs train the same folds and seeds; * where the interval, which holds for all
    arms together, excludes 0.
    """
    grid = change(fixed.grid, tuned.grid)
    found = None if grid is None else grid.compare((-1.0, 1.0))
    if grid is None or found is None:
        return {}
    cells = {}
    for index, arm in enumerate(grid.arms):
        if found.units[index] and index != grid.reference:
            known = not math.isnan(found.low[index])
            ends = (float(found.low[index]), float(found.high[index])) if known else (None, None)
            star = "*" if found.significant[index] else ""
            cells[arm] = f"{points(float(found.diff[index]))}{star} {interval(*ends)}"
    return cells
