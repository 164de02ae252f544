"""What a trial leaves besides its row, and that it is that row's: predictions, learning curve, weights.

Two processes may train the same trial, and one of them is killed, or slower. Each marks its files with twelve random
digits, and so does its row. The first row that is there stays, and with it counts what carries its mark; whatever
somebody else wrote, before or after, is not taken for it.

`<kind>/<trial_id>.…` belongs to whoever is the first to write it, as nearly always there is only one. Who comes second
writes `<kind>/<trial_id>-<mark>.…`, and if its row is the first nevertheless, puts that in the other's place. Files of
older versions have no mark, and neither have their rows: they are believed if they say the row's trial, clips and
accuracy.
"""

import contextlib
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sweeper.results import schema
from sweeper.results.folder import Folder
from sweeper.results.names import MARK, trial_name
from sweeper.results.object_store import ObjectStore
from sweeper.results.tables import damaged, parse_table, table_bytes, todays

Row = Mapping[str, Any]

_ENDINGS = {"predictions": "parquet", "curves": "parquet", "weights": "safetensors"}
FOLDERS = tuple(_ENDINGS)
_TABLES = {"predictions": schema.PREDICTION, "curves": schema.CURVE}
_ASIDE = re.compile(rf"(?P<trial>[0-9a-f]{{16}})-(?P<mark>{MARK.pattern})\.[a-z]+")
_MARKED = b"sweeper.evidence"  # in a table's metadata
_REMEDY = "delete it: the tables can do without"


def new_mark() -> str:
    """A mark for one attempt's files and row."""
    return uuid.uuid4().hex[:12]


def mark_of(row: Row) -> str:
    """The mark of a row; '' of one that an older version wrote."""
    mark = row.get("evidence")
    return mark if isinstance(mark, str) and MARK.fullmatch(mark) else ""


class Evidence:
    """The files of a study's trials besides their rows."""

    def __init__(self, storage: Folder | ObjectStore) -> None:
        self._storage = storage

    def keep_table(self, kind: str, trial_id: str, mark: str, rows: Sequence[Row]) -> str:
        """Write predictions or a curve; returns the file, if it isn't the trial's usual one."""
        data = _marked(rows, _TABLES[kind], mark)
        if self._storage.write(self._name(kind, trial_id), data, once=True):
            return ""
        self._storage.write(aside := self._name(kind, trial_id, mark), data)
        return aside

    def keep_weights(self, trial_id: str, mark: str, draft: Path) -> str:
        """Commit weights that were written to a draft; returns the file, if it isn't the trial's usual one."""
        if self._storage.put(draft, self._name("weights", trial_id), once=True):
            return ""
        self._storage.put(draft, aside := self._name("weights", trial_id, mark))
        return aside

    def settle(self, aside: Sequence[str], *, first: bool) -> None:
        """After the row: what was written aside takes its usual place, or goes if another row was `first`."""
        if not first:
            self._storage.delete(*aside)
            return
        for name in aside:
            folder, _, file = name.partition("/")
            ours = _ASIDE.fullmatch(file)
            assert ours is not None
            with contextlib.suppress(FileNotFoundError):  # another run, which begins, has just done it: `Study.create`
                self._storage.rename(name, self._name(folder, ours["trial"]))

    def left_aside(self) -> dict[str, tuple[str, str]]:
        """What a process that was killed between its row and `settle` left: file, its trial and its mark."""
        found = {}
        for folder in FOLDERS:
            for file in self._storage.files(folder):
                if aside := _ASIDE.fullmatch(file):
                    found[f"{folder}/{file}"] = aside["trial"], aside["mark"]
        return found

    def predictions(self, row: Row) -> pa.Table | None:
        """The predictions of a committed row (`schema.PREDICTION`); None where there are none.

        Raises:
            StudyError: the file is damaged, or belongs to another trial or attempt.
        """
        found = self._table("predictions", row)
        if found is None or not found[0].num_rows:
            return None
        table, name = found
        _check_answers(table, name, row)
        return table

    def curve(self, row: Row) -> pa.Table | None:
        """The learning curve of a row (`schema.CURVE`), a point per epoch; None where there is none.

        Raises:
            StudyError: the file is damaged, or belongs to another trial or attempt.
        """
        found = self._table("curves", row)
        return None if found is None else found[0]

    @contextlib.contextmanager
    def weights(self, row: Row) -> Iterator[Path]:
        """A file that holds the weights of a committed row, if there are any; whose they are, they say themselves."""
        usual, mark = self._name("weights", row["trial_id"]), mark_of(row)
        aside = self._name("weights", row["trial_id"], mark) if mark else usual
        with self._storage.local_copy(aside if self._storage.exists(aside) else usual) as path:
            yield path

    def has_weights(self, row: Row) -> bool:
        """Whether there are weights of this trial."""
        return self._storage.exists(self._name("weights", row["trial_id"]))

    def _table(self, kind: str, row: Row) -> tuple[pa.Table, str] | None:
        """A row's table, and its file; None where there is none."""
        trial_id, mark, others = row["trial_id"], mark_of(row), None
        usual, failed = self._name(kind, trial_id), row.get("status") == "failed"
        places = [usual]
        if mark:
            aside = self._name(kind, trial_id, mark)
            places = [aside, usual] if failed else [usual, aside, usual]  # where it may have come since the first look
        for place in places:
            with contextlib.suppress(FileNotFoundError):
                (data,) = self._storage.read(place)
                name = f"{self._storage}/{place}"
                table = parse_table(data, name, _REMEDY)
                found = (table.schema.metadata or {}).get(_MARKED, b"").decode("utf-8", "replace")
                table = todays(table, _TABLES[kind], name, _REMEDY)
                strangers = set(table["trial_id"].unique().to_pylist()) - {trial_id}
                if strangers:
                    raise damaged(name, f"it is of trial {str(strangers.pop())[:40]!r}", _REMEDY)
                if not mark or found == mark:
                    return table, name
                others = name
        if others is not None and not failed:
            raise damaged(others, "it is of another attempt than the trial's row", _REMEDY)
        return None

    def _name(self, kind: str, trial_id: str, mark: str = "") -> str:
        return f"{kind}/{trial_name(trial_id)}{'-' * bool(mark)}{mark}.{_ENDINGS[kind]}"


def _marked(rows: Sequence[Row], columns: pa.Schema, mark: str) -> pa.Buffer:
    metadata = {**(columns.metadata or {}), _MARKED: mark.encode()}
    return table_bytes(pa.Table.from_pylist(list(rows), schema=columns.with_metadata(metadata)), columns)


def _check_answers(table: pa.Table, name: str, row: Row) -> None:
    """Raise StudyError where no network can have answered so, or not that of the row."""
    both = [table[column].combine_chunks() for column in ("probabilities", "probabilities_ema")]
    lengths = {length for column in both for length in column.value_lengths().to_pylist()}
    classes = lengths.pop() or 0
    targets = table["target"].to_numpy()
    if lengths or not ((targets >= 0) & (targets < classes)).all():
        raise damaged(name, "its clips differ in their number of classes", _REMEDY)
    raw, averaged = (column.flatten().to_numpy(zero_copy_only=False).reshape(-1, classes) for column in both)
    if not (np.isfinite(raw).all() and np.isfinite(averaged).all()):
        raise damaged(name, "it has probabilities that are no numbers", "delete it and its trial's row")
    if mark_of(row):
        return
    clips, accuracy = row.get("test_clips"), row.get("accuracy")
    if clips is not None and clips != len(raw):
        raise damaged(name, f"it has {len(raw)} clips, {clips:.0f} in the trial's row", _REMEDY)
    if accuracy is not None and abs((share := (raw.argmax(axis=1) == targets).mean()) - accuracy) > 1e-6:
        raise damaged(name, f"its accuracy is {share:.4f}, {accuracy:.4f} in the trial's row", _REMEDY)
