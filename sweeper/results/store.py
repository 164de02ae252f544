"""A study's files, in a folder or an object store: atomic commits, and what has been committed.

```
<study>/plan.json                      the design, the software, the data digest
<study>/trials/<trial_id>.parquet      one row, written once: the trial is finished
<study>/failures/<trial_id>.parquet    one row of the newest failed attempt, gone when the trial finishes
<study>/attempts/                      one row per start of a trial, see `attempts.py`
<study>/trials|attempts/pack-…         rows of many finished trials, in place of their own files, see `row_files.py`
<study>/curves/  predictions/  weights/  by trial id, written before the row that they belong to, see `evidence.py`
<study>/checkpoints/<trial_id>.safetensors    resumable state while a trial runs
<study>/identity                       told apart by it, where studies of one name share a database
```
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sweeper.results import evidence, schema
from sweeper.results.evidence import Evidence, mark_of, new_mark
from sweeper.results.folder import Folder, StorageError, WorkingCopy
from sweeper.results.names import ATTEMPT, MARK, TRIAL, check_study_name, trial_name
from sweeper.results.plans import merge, parse_plan, plan_bytes
from sweeper.results.row_files import PACK_ROWS, Doubts, RowFiles
from sweeper.results.soundness import leave_out, unsound, without_impossible_costs
from sweeper.results.storage import locate, under
from sweeper.results.tables import StudyError, table_bytes

_ORDER = ("kind", "dataset", "split", "replicate", "fold", "arm", "trial_id")
FOLDERS = ("trials", "failures", "attempts", "checkpoints", *evidence.FOLDERS)


class Study:
    """One study, in a folder on a local or shared file system, or in an object store.

    Safe with any number of processes and hosts: every file is committed whole; a trial's row is never replaced.

    Attributes:
        storage: the place.
        rows: of committed trials, by trial id.
        failures: of trials whose newest attempt failed, by trial id.
        attempts: by `<trial_id>-<attempt_id>`.
        evidence: predictions, curves and weights.
    """

    def __init__(self, place: Path | str) -> None:
        """Open a study, which need not exist yet.

        Args:
            place: a folder, or a URL such as s3://bucket/prefix/study.

        Raises:
            StorageError: the URL can't be used.
        """
        self.storage = locate(place)
        self.rows = RowFiles(self.storage, "trials", schema.TRIAL, TRIAL, "trial_id")
        self.failures = RowFiles(self.storage, "failures", schema.TRIAL, TRIAL, "trial_id")
        self.attempts = RowFiles(self.storage, "attempts", schema.ATTEMPT, ATTEMPT, "trial_id", "attempt_id")
        self.evidence = Evidence(self.storage)

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
            raise StudyError(f"{self} is not a folder, which this needs; use --results DIR")
        return self.storage.path

    def exists(self) -> bool:
        """Whether a run has begun here."""
        return self.storage.exists("trials") or self.storage.exists("plan.json")

    def create(self) -> None:
        """Make the folders, or see that an object store does what is needed of it; finish what a death interrupted.

        Raises:
            StudyError: the place is not writable, or a file is in the way.
        """
        try:
            self.storage.create(FOLDERS)
        except StorageError:
            raise
        except OSError as error:
            where = error.filename or self
            raise StudyError(f"can't write results to {where}: {error.strerror}; use --results DIR") from error
        for name, (trial_id, mark) in self.evidence.left_aside().items():
            for row in self.rows.find(trial_id).to_pylist():
                self.evidence.settle([name], first=mark_of(row) == mark)
        states = self.storage.files("checkpoints")
        finished = self.finished() if states else set()
        # Whoever lost a race for the trial may have written its state, or ended an upload of it, after the commit.
        if over := [f"checkpoints/{name}" for name in states if name.partition(".")[0] in finished]:
            self.storage.delete(*over)

    def beside(self, name: str) -> "Study":
        """The study of that name among the same results; raises StudyError if it is no study's name."""
        there = self.storage
        return study_of(there.path.parent if isinstance(there, Folder) else there.url.rpartition("/")[0], name)

    def identity(self) -> str:
        """Twelve random digits of this study's own, the same for all who ask: two studies may share a name."""
        self.storage.write("identity", new_mark().encode(), once=True)
        (found,) = self.storage.read("identity")
        if not MARK.fullmatch(text := found.decode("utf-8", "replace")):
            raise StudyError(f"{self}/identity is damaged (it has no twelve hexadecimal digits); delete it")
        return text

    def checkpoint(self, trial_id: str) -> AbstractContextManager[WorkingCopy]:
        """Where the trial keeps its resumable state; if it fails, what `save` held back is uploaded."""
        return self._kept(trial_name(trial_id))

    @contextlib.contextmanager
    def _kept(self, trial_id: str) -> Iterator[WorkingCopy]:
        with self.storage.working_copy(_checkpoint(trial_id)) as copy:
            try:
                yield copy
            except SystemExit:  # it was stopped: its row is there, another run is at it, or nobody needs it
                raise
            except BaseException:
                with contextlib.suppress(OSError, StudyError):  # what failed first is what the caller should see
                    if not self.is_finished(trial_id):
                        copy.flush()
                raise

    def draft(self) -> AbstractContextManager[Path]:
        """Where to write a trial's weights, to be committed with its row."""
        return self.storage.draft("weights")

    def is_finished(self, trial_id: str) -> bool:
        """Whether the trial is committed."""
        return self.rows.exists(trial_id)

    def finished(self) -> set[str]:
        """Ids of the committed trials."""
        return self.rows.single().keys() | self.rows.packed()

    def commit(
        self,
        row: dict[str, Any],
        curve: Sequence[dict[str, Any]],
        predictions: Sequence[dict[str, Any]],
        weights: Path | None = None,
    ) -> bool:
        """Commit a finished trial. The row comes last: without it, the trial has not happened.

        Args:
            row: `schema.TRIAL`; it gets a mark for its evidence unless it has one.
            curve, predictions: `schema.CURVE`, `schema.PREDICTION`.
            weights: a draft that holds them, with the row's mark in them.

        Returns:
            False if another process committed the same trial first; its row stays, and its evidence.

        Raises:
            StudyError: the row can't be true.
        """
        trial_id, mark = trial_name(row["trial_id"]), mark_of(row) or new_mark()
        table = pa.Table.from_pylist([row | {"evidence": mark}], schema=schema.TRIAL)
        if reasons := unsound(table):
            raise StudyError(f"trial {trial_id} can't be committed: {reasons[trial_id]}")
        if first := not self.rows.is_packed(trial_id):  # there, its own file is gone, which would say so below
            aside = [self.evidence.keep_weights(trial_id, mark, weights)] if weights is not None else []
            aside += [
                self.evidence.keep_table(kind, trial_id, mark, rows)
                for kind, rows in (("predictions", predictions), ("curves", curve))
            ]
            first = self._write(self.rows.path(trial_id), table, schema.TRIAL, once=True)
            if first and self.rows.is_packed(trial_id):  # this row at once, or another while the evidence was written
                first = all(mark_of(packed) == mark for packed in self.rows.find(trial_id).to_pylist())
                self.storage.delete(self.rows.path(trial_id))  # the pack counts
            self.evidence.settle([name for name in aside if name], first=first)
        self.storage.delete(self.failures.path(trial_id))
        self.storage.delete(_checkpoint(trial_id))
        return first

    def record_failure(self, row: dict[str, Any], curve: Sequence[dict[str, Any]]) -> None:
        """Keep why a trial failed, and its curve so far; a later run of the plan tries it again."""
        mark = mark_of(row) or new_mark()
        if curve:
            self.evidence.keep_table("curves", row["trial_id"], mark, curve)
        self._write(self.failures.path(row["trial_id"]), [row | {"evidence": mark}], schema.TRIAL)

    def trials(self, doubts: Doubts | None = None) -> pa.Table:
        """All rows that can be true, complete and failed, in a fixed order: the leaderboard's.

        Args:
            doubts: takes what is wrong with files, instead of an error for the first that is damaged.

        Raises:
            StudyError: a file is damaged.
        """
        failed = self.failures.read(doubts)  # first: a trial that finishes meanwhile is in both
        rows = self.rows.read(doubts)
        failed = leave_out(failed, rows["trial_id"].to_pylist())
        sound = [self._sound(table, files, doubts) for table, files in ((rows, self.rows), (failed, self.failures))]
        table = without_impossible_costs(pa.concat_tables(sound))
        return table.sort_by([(key, "ascending") for key in _ORDER])

    def _sound(self, rows: pa.Table, files: RowFiles, doubts: Doubts | None = None) -> pa.Table:
        reasons = unsound(rows)
        if files is self.rows:
            never = rows.filter(pc.equal(rows["status"], "failed"))["trial_id"].to_pylist()
            reasons |= dict.fromkeys(never, "status is failed, and it lies among the finished")
        if doubts is not None:
            doubts.unsound += [f"{files.file_of(trial_id)}: {reason}" for trial_id, reason in reasons.items()]
        return leave_out(rows, reasons)

    def pack(self) -> None:
        """Put the rows of finished trials and of their attempts into packs, where enough have come together.

        What is damaged or can't be true keeps its own file, which can be deleted.

        Raises:
            StudyError: a pack is damaged.
        """
        if len(fresh := self.rows.single()) >= PACK_ROWS:
            self.rows.pack(fresh, lambda rows: self._sound(rows, self.rows))
        if len(attempts := self.attempts.single()) >= PACK_ROWS:
            finished = self.rows.packed()
            over = [name for name in attempts if name.partition("-")[0] in finished]
            self.attempts.pack(over, lambda rows: rows.filter(pc.not_equal(rows["outcome"], "running")))

    def file_of(self, trial_id: str) -> str:
        """The file that holds a trial's row: its own, a pack, or that of its failure."""
        return self.rows.file_of(trial_id) if self.is_finished(trial_id) else self.failures.file_of(trial_id)

    def row(self, trial_id: str) -> dict[str, Any] | None:
        """One trial's row: committed, else of its newest failure; None where it has neither that can be true."""
        for files in (self.rows, self.failures):
            for row in self._sound(files.find(trial_id), files).to_pylist():
                return dict(row)
        return None

    def write_json(self, name: str, value: Any) -> None:
        """Write (or replace) a derived file of the study."""
        self.storage.write(name, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())

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
        except FileNotFoundError:
            return None
        return parse_plan(data, f"{self}/plan.json")

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Add the trials and searches of `plan` to the study's plan, whoever else does so at the same time.

        A study grows by arms, folds and seeds, and by nothing else.

        Raises:
            StudyError: the study holds trials of another design or other data, which must not be mixed, or calls an
                arm by another name.
        """

        def change(data: bytes | None) -> bytes:
            old = None if data is None else parse_plan(data, f"{self}/plan.json")
            return plan_bytes(plan if old is None else merge(old, plan, str(self), self.row))

        self.storage.update("plan.json", change)

    def _write(
        self, name: str, rows: Iterable[dict[str, Any]] | pa.Table, columns: pa.Schema, once: bool = False
    ) -> bool:
        return self.storage.write(name, table_bytes(rows, columns), once=once)


def study_of(results: Path | str, name: str) -> Study:
    """The study of that name among results, which need not exist yet.

    Raises:
        StudyError: no study is called so.
        StorageError: the URL can't be used.
    """
    check_study_name(name)
    return Study(under(results, name))


def studies_under(results: Path | str) -> list[str]:
    """Names of the studies in a folder of studies, in order."""
    return [name for name in locate(results).folders() if Study(under(results, name)).exists()]


def _checkpoint(trial_id: str) -> str:
    return f"checkpoints/{trial_name(trial_id)}.safetensors"
