"""Tables 1-5 of a benchmark: as printed, with what was measured in its place, and a verdict for each data set."""

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from sweeper.report.answer import margin
from sweeper.report.cells import (
    NONE,
    PaperTable,
    accuracy_interval,
    count,
    difference,
    percent,
    planned,
)
from sweeper.report.floor import FLOOR, floor_note
from sweeper.report.tables import Document, heading
from sweeper.results.benchmark import SCORES, WEIGHTS, Printed, PrintedRow, Score, printed, table_5, verdict
from sweeper.results.leaderboard import Leaderboard

Row = dict[str, Any]

HEADER = (
    "model",
    "E2E",
    "representation",
    "pre-trained",
    "printed %",
    "acc % [95 %]",
    "n",
    "difference [95 %]",
    "outcome",
)
MARKS = frozenset({"E2E", "pre-trained"})


def document(boards: Sequence[Leaderboard]) -> Document:
    """All that is printed of a benchmark.

    Raises:
        StudyError: one of the studies is no benchmark.
    """
    told = [printed(board) for board in boards]
    pairs = list(zip(boards, told, strict=True))
    notes = [
        "printed: as the paper has it, of its own split, recipe and machine; acc: mean test accuracy of the last "
        "epoch's weights, with the interval of the network alone; nothing that was measured here is pre-trained",
        "difference: to the paper's network as measured here, in points, paired over folds or seeds; [95 %]: holds for "
        "all rivals of a data set together in 95 of 100 studies; *: significant, it excludes 0",
    ]
    for board in boards:
        notes += [f"{board.study.name}: {note}" for note in floor_note(board)]
    notes.append(
        "Table 5: macro: each class alike; weighted: by its clips, so that recall is accuracy. The paper's "
        "UrbanSound8K row can only be weighted, its ESC-50 row only macro"
    )
    return Document(
        heading="\n".join(heading(board) for board in boards),
        answer=tuple(sentence for board, found in pairs for sentence in answer(board, found)),
        tables=(*(comparison(board, found) for board, found in pairs), scores(pairs)),
        notes=tuple(dict.fromkeys(notes)),
        problems=tuple(f"{board.study.name}: {problem}" for board in boards for problem in board.problems),
    )


def answer(board: Leaderboard, told: Printed) -> list[str]:
    """What the study says of its data set: the verdict, the rivals, the floor."""
    reference = board.arms.reference
    rivals = [row for row in board.summary if row["kind"] == "peer" and row["mean"] is not None]
    words = {
        word: [row["arm"] for row in rivals if row["outcome"] == word] for word in ("better", "worse", "equivalent")
    }
    said = [f"{len(arms)} {word} ({', '.join(arms)})" for word, arms in words.items() if arms]
    rest = len(rivals) - sum(map(len, words.values()))
    said += [f"{rest} undecided at {margin(board)}"] if rest else []
    sentences = []
    if held := verdict(board, told):
        sentences.append(f"{told.data}: against the printed accuracy, {held}.")
    if rivals:
        sentences.append(
            f"{told.data}: of {count(len(rivals), 'rival')} measured beside {reference}: {', '.join(said)}."
        )
    if board.floor is not None:
        floor = board.floor.accuracy()
        means = {row["arm"]: row["mean"] for row in board.summary if row["mean"] is not None}
        below = [arm for arm, mean in means.items() if mean < floor]
        which = f"{', '.join(below)} below it" if below else "no network is below it"
        sentences.append(f"{told.data}: the floor is {percent(floor)} %; {which}.")
    leaks = sorted({leak for leak in board.trials["leak"].to_pylist() if leak})
    return sentences + [f"{told.data}: leaking split: {leak}" for leak in leaks]


def comparison(board: Leaderboard, told: Printed) -> PaperTable:
    """The printed table with what was measured in its place; what it has no row for stands before the paper's own."""
    by_arm = {row["arm"]: row for row in board.summary if row["kind"] in ("ablation", "peer")}
    measured = {name: told.networks[name] for name in by_arm if name in told.networks}
    rows: list[tuple[PrintedRow, Row | None]] = []
    for row in told.rows:
        name = next((n for n, m in measured.items() if (m.model, m.pretrained) == (row.model, row.pretrained)), None)
        rows.append((row, by_arm[name] if name else None))
        if name:
            del measured[name]
    for name, row in measured.items():  # beside its namesake, else before the last row: the paper's own network
        namesakes = [place for place, (other, _) in enumerate(rows, start=1) if other.model == row.model]
        rows.insert(namesakes[-1] if namesakes else len(rows) - bool(told.rows), (row, by_arm[name]))
    cells = [_cells(row, found) for row, found in rows]
    if board.floor is not None:
        cells.append((FLOOR, "", "Mel-spec", "", NONE, percent(board.floor.accuracy()), NONE, NONE, ""))
    where = f"{told.table} · {told.data}" if told.table else f"{told.data} · not in the paper"
    first = board.trials.slice(0, 1).to_pylist()[0]
    return PaperTable(
        title=f"{where} · measured: {first['split']} split, recipe {first['recipe']}",
        header=HEADER,
        rows=tuple(cells),
        words=frozenset({"model", "representation", "outcome"}),
        marks=MARKS,
        reference=_name(told.networks[board.arms.reference]),
    )


def _name(row: PrintedRow) -> str:
    return row.model if row.reference is None else f"{row.model} [{row.reference}]"


def _cells(row: PrintedRow, found: Row | None) -> tuple[str, ...]:
    said = (
        *(_name(row), "✓" if row.end_to_end else "", row.representation, "✓" if row.pretrained else ""),
        percent(row.accuracy, 2),
    )
    if found is None or found["mean"] is None:
        missing = "" if found is None else planned(found)
        return (*said, "", missing, "", "")
    outcome = "" if found["outcome"] == "reference" else found["outcome"]
    return (*said, f"{percent(found['mean'])} {accuracy_interval(found)}", planned(found), difference(found), outcome)


def scores(pairs: Sequence[tuple[Leaderboard, Printed]]) -> PaperTable:
    """Table 5: as printed, and as measured, macro and weighted, of both sets of weights."""
    rows: list[tuple[str, ...]] = []
    for board, told in pairs:
        name = told.data if len(pairs) == len({other.data for _, other in pairs}) else board.study.name
        if told.table_5 is not None:
            rows.append((name, "printed", "", *(percent(getattr(told.table_5, score), 2) for score in SCORES)))
        found = table_5(board)
        for weights in WEIGHTS:
            for average in ("macro", "weighted"):
                if (by_name := found.get((weights, average))) is not None:
                    rows.append((name, weights, average, *(_score(by_name[score]) for score in SCORES)))
    header = ("data set", "weights", "average", "accuracy %", "precision %", "recall %", "F1 %")
    return PaperTable("Table 5 · the paper's network", header, tuple(rows), frozenset(header[:3]))


def _score(score: Score) -> str:
    interval = "[–]" if score.low is None else f"[{percent(score.low)}, {percent(score.high)}]"
    return f"{percent(score.mean)} {interval}"


def to_json(shown: Document) -> str:
    """Tables 1-5 as JSON: cells by column, and the answer."""
    tables = [
        {"title": table.title, "rows": [dict(zip(table.header, row, strict=True)) for row in table.rows]}
        for table in shown.tables
    ]
    told = {"answer": shown.answer, "tables": tables, "notes": shown.notes, "problems": shown.problems}
    return json.dumps(told, indent=1, ensure_ascii=False)


def page(boards: Sequence[Leaderboard]) -> str:
    """One HTML page, which needs nothing else."""
    from sweeper import __version__
    from sweeper.report.page import environment  # Jinja and Plotly: an extra

    return (
        environment()
        .get_template("benchmark.html")
        .render(
            document=document(boards),
            citation=next((told.citation for told in map(printed, boards) if told.citation), ""),
            version=__version__,
            style=files("sweeper.report").joinpath("page.css").read_text("utf-8"),
        )
    )
