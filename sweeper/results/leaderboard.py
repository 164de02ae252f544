"""The derived tables of a study: a row per trial, a row per arm. They can be deleted and derived again at any time."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from sweeper.results import schema
from sweeper.results.checks import Problem, find_problems
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
    """

    study: Study
    plan: Mapping[str, Any]
    trials: pa.Table
    summary: tuple[Row, ...]
    problems: tuple[Problem, ...]


def derive(study: Study) -> Leaderboard:
    """Derive `leaderboard.parquet` and `summary.parquet` from the committed trials; equal trials give equal bytes.

    Raises:
        StudyError: the study has no trial yet, or a damaged file.
    """
    with contextlib.suppress(OSError):  # the rows stay where they are
        study.pack()
    trials = study.trials()
    if not trials.num_rows:
        raise StudyError(f"{study} has no trial yet; start with: python -m sweeper run ablations")
    plan = study.read_plan() or {}
    summary = summarise(trials, plan, study)
    study.write_table(LEADERBOARD, trials, schema.TRIAL)
    study.write_table(SUMMARY, pa.Table.from_pylist(summary, schema=schema.SUMMARY), schema.SUMMARY)
    return Leaderboard(study, plan, trials, tuple(summary), find_problems(trials, plan))
