"""Figures of searches: how they went, which fields mattered, what accuracy costs."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sweeper.report.drawing import COLOUR, fitted, hover, sheet, text_width
from sweeper.report.escaping import plain
from sweeper.report.search_tables import changes
from sweeper.results.searching import Found, Row, search_table

_FIELDS = 12  # shown of the importances


def history(found: Found, width: int) -> Figure:
    """Scores in the order in which the trials ended, and the best so far."""
    rows = [row for row in search_table(found) if row["score"] is not None]
    complete, stopped = ([row for row in rows if row["status"] == state] for state in ("complete", "stopped"))
    best: list[float] = []
    for row in complete:
        best.append(max([100 * row["score"], *best[-1:]]))
    figure, axes = _sheet(found, width, 300)
    axes.step([row["number"] for row in complete], best, where="post", color=COLOUR["better"], lw=1.5)
    _points(axes, stopped, found, "number", "x", "muted")
    _points(axes, complete, found, "number", "o", "better")
    axes.set(xlabel="trial", ylabel=f"{plain(found.goal.objective)}, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def importance(found: Found, shares: Mapping[str, float], width: int) -> Figure:
    """Shares of the fields, the largest on top."""
    names = fitted(list(shares)[:_FIELDS], width / 2, 12)
    values = [100 * share for share in list(shares.values())[:_FIELDS]]
    figure, axes = sheet(width, 84 + 20 * len(names), text_width(names) + 12, 16, 30, 46)
    axes.set_title(plain(_title(found)), loc="left", fontsize=13)
    for bar, name, value in zip(axes.barh(names, values, color=COLOUR["better"]), names, values, strict=True):
        hover(bar, f"{name}: {value:.1f} %")
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.set_xlabel("share of importance, %")
    return figure


def cost_front(found: Found, width: int) -> Figure:
    """Score against cost; trials that no other beats on both are joined."""
    rows = [row for row in search_table(found) if row["status"] == "complete"]
    leading = sorted((row for row in rows if row["pareto"]), key=lambda row: row["cost"])
    figure, axes = _sheet(found, width, 300)
    _points(axes, [row for row in rows if not row["pareto"]], found, "cost", "o", "muted")
    joined = [100 * row["score"] for row in leading]
    axes.step([row["cost"] for row in leading], joined, where="post", color=COLOUR["better"], lw=1.5)
    _points(axes, leading, found, "cost", "D", "better")
    unit = "GFLOP of training" if found.goal.cost == "gflops" else "seconds of training"
    axes.set(xlabel=unit, ylabel=f"{plain(found.goal.objective)}, %")
    axes.set_xlim(left=0)
    return figure


def _sheet(found: Found, width: int, height: int) -> tuple[Figure, Axes]:
    figure, axes = sheet(width, height, 56, 16, 30, 48)
    axes.set_title(plain(_title(found)), loc="left", fontsize=13)
    axes.grid()
    return figure, axes


def _points(axes: Axes, rows: Sequence[Row], found: Found, x: str, marker: str, colour: str) -> None:
    for row in rows:
        (mark,) = axes.plot([row[x]], [100 * row["score"]], marker, ms=7, color=COLOUR[colour])
        hover(mark, _said(row, found))


def _said(row: Row, found: Found) -> str:
    stopped = "" if row["stopped_epoch"] is None else f", stopped after epoch {row['stopped_epoch']}"
    return f"trial {row['number']}: {100 * row['score']:.1f} %{stopped}; {changes(row['params'], found.recipe_params)}"


def _title(found: Found) -> str:
    return f"{found.arm}, fold {found.fold}"
