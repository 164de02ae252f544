"""Tables 6 and 7 as the paper prints them, ours beside the published values, with what a reader must know of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from sweeper.model.config import ModelConfig
from sweeper.report.cells import NONE, PaperTable, percent, points
from sweeper.report.search_tables import search_notes, search_tables
from sweeper.results.leaderboard import Leaderboard
from sweeper.results.searching import read_searches
from sweeper.results.summary import ALPHA, UNCOMPARED
from sweeper.search_spaces.ablations import ARMS, REFERENCE, TABLES

Row = dict[str, Any]

TITLES = {"6": "Table 6 · branches and modules", "7": "Table 7 · fusion"}
OTHERS = "Other trials"
_MARKS = {"semantic": "sem", "detail": "det", "macem_a": "A", "macem_b": "B", "garm": "GARM"}
_NUMBERS = ("n", "acc %", "paper % †", "difference [95 %]", "p Holm", "GFLOP", "s")
_FUSIONS = {"sum": "sum", "concat": "concat", "guided": "guided (GAM)"}


@dataclass(frozen=True)
class Document:
    """What is printed of a study: one line on what it is, tables, notes on how to read them, and problems."""

    heading: str
    tables: tuple[PaperTable, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def document(board: Leaderboard) -> Document:
    """The study's tables: 6 and 7 as far as it has their arms, and other kinds of trials apart from them."""
    by_arm = {row["arm"]: row for row in board.summary if row["kind"] == "ablation"}
    tables = [_table(key, by_arm) for key, arms in TABLES.items() if any(arm in by_arm for arm in arms)]
    if others := [row for row in board.summary if row["kind"] not in ("ablation", UNCOMPARED)]:
        tables.append(_others(others))
    searches = read_searches(board.study)
    tables += search_tables(searches)
    problems = tuple(str(problem) for problem in board.problems)
    notes = [*(_notes(board) if by_arm else []), *search_notes(searches), *_synthetic_note(board)]
    return Document(heading(board), tuple(tables), tuple(notes), problems)


def heading(board: Leaderboard) -> str:
    """The study in one line: data, split, folds, seeds, recipe, device."""
    first = board.trials.slice(0, 1).to_pylist()[0]
    folds = sorted(distinct(board, "fold"))
    devices = ", ".join(sorted(distinct(board, "device")))
    data = f"{first['dataset']}{' (synthetic sounds)' if first['synthetic'] else ''}"
    return (
        f"{first['study']}: {data}, {first['split']} split, fold{'s' if len(folds) > 1 else ''} "
        f"{', '.join(map(str, folds))}, {count(len(distinct(board, 'replicate')), 'seed')}, recipe {first['recipe']}, "
        f"{count(pc.max(board.trials['epochs']).as_py(), 'epoch')}, {devices}"
    )


def distinct(board: Leaderboard, column: str) -> set[Any]:
    """The values of a column over all trials."""
    return set(pc.unique(board.trials[column]).to_pylist()) - {None}


def _table(key: str, by_arm: Mapping[str, Row]) -> PaperTable:
    marks = tuple(_MARKS.values()) if key == "6" else ()
    switches = marks or ("fusion",)
    return PaperTable(
        title=TITLES[key],
        header=("arm", *switches, *_NUMBERS, "verdict"),
        rows=tuple((arm, *_switches(key, arm), *_cells(by_arm[arm])) for arm in TABLES[key] if arm in by_arm),
        words=frozenset({"arm", "fusion", "verdict"}),
        marks=frozenset(marks),
    )


def _switches(key: str, arm: str) -> tuple[str, ...]:
    network = ARMS[arm].model(ModelConfig())
    if key == "6":
        return tuple("✓" if getattr(network, switch) else "" for switch in _MARKS)
    return (_FUSIONS[network.fusion],)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        planned(row),
        accuracy(row),
        percent(row["published"], 2),
        difference(row),
        number(row["p_holm"], ".3f"),
        number(row["gflops_per_clip"], ".3g"),
        f"{row['seconds']:.0f}",
        row["verdict"].partition(":")[0],
    )


def _others(rows: Sequence[Row]) -> PaperTable:
    return PaperTable(
        title=OTHERS,
        header=("kind", "arm", "n", "acc %", "difference [95 %]", "p Holm", "GFLOP", "s"),
        rows=tuple((row["kind"], row["arm"], *(c for i, c in enumerate(_cells(row)[:-1]) if i != 2)) for row in rows),
        words=frozenset({"kind", "arm"}),
    )


def _notes(board: Leaderboard) -> list[str]:
    notes = [
        "acc: mean test accuracy over folds and seeds, last epoch's weights; ±: half of the 95 % interval, corrected "
        "for overlapping training sets; s: training time of all n",
        f"difference: to {REFERENCE}, paired by fold and seed; *: significant, that is p Holm ≤ 0.05 and an interval "
        "without 0",
        *test_note(board.summary),
        *_hole_note(board.summary),
        "† the paper: UrbanSound8K, one random 80:20 split, one run",
    ]
    verdicts: dict[str, list[str]] = {}
    for row in board.summary:
        if row["verdict"]:
            verdicts.setdefault(row["verdict"], []).append(row["arm"])
    everywhere = len(verdicts) == 1
    notes += [v if everywhere else f"{', '.join(arms)}: {v}" for v, arms in verdicts.items()]
    return notes


def _synthetic_note(board: Leaderboard) -> list[str]:
    if not any(distinct(board, "synthetic")):
        return []
    return ["The sounds are synthetic: these rows show the machinery at work, not what the modules are worth."]


def _hole_note(summary: Sequence[Row]) -> list[str]:
    withheld = any(row["diff"] is not None and row["significant"] is None for row in summary)
    return ["no arm is called significant where trials of it or of the reference are missing"] if withheld else []


def test_note(summary: Sequence[Row]) -> list[str]:
    """How p was found and how small it can get at all; nothing where nothing was tested."""
    tested = [row for row in summary if row["kind"] == "ablation" and row["p_value"] is not None]
    if not tested:
        return []
    unit, smallest = tested[0]["p_unit"], tested[0]["p_smallest"]
    family = sum(row["kind"] == "ablation" and row["arm"] != REFERENCE for row in summary)
    flips = "whole folds (seeds of a fold are no independent evidence)" if unit == "fold" else "blocks (fold × seed)"
    reached = min(1.0, smallest * family)
    note = f"p: sign-flip test over {flips}, after Holm over {count(family, 'planned arm')}"
    if reached <= ALPHA:
        return [f"{note}; it can't go below {reached:.2g}"]
    return [f"{note}; it can't go below {reached:.2g}, so no arm can be significant: add folds or seeds"]


def planned(row: Row) -> str:
    """Complete trials, of how many where some are missing or failed."""
    return f"{row['n']}" if row["n"] == row["planned"] else f"{row['n']} of {row['planned']}"


def accuracy(row: Row) -> str:
    """Mean ± half the interval, percent."""
    if row["mean"] is None or row["ci_low"] is None:
        return percent(row["mean"])
    return f"{percent(row['mean'])} ± {percent((row['ci_high'] - row['ci_low']) / 2)}"


def difference(row: Row) -> str:
    """Difference to the reference with its interval, in points; * where significant."""
    if row["kind"] == "ablation" and row["arm"] == REFERENCE:
        return "reference"
    if row["diff"] is None:
        return NONE
    star = "*" if row["significant"] else ""
    return f"{points(row['diff'])}{star} {interval(row['diff_low'], row['diff_high'])}"


def interval(low: float | None, high: float | None) -> str:
    """An interval of differences, in points."""
    return "[–]" if low is None or high is None else f"[{points(low)}, {points(high)}]"


def number(value: float | None, form: str) -> str:
    """A number, or a dash for none."""
    return NONE if value is None else f"{value:{form}}"


def count(amount: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{amount} {noun}{'' if amount == 1 else 's'}"
