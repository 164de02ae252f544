"""Figures of differences with their intervals: arms, effects, and two designs beside each other.

A mark's shape and colour say what was called: worse, better, equivalent, or nothing (hollow). An interval that leaves
the axis ends in an arrowhead.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweeper.report.cells import difference, interval, points
from sweeper.report.drawing import COLOUR, fitted, hover, sheet, text_width
from sweeper.report.escaping import plain

Row = dict[str, Any]

_CALLED = ("worse", "better", "equivalent")
_LOOKS = {
    "worse": ("worse", "v"),
    "better": ("better", "^"),
    "equivalent": ("equivalent", "s"),
    "undecided": ("muted", "o"),
    "fixed": ("muted", "o"),
    "tuned": ("better", "o"),
    "published": ("ink", "D"),
}
_NUMBERS = 560  # pixels from which on there is room for the numbers at the right
_BLOCKS_SHOWN = 200  # of an arm; more would be a bar


def forest(
    rows: Sequence[Row], margin: float, reference: str, blocks: Mapping[str, Sequence[float]], width: int
) -> Figure:
    """Differences to the reference with their intervals, every block's own, and the published; arms top to bottom.

    Args:
        rows: of the summary.
        margin: largest difference that doesn't matter, as a fraction of 1; shaded.
        reference: its name.
        blocks: by arm, the difference in each block (fold and seed), fractions of 1.
        width: in pixels.
    """
    shown = [row for row in rows if row["diff"] is not None]
    limit = forest_limit(shown, blocks)
    numbers = [difference(row) for row in shown]
    figure, axes = rows_sheet([row["arm"] for row in shown], numbers, limit, width)
    axes.set_xlabel(f"points of accuracy, arm − {plain(reference)}")
    shade_margin(axes, margin)
    for y, row in enumerate(shown):
        for block in list(blocks.get(row["arm"], ()))[:_BLOCKS_SHOWN]:
            axes.plot([100 * block], [y - 0.2], "o", ms=3.6, color=COLOUR["muted"], mew=0, alpha=0.55)
        if row["recordings_low"] is not None:
            ends = [row[name] for name in ("recordings_low", "recordings_high")]
            shown_ends = [min(max(100 * end, -limit), limit) for end in ends]
            (line,) = axes.plot(shown_ends, [y + 0.27] * 2, ":", color=COLOUR["muted"], lw=1.4)
            hover(line, f"{row['arm']}, for other recordings: {interval(*ends)}")
        if row["published_diff"] is not None:
            (mark,) = axes.plot([100 * row["published_diff"]], [y], "D", ms=6, mfc="none", mec=COLOUR["ink"], zorder=3)
            hover(mark, f"{row['arm']}: published {points(row['published_diff'])}")
        said = f"{row['arm']}: {difference(row)}, {row['outcome']}"
        estimate(axes, y, [row[name] for name in ("diff", "diff_low", "diff_high")], limit, row["outcome"], said)
    return figure


def effects(rows: Sequence[Row], margin: float, width: int) -> Figure:
    """Effects of the factorial with their intervals; ours full, the published hollow and beneath.

    Args:
        rows: `schema.EFFECTS`.
        margin: largest difference that doesn't matter, as a fraction of 1; shaded.
        width: in pixels.
    """
    names = list(dict.fromkeys(row["effect"] for row in rows))
    limit = half_axis([row["estimate"] for row in rows], [row[name] for row in rows for name in ("low", "high")])
    figure, axes = rows_sheet(names, [], limit, width)
    axes.set_xlabel("points of accuracy, with the part − without")
    shade_margin(axes, margin)
    for row in rows:
        if row["estimate"] is None:
            continue
        theirs = row["source"] == "published"
        said = f"{row['effect']}: {points(row['estimate'])} {interval(row['low'], row['high'])}"
        outcome = ("better" if row["estimate"] > 0 else "worse") if row["significant"] else "undecided"
        y = names.index(row["effect"]) + (0.26 if theirs else -0.06)
        values = [row[name] for name in ("estimate", "low", "high")]
        estimate(axes, y, values, limit, "published" if theirs else outcome, said + " (published)" * theirs)
    return figure


def designs(found: Sequence[tuple[Row, Row]], reference: str, width: int) -> Figure:
    """Differences to the reference of (fixed, tuned) pairs with their intervals: hollow is fixed, full is tuned."""
    shown = [pair for pair in found if all(row["diff"] is not None for row in pair)]
    limit = max(forest_limit(rows) for rows in zip(*shown, strict=True))
    figure, axes = rows_sheet([fixed["arm"] for fixed, _ in shown], [], limit, width)
    axes.set_xlabel(f"points of accuracy, arm − {plain(reference)}")
    for y, pair in enumerate(shown):
        for row, design, shift in zip(pair, ("fixed", "tuned"), (-0.1, 0.2), strict=True):
            said = f"{row['arm']}, {design}: {difference(row)}"
            estimate(axes, y + shift, [row[n] for n in ("diff", "diff_low", "diff_high")], limit, design, said)
    return figure


def forest_limit(rows: Sequence[Row], blocks: Mapping[str, Sequence[float]] | None = None) -> float:
    """Half the axis, in points: all means, blocks and published values fit, the widest intervals needn't."""
    inner = [row[name] for row in rows for name in ("diff", "published_diff")]
    inner += [value for values in (blocks or {}).values() for value in values]
    return half_axis(inner, [row[name] for row in rows for name in ("diff_low", "diff_high")])


def half_axis(inner: Sequence[float | None], outer: Sequence[float | None]) -> float:
    """Half an axis, in points: what is inner fits, and of the intervals' ends at least half."""
    widest = max((abs(value) for value in inner if value is not None), default=0.0) or 0.01
    ends = sorted(abs(value) for value in outer if value is not None) or [0.0]
    return 115 * max(widest, min(ends[-1], max(2 * widest, ends[len(ends) // 2])))


def rows_sheet(
    names: Sequence[str], numbers: Sequence[str], limit: float, width: int, row: int = 28
) -> tuple[Figure, Axes]:
    """Axes with a row per name, and numbers at the right where there is room; long names stand above their row.

    Args:
        names: from top to bottom.
        numbers: one for each, or none.
        limit: half the axis, in points.
        width, row: of the figure and of a row, in pixels.
    """
    labels = fitted(names, width - 28, 11)
    left = text_width(labels) + 14
    above = left > 0.3 * width
    right = text_width(numbers, 11) + 20 if numbers and width >= _NUMBERS else 14
    row += 12 if above else 0
    figure, axes = sheet(width, 56 + row * len(names), 14 if above else left, right, 6, 50)
    axes.set(xlim=(-limit, limit), ylim=(len(names) - 0.4, -0.8 if above else -0.6))
    axes.set_yticks(range(len(names)), [] if above else labels)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.axvline(0, color=COLOUR["ink"], lw=1)
    place = axes.get_yaxis_transform()
    for y, name in enumerate(labels):
        if above:
            axes.text(0, y - 0.5 + 4 / row, name, transform=place, ha="left", va="center", fontsize=11)
        if right > 14:
            axes.text(1.02, y, numbers[y], transform=place, ha="left", va="center", fontsize=11)
    return figure, axes


def shade_margin(axes: Axes, margin: float) -> None:
    """What doesn't matter, shaded over the whole height."""
    axes.axvspan(-100 * margin, 100 * margin, color=COLOUR["band"], alpha=0.25, lw=0, zorder=0)


def estimate(
    axes: Axes,
    y: float,
    ends: Sequence[float | None],
    limit: float,
    kind: str,
    said: str,
    look: tuple[str, str] | None = None,
) -> None:
    """A mark with its interval, which ends in arrowheads where the axis does.

    Args:
        axes, y: where.
        ends: middle, low and high, fractions of 1; without an interval, None.
        limit: half the axis, in points.
        kind: an outcome, "published", "fixed" or "tuned".
        said: where the pointer is on the mark.
        look: colour and marker of a mark that says no outcome.
    """
    low, high = (None if end is None else 100 * end for end in ends[1:])
    colour, shape = look or _LOOKS[kind]
    line = COLOUR["muted" if colour == "ink" else colour]
    if low is not None and high is not None:
        axes.plot([max(low, -limit), min(high, limit)], [y, y], color=line, lw=1 if look or colour == "ink" else 1.7)
        for end, arrow in ((low, "<"), (high, ">")):
            off = abs(end) > limit
            place = [math.copysign(limit, end) if off else end], [y]
            axes.plot(*place, arrow if off else "|", ms=7, color=line, clip_on=False)
    hollow = look is None and kind not in (*_CALLED, "tuned")
    face = "none" if colour == "ink" else COLOUR["card"] if hollow else line
    style: dict[str, Any] = {"ms": 6 if look or colour == "ink" else 8, "mfc": face, "mec": COLOUR[colour]}
    (mark,) = axes.plot([100 * (ends[0] or 0.0)], [y], shape, mew=1.5, zorder=4, clip_on=False, **style)
    hover(mark, said)
