"""A study's folder: atomic commits, and what has been committed.

```
<study>/plan.json                      the design, the software, the data digest
<study>/trials/<trial_id>.parquet      one row, written once: the trial is finished
<study>/failures/<trial_id>.parquet    one row of the newest failed attempt, gone when the trial finishes
<study>/attempts/                      one row per start of a trial, see `attempts.py`
<study>/curves/  predictions/  weights/  by trial id, written before the row that declares them complete
<study>/checkpoints/<trial_id>.safetensors    resumable state while a trial runs
```
"""

import contextlib
import json
import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from sweeper.results import schema

_FOLDERS = ("trials", "failures", "attempts", "curves", "predictions", "weights", "checkpoints")


class StudyError(ValueError):
    """A study's folder can't be used as asked; the message says what to do."""


class Study:
    """One study's folder on a local or shared file system.

    Safe with any number of processes and hosts: every file is written aside, flushed to the disk and renamed; a trial's
    row is never replaced.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()  # a worker has another working directory

    @property
    def name(self) -> str:
        """The study's name: its folder's."""
        return self.folder.name

    def create(self) -> None:
        """Make the folders.

        Raises:
            StudyError: the place is not writable, or a file is in the way.
        """
        try:
            for name in _FOLDERS:
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StudyError(f"can't write results to {self.folder}: {error.strerror}; use --results DIR") from error

    def checkpoint(self, trial_id: str) -> Path:
        """Where the trial keeps its resumable state."""
        return self.folder / "checkpoints" / f"{trial_id}.safetensors"

    def weights(self, trial_id: str) -> Path:
        """Where the trial's final weights go."""
        return self.folder / "weights" / f"{trial_id}.safetensors"

    def is_finished(self, trial_id: str) -> bool:
        """Whether the trial is committed."""
        return (self.folder / "trials" / f"{trial_id}.parquet").exists()

    def finished(self) -> set[str]:
        """Ids of the committed trials."""
        return {path.stem for path in (self.folder / "trials").glob("*.parquet")}

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
        (self.folder / "failures" / f"{trial_id}.parquet").unlink(missing_ok=True)
        self.checkpoint(trial_id).unlink(missing_ok=True)
        return first

    def record_failure(self, row: dict[str, Any], curve: Sequence[dict[str, Any]]) -> None:
        """Keep why a trial failed, and its curve so far; a later run of the plan tries it again."""
        self._write(f"curves/{row['trial_id']}.parquet", curve, schema.CURVE)
        self._write(f"failures/{row['trial_id']}.parquet", [row], schema.TRIAL)

    def trials(self) -> pa.Table:
        """All rows, complete and failed, in a fixed order: the leaderboard's."""
        finished = self.finished()
        failed = [p for p in (self.folder / "failures").glob("*.parquet") if p.stem not in finished]
        paths = [*(self.folder / "trials").glob("*.parquet"), *failed]
        table = ds.dataset([str(path) for path in paths], schema=schema.TRIAL).to_table()
        keys = ("kind", "dataset", "split", "replicate", "fold", "arm", "trial_id")
        return table.sort_by([(key, "ascending") for key in keys])

    def write_table(self, name: str, rows: Iterable[dict[str, Any]] | pa.Table, columns: pa.Schema) -> Path:
        """Write (or replace) a derived table of the study."""
        self._write(name, rows, columns)
        return self.folder / name

    def read_plan(self) -> dict[str, Any] | None:
        """The study's plan as it stands, or None before the first run.

        Raises:
            StudyError: the file is damaged.
        """
        path = self.folder / "plan.json"
        try:
            return dict(json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StudyError(f"{path} is damaged ({error}); restore it, or use --study NAME for a new study") from error

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Add the trials of `plan` to the study's plan; a study grows by arms, folds and seeds, and by nothing else.

        Raises:
            StudyError: the study holds trials of another design or other data, which must not be mixed.
        """
        old = self.read_plan()
        if old is not None:
            _refuse_mixture(self.folder, old, plan)
            known = {trial["trial_id"] for trial in plan["trials"]}
            plan = plan | {"trials": [t for t in old["trials"] if t["trial_id"] not in known] + list(plan["trials"])}
        text = json.dumps(plan, indent=1, sort_keys=True) + "\n"
        _commit_bytes(self.folder / "plan.json", text.encode(), once=False)

    def _write(
        self, name: str, rows: Iterable[dict[str, Any]] | pa.Table, columns: pa.Schema, once: bool = False
    ) -> bool:
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows), schema=columns)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        return _commit_bytes(self.folder / name, sink.getvalue(), once=once)


def _refuse_mixture(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    remedy = "use --study NAME to start another study"
    if old.get("data_digest") != new.get("data_digest"):
        raise StudyError(
            f"{folder} was made from other data (digest {str(old.get('data_digest'))[:12]}, "
            f"now {str(new.get('data_digest'))[:12]}): {remedy}"
        )
    if old["design"] != new["design"]:
        names = _differences(old["design"], new["design"])
        raise StudyError(f"{folder} holds trials of another design ({', '.join(names)}): {remedy}")


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [d for key in keys for d in _differences(old.get(key), new.get(key), f"{path}.{key}".strip("."))]
    return [] if old == new else [f"{path}: {old} → {new}"]


def _commit_bytes(path: Path, data: bytes | pa.Buffer, *, once: bool) -> bool:
    """Write a whole file atomically; with `once`, never replace one that is there (then return False)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if once:
            try:
                os.link(temporary, path)  # unlike rename, fails where the name is taken
            except FileExistsError:
                return False
        else:
            temporary.replace(path)
        _sync_folder(path.parent)
        return True
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system lets a folder be opened or flushed
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
