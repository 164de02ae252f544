"""What lies beneath a study's scores, read per arm: answers to test clips, and learning curves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from sweeper.results.leaderboard import Leaderboard
from sweeper.results.predictions import read_answers
from sweeper.results.searching import Found, read_params
from sweeper.space import described_space
from sweeper.training.metrics import confusion_matrix

MAX_POINTS = 250  # of a learning curve; a screen shows no more

Block = tuple[int, int]
Row = Mapping[str, Any]
Counts = NDArray[np.int64]


def complete_trials(board: Leaderboard) -> dict[str, dict[Block, Row]]:
    """Rows (in part) of the complete ablation trials by arm, in their order, and block (fold, replicate).

    Arms that were defined anew under their names are left out: it can't be told which of a block's trials is theirs.
    """
    table = board.trials
    table = table.filter(pc.and_(pc.equal(table["status"], "complete"), pc.equal(table["kind"], "ablation")))
    found: dict[str, dict[Block, Row]] = {}
    columns = ["trial_id", "arm", "fold", "replicate", "evidence", "test_clips", "accuracy"]
    for row in table.select(columns).to_pylist():
        found.setdefault(row["arm"], {})[row["fold"], row["replicate"]] = row
    return {arm: found[arm] for arm in board.arms.ordered(found.keys() - board.grid.redefined)}


def confusions(board: Leaderboard) -> dict[str, dict[Block, Counts]]:
    """Confusion matrices `[true, predicted]` by arm and block; trials without predictions are left out."""
    found: dict[str, dict[Block, Counts]] = {}
    for arm, blocks in complete_trials(board).items():
        for block, row in blocks.items():
            answers = read_answers(board.study, row)
            if answers is not None:
                counts = confusion_matrix(answers.targets, answers.predicted, answers.classes)
                found.setdefault(arm, {})[block] = counts
    return found


def recall_differences(
    matrices: Mapping[str, Mapping[Block, Counts]], reference: str
) -> dict[str, NDArray[np.float64]]:
    """Recall per class, arm minus reference over the blocks both have, in points, `[classes]`; NaN without clips."""
    whole = matrices.get(reference, {})
    differences = {}
    for arm, blocks in matrices.items():
        if arm != reference and (shared := blocks.keys() & whole.keys()):
            ours, theirs = (_recall(sum(m[block] for block in shared)) for m in (blocks, whole))
            differences[arm] = 100 * (ours - theirs)
    return differences


def _recall(counts: Any) -> NDArray[np.float64]:
    totals = counts.sum(axis=1).astype(float)
    return np.asarray(np.divide(np.diag(counts), totals, out=np.full(len(totals), np.nan), where=totals > 0))


@dataclass(frozen=True)
class Curves:
    """Training loss by arm, `[3, points]`: mean, lowest and highest over blocks; `epochs`, `[points]` each, from 1."""

    epochs: Mapping[str, NDArray[np.int64]]
    bands: Mapping[str, NDArray[np.float64]]


def curves(board: Leaderboard) -> Curves | None:
    """The learning curves of all complete trials; None where their files are missing."""
    by_arm = {
        arm: [loss for row in blocks.values() if (loss := _loss(board, row)) is not None]
        for arm, blocks in complete_trials(board).items()
    }
    by_arm = {arm: losses for arm, losses in by_arm.items() if losses}
    if not by_arm:
        return None
    epochs, bands = {}, {}
    for arm, losses in by_arm.items():
        shared = min(map(len, losses))
        kept = np.unique(np.linspace(0, shared - 1, min(MAX_POINTS, shared)).astype(np.int64))
        values = np.stack([loss[kept] for loss in losses])
        epochs[arm] = kept + 1
        bands[arm] = np.stack([values.mean(axis=0), values.min(axis=0), values.max(axis=0)])
    return Curves(epochs, bands)


def search_importances(found: Found, plan: Mapping[str, Any]) -> dict[str, float]:
    """Share of each searched field in a search's scores; empty where there are too few trials, or no ranges."""
    from sweeper.search.suggest import importances  # Optuna takes a second to import

    ranges = plan.get("design", {}).get("search", {}).get("space", {})
    try:
        return importances(found.explored, described_space(ranges, map(read_params, found.explored)), found.goal)
    except (KeyError, ValueError):  # searched by a version with other ranges
        return {}


def _loss(board: Leaderboard, row: Row) -> NDArray[np.float64] | None:
    table = board.study.evidence.curve(row)
    return table["loss"].to_numpy() if table else None
