"""Does a row reproduce the paper's? Only where the protocols are the same can that be asked.

The paper prints one run on one test set, without an interval. Ours has an interval; the paper's sampling error is taken
as binomial over the test set it describes (20 % of 8732 clips). A value is reproduced where 0 lies in the 95 % interval
of the difference, the root of the summed squares of both margins.
"""

import math
from collections.abc import Mapping
from typing import Any

from sweeper.search_spaces.ablations import REFERENCE
from sweeper.search_spaces.published import PROTOCOL, published_accuracy
from sweeper.search_spaces.recipes import paper

PAPER_DATASET, PAPER_CLIPS = "urbansound8k", 8732
PAPER_TEST_CLIPS = round(PROTOCOL.test_share * PAPER_CLIPS)


def protocol_differences(trial: Mapping[Any, Any]) -> tuple[str, ...]:
    """In what a complete trial's row departs from the paper's protocol, in words; empty where in nothing."""
    recipe = paper()
    departures = (
        (trial["dataset"] != PAPER_DATASET, f"data set {trial['dataset']}"),
        (trial["split"] != "paper", f"{trial['split']} split"),
        (trial["recipe"] != recipe.name, f"recipe {trial['recipe']}"),
        (bool(trial.get("params")), "hyperparameters of each arm's own"),
    )
    if any(differs for differs, _ in departures):
        return tuple(words for differs, words in departures if differs)
    clips = trial["train_clips"] + trial["test_clips"]
    details = (
        (trial["epochs"] != recipe.training.epochs, f"{trial['epochs']} epochs"),
        (clips != PAPER_CLIPS, f"{clips:.0f} of {PAPER_CLIPS} clips"),
    )
    return tuple(words for differs, words in details if differs)


def verdict(row: Mapping[str, Any], departures: tuple[str, ...]) -> str:
    """'reproduced: …', 'not reproduced: …' or 'not comparable: why' for an arm's summary row; '' if unpublished."""
    published = published_accuracy(row["arm"])
    if published is None:
        return ""
    if departures:
        return f"not comparable: {', '.join(departures)}"
    if row["n"] < row["planned"]:
        return f"not comparable: {row['planned'] - row['n']} of {row['planned']} trials are missing"
    if row["ci_low"] is None:
        return "not comparable: one run has no interval"
    difference = row["mean"] - published
    theirs = 1.96 * math.sqrt(published * (1 - published) / PAPER_TEST_CLIPS)
    margin = math.hypot((row["ci_high"] - row["ci_low"]) / 2, theirs)
    word = "reproduced" if abs(difference) <= margin else "not reproduced"
    return f"{word}: ours differs by {100 * difference:+.1f} ± {100 * margin:.1f} points"


def published_difference(arm: str) -> float | None:
    """The paper's accuracy of an arm minus that of its full network, as a fraction of 1."""
    accuracy, full = published_accuracy(arm), published_accuracy(REFERENCE)
    return None if accuracy is None or full is None or arm == REFERENCE else accuracy - full
