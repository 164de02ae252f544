"""The derived tables of a study: a row per trial, a row per arm. They can be deleted and rebuilt at any time."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from search_spaces.ablations import ARMS, REFERENCE
from search_spaces.published import published_accuracy
from sweeper.results import schema
from sweeper.results.store import Study, StudyError
from sweeper.statistics import compare_paired, holm, mean_interval

PAPER_PROTOCOL = {"dataset": "urbansound8k", "split": "paper", "recipe": "paper"}

Row = dict[str, Any]
Block = tuple[int, int]


def rebuild(study: Study) -> tuple[list[Row], list[Row]]:
    """Derive `leaderboard.parquet` and `summary.parquet` from the committed trials.

    Returns:
        the rows of both.

    Raises:
        StudyError: the study has no trial yet.
    """
    table = study.trials()
    if not table.num_rows:
        raise StudyError(f"{study.folder} has no trial yet; start with: python -m sweeper run ablations")
    trials = table.to_pylist()
    summary = summarise(trials)
    study.write_table("leaderboard.parquet", table, schema.TRIAL)
    study.write_table("summary.parquet", pa.Table.from_pylist(summary, schema=schema.SUMMARY), schema.SUMMARY)
    return trials, summary


def summarise(trials: Sequence[Row]) -> list[Row]:
    """One row per arm that has trials, in the paper's order; differences are to the reference, block by block."""
    by_arm = {arm: [row for row in trials if row["arm"] == arm] for arm in ARMS}
    reference = _scores(by_arm[REFERENCE])
    rows = [_arm_row(arm, rows, reference) for arm, rows in by_arm.items() if rows]
    compared = [row for row in rows if row["arm"] != REFERENCE]
    p_values = [math.nan if row["p_value"] is None else row["p_value"] for row in compared]
    for row, adjusted in zip(compared, holm(p_values), strict=True):
        row["p_holm"] = _finite(adjusted)
    return rows


def _arm_row(arm: str, trials: Sequence[Row], reference: Mapping[Block, float]) -> Row:
    complete = [row for row in trials if row["status"] == "complete"]
    scores = _scores(complete)
    return (
        dict.fromkeys(schema.SUMMARY.names)
        | {
            "arm": arm,
            "factor": ARMS[arm].factor,
            "n": len(complete),
            "failed": len(trials) - len(complete),
            "blocks": 0,
            "seconds": sum(row["seconds"] for row in complete),
        }
        | (_mean(complete, scores) if complete else {})
        | (_difference(complete, scores, reference) if arm != REFERENCE else {})
        | _published(arm, trials[0])
    )


def _scores(trials: Sequence[Row]) -> dict[Block, float]:
    return {(row["fold"], row["replicate"]): row["accuracy"] for row in trials if row["status"] == "complete"}


def _mean(complete: Sequence[Row], scores: Mapping[Block, float]) -> Row:
    values = list(scores.values())
    interval = mean_interval(values, test_train_ratio=_test_train_ratio(complete))
    return {
        "mean": float(np.mean(values)),
        "ci_low": _finite(interval.low),
        "ci_high": _finite(interval.high),
        "mean_ema": float(np.mean([row["accuracy_ema"] for row in complete])),
        "parameters": complete[0]["parameters"],
        "gflops_per_clip": complete[0]["gflops_per_clip"],
    }


def _difference(complete: Sequence[Row], scores: Mapping[Block, float], reference: Mapping[Block, float]) -> Row:
    """Only blocks that both arms finished count: an unpaired difference would confound the arm with the fold."""
    blocks = sorted(scores.keys() & reference.keys())
    if not blocks:
        return {}
    comparison = compare_paired(
        [scores[block] for block in blocks],
        [reference[block] for block in blocks],
        test_train_ratio=_test_train_ratio(complete),
        rng=np.random.default_rng(0),
    )
    return {
        "blocks": len(blocks),
        "diff": comparison.diff,
        "diff_low": _finite(comparison.diff_low),
        "diff_high": _finite(comparison.diff_high),
        "p_value": comparison.p_value,
        "effect_size": _finite(comparison.effect_size),
    }


def _test_train_ratio(complete: Sequence[Row]) -> float:
    return float(np.mean([row["test_clips"] / row["train_clips"] for row in complete]))


def _published(arm: str, trial: Row) -> Row:
    """The paper's value, and why it can or can't be held against ours."""
    differing = [f"{key} {trial[key]}" for key, value in PAPER_PROTOCOL.items() if trial[key] != value]
    verdict = f"not comparable: {', '.join(differing)}" if differing else "same protocol"
    return {"published": published_accuracy(arm), "verdict": verdict}


def _finite(value: float) -> float | None:
    """NaN and infinities are no numbers for a table."""
    return float(value) if math.isfinite(value) else None
