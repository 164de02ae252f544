"""Figures of differences with their intervals: arms, effects, and two designs beside each other."""

from collections.abc import Sequence

from sweeper.report.cells import difference, interval, points
from sweeper.report.figures import Figure, Row, in_points, layout


def forest(rows: Sequence[Row], margin: float, reference: str) -> Figure:
    """Differences to the reference with their intervals, and the paper's; arms from top to bottom.

    Args:
        rows: of the summary.
        margin: largest difference that doesn't matter, as a fraction of 1; shaded.
        reference: its name.
    """
    shown = [row for row in rows if row["diff"] is not None]
    arms = [row["arm"] for row in shown]
    limit = forest_limit(shown)
    low, high = ([in_points(row[name]) for row in shown] for name in ("diff_low", "diff_high"))
    middle = [in_points(row["diff"]) or 0.0 for row in shown]
    traces: list[Row] = [
        {
            "x": middle,
            "y": arms,
            "mode": "markers",
            "marker": {"size": 9, "color": ["$accent" if row["significant"] else "$muted" for row in shown]},
            "error_x": _error_bars(middle, low, high, "$muted"),
            "text": [f"{row['arm']}: {difference(row)}" for row in shown],
            "hovertemplate": "%{text}<extra></extra>",
        },
        {
            "x": [in_points(row["published_diff"]) for row in shown],
            "y": arms,
            "mode": "markers",
            "marker": {"symbol": "diamond-open", "size": 9, "color": "$ink"},
            "hovertemplate": "%{y}: published %{x:+.2f}<extra></extra>",
        },
    ]
    if any(row["recordings_low"] is not None for row in shown):
        traces.insert(0, _recordings_bars(shown))
    shape = layout(
        height=60 + 30 * len(arms),
        margin={"l": 108, "r": 12, "t": 10, "b": 44},
        xaxis={"title": {"text": f"points of accuracy, arm − {reference}"}, "range": [-limit, limit], "zeroline": True},
        yaxis={"autorange": "reversed", "showgrid": False, "type": "category"},
        shapes=_margin_shade(margin),
    )
    return {"data": traces, "layout": shape}


def effects(rows: Sequence[Row], margin: float) -> Figure:
    """Effects of the factorial with their intervals; ours full, the published hollow and beneath.

    Args:
        rows: `schema.EFFECTS`.
        margin: largest difference that doesn't matter, as a fraction of 1; shaded.
    """
    names = list(dict.fromkeys(row["effect"] for row in rows))
    traces = []
    for source, symbol, shift in (("study", "circle", -0.14), ("published", "diamond-open", 0.2)):
        mine = [row for row in rows if row["source"] == source]
        color = "$ink" if source == "published" else ["$accent" if row["significant"] else "$muted" for row in mine]
        middle = [in_points(row["estimate"]) or 0.0 for row in mine]
        ends = [[in_points(row[name]) for row in mine] for name in ("low", "high")]
        traces.append(
            {
                "x": middle,
                "y": [names.index(row["effect"]) + shift for row in mine],
                "mode": "markers",
                "marker": {"size": 9, "symbol": symbol, "color": color},
                "error_x": _error_bars(middle, ends[0], ends[1], "$band" if source == "published" else "$muted"),
                "text": [
                    f"{row['effect']}: {points(row['estimate'])} {interval(row['low'], row['high'])}"
                    + (" (published)" if source == "published" else "")
                    for row in mine
                ],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    shape = layout(
        height=60 + 44 * len(names),
        margin={"l": 8, "r": 12, "t": 10, "b": 44},
        xaxis={"title": {"text": "points of accuracy, with the part − without"}, "zeroline": True},
        yaxis={"tickvals": list(range(len(names))), "ticktext": names, "range": [len(names) - 0.5, -0.5]}
        | {"showgrid": False, "zeroline": False, "automargin": True},
        shapes=_margin_shade(margin),
    )
    return {"data": [trace for trace in traces if trace["x"]], "layout": shape}


def _error_bars(middle: Sequence[float], low: Sequence[float | None], high: Sequence[float | None], color: str) -> Row:
    below, above = (
        [None if end is None else abs(end - centre) for end, centre in zip(ends, middle, strict=True)]
        for ends in (low, high)
    )
    bars = {"type": "data", "symmetric": False, "arrayminus": below, "array": above}
    return bars | {"color": color, "thickness": 1.5, "width": 4}


def _margin_shade(margin: float) -> list[Row]:
    """What doesn't matter, shaded over the whole height."""
    edge = 100 * margin
    place = {"type": "rect", "xref": "x", "yref": "paper", "x0": -edge, "x1": edge, "y0": 0, "y1": 1}
    return [place | {"fillcolor": "$band", "opacity": 0.35, "line": {"width": 0}, "layer": "below"}]


def designs(found: Sequence[tuple[Row, Row]], reference: str) -> Figure:
    """Differences to the reference of (fixed, tuned) pairs with their intervals: hollow is fixed, full is tuned."""
    shown = [pair for pair in found if all(row["diff"] is not None for row in pair)]
    limit = max(forest_limit(rows) for rows in zip(*shown, strict=True))
    traces = []
    for rows, symbol, color, shift in zip(
        zip(*shown, strict=True), ("circle-open", "circle"), ("$muted", "$accent"), (-0.16, 0.16), strict=True
    ):
        middle = [in_points(row["diff"]) or 0.0 for row in rows]
        ends = [[in_points(row[name]) for row in rows] for name in ("diff_low", "diff_high")]
        traces.append(
            {
                "x": middle,
                "y": [index + shift for index in range(len(rows))],
                "mode": "markers",
                "marker": {"size": 9, "symbol": symbol, "color": color},
                "error_x": _error_bars(middle, ends[0], ends[1], color),
                "text": [f"{row['arm']}: {difference(row)}" for row in rows],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    names = [fixed["arm"] for fixed, _ in shown]
    shape = layout(
        height=60 + 36 * len(names),
        margin={"l": 108, "r": 12, "t": 10, "b": 44},
        xaxis={"title": {"text": f"points of accuracy, arm − {reference}"}, "range": [-limit, limit], "zeroline": True},
        yaxis={"tickvals": list(range(len(names))), "ticktext": names, "range": [len(names) - 0.5, -0.5]}
        | {"showgrid": False, "zeroline": False},
    )
    return {"data": traces, "layout": shape}


def forest_limit(rows: Sequence[Row]) -> float:
    """Half the axis, in points: all means and intervals for other recordings fit, the widest other ones needn't."""
    means = ("diff", "recordings_low", "recordings_high", "published_diff")
    inner = [abs(row[k]) for row in rows for k in means if row[k] is not None]
    outer = [abs(row[k]) for row in rows for k in ("diff_low", "diff_high") if row[k] is not None]
    widest = max(inner, default=0.01)
    return 100 * 1.15 * max(widest, min(max(outer, default=0.0), 2 * widest))


def _recordings_bars(rows: Sequence[Row]) -> Row:
    x: list[float | None] = []
    y: list[str | None] = []
    for row in rows:
        if row["recordings_low"] is not None:
            x += [in_points(row["recordings_low"]), in_points(row["recordings_high"]), None]
            y += [row["arm"], row["arm"], None]
    line = {"color": "$band", "width": 11}
    return {"x": x, "y": y, "mode": "lines", "line": line, "hoverinfo": "skip"}
