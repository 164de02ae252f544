"""Two designs side by side: all arms under the recipe's hyperparameters, and each arm under its own best ones.

The fixed design favours the network that the recipe was made for. What is left of a difference when each arm is tuned
with the same budget is what the part itself is worth.
"""

from typing import Any

from sweeper.report.cells import NONE, PaperTable, points
from sweeper.report.tables import accuracy, difference
from sweeper.results import leaderboard
from sweeper.results.leaderboard import Leaderboard
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.search_spaces.ablations import ARMS, REFERENCE

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
    """Summary rows (fixed, tuned) of the arms that both designs have, in the paper's order."""
    sides = [{row["arm"]: row for row in b.summary if row["kind"] == "ablation"} for b in (fixed, tuned)]
    return [(sides[0][arm], sides[1][arm]) for arm in ARMS if all(arm in side for side in sides)]


def designs_table(found: list[Pair]) -> PaperTable:
    """A row per arm: accuracy and difference to the full network in both designs, and how the difference moved."""
    rows = tuple(
        (
            fixed["arm"],
            accuracy(fixed),
            difference(fixed),
            accuracy(tuned),
            difference(tuned),
            "" if fixed["arm"] == REFERENCE else _moved(fixed, tuned),
        )
        for fixed, tuned in found
    )
    header = ("arm", "fixed: acc %", "difference [95 %]", "tuned: acc %", "its difference [95 %]", "moved by")
    return PaperTable("Fixed and tuned hyperparameters", header, rows, frozenset({"arm"}))


def _moved(fixed: Row, tuned: Row) -> str:
    if fixed["diff"] is None or tuned["diff"] is None:
        return NONE
    return points(tuned["diff"] - fixed["diff"])
