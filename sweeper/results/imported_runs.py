"""Runs of other tools, from a table with a row for each: what each row says, checked.

A run that did not finish, or has no score, stays: it is a failure, with its reason. Where a table leaves open what is
meant, such as accuracies as fractions or as percent, it is refused rather than guessed.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sweeper.audio.datasets.tables import column_names, number, records, whole
from sweeper.field_types import check_name
from sweeper.results.tables import StudyError

Unit = Literal["fraction", "percent"]
NEEDED = ("arm", "score")
FURTHER = ("seed", "fold", "seconds", "status", "train_clips", "test_clips")
STATUS_COLUMNS = ("state", "status")  # of W&B and of MLflow, in any case
FINISHED = ("finished", "complete", "completed", "success", "succeeded")
UNFINISHED = (
    *("failed", "failure", "crashed", "killed", "error", "canceled", "cancelled", "stopped", "preempted"),
    *("running", "pending", "queued", "scheduled", "preempting", "resuming"),
)
_MOST, _MOST_SEEDS = 2**31, 2**63


@dataclass(frozen=True)
class ImportedRun:
    """One row.

    Attributes:
        where: the file's name, without folders, and the row.
        arm, fold, seed: what was run; fold 1 and seed 0 where the table does not say.
        score: accuracy as a fraction of 1; None for a run that failed, of which `error` says why.
        seconds: of training; None where the table does not say.
        train_clips, test_clips: likewise.
    """

    where: str
    arm: str
    fold: int
    seed: int
    score: float | None
    error: str = ""
    seconds: float | None = None
    train_clips: int | None = None
    test_clips: int | None = None

    @property
    def name(self) -> str:
        """What was run, in words."""
        return f"{self.arm} fold {self.fold} seed {self.seed}"


@dataclass(frozen=True)
class ImportedRuns:
    """The runs of a table, one of an arm in a block.

    Attributes:
        runs: in the table's order.
        unit: what the scores were written in.
        columns: of the table, by what they hold.
        notes: what was taken for what.
    """

    runs: tuple[ImportedRun, ...]
    unit: Unit
    columns: Mapping[str, str]
    notes: tuple[str, ...]


def read_runs(path: Path, columns: Mapping[str, str], unit: Unit | None = None) -> ImportedRuns:
    """The runs of a CSV or Parquet table.

    Args:
        path: the table's file.
        columns: the table's columns by what they hold: all of `NEEDED`, any of `FURTHER`; `status` is found where the
            table has a column of `STATUS_COLUMNS`, unless it is given as ''.
        unit: of the scores; None: as they show themselves.

    Raises:
        StudyError, DatasetError: naming the file, the row and the column, and what to do.
    """
    columns, notes = _columns(path, columns)
    rows = list(records(path, tuple(dict.fromkeys(columns.values()))))
    if not rows:
        raise StudyError(f"{path}: no rows; a row for each run is expected")
    cells = [
        _Cells(where, f"{path.name}, {where.removeprefix(f'{path}, ')}", values, columns) for where, values in rows
    ]
    states = [row.failure() for row in cells]
    scores = [None if state else row.score() for row, state in zip(cells, states, strict=True)]
    unit, how = _unit(path, columns["score"], unit, [(row.where, s) for row, s in zip(cells, scores, strict=True)])
    if all(score is None for score in scores):
        raise StudyError(f"{path}: no run has a score (column {columns['score']!r}): there is nothing to import")
    runs = []
    for row, state, score in zip(cells, states, scores, strict=True):
        if score is None:
            runs.append(row.run(None, state or row.no_score()))
        else:
            runs.append(row.run(score / 100 if unit == "percent" else score, ""))
    runs, replaced = _one_each(path, runs, columns)
    given = [f"column {columns['score']!r}: {how}"]
    given += ["" if "fold" in columns else "no column for folds: all runs count as one split, fold 1"]
    given += ["" if "seed" in columns else "no column for seeds: all runs count as one seed, seed 0"]
    return ImportedRuns(tuple(runs), unit, columns, tuple(filter(None, [*notes, *given, *replaced])))


def _columns(path: Path, columns: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The columns that count, and what is worth knowing of them."""
    known = (*NEEDED, *FURTHER)
    for key in columns:
        if key not in known:
            raise StudyError(f"--columns {key}=…: unknown; known are {', '.join(known)}")
    if absent := [key for key in NEEDED if not columns.get(key)]:
        raise StudyError(f"--columns lacks {absent[0]}=COLUMN; {', '.join(NEEDED)} are needed")
    if not path.is_file():
        raise StudyError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; name a CSV or Parquet file")
    wanted = {key: column for key, column in columns.items() if column}
    names = column_names(path, tuple(wanted.values()))
    there = {name.strip().casefold(): name for name in names}
    for key, column in wanted.items():
        if column.strip().casefold() not in there:
            raise StudyError(
                f"{path} has no column {column!r}; its columns are: {', '.join(names) or 'none'}; name one of them: "
                f"--columns {key}=COLUMN"
            )
    state = next((there[name] for name in STATUS_COLUMNS if name in there), None)
    if "status" in columns or state is None:
        return wanted, []
    return wanted | {"status": state}, [f"column {state!r}: whether a run finished (status= takes all as finished)"]


@dataclass(frozen=True)
class _Cells:
    """A row's cells, by column; `short`: where it is, by the file's name alone, for the study."""

    where: str
    short: str
    values: Mapping[str, str]
    columns: Mapping[str, str]

    def text(self, key: str) -> str:
        return self.values[self.columns[key]] if key in self.columns else ""

    def failure(self) -> str:
        """Why the run has no score, as its status says; '' where it finished."""
        if "status" not in self.columns:
            return ""
        word = self.text("status").casefold()
        if word in FINISHED:
            return ""
        if word not in UNFINISHED:
            raise self._wrong("status", f"is neither one of {', '.join(FINISHED)} nor of {', '.join(UNFINISHED)}")
        return f"{self.text('status')} ({self.short})"

    def no_score(self) -> str:
        return f"its score is {self.text('score') or 'empty'} ({self.short})"

    def score(self) -> float | None:
        """As it is written; None where it is empty, NaN or infinite."""
        value = self.number("score")
        return value if value is not None and math.isfinite(value) else None

    def number(self, key: str) -> float | None:
        text = self.text(key)
        if text.casefold() in ("", "none", "null", "n/a"):
            return None
        try:
            if "_" in text:
                raise ValueError
            return float(text)
        except ValueError:
            raise self._wrong(key, "is not a number; write it as 0.85, or leave it empty") from None

    def whole(self, key: str, least: int, otherwise: int | None) -> int | None:
        if not self.text(key):
            if otherwise is not None and key in self.columns:
                raise self._wrong(key, "is empty; fill it, or take the row out")
            return otherwise
        return number(
            self.text(key), self.where, self.columns[key], range(least, _MOST if key != "seed" else _MOST_SEEDS)
        )

    def run(self, score: float | None, error: str) -> ImportedRun:
        try:
            check_name("arm", arm := whole(self.text("arm")))
        except ValueError:
            raise self._wrong("arm", "is no arm's name: a word or more, on one line, without slashes") from None
        seconds = self.number("seconds")
        if seconds is not None and not 0 <= seconds < math.inf:
            raise self._wrong("seconds", "is no time; write seconds, or leave it empty")
        fold, seed = self.whole("fold", 0, 1), self.whole("seed", 0, 0)
        clips = [self.whole(key, 1, None) for key in ("train_clips", "test_clips")]
        assert fold is not None and seed is not None
        return ImportedRun(self.short, arm, fold, seed, score, error, seconds, *clips)

    def _wrong(self, key: str, words: str) -> StudyError:
        return StudyError(f"{self.where}, column {self.columns[key]!r}: {self.text(key)!r} {words}")


def _unit(path: Path, column: str, unit: Unit | None, scores: Iterable[tuple[str, float | None]]) -> tuple[Unit, str]:
    """What the scores are written in, and in words how that is known."""
    known = [(where, score) for where, score in scores if score is not None]
    most = {"fraction": 1.0, "percent": 100.0}[unit or "percent"]
    for where, score in known:
        if not 0 <= score <= most:
            words = "0 to 1 (or use --score percent)" if unit == "fraction" else "0 to 100 percent, or 0 to 1"
            raise StudyError(f"{where}, column {column!r}: {score:g} is no accuracy, which is {words}")
    if unit is not None:
        return unit, f"taken as {unit}, as --score says"
    small = [pair for pair in known if 0 < pair[1] <= 1]
    large = [pair for pair in known if pair[1] > 1]
    if small and large:
        raise StudyError(
            f"{path}, column {column!r} may hold fractions or percent: {small[0][1]:g} ({small[0][0]}) and "
            f"{large[0][1]:g} ({large[0][0]}); say which it is: --score fraction or --score percent"
        )
    if large:
        return "percent", "taken as percent, as all are above 1 (--score fraction if not)"
    return "fraction", "taken as fractions of 1, as none is above 1 (--score percent if not)"


def _one_each(
    path: Path, runs: Iterable[ImportedRun], columns: Mapping[str, str]
) -> tuple[list[ImportedRun], list[str]]:
    """One run of an arm in a block: a failed one makes way for one that was run again; and which did."""
    kept: dict[tuple[str, int, int], ImportedRun] = {}
    notes = []
    for run in runs:
        place = (run.arm, run.fold, run.seed)
        other = kept.get(place)
        if other is not None and other.score is not None and run.score is not None:
            lacks = [key for key in ("seed", "fold") if key not in columns]
            remedy = f"name the column that tells them apart: --columns {lacks[0]}=COLUMN" if lacks else "keep one"
            at, again = (each.where.removeprefix(f"{path.name}, ") for each in (other, run))
            raise StudyError(
                f"{path}: {run.name} twice: {at} (score {other.score:g}) and {again} (score {run.score:g}); {remedy}"
            )
        if other is not None:
            old, new = (run, other) if run.score is None and other.score is not None else (other, run)
            notes.append(f"{run.name}: run more than once; {old.error} makes way for {new.error or new.where}")
            kept[place] = new
        else:
            kept[place] = run
    return list(kept.values()), notes
