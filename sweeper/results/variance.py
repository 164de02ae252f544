"""Where a study's variance comes from: the crossed trials of `run variance`, and what they tell of each source."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from sweeper.statistics.components import FOLD, REST, crossed_components

VARIANCE = "variance"  # the kind of these trials, and their place in the plan
SOURCES = ("initialisation", "order", "augmentation")
WORDS = {"order": "batch order"}

Row = dict[str, Any]


def variance_rows(trials: pa.Table, plan: Mapping[str, Any]) -> list[Row]:
    """Rows of `schema.VARIANCE`, from the folds whose trials are all there; none where there is no such fold.

    Args:
        trials: `schema.TRIAL`.
        plan: the study's, which says the seeds of each trial.
    """
    crossed = [trial for trial in plan.get("trials", ()) if trial.get("kind") == VARIANCE]
    if not crossed:
        return []
    rows = trials.select(["trial_id", "status", "accuracy", "test_clips"]).to_pylist()
    complete = {row["trial_id"]: row for row in rows if row["status"] == "complete"}
    folds, clips = [], []
    for fold in sorted({trial["fold"] for trial in crossed}):
        mine = [trial for trial in crossed if trial["fold"] == fold]
        levels = {name: sorted({trial["seeds"][name] for trial in mine}) for name in SOURCES}
        cells = np.full([len(levels[name]) for name in SOURCES], np.nan)
        for trial in mine:
            row = complete.get(trial["trial_id"])
            if row is not None:
                cells[tuple(levels[name].index(trial["seeds"][name]) for name in SOURCES)] = row["accuracy"]
                clips.append(row["test_clips"])
        folds.append(cells)
    whole = [cells for cells in folds if np.isfinite(cells).all()]
    whole = [cells for cells in whole if cells.shape == whole[0].shape and len({*cells.shape}) == 1 and len(cells) > 1]
    if not whole:
        return []
    found = crossed_components(
        np.stack(whole), SOURCES, rng=np.random.default_rng(0), resolution=1 / float(np.mean(clips))
    )
    return [
        {
            "source": WORDS.get(part.name, part.name),
            "sd": math.sqrt(max(part.variance, 0.0)),
            "sd_low": math.sqrt(part.low),
            "sd_high": math.sqrt(part.high),
            "share": part.share,
            "share_low": part.share_low,
            "share_high": part.share_high,
            "p": None if math.isnan(part.p) else part.p,
            "significant": None if part.name == REST else part.significant,
            "df": part.df,
            "folds": len(whole),
            "seeds": len(whole[0]),
        }
        for part in found
    ]


def advice(rows: list[Row]) -> list[str]:
    """What follows for who plans a study, in sentences; a part that can't be told from noise gets none."""
    if not rows:
        return ["No fold has all of its trials yet, so nothing is known of where the variance comes from."]
    told = [row for row in rows if row["significant"]]
    by_name = {row["source"]: row for row in rows}
    fold, rest = by_name.get(FOLD), by_name[REST]
    if not told:
        more = "--seeds 3, or more --folds" if rows[0]["seeds"] < 3 else "more --folds or --seeds"
        return [f"No source stands out from what is left. If one matters, more trials would tell it: {more}."]
    listed = ", ".join(f"{row['source']} ({_share(row)})" for row in told)
    sentences = [f"Of the variance of a score, this can be told from noise: {listed}."]
    if fold is not None and fold["significant"] and fold["share_low"] > 0.5:
        sentences.append(
            "Most of the spread is between folds: add folds, not seeds, to know an arm's accuracy better. Arms "
            "that are compared on the same folds share it, as far as these suit them alike."
        )
    elif fold is None or fold["share_high"] < 0.5:
        sentences.append("Most of the spread is between retrainings on one fold: add seeds.")
    if rest["share_low"] > 0.5:
        sentences.append(
            "Most of it is left when the sources' own parts are taken off: no single seed that is kept the same takes "
            "the spread away, only trials do."
        )
    inside = [row for row in told if row["source"] != FOLD]
    if inside and (most := max(inside, key=lambda row: float(row["share"])))["share_low"] > 0.5:
        sentences.append(f"Most is {most['source']}: arms that share that seed in a block share most of the spread.")
    if len(sentences) == 1:
        sentences.append("Which source makes the most can't be told yet: more --folds, or more --seeds of each, would.")
    return sentences


def _share(row: Row) -> str:
    return f"{100 * row['share']:.0f} %, {100 * row['share_low']:.0f} to {100 * row['share_high']:.0f}"
