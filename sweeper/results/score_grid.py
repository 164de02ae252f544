"""A study's scores as the statistics take them: arms × folds × seeds, with holes."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from sweeper.results.looks import counted, needed_trials
from sweeper.results.study_arms import StudyArms
from sweeper.statistics import ArmComparison, compare_arms
from sweeper.statistics.arms import copies

REFERENCE_KIND = "ablation"
# A search's trials have different settings, and those of a crossed design share seeds: no difference of theirs means
# anything.
UNCOMPARED = ("search", "variance")

_COLUMNS = (
    *("trial_id", "kind", "status", "arm", "dataset", "split", "recipe", "epochs", "fold", "replicate", "accuracy"),
    *("accuracy_ema", "train_clips", "test_clips", "parameters", "gflops_per_clip", "seconds", "params"),
    "evidence",
)


@dataclass(frozen=True)
class ScoreGrid:
    """Accuracies of one kind of trials and of the reference, planned or found.

    Attributes:
        arms: names; the reference is among them, whether it was run or not.
        reference: its index.
        folds, seeds: in order.
        scores: fractions of 1, NaN where no trial is complete; `[arms, folds, seeds]`.
        test_train_ratio: test clips per training clip.
        folds_in_all: folds that the data set is divided into, run or not.
        resolution: one test clip's share of an accuracy; None where no complete trial says how many there are.
        redefined: arms of which there is more than one definition, see `doubled`; they have no scores.
    """

    arms: tuple[str, ...]
    reference: int
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    scores: NDArray[np.float64]
    test_train_ratio: float
    folds_in_all: int
    resolution: float | None
    redefined: frozenset[str] = frozenset()

    def without(self, arms: Collection[str]) -> "ScoreGrid":
        """The grid as if these arms had not been run; they stay in the family."""
        gone = np.isin(self.arms, list(arms))
        return replace(self, scores=np.where(gone[:, None, None], np.nan, self.scores))

    @property
    def copied(self) -> list[str]:
        """Arms with the scores of the reference, or of an earlier arm, see `statistics.arms.copies`."""
        found = copies(self.scores, self.reference, self.resolution or 0.0)
        return [arm for arm, copied in zip(self.arms, found, strict=True) if copied]

    def compare(self, limits: tuple[float, float] = (0.0, 1.0)) -> ArmComparison | None:
        """All arms against the reference; None where nothing is known.

        Args:
            limits: lowest and highest possible score.
        """
        if not np.isfinite(self.scores).any():
            return None
        return compare_arms(
            self.scores,
            self.reference,
            test_train_ratio=self.test_train_ratio,
            folds_in_all=self.folds_in_all,
            limits=limits,
            resolution=self.resolution,
        )


def trial_frame(trials: pa.Table) -> pd.DataFrame:
    """The columns of `schema.TRIAL` that the statistics use."""
    return trials.select(list(_COLUMNS)).to_pandas().fillna({"params": ""})  # an older version had none


def doubled(trials: pd.DataFrame, plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The arms and blocks that have several trials, run or planned: the arm was defined anew under its name.

    Which of its definitions counts can't be told, and where some blocks are of one and some of the other, an average is
    about neither; so such arms have no scores.

    Args:
        trials: with their id, kind, arm, fold and replicate.
        plan: the study's `plan.json`; empty if it is missing.
    """
    names = ["kind", "arm", "fold", "replicate"]
    found = set(trials["trial_id"])
    to_come = [{"kind": REFERENCE_KIND} | trial for trial in needed_trials(plan) if trial["trial_id"] not in found]
    places = trials.drop_duplicates("trial_id")[names]
    if to_come:
        places = pd.concat([places, pd.DataFrame(to_come)[names]])
    places = places[~places["kind"].isin(UNCOMPARED)]
    twice = places[places.duplicated()].drop_duplicates().to_dict("records")
    return [{str(name): value for name, value in place.items()} for place in twice]


def score_grid(trials: pd.DataFrame, plan: Mapping[str, Any], kind: str, arms: StudyArms) -> ScoreGrid:
    """The grid of one kind of trials.

    Args:
        trials: rows of `schema.TRIAL` with their kind, status, arm, fold, replicate, accuracy and numbers of clips.
        plan: the study's `plan.json`; empty if it is missing.
        kind: of trials.
        arms: the study's.
    """
    reference = (trials["kind"] == REFERENCE_KIND) & (trials["arm"] == arms.reference)
    mine = counted(trials[reference | (trials["kind"] == kind)], plan)
    planned = [trial for trial in needed_trials(plan) if trial.get("kind", REFERENCE_KIND) == kind]
    seen = {
        column: {trial[column] for trial in planned} | set(mine[column].unique().tolist())
        for column in ("arm", "fold", "replicate")
    }
    names = arms.ordered(seen["arm"] | {arms.reference})
    folds, seeds = tuple(sorted(seen["fold"] or {1})), tuple(sorted(seen["replicate"] or {0}))
    redefined = frozenset(place["arm"] for place in doubled(mine, plan) if place["kind"] in (kind, REFERENCE_KIND))
    complete = mine[(mine["status"] == "complete") & ~mine["arm"].isin(redefined)]
    scores = np.full((len(names), len(folds), len(seeds)), np.nan)
    places = [
        pd.Index(order).get_indexer(complete[column])
        for order, column in ((names, "arm"), (folds, "fold"), (seeds, "replicate"))
    ]
    scores[tuple(places)] = complete["accuracy"]
    tested = float(complete["test_clips"].mean())  # NaN where no row says it, as imported ones need not
    ratio = float((complete["test_clips"] / complete["train_clips"]).mean())
    ratio = ratio if math.isfinite(ratio) else 0.0
    return ScoreGrid(
        arms=names,
        reference=names.index(arms.reference),
        folds=folds,
        seeds=seeds,
        scores=scores,
        test_train_ratio=ratio,
        folds_in_all=_folds_in_all(plan, ratio, len(folds)),
        resolution=1 / tested if math.isfinite(tested) else None,
        redefined=redefined & set(names),
    )


def change(a: ScoreGrid, b: ScoreGrid) -> ScoreGrid | None:
    """How the scores changed from `a` to `b`, in the arms and blocks of both; None where they share none.

    None also where the references differ. Call `compare` of the result with limits −1 and 1.
    """
    arms = tuple(arm for arm in a.arms if arm in b.arms)
    folds = tuple(fold for fold in a.folds if fold in b.folds)
    seeds = tuple(seed for seed in a.seeds if seed in b.seeds)
    if a.arms[a.reference] != b.arms[b.reference] or not folds or not seeds:
        return None
    first, second = (
        grid.scores[
            np.ix_(
                [grid.arms.index(arm) for arm in arms],
                [grid.folds.index(fold) for fold in folds],
                [grid.seeds.index(seed) for seed in seeds],
            )
        ]
        for grid in (a, b)
    )
    shared = replace(a, arms=arms, reference=arms.index(a.arms[a.reference]), folds=folds, seeds=seeds)
    return replace(shared, scores=second - first)


def _folds_in_all(plan: Mapping[str, Any], ratio: float, seen: int) -> int:
    """As the plan says; a plan of before schema 3 doesn't, so from the clips: k folds test one clip for k − 1."""
    if "all_folds" in plan:
        return max(len(plan["all_folds"]), seen)
    return max(round(1 + 1 / ratio) if ratio > 0 else 1, seen)
