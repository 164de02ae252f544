"""From a row per trial to a row per arm: means, paired differences, tests, and the published value beside them.

An arm is called significant only where two things agree: the Holm-adjusted sign-flip p is at most 0.05, and the
corrected t interval of the difference excludes 0. The p alone speaks of *these* folds; read as a claim about other data
it gives false alarms in a quarter of all studies (`tests/statistics/simulate.py`). The interval allows for training
sets that overlap, but not for several arms.

Where a fold was run with several seeds, these are no independent evidence, and the sign-flip test flips whole folds,
provided there are enough of them to reach significance after Holm at all. Where there are not (five folds can't go
below p = 0.0625), it flips blocks, and the interval is the guard.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sweeper.results import schema
from sweeper.results.single_split import single_split_columns
from sweeper.results.store import Study
from sweeper.results.verdict import protocol_differences, published_difference, verdict
from sweeper.search_spaces.ablations import ARMS, REFERENCE
from sweeper.search_spaces.published import published_accuracy
from sweeper.statistics import blocks_needed, compare_paired, holm, mean_interval

ALPHA = 0.05
UNCOMPARED = "search"  # a search's trials have different settings: no mean or difference of theirs means anything

Row = dict[str, Any]
_COLUMNS = (
    *("trial_id", "kind", "status", "arm", "dataset", "split", "recipe", "epochs", "fold", "replicate", "accuracy"),
    *("accuracy_ema", "train_clips", "test_clips", "parameters", "gflops_per_clip", "seconds", "params"),
)


def summarise(trials: pa.Table, plan: Mapping[str, Any], study: Study) -> list[Row]:
    """One row per arm, planned or found: the paper's arms in its order, then other kinds.

    Args:
        trials: `schema.TRIAL`.
        plan: the study's `plan.json`, whose arms are the family that Holm's adjustment counts; empty if it is missing.
        study: whose predictions are read if it has a single split.
    """
    frame = trials.select(list(_COLUMNS)).to_pandas().fillna({"params": ""})  # an older version had none
    complete = frame[frame["status"] == "complete"]
    planned = _planned(plan)
    reference = complete[(complete["kind"] == "ablation") & (complete["arm"] == REFERENCE)]
    summary = []
    for kind, arms in _arms_by_kind(frame, planned).items():
        mine = complete[complete["kind"] == kind]
        ratio = float((mine["test_clips"] / mine["train_clips"]).mean())
        by_arm = dict(list(mine.groupby("arm")))
        counts = {arm: planned.get((kind, arm)) for arm in arms}
        failed = frame[(frame["kind"] == kind) & (frame["status"] == "failed")]["arm"].value_counts()
        rows = [
            _arm_row(kind, arm, by_arm.get(arm, mine.iloc[:0]), reference, ratio, len(arms) - (kind == "ablation"))
            | {"failed": int(failed.get(arm, 0))}
            for arm in arms
        ]
        for row in rows:
            count = counts[row["arm"]]
            row["planned"] = row["n"] + row["failed"] if count is None else count
        if kind == "ablation":
            single_split_columns(rows, mine, study)
        _finish(rows, mine)
        summary += rows
    return summary


def _planned(plan: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """Number of planned trials by kind and arm."""
    counts: dict[tuple[str, str], int] = {}
    for trial in plan.get("trials", ()):
        key = (trial.get("kind", "ablation"), trial["arm"])
        counts[key] = counts.get(key, 0) + 1
    return counts


def _arms_by_kind(frame: pd.DataFrame, planned: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found = {(kind, arm) for kind, arm in zip(frame["kind"], frame["arm"], strict=True)} | set(planned)
    order = {arm: position for position, arm in enumerate(ARMS)}
    kinds = sorted({kind for kind, _ in found}, key=lambda kind: (kind != "ablation", kind))
    return {
        kind: sorted((arm for k, arm in found if k == kind), key=lambda arm: (order.get(arm, len(order)), arm))
        for kind in kinds
    }


def _arm_row(kind: str, arm: str, complete: pd.DataFrame, reference: pd.DataFrame, ratio: float, family: int) -> Row:
    row: Row = dict.fromkeys(schema.SUMMARY.names)
    row |= {"kind": kind, "arm": arm, "factor": ARMS[arm].factor if kind == "ablation" and arm in ARMS else ""}
    row |= {"n": len(complete), "blocks": 0, "seconds": float(complete["seconds"].sum()), "verdict": ""}
    if kind == UNCOMPARED or complete.empty:
        return row
    row |= _mean(complete, ratio)
    is_reference = kind == "ablation" and arm == REFERENCE
    return row if is_reference else row | _difference(complete, reference, ratio, family)


def _mean(complete: pd.DataFrame, ratio: float) -> Row:
    interval = mean_interval(complete["accuracy"], test_train_ratio=ratio)
    sizes = complete[["parameters", "gflops_per_clip"]].iloc[0]
    return {
        "mean": float(complete["accuracy"].mean()),
        "ci_low": _finite(interval.low),
        "ci_high": _finite(interval.high),
        "mean_ema": float(complete["accuracy_ema"].mean()),
        "parameters": int(sizes["parameters"]),
        "gflops_per_clip": _finite(float(sizes["gflops_per_clip"])),
    }


def _difference(complete: pd.DataFrame, reference: pd.DataFrame, ratio: float, family: int) -> Row:
    """Only blocks that both arms finished count: an unpaired difference would confound the arm with the fold."""
    block = ["fold", "replicate"]
    ours, theirs = (
        rows.drop_duplicates(block).set_index(block)["accuracy"].sort_index() for rows in (complete, reference)
    )
    shared = ours.index.intersection(theirs.index)
    if shared.empty:
        return {}
    folds = shared.get_level_values("fold")
    by_fold = len(shared) > folds.nunique() >= blocks_needed(max(1, family))
    comparison = compare_paired(
        ours[shared],
        theirs[shared],
        test_train_ratio=ratio,
        rng=np.random.default_rng(0),
        groups=folds if by_fold else None,
    )
    return {
        "blocks": comparison.n,
        "diff": comparison.diff,
        "diff_low": _finite(comparison.diff_low),
        "diff_high": _finite(comparison.diff_high),
        "p_value": comparison.p_value,
        "p_unit": "fold" if by_fold else "block",
        "p_smallest": comparison.p_smallest,
        "effect_size": _finite(comparison.effect_size),
        "p_better": _finite(comparison.p_better),
    }


def _finish(rows: Sequence[Row], complete: pd.DataFrame) -> None:
    """What needs all arms of the kind, or the finished row: Holm, significance, the paper's value, the verdict."""
    compared = [row for row in rows if (row["kind"], row["arm"]) != ("ablation", REFERENCE)]
    whole_reference = all(row["n"] == row["planned"] for row in rows if row not in compared)
    p_values = [math.nan if row["p_value"] is None else row["p_value"] for row in compared]
    for row, adjusted in zip(compared, holm(p_values), strict=True):
        row["p_holm"] = _finite(adjusted)
        # Trials are seldom missing at random: what is left of an arm with holes can't be called anything.
        if row["n"] == row["planned"] and whole_reference and row["diff_low"] is not None:
            row["significant"] = bool(adjusted <= ALPHA and not row["diff_low"] <= 0 <= row["diff_high"])
    if not rows or rows[0]["kind"] != "ablation":
        return
    departures = () if complete.empty else protocol_differences(complete.iloc[0].to_dict())
    for row in rows:
        row["published"] = published_accuracy(row["arm"])
        row["published_diff"] = published_difference(row["arm"])
        row["verdict"] = verdict(row, departures)


def _finite(value: float) -> float | None:
    """NaN and infinities are no numbers for a table."""
    return float(value) if math.isfinite(value) else None
