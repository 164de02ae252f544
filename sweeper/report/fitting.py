"""Narrow tables: what is the same in every row becomes a note, and what doesn't fit is left out and named."""

from collections.abc import Sequence, Set
from dataclasses import replace

from sweeper.report.cells import PaperTable

WIDE = 30  # characters of a column that stands in the way of others
WRAPPED = 20  # characters that a column of longer words needs at least
FEWEST_ROWS = 3  # of a table in which a column can be said to be the same everywhere


def without_repeats(tables: Sequence[PaperTable]) -> tuple[list[PaperTable], list[str]]:
    """The tables without the columns of `repeats` that say the same in every row, and notes that say it once."""
    kept: list[PaperTable] = []
    said: dict[str, list[str]] = {}  # what is the same, and in which tables
    for table in tables:
        values = {name: _only_value(table, name) for name in table.header if name in table.repeats}
        constant = {name: value for name, value in values.items() if value is not None}
        kept.append(_without(table, constant.keys()))
        if constant:
            words = "; ".join(f"{name} {value}" if value else f"no {name}" for name, value in constant.items())
            said.setdefault(words, []).append(table.title.partition(" · ")[0])
    return kept, [f"in every row of {', '.join(titles)}: {words}" for words, titles in said.items()]


def _only_value(table: PaperTable, name: str) -> str | None:
    """What all rows say in a column, leaving out an empty cell of the reference; None where they differ."""
    if len(table.rows) < FEWEST_ROWS:
        return None
    at = table.header.index(name)
    cells = {row[at] for row in table.rows if name in table.marks or row[at] or row[0] != table.reference}
    return cells.pop() if len(cells) == 1 else None


def narrowed(table: PaperTable, room: int) -> tuple[PaperTable, list[str]]:
    """The table without as many of its `least` columns as must go to fit `room` characters, and their names.

    Wide ones go first: in the place of one, several others may stay.
    """
    gone: list[str] = []
    for name in sorted(table.least, key=lambda name: _width(table, name) <= WIDE):
        if needs(table) <= room:
            break
        if name in table.header:
            gone.append(name)
            table = _without(table, {name})
    return table, gone


def needs(table: PaperTable) -> int:
    """Characters that the table needs, two between columns and one at each side; of words that may wrap, a few."""
    return sum((WRAPPED if name in table.wraps else _width(table, name)) + 2 for name in table.header)


def _width(table: PaperTable, name: str) -> int:
    """Characters of the widest cell of a column; 0 where there is none of that name."""
    at = table.header.index(name) if name in table.header else None
    return 0 if at is None else max(len(row[at]) for row in (table.header, *table.rows))


def _without(table: PaperTable, names: Set[str]) -> PaperTable:
    at = [index for index, name in enumerate(table.header) if name not in names]
    return replace(
        table,
        header=tuple(table.header[index] for index in at),
        rows=tuple(tuple(row[index] for index in at) for row in table.rows),
    )
