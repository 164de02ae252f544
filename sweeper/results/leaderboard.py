"""The derived tables of a study: a row per trial, a row per arm. They can be deleted and derived again at any time."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from sweeper.results import schema
from sweeper.results.checks import SHOWN, Problem, find_problems
from sweeper.results.row_files import Doubts
from sweeper.results.soundness import leave_out, unplanned
from sweeper.results.store import Study
from sweeper.results.summary import Row, summarise
from sweeper.results.tables import StudyError

LEADERBOARD, SUMMARY = "leaderboard.parquet", "summary.parquet"


@dataclass(frozen=True)
class Leaderboard:
    """A study's trials, its arms, and what a reader must know before believing them.

    Attributes:
        study: where they came from.
        plan: the study's `plan.json`; empty if it is missing.
        trials: a row per trial (`schema.TRIAL`).
        summary: a row per arm (`schema.SUMMARY`), the paper's arms first and in its order.
        problems: holes, failures, mixtures, leaks; empty for a study that can be published.
        unwritten: why its tables could not be written, if so: a colleague's study, or an archive, can be read all the
            same.
    """

    study: Study
    plan: Mapping[str, Any]
    trials: pa.Table
    summary: tuple[Row, ...]
    problems: tuple[Problem, ...]
    unwritten: str = ""


def derive(study: Study) -> Leaderboard:
    """Derive `leaderboard.parquet` and `summary.parquet` from the committed trials; equal trials give equal bytes.

    Raises:
        StudyError: the study has no trial yet, or a damaged file.
    """
    with contextlib.suppress(OSError, StudyError):  # the rows stay where they are, and what is damaged is told below
        study.pack()
    doubts = Doubts()
    trials = study.trials(doubts)
    if doubts.damage:
        more = f" (and {len(doubts.damage) - 1} more files are damaged)" if len(doubts.damage) > 1 else ""
        raise StudyError(doubts.damage[0] + more)
    plan = study.read_plan() or {}
    contradicting = unplanned(trials, plan)
    doubts.unsound += [f"{study.file_of(trial_id)}: {reason}" for trial_id, reason in contradicting.items()]
    trials = leave_out(trials, contradicting)
    if not trials.num_rows:
        wrong = f"{study} has no trial that could be used: {doubts.unsound[0]}" if doubts.unsound else ""
        raise StudyError(wrong or f"{study} has no trial yet; start with: python -m sweeper run ablations")
    summary = summarise(trials, plan, study)
    unwritten = ""
    try:
        study.write_table(LEADERBOARD, trials, schema.TRIAL)
        study.write_table(SUMMARY, pa.Table.from_pylist(summary, schema=schema.SUMMARY), schema.SUMMARY)
    except OSError as error:
        unwritten = str(error)
    problems = (*_doubtful(doubts), *find_problems(trials, plan))
    return Leaderboard(study, plan, trials, tuple(summary), problems, unwritten)


def _doubtful(doubts: Doubts) -> list[Problem]:
    """What is wrong with the study's files, by kind."""
    found = [
        Problem(
            "impossible row",
            f"{line}: left out; "
            + (
                "restore it from a copy"
                if "/pack-" in line.partition(":")[0]
                else "delete it and run the command again"
            ),
        )
        for line in doubts.unsound[:SHOWN]
    ]
    if len(doubts.unsound) > SHOWN:
        found.append(Problem("impossible row", f"and {len(doubts.unsound) - SHOWN} more"))
    if doubts.strays:
        names = ", ".join(map(ascii, doubts.strays[:SHOWN]))
        more = f", and {len(doubts.strays) - SHOWN} more" if len(doubts.strays) > SHOWN else ""
        found.append(Problem("stray file", f"{names}{more}: no trial's, and not read; move it out of the study"))
    return found
