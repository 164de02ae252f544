"""The page's figures, as Plotly's JSON: traces and layout, plain data.

Colours are names such as `$accent`, which the page replaces by its style sheet's values, so that a figure follows the
reader's light or dark theme. Values are percent, or percentage points for differences.
"""

import colorsys
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.report.cells import accuracy_interval, percent
from sweeper.statistics.pareto import front

Row = dict[str, Any]
Figure = dict[str, Any]

_TEXT_CLASSES = 12  # with more classes, numbers in the cells are too small to read


def pareto(rows: Sequence[Row]) -> Figure:
    """Accuracy against the operations of one forward pass; arms that no other beats on both are joined."""
    shown = [row for row in rows if row["mean"] is not None and row["gflops_per_clip"] is not None]
    costs = [row["gflops_per_clip"] for row in shown]
    least, most = min(costs), max(costs)
    left = 0.0 if least < most / 3 else least - 0.15 * (most - least) - 0.01 * most
    best = front([(row["gflops_per_clip"], row["mean"]) for row in shown])
    on_front = [shown[i] for i in best]
    rest = [row for i, row in enumerate(shown) if i not in best]

    def trace(rows: Sequence[Row], **style: Any) -> Row:
        return {
            "x": [row["gflops_per_clip"] for row in rows],
            "y": [in_points(row["mean"]) for row in rows],
            "text": [row["arm"] for row in rows],
            "customdata": [[_accuracy(row), row["parameters"], round(row["seconds"])] for row in rows],
            "hovertemplate": "%{text}: %{customdata[0]}<br>%{x:.3g} GFLOP, %{customdata[1]:,} parameters, "
            "%{customdata[2]} s of training<extra></extra>",
        } | style

    traces = [
        trace(rest, mode="markers", marker={"color": "$muted", "size": 8}),
        trace(
            on_front,
            mode="lines+markers+text",
            line={"shape": "hv", "color": "$accent", "width": 1.5},
            marker={"color": "$accent", "size": 10},
            textposition=[
                "top right" if row["gflops_per_clip"] < (left + most) / 2 else "top left" for row in on_front
            ],
            cliponaxis=False,
        ),
    ]
    shape = layout(
        height=400,
        margin={"l": 52, "r": 16, "t": 28, "b": 48},
        xaxis={"title": {"text": "GFLOP per clip, forward"}, "range": [left, most + 0.06 * (most - left)]},
        yaxis={"title": {"text": "accuracy, %"}},
    )
    return {"data": traces, "layout": shape}


def _accuracy(row: Row) -> str:
    return f"{percent(row['mean'])} % {accuracy_interval(row)}"


def learning_curve(
    arm: str,
    epochs: NDArray[np.int64],
    bands: Mapping[str, NDArray[np.float64]],
    top: float,
    bottom: float,
    reference: str,
) -> Figure:
    """An arm's training loss, mean and range over blocks, on the reference's mean.

    Args:
        arm: its name.
        epochs: `[points]`, from 1.
        bands: by arm, `[3, points]`: mean, lowest, highest.
        top, bottom: of the loss axis, the same for all arms.
        reference: the arm whose mean is drawn, too.
    """
    mean, low, high = bands[arm].round(4).tolist()
    x = epochs.tolist()
    hover = "epoch %{x}: %{y:.3f}<extra></extra>"
    traces: list[Row] = [
        {"x": x + x[::-1], "y": high + low[::-1], "mode": "lines", "fill": "toself", "fillcolor": "$band"}
        | {"line": {"width": 0}, "hoverinfo": "skip"},
        {"x": x, "y": mean, "mode": "lines", "line": {"color": "$accent", "width": 2}, "hovertemplate": hover},
    ]
    if arm != reference and reference in bands:
        dotted = {"x": x, "y": bands[reference][0].round(4).tolist(), "mode": "lines", "hoverinfo": "skip"}
        traces.insert(1, dotted | {"line": {"color": "$muted", "width": 1, "dash": "dot"}})
    shape = layout(
        height=170,
        margin={"l": 36, "r": 8, "t": 26, "b": 26},
        title=heading(arm),
        xaxis={"nticks": 5},
        yaxis={"range": [bottom, top], "nticks": 5},
    )
    return {"data": traces, "layout": shape}


def confusion(arm: str, counts: NDArray[np.int64], classes: Sequence[str], large: bool) -> Figure:
    """A confusion matrix `[true, predicted]` as percent of each true class."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100 * counts, totals, out=np.zeros(counts.shape), where=totals > 0).round(1)
    text = "%{z:.0f}" if large and len(classes) <= _TEXT_CLASSES else ""
    trace = _heatmap(shares, classes, classes, "%{y} heard as %{x}: %{z} %<extra></extra>", text)
    trace |= {"colorscale": [[0, "$card"], [1, "$heat"]], "zmin": 0, "zmax": 100}
    margin = 84 if large else 8
    ticks = {"showticklabels": large, "showgrid": False, "type": "category", "automargin": large, "dtick": 1}
    ticks |= {"tickfont": {"size": 12 if text else 9}}
    shape = layout(
        height=(150 + (26 if text else 13) * max(len(classes), 8)) if large else 210,
        margin={"l": margin, "r": 8, "t": 30, "b": margin},
        title=heading(arm),
        xaxis=ticks | ({"title": {"text": "predicted", "standoff": 8}, "tickangle": -60} if large else {}),
        yaxis=ticks | {"autorange": "reversed"} | ({"title": {"text": "true", "standoff": 6}} if large else {}),
    )
    return {"data": [trace], "layout": shape}


def class_differences(arms: Sequence[str], classes: Sequence[str], differences: NDArray[np.float64]) -> Figure:
    """Recall per class, arm minus reference, `[arms, classes]` in points."""
    rounded = differences.round(1)
    limit = max(1.0, float(np.nanmax(np.abs(rounded), initial=0.0)))
    text = "%{z:+.0f}" if len(classes) <= _TEXT_CLASSES else ""
    trace = _heatmap(rounded, classes, arms, "%{y}, %{x}: %{z:+} points<extra></extra>", text)
    trace |= {"colorscale": [[0, "$worse"], [0.5, "$card"], [1, "$better"]], "zmin": -limit, "zmax": limit}
    shape = layout(
        height=110 + 28 * len(arms),
        margin={"l": 108, "r": 8, "t": 10, "b": 84},
        xaxis={"showgrid": False, "tickangle": -60, "type": "category", "automargin": True},
        yaxis={"showgrid": False, "autorange": "reversed", "type": "category"},
    )
    return {"data": [trace], "layout": shape}


def scatter(title: str, points: NDArray[np.float64], targets: NDArray[np.int64], classes: Sequence[str]) -> Figure:
    """A map of clips `[clips, 2]`, coloured by class as `class_colours` says."""
    colours = class_colours(len(classes))
    trace = {
        "x": points[:, 0].round(2).tolist(),
        "y": points[:, 1].round(2).tolist(),
        "text": [classes[target] for target in targets],
        "mode": "markers",
        "marker": {"size": 6 if len(targets) <= 600 else 4, "color": [colours[target] for target in targets]},
        "hovertemplate": "%{text}<extra></extra>",
    }
    axis = {"showticklabels": False, "showgrid": False, "zeroline": False}
    shape = layout(
        height=300,
        margin={"l": 6, "r": 6, "t": 30, "b": 6},
        title=heading(title),
        xaxis=axis,
        yaxis=axis | {"scaleanchor": "x"},
    )
    return {"data": [trace], "layout": shape}


def class_colours(count: int) -> list[str]:
    """Hues around the circle; alternating lightness tells neighbours apart in both themes."""
    return [f"hsl({hue}, {saturation}%, {lightness}%)" for hue, saturation, lightness in _hues(count)]


def class_shades(count: int) -> list[tuple[float, float, float]]:
    """The same colours, as red, green and blue in 0..1."""
    return [colorsys.hls_to_rgb(hue / 360, light / 100, saturation / 100) for hue, saturation, light in _hues(count)]


def _hues(count: int) -> list[tuple[int, int, int]]:
    return [(round(360 * i / count), 65, (46, 62)[i % 2]) for i in range(count)]


def _heatmap(z: NDArray[np.float64], x: Sequence[str], y: Sequence[str], hover: str, text: str) -> Row:
    values = [[None if math.isnan(value) else value for value in row] for row in z.tolist()]
    trace = {"type": "heatmap", "z": values, "x": list(x), "y": list(y), "showscale": False, "hovertemplate": hover}
    return trace | {"xgap": 1, "ygap": 1} | ({"texttemplate": text} if text else {})


def heading(text: str) -> Row:
    """A small title at the upper left."""
    return {"text": text, "x": 0, "xanchor": "left", "xref": "paper", "y": 1, "yref": "container", "yanchor": "top"} | {
        "pad": {"t": 6},
        "font": {"size": 13},
    }


def layout(**changes: Any) -> Figure:
    """A figure's layout in the page's colours, with these changes."""
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "$ink", "size": 12, "family": "inherit"},
        "hoverlabel": {"bgcolor": "$card", "bordercolor": "$muted", "font": {"color": "$ink"}},
        "dragmode": False,
        "showlegend": False,
    } | changes


def in_points(fraction: float | None) -> float | None:
    """A fraction as percentage points."""
    return None if fraction is None else round(100 * fraction, 3)
