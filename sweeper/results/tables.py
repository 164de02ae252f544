"""Rows as the bytes of a Parquet file, and back.

Each page has a checksum, so that a bit that fell over on some disk is an error and not another number.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sweeper.results.schema import SCHEMA_VERSION

TRY_AGAIN = "delete it and run the study's command again"
_VERSION = b"sweeper.schema_version"


class StudyError(ValueError):
    """A study's folder can't be used as asked; the message says what to do."""


def table_bytes(rows: Iterable[dict[str, Any]] | pa.Table, columns: pa.Schema) -> pa.Buffer:
    """Rows as a Parquet file."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows), schema=columns)
    sink = pa.BufferOutputStream()
    if table.num_rows > 1:
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    else:  # nothing to compress: reading a thousand such files then takes less than half of the time
        pq.write_table(
            table, sink, compression="none", use_dictionary=False, write_statistics=False, write_page_checksum=True
        )
    return sink.getvalue()


def parse_table(data: bytes, name: str, remedy: str = TRY_AGAIN, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of a Parquet file's bytes; raises StudyError, which calls the file `name`, where they are damaged."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        _check_version(file.schema_arrow, name)
        table = file.read(columns, use_threads=False)
        table.validate(full=True)  # text that is not UTF-8, say
    except StudyError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(name, str(error), remedy) from error
    if absent := [column for column in columns or () if column not in table.column_names]:
        raise damaged(name, f"no column {', '.join(absent)}", remedy)
    return table


def damaged(name: str, reason: str, remedy: str = TRY_AGAIN) -> StudyError:
    """The error for a file that holds something else than it should."""
    return StudyError(f"{name} is damaged ({(reason.splitlines() or ['unreadable'])[0]}); {remedy}")


def todays(table: pa.Table, columns: pa.Schema, name: str, remedy: str = TRY_AGAIN) -> pa.Table:
    """The table with today's columns: those that the version which wrote it didn't have are null.

    Raises:
        StudyError: a column can't be converted, or one is missing or empty that can't be; the message calls it `name`.
    """
    if not table.schema.equals(columns, check_metadata=True):
        if absent := [f.name for f in columns if not f.nullable and f.name not in table.column_names]:
            raise StudyError(
                f"{name} has no {', '.join(absent)}: it is no {_kind(columns)}, or was written by a version too old to "
                "be read; delete it"
            )
        try:
            arrays = [
                table[f.name].cast(f.type) if f.name in table.column_names else pa.nulls(len(table), f.type)
                for f in columns
            ]
        except (KeyError, ValueError, pa.ArrowException) as error:  # KeyError: of a column that is there twice
            raise damaged(name, str(error), remedy) from error
        table = pa.Table.from_arrays(arrays, schema=columns)
    if empty := [f.name for f in columns if not f.nullable and table[f.name].null_count]:
        raise damaged(name, f"nothing in {', '.join(empty)}", remedy)
    return table


def _kind(columns: pa.Schema) -> str:
    return f"{(columns.metadata or {}).get(b'sweeper.schema', b'table').decode()}'s file"


def _check_version(columns: pa.Schema, name: str) -> None:
    version = (columns.metadata or {}).get(_VERSION, b"1").decode("utf-8", "replace")
    if not version.isascii() or not version.isdigit():
        raise damaged(name, f"schema version {version!r}")
    if int(version) > int(SCHEMA_VERSION):
        raise StudyError(
            f"{name} was written by a newer sweeper (schema {version}, this one reads up to {SCHEMA_VERSION}): "
            "update sweeper"
        )
