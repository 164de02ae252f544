"""Figures of several data sets: differences on each, and ranks with what can be told apart."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sweeper.report import figures
from sweeper.report.cells import difference
from sweeper.report.difference_figures import estimate, half_axis, rows_sheet, shade_margin
from sweeper.report.drawing import COLOUR, fitted, hover, sheet, text_width
from sweeper.report.escaping import plain
from sweeper.statistics import Ranking

Row = dict[str, Any]
Over = tuple[float | None, float | None, float | None, str]  # difference, its interval's ends, outcome

_ENDS = ("diff", "diff_low", "diff_high")


def forest(
    arms: Sequence[str],
    rows: Sequence[Mapping[str, Row]],
    margin: float,
    reference: str,
    over: Mapping[str, Over],
    width: int,
) -> Figure:
    """Every arm's difference to the reference on each data set, one beneath the other, and over all of them.

    Args:
        arms: without the reference.
        rows: by data set, the summary's row of each arm.
        margin: largest difference that doesn't matter, as a fraction of 1; shaded.
        reference: its name.
        over: by arm, what is claimed over data sets; empty where nothing may be.
        width: in pixels.
    """
    lines = len(rows) + bool(over)
    seen = [found[arm] for arm in arms for found in rows if found[arm]["diff"] is not None]
    limit = half_axis([row["diff"] for row in seen], [row[n] for row in seen for n in ("diff_low", "diff_high")])
    figure, axes = rows_sheet(arms, [], limit, width, max(28, 14 + 9 * lines))
    axes.set_xlabel(f"points of accuracy, arm − {plain(reference)}")
    shade_margin(axes, margin)
    places = np.linspace(-0.32, 0.32, lines) if lines > 1 else [0.0]
    for index, arm in enumerate(arms):
        for line, (place, found) in enumerate(zip(places, rows, strict=False)):
            row = found[arm]
            if row["diff"] is not None:
                said, ends = f"{arm}: {difference(row)}, {row['outcome']}", [row[name] for name in _ENDS]
                estimate(axes, index + place, ends, limit, row["outcome"], said, figures.class_mark(line))
        if over:
            *ends, outcome = over[arm]
            said = f"{arm}, over data sets: {outcome}"
            estimate(axes, index + places[-1], ends, limit, outcome, said)
    return figure


def critical_difference(arms: Sequence[str], found: Ranking, claimed: bool, width: int) -> Figure:
    """Mean ranks on an axis, the best at the left; bars join arms that can't be told apart (Demšar 2006).

    Args:
        arms: names.
        found: their ranks.
        claimed: whether there are enough data sets for the bars and the critical difference to say anything.
        width: in pixels.
    """
    names = fitted(arms, width / 3 - 16, 11)
    order = sorted(range(len(arms)), key=lambda i: found.rank[i])
    bars = list(found.alike) if claimed else []
    side = text_width(names, 11) + 16
    line = 17
    half = -(-len(arms) // 2)
    height = 62 + 9 * len(bars) + line * half
    figure, axes = sheet(width, height, min(side, width // 3), min(side, width // 3), 34, 6)
    axes.set(xlim=(0.9, len(arms) + 0.1), ylim=(height - 40, 0))
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks(range(1, len(arms) + 1))
    axes.set_xlabel("mean rank (1 is best)")
    axes.spines[:].set_visible(False)
    axes.spines["top"].set_visible(True)
    axes.set_yticks([])
    for level, run in enumerate(bars):
        ends = [found.rank[run[0]] - 0.04, found.rank[run[-1]] + 0.04]
        axes.plot(ends, [10 + 9 * level] * 2, color=COLOUR["ink"], lw=4, solid_capstyle="round")
    first = 20 + 9 * len(bars)
    for place, i in enumerate(order):
        left = place < half
        y = first + line * (place if left else len(order) - 1 - place)
        x = found.rank[i]
        edge = -0.01 if left else 1.01
        across = axes.get_xlim()
        end = across[0] if left else across[1]
        axes.plot([x, x, end], [0, y, y], color=COLOUR["muted"], lw=0.9, clip_on=False)
        (mark,) = axes.plot([x], [0], "o", ms=5, color=COLOUR["better"], clip_on=False)
        hover(mark, f"{arms[i]}: mean rank {x:.2f}")
        axes.text(edge, y, names[i], transform=axes.get_yaxis_transform(), ha="right" if left else "left", va="center",
                  fontsize=11)  # fmt: skip
    return figure
