"""The derived tables of a study: a row per trial, a row per arm. They can be deleted and rebuilt at any time.

Opening a file per trial takes minutes for 100,000 of them. A trial's row is written once and never replaced, so a
leaderboard that holds a trial's id, and is younger than its file, holds its row: only the other files are read.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sweeper.results import schema
from sweeper.results.checks import Problem, find_problems
from sweeper.results.store import Study, StudyError, parse_table
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
        raise StudyError(f"{study} has no trial yet; start with: python -m sweeper run ablations")
    plan = study.read_plan() or {}
    summary = summarise(trials, plan, study)
    study.write_table(LEADERBOARD, trials, schema.TRIAL)
    study.write_table(SUMMARY, pa.Table.from_pylist(summary, schema=schema.SUMMARY), schema.SUMMARY)
    return Leaderboard(study, plan, trials, tuple(summary), find_problems(trials, plan))


def _collect(study: Study, previous: pa.Table | None) -> pa.Table:
    finished = study.files("trials")
    # A failed trial's file is replaced by each attempt, so it is always read.
    failed = study.files("failures").keys() - finished.keys()
    known = schema.TRIAL.empty_table() if previous is None else _still_true(previous, study, finished)
    new = finished.keys() - set(known["trial_id"].to_pylist())
    names = [f"failures/{trial_id}.parquet" for trial_id in failed] + [f"trials/{trial_id}.parquet" for trial_id in new]
    table = pa.concat_tables([known, *_read(study, sorted(names))])
    return table.sort_by([(key, "ascending") for key in _ORDER])


def _previous(study: Study) -> pa.Table | None:
    """The leaderboard as it stands; None where there is none that this version wrote."""
    try:
        (data,) = study.storage.read(LEADERBOARD)
        table = parse_table(data, LEADERBOARD)
    except (FileNotFoundError, StudyError):
        return None
    return table if table.schema.equals(schema.TRIAL, check_metadata=True) else None


def _still_true(previous: pa.Table, study: Study, finished: Mapping[str, int]) -> pa.Table:
    """The rows of `previous` whose files are still there and older than it."""
    written = study.storage.changed(LEADERBOARD)
    older = pa.array([name for name, changed in finished.items() if changed < written], pa.string())
    complete = pc.equal(previous["status"], "complete")
    return previous.filter(pc.and_(complete, pc.is_in(previous["trial_id"], older)))


def _read(study: Study, names: Sequence[str]) -> Iterable[pa.Table]:
    parts = [names[i : i + _FILES_AT_ONCE] for i in range(0, len(names), _FILES_AT_ONCE)]
    with ThreadPoolExecutor() as pool:
        yield from pool.map(lambda part: _read_part(study, part), parts)


def _read_part(study: Study, names: Sequence[str]) -> pa.Table:
    try:
        found = zip(names, study.storage.read(*names), strict=True)
    except FileNotFoundError as error:  # a failure's, whose trial finished just now
        raise StudyError(f"a file of {study} went while it was read; run this again ({error})") from None
    return pa.concat_tables([_read_row(data, f"{study}/{name}") for name, data in found]).combine_chunks()


def _read_row(data: bytes, name: str) -> pa.Table:
    """One trial's row with today's columns: those that its version didn't have are null."""
    table = parse_table(data, name)
    if table.schema.equals(schema.TRIAL, check_metadata=True):
        return table
    try:
        columns = [
            table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
            for field in schema.TRIAL
        ]
    except pa.ArrowException as error:
        raise StudyError(
            f"{name} is damaged ({str(error).splitlines()[0]}); delete it and run the study's command again"
        ) from error
    if absent := [f.name for f in schema.TRIAL if not f.nullable and f.name not in table.column_names]:
        raise StudyError(
            f"{name} has no {', '.join(absent)}: it was written by a version too old to be read; delete it"
        )
    return pa.Table.from_arrays(columns, schema=schema.TRIAL)
