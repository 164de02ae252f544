"""A study of one split: how sure is it, given which recordings were tested?

Where there is only one test set, its recordings are resampled, whole, with both arms' answers to them; see
`sweeper.statistics.bootstrap` and `mcnemar`. With several folds the corrected t interval is the better answer, and
nothing here is filled in.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sweeper.results.predictions import Answers, read_answers, same_clips
from sweeper.results.store import Study
from sweeper.search_spaces.ablations import REFERENCE
from sweeper.statistics import bootstrap_accuracy, bootstrap_difference, mcnemar_clustered

# 24 intervals in about a second; more draws would steady the bounds by less than a recording more or less moves them.
RESAMPLES = 1999


def single_split_columns(rows: Sequence[dict[str, Any]], complete: pd.DataFrame, study: Study) -> None:
    """Fill `recordings`, `boot_…` and `mcnemar_p` of the arms' rows, if the study has a single split.

    Args:
        rows: of the summary, changed in place.
        complete: the complete trials of these arms.
        study: theirs; arms whose predictions files are missing keep nulls.
    """
    if complete["fold"].nunique() != 1:
        return
    answers = _answers(complete, study)
    every = [found for seeds in answers.values() for found in seeds.values()]
    if not every or not same_clips(every):
        return
    groups = every[0].groups
    reference = answers.get(REFERENCE, {})
    for row in rows:
        if mine := answers.get(row["arm"]):
            rng = np.random.default_rng(0)  # the same resamples for every arm, whatever its neighbours
            interval = bootstrap_accuracy(_share(mine, mine), groups, rng=rng, resamples=RESAMPLES)
            row["recordings"] = len(np.unique(groups))
            row["boot_low"], row["boot_high"] = map(_finite, interval)
            if row["arm"] != REFERENCE and (shared := sorted(mine.keys() & reference.keys())):
                _compare(row, mine, reference, shared, groups)


def _compare(
    row: dict[str, Any],
    mine: dict[int, Answers],
    reference: dict[int, Answers],
    shared: Sequence[int],
    groups: NDArray[np.str_],
) -> None:
    ours, theirs = _share(mine, shared), _share(reference, shared)
    interval = bootstrap_difference(ours, theirs, groups, rng=np.random.default_rng(0), resamples=RESAMPLES)
    row["boot_diff_low"], row["boot_diff_high"] = map(_finite, interval)
    first = shared[0]  # the test is about two trained networks, so about one seed
    row["mcnemar_p"] = mcnemar_clustered(mine[first].correct, reference[first].correct, groups).p_value


def _answers(complete: pd.DataFrame, study: Study) -> dict[str, dict[int, Answers]]:
    answers: dict[str, dict[int, Answers]] = {}
    columns = ["trial_id", "arm", "replicate", "evidence", "test_clips", "accuracy"]
    for trial in complete[columns].to_dict("records"):
        found = read_answers(study, trial)
        if found is not None:
            answers.setdefault(trial["arm"], {})[trial["replicate"]] = found
    return answers


def _share(answers: dict[int, Answers], seeds: Sequence[int] | dict[int, Answers]) -> NDArray[np.float64]:
    """Share of `seeds` that answered each clip correctly, `[clips]`."""
    return np.asarray(np.mean([answers[seed].correct for seed in seeds], axis=0))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
