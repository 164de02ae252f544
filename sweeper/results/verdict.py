"""Does a difference agree with the published one? Only where the protocols are the same can that be asked.

An ablation is about differences, so these are compared: ours to the reference, paired and with the interval of the
rule, and the published one. What is published is taken as one run of each arm on one test set, without an interval. Its
error is that of two binomial shares of that test set, and of one retraining of each arm, whose spread ours tells. More
noise on either side makes a verdict "inconclusive" more often, never "consistent".
"""

import math
from collections.abc import Mapping
from typing import Any

from sweeper.statistics import agreement


def protocol_differences(trial: Mapping[Any, Any], protocol: Mapping[str, Any]) -> tuple[str, ...]:
    """How a complete trial's row departs from the published protocol, in words; empty where it doesn't.

    Args:
        trial: the row.
        protocol: as `StudyArms` has it.
    """
    if not protocol:
        return ("the study does not say how the published values were measured",)
    recipe = protocol["recipe"]
    departures = (
        (trial["dataset"] != protocol["dataset"], f"data set {trial['dataset']}"),
        (trial["split"] != protocol["split"], f"{trial['split']} split"),
        (trial["recipe"] not in ([recipe] if isinstance(recipe, str) else recipe), f"recipe {trial['recipe']}"),
        (bool(trial.get("params")), "hyperparameters of each arm's own"),
    )
    if any(differs for differs, _ in departures):
        return tuple(words for differs, words in departures if differs)
    clips = trial["train_clips"] + trial["test_clips"]
    details = (
        (trial["epochs"] != protocol["epochs"], f"{trial['epochs']} epochs"),
        (clips != protocol["clips"], f"{clips:.0f} of {protocol['clips']} clips"),
    )
    return tuple(words for differs, words in details if differs)


def published_half_width(arm: float, reference: float, sd: float, clips: int) -> float:
    """Half of a 95 % interval for a published difference of two accuracies (fractions of 1) of one run each.

    Both runs heard the same test clips; how alike they answered isn't known, so the two shares count as independent,
    which makes the interval too wide rather than too narrow.

    Args:
        arm, reference: the published accuracies.
        sd: standard deviation of a difference over retrainings, as ours tells it.
        clips: how many were tested.
    """
    sampling = (arm * (1 - arm) + reference * (1 - reference)) / clips
    return 1.96 * math.sqrt(sampling + sd**2)


def verdict(
    row: Mapping[str, Any], reference: Mapping[str, Any], departures: tuple[str, ...], protocol: Mapping[str, Any]
) -> str:
    """'consistent: …', 'contradicted: …', 'inconclusive: …' or 'not comparable: why' for an arm's summary row.

    Args:
        row: the arm's.
        reference: the reference's row.
        departures: from the published protocol.
        protocol: that one.

    Returns:
        '' for the reference, and for what was not published.
    """
    if row["published_diff"] is None:
        return ""
    if departures:
        return f"not comparable: {', '.join(departures)}"
    if row["n"] < row["planned"]:
        return f"not comparable: {row['planned'] - row['n']} of {row['planned']} trials are missing"
    if row["diff_low"] is None or row["sd"] is None or reference["sd"] is None:
        return "not comparable: one run has no interval"
    ours = max(row["diff_high"] - row["diff"], row["diff"] - row["diff_low"])
    sd, clips = math.hypot(row["sd"], reference["sd"]), round(protocol["test_share"] * protocol["clips"])
    theirs = published_half_width(row["published"], reference["published"], sd, clips)
    word = agreement(row["diff"], ours, row["published_diff"], theirs)
    return (
        f"{word}: {100 * row['diff']:+.1f} ± {100 * ours:.1f} points to the reference, "
        f"published {100 * row['published_diff']:+.1f} ± {100 * theirs:.1f}"
    )
