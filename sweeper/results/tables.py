"""Rows as the bytes of a Parquet file, and back."""

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

TRY_AGAIN = "delete it and run the study's command again"


class StudyError(ValueError):
    """A study's folder can't be used as asked; the message says what to do."""


def table_bytes(rows: Iterable[dict[str, Any]] | pa.Table, columns: pa.Schema) -> pa.Buffer:
    """Rows as a Parquet file."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows), schema=columns)
    sink = pa.BufferOutputStream()
    if table.num_rows > 1:
        pq.write_table(table, sink, compression="zstd")
    else:  # nothing to compress: reading a thousand such files then takes less than half of the time
        pq.write_table(table, sink, compression="none", use_dictionary=False, write_statistics=False)
    return sink.getvalue()


def parse_table(data: bytes, name: str, remedy: str = TRY_AGAIN, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of a Parquet file's bytes; raises StudyError, which calls the file `name`, where they are damaged."""
    try:
        return pq.ParquetFile(pa.BufferReader(data)).read(columns, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise StudyError(f"{name} is damaged ({str(error).splitlines()[0]}); {remedy}") from error


def todays(table: pa.Table, columns: pa.Schema, name: str) -> pa.Table:
    """The table with today's columns: those that the version which wrote it didn't have are null.

    Raises:
        StudyError: a column can't be converted, or one is missing that can't be null; the message calls it `name`.
    """
    if table.schema.equals(columns, check_metadata=True):
        return table
    try:
        arrays = [
            table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
            for field in columns
        ]
    except pa.ArrowException as error:
        raise StudyError(f"{name} is damaged ({str(error).splitlines()[0]}); {TRY_AGAIN}") from error
    if absent := [field.name for field in columns if not field.nullable and field.name not in table.column_names]:
        raise StudyError(
            f"{name} has no {', '.join(absent)}: it was written by a version too old to be read; delete it"
        )
    return pa.Table.from_arrays(arrays, schema=columns)
