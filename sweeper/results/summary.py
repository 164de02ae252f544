"""From a row per trial to a row per arm: means, paired differences with one rule's intervals, the published value.

Star, p and interval come from one call of `sweeper.statistics.compare_arms` over all arms of the plan, so they can't
disagree. Its unit is the fold, its seeds averaged, where there are several; with one fold it is the seed, and the
differences are a statement about that split. Arms of other kinds are compared with the same reference, in families of
their own.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sweeper.results import schema
from sweeper.results.identity import COLUMNS, IDENTICAL, identical
from sweeper.results.importing import claimed
from sweeper.results.looks import Sequential, counted, needed_trials, read_sequential
from sweeper.results.score_grid import REFERENCE_KIND, UNCOMPARED, ScoreGrid, score_grid, trial_frame
from sweeper.results.single_split import single_split_columns
from sweeper.results.store import Study
from sweeper.results.study_arms import StudyArms, study_arms
from sweeper.results.verdict import protocol_differences, verdict
from sweeper.statistics import ArmComparison, verdicts
from sweeper.statistics.arms import verdict as verdict_of

MARGIN = 0.01  # differences this small don't matter, unless the user says otherwise

Row = dict[str, Any]


def margin_of(plan: Mapping[str, Any]) -> float:
    """What a study was run with, as its `plan.json` says, or its looks; `MARGIN` where neither does, as of old ones."""
    return float(plan.get("margin", [MARGIN, *(look["margin"] for look in plan.get("looks", ()))][-1]))


def summarise(trials: pa.Table, plan: Mapping[str, Any], study: Study, margin: float = MARGIN) -> list[Row]:
    """One row per arm, planned or found: the ablation's arms in their order, then other kinds.

    Args:
        trials: `schema.TRIAL`.
        plan: the study's `plan.json`, whose arms are the family that is compared; empty if it is missing.
        study: whose predictions are read if it has a single split.
        margin: largest difference that doesn't matter, as a fraction of 1.
    """
    frame = counted(trial_frame(trials), plan)
    arms = study_arms(plan, trials["dataset"][0].as_py() if trials.num_rows else None)
    planned = _planned(plan)
    sequential = read_sequential(plan)
    summary = []
    for kind, names in _arms_by_kind(frame, planned, arms).items():
        mine = frame[frame["kind"] == kind]
        complete = mine[mine["status"] == "complete"]
        failed = mine[mine["status"] == "failed"]["arm"].value_counts()
        by_arm = dict(list(complete.groupby("arm")))
        rows = []
        for arm in names:
            row = _counts(kind, arm, by_arm.get(arm, complete.iloc[:0]), int(failed.get(arm, 0)), arms)
            row["planned"] = planned.get((kind, arm), row["n"] + row["failed"])
            rows.append(row)
        if kind not in UNCOMPARED:
            grid = score_grid(frame, plan, kind, arms)
            complete = complete[~complete["arm"].isin(grid.redefined)]
            for row in (row for row in rows if row["arm"] in grid.redefined):
                row.update(dict.fromkeys(("mean_ema", "parameters", "gflops_per_clip")))
            alike = _identical(complete, rows, arms.reference, study) if plan.get("commits") else ()
            apart = [row for row in rows if row["arm"] not in alike]
            # Two arms with one arm's scores would make the spread that is pooled over arms look smaller than it is.
            _compare(apart, grid.without(alike), margin, _is_whole(arms.reference, frame, planned))
            for row in rows:
                row["claim"] = row["claim"] and claimed(row["claim"], plan)
            if kind == REFERENCE_KIND and sequential is not None:
                _as_looked_at(rows, sequential, margin)
            if kind == REFERENCE_KIND:
                single_split_columns(rows, complete, grid, study)
                _as_identical(rows, alike, arms.reference, margin)
                _against_published(rows, complete, arms, grid.redefined)
        summary += rows
    return summary


def _planned(plan: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """Number of planned trials by kind and arm."""
    counts: dict[tuple[str, str], int] = {}
    for trial in needed_trials(plan):
        key = (trial.get("kind", REFERENCE_KIND), trial["arm"])
        counts[key] = counts.get(key, 0) + 1
    return counts


def _arms_by_kind(
    frame: pd.DataFrame, planned: Iterable[tuple[str, str]], arms: StudyArms
) -> dict[str, tuple[str, ...]]:
    found = {(kind, arm) for kind, arm in zip(frame["kind"], frame["arm"], strict=True)} | set(planned)
    kinds = sorted({kind for kind, _ in found}, key=lambda kind: (kind != REFERENCE_KIND, kind))
    return {kind: arms.ordered({arm for k, arm in found if k == kind}) for kind in kinds}


def _is_whole(reference: str, frame: pd.DataFrame, planned: Mapping[tuple[str, str], int]) -> bool:
    """Whether no trial of the reference is missing or failed."""
    mine = frame[(frame["kind"] == REFERENCE_KIND) & (frame["arm"] == reference)]
    complete = int((mine["status"] == "complete").sum())
    return complete == planned.get((REFERENCE_KIND, reference), len(mine))


def _counts(kind: str, arm: str, complete: pd.DataFrame, failed: int, arms: StudyArms) -> Row:
    row: Row = dict.fromkeys(schema.SUMMARY.names)
    row |= {"kind": kind, "arm": arm, "factor": arms.factors.get(arm, "") if kind == REFERENCE_KIND else ""}
    row |= {"n": len(complete), "failed": failed, "units": 0}
    row["seconds"] = None if complete["seconds"].isna().any() else float(complete["seconds"].sum())
    row |= {"outcome": "", "verdict": ""}
    if kind not in UNCOMPARED and len(complete):
        sizes = complete[["parameters", "gflops_per_clip"]].iloc[0]
        row["mean_ema"] = _finite(complete.groupby("fold")["accuracy_ema"].mean().mean())  # as the other mean
        row["parameters"] = None if pd.isna(sizes["parameters"]) else int(sizes["parameters"])
        row["gflops_per_clip"] = _finite(float(sizes["gflops_per_clip"]))
    return row


def _compare(rows: list[Row], grid: ScoreGrid, margin: float, whole_reference: bool) -> None:
    found = grid.compare()
    if found is None:
        return
    words = verdicts(found, margin)
    for row in rows:
        index = grid.arms.index(row["arm"])
        row.update(_numbers(found, index))
        if (row["kind"], index) == (REFERENCE_KIND, grid.reference):
            row["outcome"] = "reference"
        elif row["diff"] is not None:
            row["margin"], row["outcome"] = margin, "undecided"
            # Trials are seldom missing at random: what is left of an arm with holes can't be called anything.
            if row["n"] == row["planned"] and whole_reference and row["diff_low"] is not None:
                row["significant"], row["outcome"] = bool(found.significant[index]), words[index]


def _identical(complete: pd.DataFrame, rows: list[Row], reference: str, study: Study) -> tuple[str, ...]:
    """Arms without holes that answered as the reference did, to the last bit, in every block that either has."""
    trials: dict[str, list[dict[Any, Any]]] = {}
    for trial in complete[list(COLUMNS)].to_dict("records"):
        trials.setdefault(trial["arm"], []).append(trial)
    theirs = trials.get(reference, [])
    whole = [row["arm"] for row in rows if row["n"] == row["planned"] == len(theirs) and row["arm"] != reference]
    return tuple(arm for arm in whole if arm in trials and identical(study, trials[arm], theirs))


def _as_identical(rows: list[Row], alike: Collection[str], reference: str, margin: float) -> None:
    """What identical answers come to: the reference's own numbers, and a difference of nothing."""
    base = next((row for row in rows if row["arm"] == reference), {})
    for row in (row for row in rows if row["arm"] in alike):
        row.update({name: base[name] for name in ("mean", "ci_low", "ci_high", "sd", "unit", "units", "own_spread")})
        row.update({"diff": 0.0, "diff_low": 0.0, "diff_high": 0.0, "p": 1.0, "significant": False})
        row.update({"outcome": "equivalent", "margin": margin, "claim": IDENTICAL})
        row.update({name: 0.0 for name in ("recordings_low", "recordings_high") if row[name] is not None})


def _as_looked_at(rows: list[Row], study: Sequential, margin: float) -> None:
    """What the last look at each arm said of it, in place of what a fixed study would say of these trials."""
    said = study.said()
    for row in rows:
        if row["outcome"] in ("reference", ""):
            continue
        row.update(dict.fromkeys(("diff", "diff_low", "diff_high", "p", "df", "pooled", "significant")))
        row["outcome"] = "undecided"
        if row["arm"] not in said:
            continue
        blocks, found = said[row["arm"]]
        row["units"] = min(blocks, len(study.folds)) if len(study.folds) > 1 else blocks
        row["diff"] = found.diff
        if math.isfinite(found.low):
            low, high = max(found.low, -1.0), min(found.high, 1.0)
            row.update({"diff_low": low, "diff_high": high, "significant": found.significant})
            row["outcome"] = verdict_of(low, high, found.significant, margin)


def _numbers(found: ArmComparison, index: int) -> Row:
    row: Row = {
        "mean": _finite(found.mean[index]),
        "ci_low": _finite(found.mean_low[index]),
        "ci_high": _finite(found.mean_high[index]),
        "sd": _finite(found.sd[index]),
        "own_spread": None if math.isnan(found.sd[index]) else bool(found.own[index]),
        "units": int(found.units[index]),
        "unit": found.unit,
    }
    if math.isnan(found.diff[index]):
        return row
    return row | {
        "diff": _finite(found.diff[index]),
        "diff_low": _finite(found.low[index]),
        "diff_high": _finite(found.high[index]),
        "p": _finite(found.p[index]),
        "df": _finite(found.df[index]),
        "pooled": None if math.isnan(found.low[index]) else bool(found.pooled[index]),
        "claim": found.claim,
    }


def _against_published(rows: list[Row], complete: pd.DataFrame, arms: StudyArms, redefined: Collection[str]) -> None:
    departures = () if complete.empty else protocol_differences(complete.iloc[0].to_dict(), arms.protocol)
    for row in rows:
        row["published"] = arms.published.get(row["arm"])
        row["published_diff"] = arms.published_difference(row["arm"])
    for reference in [row for row in rows if row["arm"] == arms.reference]:
        for row in rows:
            row["verdict"] = verdict(row, reference, departures, arms.protocol)
            anew = [arm for arm in (row["arm"], arms.reference) if arm in redefined]
            if row["verdict"] and anew:
                row["verdict"] = f"not comparable: {anew[0]} was defined anew under its name"


def _finite(value: np.floating[Any] | float) -> float | None:
    """NaN and infinities are no numbers for a table."""
    return float(value) if math.isfinite(value) else None
