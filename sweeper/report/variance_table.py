"""Where the variance of a score comes from, as a table."""

from collections.abc import Sequence
from typing import Any

from sweeper.report.cells import NONE, PaperTable, p_value
from sweeper.results.leaderboard import Leaderboard
from sweeper.results.variance import VARIANCE

Row = dict[str, Any]


def variance_table(rows: Sequence[Row]) -> PaperTable:
    """A row per source."""
    return PaperTable(
        title="Where the variance of a score comes from",
        header=("source", "sd [95 %]", "% of the variance [95 %]", "p", "df"),
        rows=tuple(
            (
                row["source"],
                _points(row["sd"], row["sd_low"], row["sd_high"]) + ("*" if row["significant"] else ""),
                f"{100 * row['share']:.0f} [{100 * row['share_low']:.0f}, {100 * row['share_high']:.0f}]",
                NONE if row["p"] is None else p_value(row["p"]),
                str(row["df"]),
            )
            for row in rows
        ),
        words=frozenset({"source"}),
        least=("df", "p"),
    )


def variance_notes(board: Leaderboard) -> list[str]:
    """How to read it; nothing where there is no such table."""
    crossed = board.plan.get(VARIANCE)
    if not crossed or not board.variance:
        return []
    first = board.variance[0]
    return [
        f"sd: of a score of {board.arms.reference}, in points, as the source alone makes it; {first['seeds']} seeds of "
        f"each source, every one with every other, on {first['folds']} of the folds; components of variance by "
        "analysis of variance (method of moments), intervals of each source alone (Weerahandi)",
        "*: told from noise, p, which allows for all sources, is at most 0.05; without it, nothing is claimed",
        "augmentation: also crops; what is left: what sources make of each other, dropout, and on a GPU the order in "
        "which it sums",
    ]


def _points(sd: float, low: float, high: float) -> str:
    return f"{100 * sd:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
