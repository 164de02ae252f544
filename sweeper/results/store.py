"""A study's files, in a folder or an object store: atomic commits, and what has been committed.

```
<study>/plan.json                      the design, the software, the data digest
<study>/trials/<trial_id>.parquet      one row, written once: the trial is finished
<study>/failures/<trial_id>.parquet    one row of the newest failed attempt, gone when the trial finishes
<study>/attempts/                      one row per start of a trial, see `attempts.py`
<study>/curves/  predictions/  weights/  by trial id, written before the row that declares them complete
<study>/checkpoints/<trial_id>.safetensors    resumable state while a trial runs
```
"""

import json
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sweeper.results import schema
from sweeper.results.folder import Folder, StorageError, WorkingCopy
from sweeper.results.storage import locate, under

_FOLDERS = ("trials", "failures", "attempts", "curves", "predictions", "weights", "checkpoints")


class StudyError(ValueError):
    """A study's folder can't be used as asked; the message says what to do."""


class Study:
    """One study, in a folder on a local or shared file system, or in an object store.

    Safe with any number of processes and hosts: every file is committed whole; a trial's row is never replaced.
    """

    def __init__(self, place: Path | str) -> None:
        """Open a study, which need not exist yet.

        Args:
            place: a folder, or a URL such as s3://bucket/prefix/study.

        Raises:
            StorageError: the URL can't be used.
        """
        self.storage = locate(place)

    def __str__(self) -> str:
        return str(self.storage)

    @property
    def name(self) -> str:
        """The study's name: its folder's."""
        return PurePosixPath(str(self)).name

    @property
    def folder(self) -> Path:
        """The study's folder.

        Raises:
            StudyError: it lies in an object store, and what was asked for needs a folder.
        """
        if not isinstance(self.storage, Folder):
            raise StudyError(f"{self} is no folder, which this needs; use --results DIR")
        return self.storage.path

    def exists(self) -> bool:
        """Whether a run has begun here."""
        return self.storage.exists("trials") or self.storage.exists("plan.json")

    def create(self) -> None:
        """Make the folders, or see that an object store does what is needed of it.

        Raises:
            StudyError: the place is not writable, or a file is in the way.
        """
        try:
            self.storage.create(_FOLDERS)
        except StorageError:
            raise
        except OSError as error:
            raise StudyError(f"can't write results to {self}: {error.strerror}; use --results DIR") from error

    def checkpoint(self, trial_id: str) -> AbstractContextManager[WorkingCopy]:
        """Where the trial keeps its resumable state."""
        return self.storage.working_copy(f"checkpoints/{trial_id}.safetensors")

    def weights(self, trial_id: str, *, new: bool = False) -> AbstractContextManager[WorkingCopy]:
        """The trial's final weights; `new`: they are to be written."""
        return self.storage.working_copy(f"weights/{trial_id}.safetensors", fetch=not new)

    def has_weights(self, trial_id: str) -> bool:
        """Whether the trial's final weights are there."""
        return self.storage.exists(f"weights/{trial_id}.safetensors")

    def files(self, folder: str, prefix: str = "") -> dict[str, int]:
        """Parquet files in one of the study's folders: name without ending, and when it was changed in ns."""
        found = self.storage.files(folder, prefix).items()
        return {name.removesuffix(".parquet"): changed for name, changed in found if name.endswith(".parquet")}

    def is_finished(self, trial_id: str) -> bool:
        """Whether the trial is committed."""
        return self.storage.exists(f"trials/{trial_id}.parquet")

    def finished(self) -> set[str]:
        """Ids of the committed trials."""
        return set(self.files("trials"))

    def commit(
        self, row: dict[str, Any], curve: Sequence[dict[str, Any]], predictions: Sequence[dict[str, Any]]
    ) -> bool:
        """Commit a finished trial. The row comes last: without it, the trial has not happened.

        Returns:
            False if another process committed the same trial first; its row stays.
        """
        trial_id = row["trial_id"]
        self._write(f"predictions/{trial_id}.parquet", predictions, schema.PREDICTION)
        self._write(f"curves/{trial_id}.parquet", curve, schema.CURVE)
        first = self._write(f"trials/{trial_id}.parquet", [row], schema.TRIAL, once=True)
        self.storage.delete(f"failures/{trial_id}.parquet")
        self.storage.delete(f"checkpoints/{trial_id}.safetensors")
        return first

    def record_failure(self, row: dict[str, Any], curve: Sequence[dict[str, Any]]) -> None:
        """Keep why a trial failed, and its curve so far; a later run of the plan tries it again."""
        self._write(f"curves/{row['trial_id']}.parquet", curve, schema.CURVE)
        self._write(f"failures/{row['trial_id']}.parquet", [row], schema.TRIAL)

    def trials(self) -> pa.Table:
        """All rows, complete and failed, in a fixed order: the leaderboard's."""
        finished = self.finished()
        names = [f"trials/{trial_id}.parquet" for trial_id in finished]
        names += [f"failures/{trial_id}.parquet" for trial_id in self.files("failures").keys() - finished]
        tables = [
            parse_table(data, f"{self}/{name}") for name, data in zip(names, self.storage.read(*names), strict=True)
        ]
        keys = ("kind", "dataset", "split", "replicate", "fold", "arm", "trial_id")
        return pa.concat_tables(
            [schema.TRIAL.empty_table(), *tables],
            promote_options="default",  # rows of an older version lack columns
        ).sort_by([(key, "ascending") for key in keys])

    def row(self, trial_id: str) -> dict[str, Any] | None:
        """One trial's row: committed, else of its newest failure; None where it has neither."""
        for folder in ("trials", "failures"):
            name = f"{folder}/{trial_id}.parquet"
            try:
                (data,) = self.storage.read(name)
            except FileNotFoundError:
                continue
            return dict(parse_table(data, f"{self}/{name}").to_pylist()[0])
        return None

    def curve(self, trial_id: str) -> list[dict[str, Any]]:
        """One trial's learning curve, a point per epoch; empty where it has none."""
        name = f"curves/{trial_id}.parquet"
        try:
            (data,) = self.storage.read(name)
        except FileNotFoundError:
            return []
        return list(parse_table(data, f"{self}/{name}", "delete it").to_pylist())

    def write_json(self, name: str, value: Any) -> None:
        """Write (or replace) a derived file of the study."""
        self.storage.write(name, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())

    def read_table(self, name: str, columns: Sequence[str], remedy: str) -> pa.Table | None:
        """Columns of a Parquet file of the study; None where there is none.

        Args:
            name: the file.
            columns: their names.
            remedy: what to do about a damaged file.

        Raises:
            StudyError: the file is damaged.
        """
        try:
            (data,) = self.storage.read(name)
        except FileNotFoundError:
            return None
        return parse_table(data, f"{self}/{name}", remedy, columns)

    def write_table(self, name: str, rows: Iterable[dict[str, Any]] | pa.Table, columns: pa.Schema) -> None:
        """Write (or replace) a derived table of the study."""
        self._write(name, rows, columns)

    def read_plan(self) -> dict[str, Any] | None:
        """The study's plan as it stands, or None before the first run.

        Raises:
            StudyError: the file is damaged.
        """
        try:
            (data,) = self.storage.read("plan.json")
            return dict(json.loads(data))
        except FileNotFoundError:
            return None
        except StorageError:
            raise
        except (OSError, ValueError) as error:
            raise StudyError(
                f"{self}/plan.json is damaged ({error}); restore it, or use --study NAME for a new study"
            ) from error

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Add the trials of `plan` to the study's plan; a study grows by arms, folds and seeds, and by nothing else.

        Raises:
            StudyError: the study holds trials of another design or other data, which must not be mixed.
        """
        old = self.read_plan()
        if old is not None:
            _refuse_mixture(str(self), old, plan)
            known = {trial["trial_id"] for trial in plan["trials"]}
            plan = plan | {"trials": [t for t in old["trials"] if t["trial_id"] not in known] + list(plan["trials"])}
        self.write_json("plan.json", plan)

    def _write(
        self, name: str, rows: Iterable[dict[str, Any]] | pa.Table, columns: pa.Schema, once: bool = False
    ) -> bool:
        return self.storage.write(name, table_bytes(rows, columns), once=once)


def studies_under(results: Path | str) -> list[str]:
    """Names of the studies in a folder of studies, in order."""
    return [name for name in locate(results).folders() if Study(under(results, name)).exists()]


def table_bytes(rows: Iterable[dict[str, Any]] | pa.Table, columns: pa.Schema) -> pa.Buffer:
    """Rows as a Parquet file."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows), schema=columns)
    sink = pa.BufferOutputStream()
    if table.num_rows > 1:
        pq.write_table(table, sink, compression="zstd")
    else:  # nothing to compress: a leaderboard of many trials then reads each row's file in less than half of the time
        pq.write_table(table, sink, compression="none", use_dictionary=False, write_statistics=False)
    return sink.getvalue()


def parse_table(
    data: bytes,
    name: str,
    remedy: str = "delete it and run the study's command again",
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """The table of a Parquet file's bytes; raises StudyError, which calls the file `name`, where they are damaged."""
    try:
        return pq.ParquetFile(pa.BufferReader(data)).read(columns, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise StudyError(f"{name} is damaged ({str(error).splitlines()[0]}); {remedy}") from error


def _refuse_mixture(study: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    remedy = "use --study NAME to start another study"
    if old.get("data_digest") != new.get("data_digest"):
        raise StudyError(
            f"{study} was made from other data (digest {str(old.get('data_digest'))[:12]}, "
            f"now {str(new.get('data_digest'))[:12]}): {remedy}"
        )
    if old["design"] != new["design"]:
        names = _differences(old["design"], new["design"])
        raise StudyError(f"{study} holds trials of another design ({', '.join(names)}): {remedy}")


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [d for key in keys for d in _differences(old.get(key), new.get(key), f"{path}.{key}".strip("."))]
    return [] if old == new else [f"{path}: {old} → {new}"]
