"""A study of one split: how sure is it, given which recordings were tested?

Where there is only one test set, its recordings are a sample: see `sweeper.statistics.recordings`, `bootstrap` and
`mcnemar`. With several folds the differences between folds say it, and nothing here is filled in.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sweeper.results.predictions import Answers, read_answers, same_clips
from sweeper.results.score_grid import ScoreGrid
from sweeper.results.store import Study
from sweeper.statistics import bootstrap_accuracy, mcnemar_clustered, recordings_interval

# 12 intervals in about half a second; more draws would steady the bounds by less than one recording moves them.
RESAMPLES = 1999


def single_split_columns(rows: list[dict[str, Any]], complete: pd.DataFrame, grid: ScoreGrid, study: Study) -> None:
    """Fill `recordings`, `recordings_…`, `boot_…` and `mcnemar_p` of the arms' rows, if the study has a single split.

    Args:
        rows: of the summary, changed in place.
        complete: the complete trials of these arms.
        grid: theirs.
        study: theirs; arms whose predictions files are missing keep nulls.
    """
    if len(grid.folds) != 1:
        return
    answers = _answers(complete, study)
    every = [found for seeds in answers.values() for found in seeds.values()]
    if not every or not same_clips(every):
        return
    groups = every[0].groups
    correct = _correct(grid, answers, len(groups))
    others = recordings_interval(correct, groups, grid.reference)
    reference = answers.get(grid.arms[grid.reference], {})
    for row in rows:
        if mine := answers.get(row["arm"]):
            index = grid.arms.index(row["arm"])
            rng = np.random.default_rng(0)  # the same resamples for every arm, whatever its neighbours
            interval = bootstrap_accuracy(np.nanmean(correct[index], axis=0), groups, rng=rng, resamples=RESAMPLES)
            row["recordings"] = len(np.unique(groups))
            row["boot_low"], row["boot_high"] = map(_finite, interval)
            row["recordings_low"], row["recordings_high"] = _finite(others.low[index]), _finite(others.high[index])
            if index != grid.reference and (shared := sorted(mine.keys() & reference.keys())):
                first = shared[0]  # the test is about two trained networks, so about one seed
                row["mcnemar_p"] = mcnemar_clustered(mine[first].correct, reference[first].correct, groups).p_value


def _correct(grid: ScoreGrid, answers: dict[str, dict[int, Answers]], clips: int) -> NDArray[np.float64]:
    """1 where a clip was classified correctly, else 0; NaN without predictions; `[arms, seeds, clips]`."""
    correct = np.full((len(grid.arms), len(grid.seeds), clips), np.nan)
    for arm, seeds in answers.items():
        for seed, found in seeds.items():
            correct[grid.arms.index(arm), grid.seeds.index(seed)] = found.correct
    return correct


def _answers(complete: pd.DataFrame, study: Study) -> dict[str, dict[int, Answers]]:
    answers: dict[str, dict[int, Answers]] = {}
    columns = ["trial_id", "arm", "replicate", "evidence", "test_clips", "accuracy"]
    trials: Iterable[dict[Any, Any]] = complete[columns].to_dict("records")
    for trial in trials:
        found = read_answers(study, trial)
        if found is not None:
            answers.setdefault(trial["arm"], {})[trial["replicate"]] = found
    return answers


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
