"""A study's tables, what else is known of each arm, and what a reader must know of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from sweeper.report.answer import answer, identical_arms, margin
from sweeper.report.cells import (
    NONE,
    OWN,
    PaperTable,
    accuracy_interval,
    count,
    difference,
    interval,
    operations,
    own_spread,
    p_value,
    percent,
    planned,
    points,
)
from sweeper.report.effect_table import effect_notes, effects_table
from sweeper.report.floor import FLOOR, floor_note
from sweeper.report.search_tables import search_notes, search_tables
from sweeper.report.switches import switch_cells, switch_notes
from sweeper.report.variance_table import variance_notes, variance_table
from sweeper.results.budget import read_stop
from sweeper.results.identity import IDENTICAL
from sweeper.results.leaderboard import Leaderboard
from sweeper.results.looks import SEQUENTIAL, read_sequential
from sweeper.results.score_grid import REFERENCE_KIND, UNCOMPARED
from sweeper.results.searching import read_searches
from sweeper.results.study_arms import StudyTable
from sweeper.results.variance import VARIANCE

Row = dict[str, Any]

OTHERS = "Other trials"


@dataclass(frozen=True)
class Document:
    """What is printed of a study: one line on what it is, the answer, tables, notes on how to read them, and problems.

    `answer` is in sentences, the most important one first; a command stands alone.
    """

    heading: str
    answer: tuple[str, ...]
    tables: tuple[PaperTable, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def document(board: Leaderboard) -> Document:
    """The study's tables as far as it has their arms, and other kinds of trials apart from them."""
    by_arm = {row["arm"]: row for row in board.ablation}
    others = by_arm.keys() - {board.arms.reference} or by_arm.keys()
    listed = [*board.arms.tables.values(), *_unlisted(board, by_arm)]
    tables = [_table(board, table, by_arm) for table in listed if others & set(table.arms)]
    if by_arm:
        tables.append(_arms(board))
    if effects := effects_table(board.effects):
        tables.append(effects)
    if board.variance:
        tables.append(variance_table(board.variance))
    if apart := [row for row in board.summary if row["kind"] not in (REFERENCE_KIND, *UNCOMPARED)]:
        tables.append(_others(board, apart))
    searches = read_searches(board.study)
    tables += search_tables(searches)
    problems = tuple(str(problem) for problem in board.problems)
    notes = [
        *(_notes(board) if by_arm else []),
        *search_notes(searches),
        *variance_notes(board),
        *_synthetic_note(board),
    ]
    return Document(heading(board), tuple(answer(board)), tuple(tables), tuple(notes), problems)


def heading(board: Leaderboard) -> str:
    """The study in one line: data, split, folds, seeds, recipe, device."""
    first = board.trials.slice(0, 1).to_pylist()[0]
    name = board.plan.get("study", first["study"])  # of a merged one, rows have those that they came from
    folds = sorted(distinct(board, "fold"))
    devices = ", ".join(sorted(distinct(board, "device")))
    data = f"{first['dataset']}{' (synthetic sounds)' if first['synthetic'] else ''}"
    # Of a sequential study, those that its looks had; others may have run ahead.
    seeds = count(len(board.grid.seeds if board.plan.get(SEQUENTIAL) else distinct(board, "replicate")), "seed")
    if crossed := board.plan.get(VARIANCE):
        seeds = f"{count(crossed['seeds'], 'seed')} of each source"
    blocks = f"fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, folds))}, {seeds}"
    if told := board.plan.get("imported"):
        return f"{name}: imported from {told['file']}, scores as {told['score']}; data set {data}, {blocks}"
    return (
        f"{name}: {data}, {first['split']} split, {blocks}, recipe {first['recipe']}, "
        f"{count(pc.max(board.trials['epochs']).as_py() or 0, 'epoch')}, {devices}"
    )


def distinct(board: Leaderboard, column: str) -> set[Any]:
    """The values of a column over all trials."""
    return set(pc.unique(board.trials[column]).to_pylist()) - {None}


def claim_of(rows: Sequence[Row]) -> str:
    """What the differences are a statement about; '' where nothing was compared."""
    claims = [row["claim"] for row in rows if row["claim"]]
    return next((claim for claim in claims if claim != IDENTICAL), "".join(claims[:1]))


def _titled(title: str, rows: Sequence[Row]) -> str:
    claim = claim_of(rows)
    return f"{title} · difference {claim}" if claim else title


def _unlisted(board: Leaderboard, by_arm: Mapping[str, Row]) -> list[StudyTable]:
    """A table for arms that the plan's study does not know: an arm that exists is in a table."""
    known = {arm for table in board.arms.tables.values() for arm in table.arms}
    rest = tuple(arm for arm in by_arm if arm not in known)
    return [StudyTable("Arms that the study does not list", rest, {})] if rest else []


def _table(board: Leaderboard, table: StudyTable, by_arm: Mapping[str, Row]) -> PaperTable:
    rows = [by_arm[arm] for arm in table.arms if arm in by_arm]
    floor = [] if board.floor is None else [_floor_cells(board.floor.accuracy(), len(table.columns))]
    marks = {heading for switch, heading in table.columns.items() if isinstance(board.arms.values.get(switch), bool)}
    return PaperTable(
        title=_titled(table.title, rows),
        header=("arm", *table.columns.values(), *_compared_header(board)),
        rows=(*((row["arm"], *switch_cells(board.arms, table, row["arm"]), *_compared(row)) for row in rows), *floor),
        words=frozenset({"arm", *(set(table.columns.values()) - marks), _compared_header(board)[-1]}),
        marks=frozenset(marks),
        reference=board.arms.reference,
        repeats=frozenset({*table.columns.values(), "n", _compared_header(board)[-1]}),
        least=("n", "sd", *table.columns.values()),
    )


def _floor_cells(accuracy: float, switches: int) -> tuple[str, ...]:
    """The floor's row: what it gets, and nothing of what arms are compared by."""
    return (FLOOR, *("",) * switches, NONE, percent(accuracy), NONE, NONE, "")


def _compared_header(board: Leaderboard) -> tuple[str, ...]:
    return ("n", "acc %", "sd", "difference [95 %]", f"at ±{100 * board.margin:g}")


def _compared(row: Row) -> tuple[str, ...]:
    outcome = "" if row["outcome"] == "reference" else row["outcome"]
    return planned(row), percent(row["mean"]), own_spread(row), difference(row), outcome


def _arms(board: Leaderboard) -> PaperTable:
    """What else is known of each arm: its own interval, p, other recordings, the published values, cost."""
    rows = board.ablation
    recorded = any(row["recordings_low"] is not None for row in rows)
    verdicts = {row["verdict"].partition(":")[0] for row in rows if row["verdict"]}
    unit, work = operations([row["gflops_per_clip"] for row in rows])
    columns = {
        "acc [95 %]": [accuracy_interval(row) for row in rows],
        "p": [p_value(row["p"]) for row in rows],
        "recordings": [interval(row["recordings_low"], row["recordings_high"]) if recorded else "" for row in rows],
        "acc†": [percent(row["published"], 2) for row in rows],
        "diff†": [NONE if row["published_diff"] is None else points(row["published_diff"]) for row in rows],
        "verdict": [row["verdict"].partition(":")[0] for row in rows],
        unit: work,
        "s": [_seconds(row) for row in rows],
    }
    if not recorded:
        del columns["recordings"]
    if board.plan.get("imported"):
        del columns[unit]
    if board.plan.get("imported") and not distinct(board, "seconds"):
        del columns["s"]
    if all(row["published"] is None for row in rows):
        del columns["acc†"]
    if all(row["published_diff"] is None for row in rows):
        del columns["diff†"]
    if len(verdicts) < 2:  # the same for all: a note says it
        del columns["verdict"]
    return PaperTable(
        title="Each arm",
        header=("arm", *columns),
        rows=tuple((row["arm"], *cells) for row, *cells in zip(rows, *columns.values(), strict=True)),
        words=frozenset({"arm", "verdict"}),
        reference=board.arms.reference,
        repeats=frozenset({unit}),
        wraps=frozenset({"verdict"}),
        least=("s", "acc†", unit, "p", "recordings"),
    )


def _seconds(row: Row) -> str:
    return NONE if row["seconds"] is None else f"{row['seconds']:.0f}"


def _others(board: Leaderboard, rows: Sequence[Row]) -> PaperTable:
    unit, work = operations([row["gflops_per_clip"] for row in rows])
    return PaperTable(
        title=_titled(OTHERS, rows),
        header=("kind", "arm", *_compared_header(board), "p", unit, "s"),
        rows=tuple(
            (
                *(row["kind"], row["arm"], *_compared(row), p_value(row["p"])),
                *(cell, _seconds(row)),
            )
            for row, cell in zip(rows, work, strict=True)
        ),
        words=frozenset({"kind", "arm", _compared_header(board)[-1]}),
        repeats=frozenset({"kind", "n", _compared_header(board)[-1], unit}),
        least=("s", unit, "p", "sd", "n"),
    )


def _notes(board: Leaderboard) -> list[str]:
    rows = board.ablation
    labels = board.arms.labels
    columns = {switch: heading for table in board.arms.tables.values() for switch, heading in table.columns.items()}
    short = [f"{heading}: {labels.get(s, s)}" for s, heading in columns.items() if heading != labels.get(s, s)]
    notes = [*(["; ".join(short)] if short else []), *switch_notes(board.arms, columns, [row["arm"] for row in rows])]
    imported, acc = board.plan.get("imported"), "test accuracy of the last epoch's weights"
    notes += [
        f"acc: mean {'accuracy, as imported' if imported else acc}, with the interval of the arm alone; sd: its own "
        "spread, in points; s: training time of all its trials"
    ]
    notes += rule_notes(board)
    if tested := next((row["recordings"] for row in rows if row["recordings_low"] is not None), None):
        notes.append(
            f"recordings: 95 % interval of the difference for other recordings and seeds, of each arm alone, from the "
            f"answers to {count(tested, 'test recording')}"
        )
    for arm, other in board.plan.get("commits", {}).get("same", {}).items():
        named = f"{board.arms.factors.get(arm, '')} ({arm})"
        notes.append(f"{named} is the same code as {other}, up to comments and layout: it has no trials of its own")
    if alike := identical_arms(board):
        notes.append(
            f"identical: {', '.join(alike)} gave every test clip the probabilities of {board.arms.reference}, to the "
            "last bit, in every block; so the difference is 0, and no interval is needed"
        )
    notes += floor_note(board)
    notes += effect_notes(board.effects)
    notes += [*_hole_note(rows), *_published_note(board)]
    verdicts: dict[str, list[str]] = {}
    for row in rows:
        if row["verdict"]:
            verdicts.setdefault(row["verdict"], []).append(row["arm"])
    everywhere = len(verdicts) == 1
    notes += [v if everywhere else f"{', '.join(arms)}: {v}" for v, arms in verdicts.items()]
    return notes


def _published_note(board: Leaderboard) -> list[str]:
    """Where the published values are from; or why none is shown, as they belong to a data set."""
    arms = board.arms
    heard = sorted(distinct(board, "dataset"))
    if any(row["published"] is not None for row in board.ablation):
        on = f", on {', '.join(heard)}" if arms.protocol else ""
        return [f"† {arms.protocol.get('source', 'as published')}{on}"]
    if not arms.published_on:
        return []
    return [f"nothing was published for these arms on {', '.join(heard)}: only on {', '.join(arms.published_on)}"]


def rule_notes(board: Leaderboard) -> list[str]:
    """What the differences, their intervals and the words for them mean; nothing where nothing was compared."""
    compared = [row for row in board.ablation if row["diff"] is not None]
    if not compared:
        return []
    first = next((row for row in compared if row["claim"] != IDENTICAL), compared[0])
    reference = board.arms.reference
    units = sorted({row["units"] for row in compared})
    span = f"{units[0]} to {units[-1]} {first['unit']}s" if len(units) > 1 else count(units[0], first["unit"])
    seeds = ", each the mean of its seeds" if first["unit"] == "fold" and len(board.grid.seeds) > 1 else ""
    notes = [f"difference: to {reference}, in points, paired over {span}{seeds}; {first['claim']}"]
    if (sequential := read_sequential(board.plan)) is not None:
        looks = sorted({look.blocks for look in sequential.taken})
        notes += [
            f"{count(len(looks), 'look')}, as planned before the first, after {', '.join(map(str, looks))} "
            f"{sequential.unit}s; each arm's difference is that of the last look at it",
            f"[95 %]: holds {_together(len(sequential.arms) - 1)}at all looks together in 95 of 100 "
            "studies, whoever stops when; *: significant, the interval excludes 0",
        ]
        complete = pc.and_(pc.equal(board.trials["kind"], REFERENCE_KIND), pc.equal(board.trials["status"], "complete"))
        if ahead := pc.sum(complete).as_py() - sum(row["n"] for row in board.ablation):
            trials = count(ahead, "trial")
            notes.append(f"not counted, as a look had settled the arm before it was finished: {trials}")
    elif any(row["diff_low"] is not None for row in compared):
        family, alike = sum(row["arm"] != reference for row in board.ablation), board.grid.copied
        how = "the spread is each arm's own"
        if alike and len(alike) < family:
            how += f", and the largest counts for {', '.join(alike)}, with the scores of another arm"
        if any(row["pooled"] for row in compared):
            how = "the spread is pooled over the arms"
            apart = [row["arm"] for row in board.ablation if row["own_spread"]]
            how += f" but for those that stand out ({OWN})" if apart else ""
            how += f", of which {reference}'s is in every interval" if reference in apart else ""
        notes.append(
            f"[95 %]: holds {_together(family)}in 95 of 100 studies; {how}; *: significant, the interval excludes 0, "
            f"and p{', which allows for all arms,' if family > 1 else ''} is at most 0.05"
        )
    notes += budget_note(board.plan)
    notes.append(
        f"at {margin(board)} (--margin): worse, better, equivalent (the interval lies within), or undecided, which is "
        "not “no difference”"
    )
    return notes


def _together(arms: int) -> str:
    return f"for all {arms} arms together " if arms > 1 else ""


def budget_note(plan: Mapping[str, Any]) -> list[str]:
    """That a budget ended the study, what it left out, and what that does to intervals; nothing where none did."""
    if (stop := read_stop(plan)) is None:
        return []
    said = f"the study stopped at its budget of {stop.words}: {stop.spent:,.3g} device-hours were spent"
    if plan.get(SEQUENTIAL):
        return [f"{said}; what ended it is its cost, not its scores, which spends none of the error"]
    cut = count(len(stop.cut(plan)), "planned block")
    return [
        f"{said}, and {cut} left out, also what had begun of them; what ended it is its cost, not its scores, so "
        "intervals hold as if no more had been planned"
    ]


def _synthetic_note(board: Leaderboard) -> list[str]:
    if not any(distinct(board, "synthetic")):
        return []
    return ["The sounds are synthetic: these rows show the machinery at work, not what the modules are worth."]


def _hole_note(summary: Sequence[Row]) -> list[str]:
    withheld = any(row["diff"] is not None and row["significant"] is None for row in summary)
    holes = any(row["n"] < row["planned"] for row in summary)
    return (
        [
            "no arm is called anything where trials of it or of the reference are missing; intervals are for the "
            "finished study, and do not hold for who stops when they look good"
        ]
        if withheld and holes
        else []
    )
