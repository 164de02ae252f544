"""A study's tables for a terminal, a web page, a paper, and other programs."""

import csv
import io
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from types import MappingProxyType

from rich import box
from rich.console import Console, JustifyMethod
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from sweeper.report import escaping
from sweeper.report.answer import answer
from sweeper.report.cells import PaperTable
from sweeper.report.escaping import plain
from sweeper.report.fitting import narrowed, needs, without_repeats
from sweeper.report.tables import Document, document
from sweeper.results import schema
from sweeper.results.leaderboard import Leaderboard
from sweeper.results.searching import read_searches

ANY_WIDTH = 100_000  # characters, where nobody says how many there are
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def terminal(shown: Document) -> str:
    """Tables for a terminal, with colours where there is one."""
    return print_grids(shown.heading, shown.tables, shown.notes, shown.problems, shown.answer)


def print_grids(
    heading: str,
    tables: Sequence[PaperTable],
    notes: Sequence[str],
    problems: Sequence[str],
    answer: Sequence[str] = (),
) -> str:
    """A heading, the answer, tables, notes and problems as text that fits the terminal; of any width where it is none.

    What a table leaves out to fit, a note names.
    """
    console = Console(highlight=False)
    fits = console.is_terminal or "COLUMNS" in os.environ
    tables, repeated = without_repeats(tables)
    gone: dict[str, None] = {}
    if fits:
        for index, table in enumerate(tables):
            tables[index], names = narrowed(table, console.width)
            gone |= dict.fromkeys(names)
    grids = [_rich(table) for table in tables]
    # What still doesn't fit is wrapped by the terminal: one that is cut off at the edge misleads.
    prose = console.width if fits else None
    if fits:
        console.width = max(console.width, *map(needs, tables), 0)
    else:
        unlimited = console.options.update(max_width=ANY_WIDTH)
        console.width = max((Measurement.get(console, unlimited, grid).maximum for grid in grids), default=80)
    left_out = [f"left out, as this terminal is narrow: {', '.join(gone)}"] if gone else []
    with console.capture() as capture:
        console.print(Text("\n" + "\n".join(map(plain, heading.splitlines())), "bold"), width=prose, soft_wrap=not fits)
        for sentence in answer:
            _say(console, sentence, prose)
        for grid in grids:
            console.print(grid, soft_wrap=True)
        for note in (*repeated, *notes, *left_out):
            _say(console, note, prose)
        for problem in problems:
            console.print(Text(f"! {plain(problem)}", "yellow"), width=prose, soft_wrap=not fits)
    return "\n".join(line.rstrip() for line in capture.get().rstrip().split("\n"))


def _say(console: Console, sentence: str, width: int | None) -> None:
    """A sentence in lines that end between words, if there is a width; a command is one line, to be copied."""
    if width is None or sentence.startswith("python "):
        console.print(Text(plain(sentence)), soft_wrap=True)
    else:
        console.print(Text(plain(sentence)), width=width)


def _rich(table: PaperTable) -> Table:
    grid = Table(title=Text(plain(table.title)), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    grid.pad_edge, grid.collapse_padding = False, True
    for name in table.header:
        grid.add_column(
            Text(plain(name)),
            justify="center" if name in table.marks else _side(table, name),
            no_wrap=name not in table.wraps,
            overflow="fold",
        )
    for row in table.rows:
        grid.add_row(*(Text(plain(cell)) for cell in row), style="bold" if row[0] == table.reference else "")
    return grid


def _side(table: PaperTable, column: str) -> JustifyMethod:
    return "left" if column in table.words else "right"


def markdown(shown: Document) -> str:
    """GitHub's Markdown."""
    shown = _without_repeats(shown)
    lines = [f"**{escaping.markdown(shown.heading)}**", "", *(f"- {_code(sentence)}" for sentence in shown.answer)]
    for table in shown.tables:
        rules = [":-:" if n in table.marks else ":--" if n in table.words else "--:" for n in table.header]
        rows = [["**" + cell + "**" if cell == table.reference else cell for cell in row] for row in table.rows]
        cells = [table.header, rules, *rows]
        title = escaping.markdown(table.title)
        lines += ["", f"### {title}", "", *(f"| {' | '.join(_escaped(row))} |" for row in cells)]
    lines += ["", *(f"- {escaping.markdown(note)}".replace("*:", "\\*:") for note in shown.notes)]
    lines += [f"- **{escaping.markdown(problem)}**" for problem in shown.problems]
    return "\n".join(lines)


def _code(sentence: str) -> str:
    return f"`{plain(sentence)}`" if sentence.startswith("python ") else escaping.markdown(sentence)


def _escaped(row: Sequence[str]) -> list[str]:
    return [escaping.markdown(cell).replace("* [", "\\* [") for cell in row]


def latex(shown: Document) -> str:
    """A `table` per table; needs the packages booktabs and amssymb."""
    shown = _without_repeats(shown)
    notes = [*shown.answer, *shown.notes, *shown.problems]
    tables = [latex_table(table, f"{table.title}. {shown.heading}", notes) for table in shown.tables]
    return "\n\n".join([f"% {plain(shown.heading)}", *tables])


def latex_table(table: PaperTable, caption: str, notes: Sequence[str]) -> str:
    """A `table`, its caption above and notes beneath."""
    columns = "".join("c" if n in table.marks else _side(table, n)[0] for n in table.header)
    rows = [" & ".join(map(escaping.latex, row)) + r" \\" for row in (table.header, *table.rows)]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{escaping.latex(caption)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            rows[0],
            r"\midrule",
            *rows[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\par\footnotesize",
            *(rf"{escaping.latex(note)}\par" for note in notes),
            r"\end{table}",
        ]
    )


def csv_table(table: PaperTable) -> str:
    """The cells of a table as they are shown."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    rows = (table.header, *table.rows)
    writer.writerows([cell if _NUMBER.fullmatch(cell) else escaping.csv(cell) for cell in row] for row in rows)
    return sink.getvalue()


def comma_separated(board: Leaderboard) -> str:
    """The summary's columns, a line per arm, fractions of 1; empty where there is no value; numbers with ten digits."""
    sink = io.StringIO()
    writer = csv.DictWriter(sink, schema.SUMMARY.names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: escaping.csv(_short(value)) for name, value in row.items()} for row in board.summary)
    return sink.getvalue().rstrip("\n")


def _short(value: object) -> object:
    """A number without the last digits of a sum of binary fractions: 0.65, not 0.6499999999999999."""
    return float(f"{value:.10g}") if isinstance(value, float) else value


def to_json(board: Leaderboard) -> str:
    """The summary with the study's design and problems."""
    plan = board.plan
    described = {
        "study": board.study.name,
        "design": plan.get("design"),
        "data_digest": plan.get("data_digest"),
        "margin": board.margin,
        "answer": answer(board),
        "arms": board.summary,
        "effects": board.effects,
        "variance": board.variance,
        "searches": [
            {"arm": found.arm, "fold": found.fold, "goal": asdict(found.goal), "explored": len(found.explored)}
            | {"winner": None if found.winner is None else json.loads(found.winner.params)}
            for found in read_searches(board.study, board.trials)
        ],
        "floor": None
        if board.floor is None
        else {"method": board.floor.method, "accuracy": board.floor.accuracy(), "folds": [*board.floor.confusions]},
        "problems": [{"kind": problem.kind, "message": problem.message} for problem in board.problems],
    }
    return escaping.json(json.dumps(described, indent=1, ensure_ascii=False, allow_nan=False))


DOCUMENTS: Mapping[str, Callable[[Document], str]] = MappingProxyType(
    {"table": terminal, "markdown": markdown, "latex": latex}
)


def _without_repeats(shown: Document) -> Document:
    """The document, in which a column that says the same in every row is a note."""
    tables, notes = without_repeats(shown.tables)
    return replace(shown, tables=tuple(tables), notes=(*notes, *shown.notes))


def _shown(form: Callable[[Document], str], board: Leaderboard) -> str:
    return form(document(board))


FORMATS: Mapping[str, Callable[[Leaderboard], str]] = MappingProxyType(
    {name: partial(_shown, form) for name, form in DOCUMENTS.items()} | {"csv": comma_separated, "json": to_json}
)
