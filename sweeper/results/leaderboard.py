"""The derived tables of a study: a row per trial, a row per arm. They can be deleted and rebuilt at any time.

Opening a file per trial takes minutes for 100,000 of them. A trial's row is written once and never replaced, so a
leaderboard that holds a trial's id, and is younger than its file, holds its row: only the other files are read.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sweeper.results import schema
from sweeper.results.checks import Problem, find_problems
from sweeper.results.store import Study, StudyError
from sweeper.results.summary import Row, summarise

LEADERBOARD, SUMMARY = "leaderboard.parquet", "summary.parquet"
_ORDER = ("kind", "dataset", "split", "replicate", "fold", "arm", "trial_id")
_FILES_AT_ONCE = 500


@dataclass(frozen=True)
class Leaderboard:
    """A study's trials, its arms, and what a reader must know before believing them.

    Attributes:
        study: where they came from.
        plan: the study's `plan.json`; empty if it is missing.
        trials: a row per trial (`schema.TRIAL`).
        summary: a row per arm (`schema.SUMMARY`), the paper's arms first and in its order.
        problems: holes, failures, mixtures, leaks; empty for a study that can be published.
    """

    study: Study
    plan: Mapping[str, Any]
    trials: pa.Table
    summary: tuple[Row, ...]
    problems: tuple[Problem, ...]


def derive(study: Study, *, afresh: bool = False) -> Leaderboard:
    """Derive `leaderboard.parquet` and `summary.parquet` from the committed trials; equal trials give equal bytes.

    Args:
        study: the study.
        afresh: read every trial's file, whatever the old leaderboard holds.

    Raises:
        StudyError: the study has no trial yet, or a damaged file.
    """
    trials = _collect(study, None if afresh else _previous(study))
    if not trials.num_rows:
        raise StudyError(f"{study.folder} has no trial yet; start with: python -m sweeper run ablations")
    plan = study.read_plan() or {}
    summary = summarise(trials, plan, study.folder / "predictions")
    study.write_table(LEADERBOARD, trials, schema.TRIAL)
    study.write_table(SUMMARY, pa.Table.from_pylist(summary, schema=schema.SUMMARY), schema.SUMMARY)
    return Leaderboard(study, plan, trials, tuple(summary), find_problems(trials, plan))


def _collect(study: Study, previous: pa.Table | None) -> pa.Table:
    finished = _files(study.folder / "trials")
    # A failed trial's file is replaced by each attempt, so it is always read.
    failed = [path for name, (path, _) in _files(study.folder / "failures").items() if name not in finished]
    known = schema.TRIAL.empty_table() if previous is None else _still_true(previous, study, finished)
    held = set(known["trial_id"].to_pylist())
    new = [path for name, (path, _) in finished.items() if name not in held]
    table = pa.concat_tables([known, *_read(sorted([*new, *failed]))])
    return table.sort_by([(key, "ascending") for key in _ORDER])


def _previous(study: Study) -> pa.Table | None:
    """The leaderboard as it stands; None where there is none that this version wrote."""
    try:
        table = pq.read_table(study.folder / LEADERBOARD)
    except (OSError, pa.ArrowException):
        return None
    return table if table.schema.equals(schema.TRIAL, check_metadata=True) else None


def _still_true(previous: pa.Table, study: Study, finished: Mapping[str, tuple[Path, int]]) -> pa.Table:
    """The rows of `previous` whose files are still there and older than it."""
    written = (study.folder / LEADERBOARD).stat().st_mtime_ns
    older = pa.array([name for name, (_, changed) in finished.items() if changed < written], pa.string())
    complete = pc.equal(previous["status"], "complete")
    return previous.filter(pc.and_(complete, pc.is_in(previous["trial_id"], older)))


def _files(folder: Path) -> dict[str, tuple[Path, int]]:
    """Trial id to its file and when that was changed (ns)."""
    try:
        with os.scandir(folder) as entries:
            return {
                entry.name.removesuffix(".parquet"): (Path(entry.path), entry.stat().st_mtime_ns)
                for entry in entries
                if entry.name.endswith(".parquet") and not entry.name.startswith(".")
            }
    except FileNotFoundError:
        return {}


def _read(paths: Sequence[Path]) -> Iterable[pa.Table]:
    parts = [paths[i : i + _FILES_AT_ONCE] for i in range(0, len(paths), _FILES_AT_ONCE)]
    with ThreadPoolExecutor() as pool:
        yield from pool.map(_read_part, parts)


def _read_part(paths: Sequence[Path]) -> pa.Table:
    return pa.concat_tables([_read_row(path) for path in paths]).combine_chunks()


def _read_row(path: Path) -> pa.Table:
    """One trial's row with today's columns: those that its version didn't have are null."""
    try:
        table = pq.ParquetFile(path).read(use_threads=False)
        if table.schema.equals(schema.TRIAL, check_metadata=True):
            return table
        columns = [
            table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
            for field in schema.TRIAL
        ]
    except (OSError, pa.ArrowException) as error:
        raise StudyError(
            f"{path} is damaged ({str(error).splitlines()[0]}); delete it and run the study's command again"
        ) from error
    if absent := [f.name for f in schema.TRIAL if not f.nullable and f.name not in table.column_names]:
        raise StudyError(
            f"{path} has no {', '.join(absent)}: it was written by a version too old to be read; delete it"
        )
    return pa.Table.from_arrays(columns, schema=schema.TRIAL)
