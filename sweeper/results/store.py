"""A study's files, in a folder or an object store: atomic commits, and what has been committed.

```
<study>/plan.json                      the design, the software, the data digest
<study>/trials/<trial_id>.parquet      one row, written once: the trial is finished
<study>/failures/<trial_id>.parquet    one row of the newest failed attempt, gone when the trial finishes
<study>/attempts/                      one row per start of a trial, see `attempts.py`
<study>/trials|attempts/pack-…         rows of many finished trials, in place of their own files, see `row_files.py`
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
import pyarrow.compute as pc

from sweeper.results import schema
from sweeper.results.folder import Folder, StorageError, WorkingCopy
from sweeper.results.row_files import PACK_ROWS, RowFiles
from sweeper.results.storage import locate, under
from sweeper.results.tables import StudyError, parse_table, table_bytes

_ORDER = ("kind", "dataset", "split", "replicate", "fold", "arm", "trial_id")
_FOLDERS = ("trials", "failures", "attempts", "curves", "predictions", "weights", "checkpoints")


class Study:
    """One study, in a folder on a local or shared file system, or in an object store.

    Safe with any number of processes and hosts: every file is committed whole; a trial's row is never replaced.

    Attributes:
        storage: the place.
        rows: of committed trials, by trial id.
        failures: of trials whose newest attempt failed, by trial id.
        attempts: by `<trial_id>-<attempt_id>`.
    """

    def __init__(self, place: Path | str) -> None:
        """Open a study, which need not exist yet.

        Args:
            place: a folder, or a URL such as s3://bucket/prefix/study.

        Raises:
            StorageError: the URL can't be used.
        """
        self.storage = locate(place)
        self.rows = RowFiles(self.storage, "trials", schema.TRIAL, "trial_id")
        self.failures = RowFiles(self.storage, "failures", schema.TRIAL, "trial_id")
        self.attempts = RowFiles(self.storage, "attempts", schema.ATTEMPT, "trial_id", "attempt_id")

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

    def is_finished(self, trial_id: str) -> bool:
        """Whether the trial is committed."""
        return self.rows.exists(trial_id)

    def finished(self) -> set[str]:
        """Ids of the committed trials."""
        return self.rows.single().keys() | self.rows.packed()

    def commit(
        self, row: dict[str, Any], curve: Sequence[dict[str, Any]], predictions: Sequence[dict[str, Any]]
    ) -> bool:
        """Commit a finished trial. The row comes last: without it, the trial has not happened.

        Returns:
            False if another process committed the same trial first; its row stays.
        """
        trial_id = row["trial_id"]
        if first := trial_id not in self.rows.packed():  # there, its own file is gone, which would say so below
            self._write(f"predictions/{trial_id}.parquet", predictions, schema.PREDICTION)
            self._write(f"curves/{trial_id}.parquet", curve, schema.CURVE)
            first = self._write(self.rows.path(trial_id), [row], schema.TRIAL, once=True)
        self.storage.delete(self.failures.path(trial_id))
        self.storage.delete(f"checkpoints/{trial_id}.safetensors")
        return first

    def record_failure(self, row: dict[str, Any], curve: Sequence[dict[str, Any]]) -> None:
        """Keep why a trial failed, and its curve so far; a later run of the plan tries it again."""
        self._write(f"curves/{row['trial_id']}.parquet", curve, schema.CURVE)
        self._write(self.failures.path(row["trial_id"]), [row], schema.TRIAL)

    def trials(self) -> pa.Table:
        """All rows, complete and failed, in a fixed order: the leaderboard's.

        Raises:
            StudyError: a file is damaged.
        """
        failed = self.failures.read()  # first: a trial that finishes meanwhile is in both
        rows = self.rows.read()
        failed = failed.filter(pc.invert(pc.is_in(failed["trial_id"], rows["trial_id"])))
        return pa.concat_tables([rows, failed]).sort_by([(key, "ascending") for key in _ORDER])

    def pack(self) -> None:
        """Put the rows of finished trials and of their attempts into packs, where enough have come together.

        Raises:
            StudyError: a file is damaged.
        """
        if len(fresh := self.rows.single()) >= PACK_ROWS:
            self.rows.pack(fresh)
        if len(attempts := self.attempts.single()) >= PACK_ROWS:
            finished = self.rows.packed()
            over = [name for name in attempts if name.partition("-")[0] in finished]
            self.attempts.pack(over, only=pc.field("outcome") != "running")

    def row(self, trial_id: str) -> dict[str, Any] | None:
        """One trial's row: committed, else of its newest failure; None where it has neither."""
        for files in (self.rows, self.failures):
            for row in files.find(trial_id).to_pylist():
                return dict(row)
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


def _refuse_mixture(study: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    remedy = "use --study NAME to start another study"
    if old.get("data_digest") != new.get("data_digest"):
        raise StudyError(
            f"{study} was made from other data (digest {str(old.get('data_digest'))[:12]}, "
            f"now {str(new.get('data_digest'))[:12]}): {remedy}"
        )
    if names := _differences(*_comparable(old["design"], new["design"])):
        raise StudyError(f"{study} holds trials of another design ({', '.join(names)}): {remedy}")


def _comparable(old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two designs, with those of the reference network's fields that both know: arms may be added that switch more."""
    networks = [design.get("sizes", {}) | design.get("switches", {}) for design in (old, new)]
    known = networks[0].keys() & networks[1].keys()
    rest = [{name: part for name, part in design.items() if name != "switches"} for design in (old, new)]
    one, other = (p | {"sizes": {n: own[n] for n in known}} for p, own in zip(rest, networks, strict=True))
    return one, other


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [d for key in keys for d in _differences(old.get(key), new.get(key), f"{path}.{key}".strip("."))]
    return [] if old == new else [f"{path}: {old} → {new}"]
