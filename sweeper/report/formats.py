"""A study's tables for a terminal, a web page, a paper, and other programs."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
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
from sweeper.report.tables import Document, document
from sweeper.results import schema
from sweeper.results.leaderboard import Leaderboard


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
    """A heading, the answer, tables, notes and problems as text for the terminal."""
    grids = [_rich(table) for table in tables]
    console = Console(highlight=False)
    # A table cut off at the terminal's edge misleads; one that the terminal wraps can still be read.
    unlimited = console.options.update(max_width=1000)
    console.width = max(console.width, *(Measurement.get(console, unlimited, grid).maximum for grid in grids), 0)
    with console.capture() as capture:
        console.print(Text("\n" + "\n".join(map(plain, heading.splitlines())), "bold"), soft_wrap=True)
        for sentence in answer:
            console.print(Text(plain(sentence)), soft_wrap=True)
        for grid in grids:
            console.print(grid, soft_wrap=True)
        for note in notes:
            console.print(Text(plain(note)), soft_wrap=True)
        for problem in problems:
            console.print(Text(f"! {plain(problem)}", "yellow"), soft_wrap=True)
    return "\n".join(line.rstrip() for line in capture.get().rstrip().split("\n"))


def _rich(table: PaperTable) -> Table:
    grid = Table(title=Text(plain(table.title)), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    grid.pad_edge, grid.collapse_padding = False, True
    for name in table.header:
        grid.add_column(
            Text(plain(name)), justify="center" if name in table.marks else _side(table, name), no_wrap=True
        )
    for row in table.rows:
        grid.add_row(*(Text(plain(cell)) for cell in row), style="bold" if row[0] == table.reference else "")
    return grid


def _side(table: PaperTable, column: str) -> JustifyMethod:
    return "left" if column in table.words else "right"


def markdown(shown: Document) -> str:
    """GitHub's Markdown."""
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
    blocks = [f"% {plain(shown.heading)}"]
    notes = [*shown.answer, *shown.notes, *shown.problems]
    for table in shown.tables:
        columns = "".join("c" if n in table.marks else _side(table, n)[0] for n in table.header)
        rows = [" & ".join(map(escaping.latex, row)) + r" \\" for row in (table.header, *table.rows)]
        rows = [rows[0], r"\midrule", *rows[1:]]
        blocks.append(
            "\n".join(
                [
                    r"\begin{table}",
                    rf"\caption{{{escaping.latex(f'{table.title}. {shown.heading}')}}}",
                    rf"\begin{{tabular}}{{{columns}}}",
                    r"\toprule",
                    *rows,
                    r"\bottomrule",
                    r"\end{tabular}",
                    r"\par\footnotesize",
                    *(rf"{escaping.latex(note)}\par" for note in notes),
                    r"\end{table}",
                ]
            )
        )
    return "\n\n".join(blocks)


def comma_separated(board: Leaderboard) -> str:
    """The summary's columns, a line per arm, fractions of 1; empty where there is no value."""
    sink = io.StringIO()
    writer = csv.DictWriter(sink, schema.SUMMARY.names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: escaping.csv(value) for name, value in row.items()} for row in board.summary)
    return sink.getvalue().rstrip("\n")


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
        "floor": None
        if board.floor is None
        else {"method": board.floor.method, "accuracy": board.floor.accuracy(), "folds": [*board.floor.confusions]},
        "problems": [{"kind": problem.kind, "message": problem.message} for problem in board.problems],
    }
    return json.dumps(described, indent=1, ensure_ascii=False, allow_nan=False)


DOCUMENTS: Mapping[str, Callable[[Document], str]] = MappingProxyType(
    {"table": terminal, "markdown": markdown, "latex": latex}
)


def _shown(form: Callable[[Document], str], board: Leaderboard) -> str:
    return form(document(board))


FORMATS: Mapping[str, Callable[[Leaderboard], str]] = MappingProxyType(
    {name: partial(_shown, form) for name, form in DOCUMENTS.items()} | {"csv": comma_separated, "json": to_json}
)
