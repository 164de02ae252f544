"""Tables, as people's programs leave them.

A spreadsheet that saves a data set's csv may change what separates the fields, the encoding, how truth and numbers are
written, and leave empty rows at the end. That is read; what can't be is named by line and column.
"""

import csv
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sweeper.audio.datasets.base import DatasetError

PARQUET = b"PAR1"
SEPARATORS = (",", ";", "\t", "|")
BYTE_ORDERS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))
SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how .xlsx, .ods and .numbers, and how .xls begins
TRUE, FALSE = ("true", "1", "yes", "t", "y"), ("false", "0", "no", "f", "n")
ERROR = re.compile(r"#(N/A|GETTING_DATA|[A-Z0-9/]+[!?])|Err:[0-9]{3}")  # what a spreadsheet writes for a failed formula
WHOLE = re.compile(r"[+-]?[0-9]+(\.0*|,(?!000$)0*)?")  # 1,000 is a thousand


def records(
    path: Path, columns: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of a CSV or Parquet table as `(where, {column: value})`, as `rows` has them; `where` says file and row.

    Raises:
        DatasetError: as for `rows`, or no Parquet file that can be read.
    """
    if not is_parquet(path):
        for line, values in rows(path, columns, optional):
            yield f"{path}, line {line}", values
        return
    for index, values in enumerate(_parquet(path, columns, optional), 1):
        if any(values.values()):
            yield f"{path}, row {index}", values


def is_parquet(path: Path) -> bool:
    """Whether a file that can be read begins as Parquet does."""
    try:
        with path.open("rb") as file:
            return file.read(len(PARQUET)) == PARQUET
    except OSError:
        return False  # which reading it as text explains


def column_names(path: Path, columns: tuple[str, ...]) -> list[str]:
    """Names of a table's columns; of text, with the separator that finds most of `columns`.

    Raises:
        DatasetError: it can't be read.
    """
    if not is_parquet(path):
        return _header(path, _text(path), columns)[1]
    import pyarrow
    import pyarrow.parquet

    try:
        return [str(name) for name in pyarrow.parquet.read_schema(path).names]
    except pyarrow.ArrowException as error:
        raise _no_parquet(path, error) from None


def _parquet(path: Path, columns: tuple[str, ...], optional: tuple[str, ...]) -> Iterator[dict[str, str]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            there = file.schema_arrow.names
            found: dict[str, str] = {}
            for column in (*columns, *optional):
                alike = [name for name in there if name == column]
                alike = alike or [name for name in there if name.strip().casefold() == column.strip().casefold()]
                if len(alike) > 1:
                    raise DatasetError(f"{path}: {len(alike)} columns are named {column!r}; keep one")
                if alike:
                    found[column] = alike[0]
            if missing := [column for column in columns if column not in found]:
                names = ", ".join(there)
                raise DatasetError(f"{path}: no column {missing[0]!r}; expected {', '.join(columns)}, found {names}")
            wanted = [column for column in (*columns, *optional) if column in found]
            table = file.read([found[column] for column in wanted])
            values = [[_written(value) for value in table[found[column]].to_pylist()] for column in wanted]
    except pyarrow.ArrowException as error:
        raise _no_parquet(path, error) from None
    for several in zip(*values, strict=True):
        yield dict(zip(wanted, several, strict=True))


def _no_parquet(path: Path, error: Exception) -> DatasetError:
    return DatasetError(f"{path}: not a Parquet file that can be read ({str(error).splitlines()[0]}); write it again")


def _written(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):  # NaN: how pandas writes nothing
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def rows(path: Path, columns: tuple[str, ...], optional: tuple[str, ...] = ()) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a csv table as `(line, {column: value})`, without empty ones; columns in any order and case.

    Values have no spaces around them. A column of `optional` that isn't there is not in the rows.

    Raises:
        DatasetError: not text, a column missing or twice, or a row cut short or with more fields than columns.
    """
    content = _text(path)
    separator, names = _header(path, content, columns)
    wanted = {}
    for column in (*columns, *optional):
        places = [place for place, name in enumerate(names) if name.casefold() == column.casefold()]
        if len(places) > 1:
            raise DatasetError(f"{path}: {len(places)} columns are named {column!r}; keep one")
        if places:
            wanted[column] = places[0]
        elif column in columns:
            found = ", ".join(names) or "nothing"
            raise DatasetError(f"{path}: no column {column!r}; expected {', '.join(columns)}, found {found}")
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True)
    begun = False
    try:
        for fields in reader:
            values = [value.strip() for value in fields]
            if not any(values) or (not begun and _is_hint(values)):
                continue
            if not begun:
                begun = True
                continue
            where = f"{path}, line {reader.line_num}"
            if any(len(values) <= wanted[column] for column in columns):
                raise DatasetError(f"{where}: too few fields ({len(values)}); is the file cut short?")
            if any(values[len(names) :]):
                raise DatasetError(
                    f"{where}: {len(values)} fields where the header has {len(names)}; a field that holds "
                    f"{separator!r} must stand in quotes"
                )
            row = {c: values[at] if at < len(values) else "" for c, at in wanted.items()}
            for column, value in row.items():
                refuse_error(value, where, column)
            yield reader.line_num, row
    except csv.Error as error:
        raise DatasetError(
            f"{path}, line {reader.line_num}: not a csv table ({error}); restore the data set's own file"
        ) from None


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        if path.is_dir():
            raise DatasetError(f"{path}: a folder, and should be a csv table; move it away") from None
        raise DatasetError(f"{path}: {(error.strerror or str(error)).lower()}; make it readable") from None
    if content.startswith(SPREADSHEETS):
        raise DatasetError(f"{path}: a spreadsheet's own format, not a csv table; save it as CSV")
    if content.startswith(b"version https://git-lfs"):
        raise DatasetError(f"{path}: a git-lfs pointer, not a csv table; run 'git lfs pull' in its repository")
    encodings = [name for mark, name in BYTE_ORDERS if content.startswith(mark)]
    if not encodings:
        wide = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be" if content[:1] == b"\0" else None
        encodings = [wide] if wide else ["utf-8", "cp1252"]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError as error:
            reason = error
    raise DatasetError(f"{path}: not a csv table ({reason}); save it as CSV in UTF-8")


def _header(path: Path, content: str, columns: tuple[str, ...]) -> tuple[str, list[str]]:
    """What separates the fields, such that the header has most of the columns; and the header."""
    lines = [line for line in content.splitlines()[:20] if line.strip(" \t,;|\"'")]
    lines = [line for line in lines if not _is_hint([line.strip('"')])][:1]
    best: tuple[int, str, list[str]] = (-1, ",", [])
    for separator in SEPARATORS:
        names = [name.strip() for fields in csv.reader(lines, delimiter=separator) for name in fields]
        known = {name.casefold() for name in names}
        count = sum(column.casefold() in known for column in columns)
        if count > best[0]:
            best = (count, separator, names)
    while best[2] and not best[2][-1]:
        best[2].pop()
    return best[1], best[2]


def _is_hint(values: list[str]) -> bool:
    """`sep=;`, with which a spreadsheet tells itself what separates."""
    return len(values) < 3 and values[0].strip().casefold().startswith("sep=")


def refuse_error(value: str, where: str, column: str) -> None:
    """Raise DatasetError where a field is a spreadsheet's word for a formula that failed: no label, no group."""
    if ERROR.fullmatch(value):
        raise DatasetError(f"{where}: {value} is a spreadsheet's error (column {column!r}); correct the cell")


def whole(value: str) -> str:
    """A whole number without the `.0` that a spreadsheet put behind it; anything else as it is."""
    return re.split("[.,]", value)[0] if WHOLE.fullmatch(value) else value


def number(value: str, where: str, column: str, allowed: range) -> int:
    """An integer field.

    Raises:
        DatasetError: not a whole number, or not one of `allowed`.
    """
    if not WHOLE.fullmatch(value):
        raise DatasetError(f"{where}: {value!r} is not a number (column {column!r}); write {_between(allowed)}")
    result = int(whole(value))
    if result not in allowed:
        raise DatasetError(f"{where}: {result} is not in {_between(allowed)} (column {column!r}); correct it")
    return result


def _between(allowed: range) -> str:
    return f"{allowed.start} to {allowed.stop - 1}"


def truth(value: str, where: str, column: str) -> bool:
    """A field that is true or false.

    Raises:
        DatasetError: neither.
    """
    word = whole(value).casefold()
    if word not in TRUE + FALSE:
        raise DatasetError(f"{where}: {value!r} is neither True nor False (column {column!r}); write one of them")
    return word in TRUE
