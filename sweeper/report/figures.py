"""Figures of what lies beneath the differences: accuracy and cost, learning, confusions, maps of clips."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from sweeper.report.cells import accuracy_interval, percent
from sweeper.report.drawing import CATEGORIES, COLOUR, MARKERS, fitted, hover, sheet, spaced, text_width
from sweeper.report.escaping import plain
from sweeper.statistics.pareto import front

Row = dict[str, Any]

TEXT_CLASSES = 12  # with more classes, numbers in the cells are too small to read
_SHAPES = 600  # clips; more shapes than that can't be told apart, and weigh more than the rest of the page
_LINE = 15  # pixels from one label to the next
_DASHES = ("-", "--", "-.", (0, (1, 1)))
_HEAT = (0.12, 0.47, 0.78)  # of the small matrices, which are pictures: on white and on black


def pareto(rows: Sequence[Row], width: int) -> Figure:
    """Accuracy with its interval against the operations of one forward pass, on a log axis, every arm by its name.

    Arms that no other beats on both are joined.
    """
    shown = [row for row in rows if row["mean"] is not None and row["gflops_per_clip"]]
    costs = [row["gflops_per_clip"] for row in shown]
    names = fitted([row["arm"] for row in shown], width / 2 - 24, 11)
    best = front([(row["gflops_per_clip"], row["mean"]) for row in shown])
    right = text_width(names, 11) + 24
    height = max(340, 90 + _LINE * len(shown))
    figure, axes = sheet(width, height, 56, right, 10, 48)
    axes.grid()
    bounds = _accuracy_bounds(shown)
    axes.set(ylim=bounds, xscale="log", xlabel="GFLOP per clip, forward (log)", ylabel="accuracy, %")
    _log_ticks(axes, min(costs), max(costs))
    steps = [shown[i] for i in best]
    joined = [row["gflops_per_clip"] for row in steps], [100 * row["mean"] for row in steps]
    axes.step(*joined, where="post", color=COLOUR["better"], lw=1.2)
    for i, row in enumerate(shown):
        colour = COLOUR["better" if i in best else "muted"]
        cost, mean = row["gflops_per_clip"], 100 * row["mean"]
        if row["ci_low"] is not None:
            _bar(axes, cost, 100 * row["ci_low"], 100 * row["ci_high"], bounds, colour)
        (mark,) = axes.plot([cost], [mean], "D" if i in best else "o", color=colour, ms=7)
        hover(mark, f"{row['arm']}: {percent(row['mean'])} % {accuracy_interval(row)}, {cost:.3g} GFLOP, "
                    f"{row['parameters']:,} parameters, {row['seconds']:.0f} s of training")  # fmt: skip
    ends = [(cost, 100 * row["mean"]) for cost, row in zip(costs, shown, strict=True)]
    _label_at_right(axes, ends, names, ["ink" if i in best else "muted" for i in range(len(shown))], height - 58)
    return figure


def _accuracy_bounds(rows: Sequence[Row]) -> tuple[float, float]:
    """Of the axis, percent: all means fit, and of the intervals' ends at least half."""
    means = [100 * row["mean"] for row in rows]
    halves = sorted(50 * (row["ci_high"] - row["ci_low"]) for row in rows if row["ci_low"] is not None) or [0.0]
    room = max(halves[len(halves) // 2], 0.25 * (max(means) - min(means))) * 1.15 or 1.0
    return max(min(means) - room, -2.0), min(max(means) + room, 102.0)


def _bar(axes: Axes, x: float, low: float, high: float, bounds: tuple[float, float], colour: str) -> None:
    """An interval, upright, which ends in arrowheads where the axis does."""
    axes.plot([x] * 2, [max(low, bounds[0]), min(high, bounds[1])], color=colour, lw=1, alpha=0.6)
    for end, edge, arrow in ((low, bounds[0], "v"), (high, bounds[1], "^")):
        if not bounds[0] <= end <= bounds[1]:
            axes.plot([x], [edge], arrow, ms=6, color=colour, clip_on=False)


def _log_ticks(axes: Axes, least: float, most: float) -> None:
    low, high = least / 1.15, most * 1.15
    axes.set_xlim(low, high)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in (1, 2, 5) if low <= step * 10.0**decade <= high]
    if len(ticks) < 3:
        ticks = [tick for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks[:: math.ceil(len(ticks) / 6)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))


def _label_at_right(
    axes: Axes, ends: Sequence[tuple[float, float]], names: Sequence[str], colours: Sequence[str], height: int
) -> None:
    """Names beside the axes, each joined to its point, none on another. `height`: of the axes, in pixels."""
    low, high = axes.get_ylim()
    unit = (high - low) / height
    order = sorted(range(len(ends)), key=lambda i: (ends[i][1], -ends[i][0]))
    places = spaced([ends[i][1] for i in order], _LINE * unit, low + 6 * unit, high - 6 * unit)
    for i, place in zip(order, places, strict=True):
        axes.annotate(
            names[i],
            ends[i],
            (1.02, place),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=11,
            color=COLOUR["ink"],
            arrowprops={"arrowstyle": "-", "color": COLOUR[colours[i]], "lw": 0.6, "alpha": 0.6, "shrinkB": 4}
            | {"relpos": (0, 0.5), "shrinkA": 1},
            annotation_clip=False,
        )


def learning_curves(
    arms: Sequence[str],
    epochs: Mapping[str, NDArray[np.int64]],
    bands: Mapping[str, NDArray[np.float64]],
    limits: tuple[float, float],
    reference: str,
    width: int,
) -> Figure:
    """Training losses of a few arms, mean and range over blocks, and the reference's mean.

    Args:
        arms: their names.
        epochs: by arm, `[points]`, from 1.
        bands: by arm, `[3, points]`: mean, lowest, highest.
        limits: of the loss axis, the same in all panels.
        reference: drawn dotted, too, where it is not among the arms.
        width: in pixels.
    """
    others = [arm for arm in arms if arm != reference]
    shown = [reference, *others] if reference in bands else others
    names = fitted(shown, width / 2 - 22, 11)
    figure, axes = sheet(width, 250, 52, text_width(names, 11) + 22, 10, 46)
    axes.set(ylim=limits, xlabel="epoch", ylabel="training loss")
    axes.grid()
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    colours = []
    for arm in shown:
        mean, low, high = bands[arm]
        index = others.index(arm) if arm in others else -1
        colour = "ink" if index < 0 else f"c{index % CATEGORIES}"
        dashes: Any = (0, (2, 2)) if index < 0 else _DASHES[index % len(_DASHES)]
        colours.append(colour)
        if index >= 0:
            axes.fill_between(epochs[arm], low, high, color=COLOUR[colour], alpha=0.14, lw=0)
        dot = "o" if len(epochs[arm]) < 4 else ""
        (line,) = axes.plot(epochs[arm], mean, color=COLOUR[colour], ls=dashes, lw=1.8, marker=dot, ms=4)
        hover(line, f"{arm}: {mean[-1]:.3f} in epoch {epochs[arm][-1]}")
    _label_at_right(axes, [(epochs[arm][-1], bands[arm][0][-1]) for arm in shown], names, colours, 194)
    return figure


def confusion(arm: str, counts: NDArray[np.int64], classes: Sequence[str], large: bool, width: int) -> Figure:
    """A confusion matrix `[true, predicted]` as percent of each true class; nothing where nothing was confused.

    The large one has numbers, or with many classes says them to the pointer; the small ones are pictures.
    """
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100 * counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    size = 11.0 if large and len(classes) <= TEXT_CLASSES else 9.0
    names = fitted(_class_labels(classes, large), width / 3, size)
    side = text_width([name for name in names if name], size) + 8
    top, bottom, left = 26, side + 18, side + 20
    across = width - left - 8
    figure, axes = sheet(width, top + across + bottom, left, 8, top, bottom)
    axes.set_title(plain(arm), loc="left", fontsize=13)
    axes.set(xlabel="predicted", ylabel="true", xlim=(0, len(classes)), ylim=(len(classes), 0))
    _class_ticks(axes, names, names, size)
    if large:
        _cells(axes, shares, lambda i, j, value: f"{classes[i]} heard as {classes[j]}: {value:.1f} %", size)
    else:
        picture = np.zeros((*shares.shape, 4))
        picture[..., :3], picture[..., 3] = _HEAT, (shares / 100) ** 0.7
        axes.imshow(picture, extent=(0, len(classes), len(classes), 0), interpolation="none", aspect="auto")
        axes.spines[:].set_visible(True)
    return figure


def _class_labels(classes: Sequence[str], large: bool) -> list[str]:
    """Names; where these have no room, numbers, by which the large matrix calls them, too."""
    if len(classes) <= TEXT_CLASSES:
        return list(classes)
    if large:
        return [f"{number} {name}" for number, name in enumerate(classes, 1)]
    return [str(number) if number % 5 == 0 else "" for number in range(1, len(classes) + 1)]


def _class_ticks(axes: Axes, x: Sequence[str], y: Sequence[str], size: float) -> None:
    axes.set_xticks(np.arange(len(x)) + 0.5, x, rotation=90, fontsize=size)
    axes.set_yticks(np.arange(len(y)) + 0.5, y, fontsize=size)
    axes.tick_params(length=0)


def _cells(axes: Axes, values: NDArray[np.float64], said: Any, size: float, signed: bool = False) -> None:
    """A cell per value, the darker the larger, with its number where there is room; none where it is 0."""
    text = len(values[0]) <= TEXT_CLASSES
    limit = max(1.0, float(np.nanmax(np.abs(values), initial=0.0))) if signed else 100.0
    for (i, j), value in np.ndenumerate(values):
        if not np.isfinite(value) or value == 0:
            continue
        colour = ("better" if value > 0 else "worse") if signed else "heat"
        strength = min(1.0, abs(value) / limit) ** 0.7
        cell = Rectangle((j + 0.02, i + 0.02), 0.96, 0.96, fc=COLOUR[colour], alpha=round(strength, 2), lw=0)
        hover(axes.add_patch(cell), said(i, j, value))
        number = f"{value:+.0f}" if signed else f"{value:.0f}"
        if text and number not in ("0", "+0", "-0"):
            ink = COLOUR["card" if strength > 0.62 else "ink"]
            axes.text(j + 0.5, i + 0.5, number, ha="center", va="center", fontsize=size, color=ink)


def class_differences(
    arms: Sequence[str], classes: Sequence[str], differences: NDArray[np.float64], width: int
) -> Figure:
    """Recall per class, arm minus reference, `[arms, classes]` in points."""
    size = 11.0 if len(classes) <= TEXT_CLASSES else 9.0
    names, labels = fitted(_class_labels(classes, large=True), width / 3, size), fitted(arms, width / 3, 11)
    bottom = text_width(names, size) + 16
    figure, axes = sheet(width, 10 + 26 * len(arms) + bottom, text_width(labels, 11) + 10, 8, 10, bottom)
    axes.set(xlim=(0, len(classes)), ylim=(len(arms), 0))
    _class_ticks(axes, names, labels, size)
    axes.set_yticks(np.arange(len(arms)) + 0.5, labels, fontsize=11)
    said = lambda i, j, value: f"{arms[i]}, {classes[j]}: {value:+.1f} points"  # noqa: E731
    _cells(axes, differences.round(1), said, 11.0, signed=True)
    return figure


def scatter(
    title: str, points: NDArray[np.float64], targets: NDArray[np.int64], classes: Sequence[str], width: int
) -> Figure:
    """A map of clips `[clips, 2]`; a class's colour and shape are `class_mark`'s, many clips are dots in its colour."""
    figure, axes = sheet(width, 300, 6, 6, 28, 6)
    axes.set_title(plain(title), loc="left", fontsize=13)
    axes.set(xticks=[], yticks=[])
    axes.axis("equal")
    axes.spines[:].set_visible(False)
    for index, name in enumerate(classes):
        mine = points[targets == index]
        if not len(mine):
            continue
        colour, shape = class_mark(index)
        if len(points) > _SHAPES:  # a line of no length with round ends is a dot, in few letters
            dots = Path(np.repeat(mine, 2, axis=0), [Path.MOVETO, Path.LINETO] * len(mine))
            dots.should_simplify = False
            marks: Any = axes.add_patch(PathPatch(dots, fc="none", ec=COLOUR[colour], lw=3.5, capstyle="round"))
        else:
            style: dict[str, Any] = {"ls": "", "marker": shape, "color": COLOUR[colour], "ms": 6}
            (marks,) = axes.plot(mine[:, 0], mine[:, 1], mew=0.5, mec=COLOUR["card"], **style)
        hover(marks, name)
    axes.autoscale_view()
    return figure


def class_mark(index: int) -> tuple[str, str]:
    """Colour and marker of a class, told apart from the others' up to 56 classes."""
    return f"c{index % CATEGORIES}", MARKERS[(index % CATEGORIES + 3 * (index // CATEGORIES)) % len(MARKERS)]


def legend_mark(index: int, width: int) -> Figure:
    """A class's mark alone, for the legend."""
    figure, axes = sheet(width, width, 0, 0, 0, 0)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")
    colour, shape = class_mark(index)
    axes.plot([0.5], [0.5], shape, color=COLOUR[colour], ms=width * 0.6, mew=0)
    return figure
