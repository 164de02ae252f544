"""Figures of searches, as Plotly's JSON: how they went, which fields mattered, what accuracy costs."""

from collections.abc import Mapping, Sequence

from sweeper.report.figures import Figure, Row, heading, layout
from sweeper.report.search_tables import changes
from sweeper.results.searching import Found, search_table

_FIELDS = 12  # shown of the importances


def history(found: Found) -> Figure:
    """Scores in the order in which the trials ended, and the best so far."""
    rows = [row for row in search_table(found) if row["score"] is not None]
    complete, stopped = ([row for row in rows if row["status"] == state] for state in ("complete", "stopped"))
    best: list[float] = []
    for row in complete:
        best.append(max([row["score"], *best[-1:]]))
    traces: list[Row] = [
        {
            "x": [row["number"] for row in complete],
            "y": [round(100 * score, 2) for score in best],
            "mode": "lines",
            "line": {"shape": "hv", "color": "$accent", "width": 1.5},
            "hoverinfo": "skip",
        },
        _points(stopped, found, symbol="x-thin-open", color="$muted", size=7),
        _points(complete, found, symbol="circle", color="$accent", size=8),
    ]
    shape = layout(
        height=320,
        margin={"l": 52, "r": 16, "t": 30, "b": 44},
        title=_title(found),
        xaxis={"title": {"text": "trial"}, "range": [-0.5, max((row["number"] for row in rows), default=0) + 0.5]},
        yaxis={"title": {"text": f"{found.goal.objective}, %"}},
    )
    return {"data": traces, "layout": shape}


def importance(found: Found, shares: Mapping[str, float]) -> Figure:
    """Shares of the fields, the largest on top."""
    names = list(shares)[:_FIELDS]
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": [round(100 * shares[name], 2) for name in names],
        "y": names,
        "marker": {"color": "$accent"},
        "hovertemplate": "%{y}: %{x:.1f} %<extra></extra>",
    }
    shape = layout(
        height=90 + 20 * len(names),
        margin={"l": 160, "r": 16, "t": 30, "b": 44},
        title=_title(found),
        xaxis={"title": {"text": "share of importance, %"}, "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "showgrid": False, "type": "category"},
    )
    return {"data": [trace], "layout": shape}


def cost_front(found: Found) -> Figure:
    """Score against cost; trials that no other beats on both are joined."""
    rows = [row for row in search_table(found) if row["status"] == "complete"]
    leading = sorted((row for row in rows if row["pareto"]), key=lambda row: row["cost"])
    rest = [row for row in rows if not row["pareto"]]
    traces = [
        _points(rest, found, x="cost", symbol="circle", color="$muted", size=7),
        _points(leading, found, x="cost", symbol="circle", color="$accent", size=9)
        | {"mode": "lines+markers", "line": {"shape": "hv", "color": "$accent", "width": 1.5}},
    ]
    unit = "GFLOP of training" if found.goal.cost == "gflops" else "seconds of training"
    shape = layout(
        height=320,
        margin={"l": 52, "r": 16, "t": 30, "b": 44},
        title=_title(found),
        xaxis={"title": {"text": unit}, "rangemode": "tozero"},
        yaxis={"title": {"text": f"{found.goal.objective}, %"}},
    )
    return {"data": traces, "layout": shape}


def _points(rows: Sequence[Row], found: Found, *, symbol: str, color: str, size: int, x: str = "number") -> Row:
    return {
        "x": [row[x] for row in rows],
        "y": [round(100 * row["score"], 2) for row in rows],
        "text": [_hover(row, found) for row in rows],
        "mode": "markers",
        "marker": {"symbol": symbol, "color": color, "size": size, "line": {"width": 1.5, "color": color}},
        "hovertemplate": "%{text}<extra></extra>",
    }


def _hover(row: Row, found: Found) -> str:
    stopped = "" if row["stopped_epoch"] is None else f", stopped after epoch {row['stopped_epoch']}"
    what = changes(row["params"], found.recipe_params).replace(", ", "<br>")
    return f"trial {row['number']}: {100 * row['score']:.1f} %{stopped}<br>{what}"


def _title(found: Found) -> Row:
    return heading(f"{found.arm}, fold {found.fold}")
