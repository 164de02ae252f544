"""A study's derived tables: a row per trial, arm, effect. They can be deleted and derived again at any time."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from sweeper.results import schema
from sweeper.results.checks import Problem, find_problems
from sweeper.results.effects import effect_rows
from sweeper.results.score_grid import REFERENCE_KIND, ScoreGrid, score_grid, trial_frame
from sweeper.results.store import Study
from sweeper.results.study_arms import StudyArms, study_arms
from sweeper.results.summary import MARGIN, Row, summarise
from sweeper.results.tables import StudyError

LEADERBOARD, SUMMARY, EFFECTS = "leaderboard.parquet", "summary.parquet", "effects.parquet"


@dataclass(frozen=True)
class Leaderboard:
    """A study's trials, its arms, and what a reader must know before believing them.

    Attributes:
        study: where they came from.
        plan: the study's `plan.json`; empty if it is missing.
        arms: what is compared.
        trials: a row per trial (`schema.TRIAL`).
        summary: a row per arm (`schema.SUMMARY`), the ablation's arms first and in their order.
        effects: a row per effect (`schema.EFFECTS`) of the factorial among the arms; empty if there is none.
        grid: the ablation's scores.
        margin: largest difference that doesn't matter, as a fraction of 1.
        problems: holes, failures, mixtures, leaks; empty for a study that can be published.
    """

    study: Study
    plan: Mapping[str, Any]
    arms: StudyArms
    trials: pa.Table
    summary: tuple[Row, ...]
    effects: tuple[Row, ...]
    grid: ScoreGrid
    margin: float
    problems: tuple[Problem, ...]

    @property
    def ablation(self) -> list[Row]:
        """The summary's rows of the ablation's arms."""
        return [row for row in self.summary if row["kind"] == REFERENCE_KIND]


def derive(study: Study, margin: float = MARGIN) -> Leaderboard:
    """Derive the study's tables from the committed trials; equal trials and margins give equal bytes.

    Args:
        study: whose trials.
        margin: largest difference that doesn't matter, as a fraction of 1.

    Raises:
        StudyError: the study has no trial yet, or a damaged file.
    """
    with contextlib.suppress(OSError):  # the rows stay where they are
        study.pack()
    trials = study.trials()
    if not trials.num_rows:
        raise StudyError(f"{study} has no trial yet; start with: python -m sweeper run ablations")
    plan = study.read_plan() or {}
    arms = study_arms(plan)
    summary = summarise(trials, plan, study, margin)
    grid = score_grid(trial_frame(trials), plan, REFERENCE_KIND, arms)
    planned = {row["arm"]: row["planned"] for row in summary if row["kind"] == REFERENCE_KIND}
    effects = effect_rows(grid, arms, planned)
    study.write_table(LEADERBOARD, trials, schema.TRIAL)
    study.write_table(SUMMARY, pa.Table.from_pylist(summary, schema=schema.SUMMARY), schema.SUMMARY)
    if effects:
        study.write_table(EFFECTS, pa.Table.from_pylist(effects, schema=schema.EFFECTS), schema.EFFECTS)
    return Leaderboard(
        study, plan, arms, trials, tuple(summary), tuple(effects), grid, margin, find_problems(trials, plan)
    )
