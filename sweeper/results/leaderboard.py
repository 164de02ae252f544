"""A study's derived tables: a row per trial, arm, effect. They can be deleted and derived again at any time."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from sweeper.results import schema
from sweeper.results.checks import SHOWN, Problem, find_problems
from sweeper.results.effects import effect_rows
from sweeper.results.floors import Floor, read_floor
from sweeper.results.importing import imported_problems
from sweeper.results.looks import SEQUENTIAL
from sweeper.results.row_files import Doubts
from sweeper.results.score_grid import REFERENCE_KIND, ScoreGrid, score_grid, trial_frame
from sweeper.results.soundness import RENAMED, leave_out, unplanned
from sweeper.results.store import Study
from sweeper.results.study_arms import StudyArms, study_arms
from sweeper.results.summary import Row, margin_of, summarise
from sweeper.results.tables import StudyError
from sweeper.results.variance import variance_rows

LEADERBOARD, SUMMARY, EFFECTS = "leaderboard.parquet", "summary.parquet", "effects.parquet"
VARIANCE = "variance.parquet"


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
        floor: what a plain method gets on the same folds; None where it was not computed.
        unwritten: why its tables could not be written, if so: a colleague's study, or an archive, can be read all the
            same.
        variance: a row per source of variance (`schema.VARIANCE`) of a crossed design; empty elsewhere.
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
    floor: Floor | None = None
    unwritten: str = ""
    variance: tuple[Row, ...] = ()

    @property
    def ablation(self) -> list[Row]:
        """The summary's rows of the ablation's arms."""
        return [row for row in self.summary if row["kind"] == REFERENCE_KIND]


def derive(study: Study, margin: float | None = None) -> Leaderboard:
    """Derive the study's tables from the committed trials; equal trials and margins give equal bytes.

    Args:
        study: whose trials.
        margin: largest difference that doesn't matter, as a fraction of 1; None: as the study was run.

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
    margin = margin_of(plan) if margin is None else margin
    contradicting = unplanned(trials, plan)
    doubts.unsound += [f"{study.file_of(trial_id)}: {reason}" for trial_id, reason in contradicting.items()]
    trials = leave_out(trials, contradicting)
    if not trials.num_rows:
        wrong = f"{study} has no trial that could be used: {doubts.unsound[0]}" if doubts.unsound else ""
        raise StudyError(wrong or f"{study} has no trial yet; start with: python -m sweeper run ablations")
    arms = study_arms(plan, trials["dataset"][0].as_py())
    summary = summarise(trials, plan, study, margin)
    grid = score_grid(trial_frame(trials), plan, REFERENCE_KIND, arms)
    planned = {row["arm"]: row["planned"] for row in summary if row["kind"] == REFERENCE_KIND}
    # Arms that stopped at different looks make no factorial, and its intervals allow for one look.
    effects = [] if plan.get(SEQUENTIAL) else effect_rows(grid, arms, planned)
    variance = variance_rows(trials, plan)
    unwritten = ""
    try:
        study.write_table(LEADERBOARD, trials, schema.TRIAL)
        study.write_table(SUMMARY, pa.Table.from_pylist(summary, schema=schema.SUMMARY), schema.SUMMARY)
        if effects:
            study.write_table(EFFECTS, pa.Table.from_pylist(effects, schema=schema.EFFECTS), schema.EFFECTS)
        if variance:
            study.write_table(VARIANCE, pa.Table.from_pylist(variance, schema=schema.VARIANCE), schema.VARIANCE)
    except OSError as error:
        unwritten = str(error)
    floor, doubt = _floor(study, plan)
    problems = (*_doubtful(doubts), *doubt, *imported_problems(trials, plan), *find_problems(trials, plan))
    return Leaderboard(
        study,
        plan,
        arms,
        trials,
        tuple(summary),
        tuple(effects),
        grid,
        margin,
        problems,
        floor,
        unwritten,
        tuple(variance),
    )


def _floor(study: Study, plan: Mapping[str, Any]) -> tuple[Floor | None, list[Problem]]:
    """The study's floor, or what is wrong with it: its arms can be compared without."""
    try:
        return read_floor(study, plan), []
    except StudyError as error:
        return None, [Problem("floor", str(error))]


def _doubtful(doubts: Doubts) -> list[Problem]:
    """What is wrong with the study's files, by kind."""
    found = [Problem("impossible row", f"{line}: left out{_remedy(line)}") for line in doubts.unsound[:SHOWN]]
    if len(doubts.unsound) > SHOWN:
        found.append(Problem("impossible row", f"and {len(doubts.unsound) - SHOWN} more"))
    if doubts.strays:
        names = ", ".join(map(ascii, doubts.strays[:SHOWN]))
        more = f", and {len(doubts.strays) - SHOWN} more" if len(doubts.strays) > SHOWN else ""
        found.append(Problem("stray file", f"{names}{more}: no trial's, and not read; move it out of the study"))
    return found


def _remedy(line: str) -> str:
    """What can be done about an impossible row, unless the line says it."""
    if line.endswith(RENAMED):
        return ""
    packed = "/pack-" in line.partition(":")[0]
    return "; restore it from a copy" if packed else "; delete it and run the command again"
