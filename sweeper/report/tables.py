"""Tables 6 and 7 as the paper prints them, ours beside the published values."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from search_spaces.ablations import ARMS, REFERENCE, TABLES
from search_spaces.recipes import RECIPES

Row = dict[str, Any]

WIDTH = 128  # columns that the tables need
TITLES = {"6": "Table 6 · branches and modules", "7": "Table 7 · fusion"}
_MARKS = {"semantic": "sem", "detail": "det", "macem_a": "A", "macem_b": "B", "garm": "GARM"}


def render(trials: Sequence[Row], summary: Sequence[Row]) -> RenderableType:
    """Both tables for a terminal, with what a reader must know before believing them."""
    by_arm = {row["arm"]: row for row in summary}
    tables = [_table(key, by_arm) for key, arms in TABLES.items() if any(arm in by_arm for arm in arms)]
    return Group(_heading(trials), *tables, *(Text(line) for line in _caveats(trials, summary)))


def _heading(trials: Sequence[Row]) -> Text:
    first = trials[0]
    folds = sorted({row["fold"] for row in trials})
    seeds = len({row["replicate"] for row in trials})
    data = f"{first['dataset']}{' (synthetic sounds)' if first['synthetic'] else ''}"
    return Text(
        f"\n{first['study']}: {data}, {first['split']} split, fold{'s' if len(folds) > 1 else ''} "
        f"{', '.join(map(str, folds))}, {seeds} seed{'s' if seeds > 1 else ''}, recipe {first['recipe']}, "
        f"{first['epochs']} epoch{'s' if first['epochs'] > 1 else ''}, {first['device']}",
        "bold",
    )


def _table(key: str, by_arm: Mapping[str, Row]) -> Table:
    table = Table(
        title=TITLES[key],
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("arm", no_wrap=True)
    if key == "6":
        for label in _MARKS.values():
            table.add_column(label, justify="center", no_wrap=True)
    for label in ("n", "acc %", "EMA %", "difference [95 %]", "p Holm", "M par.", "GFLOP", "s", "paper †"):
        table.add_column(label, justify="right", no_wrap=True)
    for arm in TABLES[key]:
        if arm in by_arm:
            table.add_row(*_cells(key, by_arm[arm]), style="bold" if arm == REFERENCE else "")
    return table


def _cells(key: str, row: Row) -> list[str]:
    arm = ARMS[row["arm"]]
    reference = next(iter(RECIPES.values()))().model
    switches = [("✓" if getattr(arm.model(reference), mark) else "") for mark in _MARKS] if key == "6" else []
    if row["arm"] == REFERENCE:
        difference = "reference"
    elif row["diff"] is None:
        difference = "–"
    else:
        difference = f"{100 * row['diff']:+.1f} {_interval(row['diff_low'], row['diff_high'], '+.1f')}"
    return [
        row["arm"],
        *switches,
        f"{row['n']}" + (f" ({row['failed']} failed)" if row["failed"] else ""),
        _percent(row["mean"]),
        _percent(row["mean_ema"]),
        difference,
        _number(row["p_holm"], ".3f"),
        _number(row["parameters"] and row["parameters"] / 1e6, ".3g"),
        _number(row["gflops_per_clip"], ".3g"),
        f"{row['seconds']:.0f}",
        _percent(row["published"], 2),
    ]


def _caveats(trials: Sequence[Row], summary: Sequence[Row]) -> list[str]:
    lines = [
        "acc.: mean test accuracy over folds and seeds, last epoch (EMA: averaged weights); s: training time of all n;",
        " difference: to full, paired by fold and seed, corrected for overlapping training sets; p: exact sign-flip test",
    ]
    verdicts = sorted({row["verdict"] for row in summary})
    lines += [f"† the paper: UrbanSound8K, one random 80:20 split, one run; {verdict}" for verdict in verdicts]
    lines += sorted({row["leak"] for row in trials if row["leak"]})
    if trials[0]["synthetic"]:
        lines.append(
            "The demo's sounds are synthetic: these rows show the machinery at work, not what the modules are worth."
        )
    failed = [row for row in trials if row["status"] == "failed"]
    lines += [f"failed: {row['arm']}, fold {row['fold']}, seed {row['replicate']}: {row['error']}" for row in failed]
    return lines


def _percent(fraction: float | None, digits: int = 1) -> str:
    return "–" if fraction is None else f"{100 * fraction:.{digits}f}"


def _interval(low: float | None, high: float | None, form: str) -> str:
    return "[–]" if low is None or high is None else f"[{100 * low:{form}}, {100 * high:{form}}]"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"
