"""What a design can find, and what would find more: by simulating the rule, with the spread that trials have shown."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sweeper.results.score_grid import ScoreGrid
from sweeper.statistics import detectable_difference

POWER = 0.8
_LINEAR = 10  # seeds from which on a detectable difference falls with the root of their number


@dataclass(frozen=True)
class Spread:
    """Standard deviations, in the unit of the scores, of what the arms of a block don't share.

    Attributes:
        fold: of how an arm suits a fold.
        seed: over retrainings of an arm on a fold.
        df: degrees of freedom of what told them; 0 where they are assumed.
    """

    fold: float
    seed: float
    df: int


@dataclass(frozen=True)
class Design:
    """How many arms, folds and seeds a comparison has, and what of the data set matters for it."""

    arms: int
    folds: int
    seeds: int
    test_train_ratio: float
    folds_in_all: int

    def detectable(self, spread: Spread) -> float:
        """The smallest true difference of an arm that is found with probability `POWER`; infinite if none is."""
        return detectable_difference(
            self.arms,
            self.folds,
            self.seeds,
            test_train_ratio=self.test_train_ratio,
            folds_in_all=self.folds_in_all,
            fold_sd=spread.fold,
            seed_sd=spread.seed,
            power=POWER,
            rng=np.random.default_rng(0),
        )


def design_of(grid: ScoreGrid) -> Design:
    """The design that was planned."""
    return Design(len(grid.arms), len(grid.folds), len(grid.seeds), grid.test_train_ratio, grid.folds_in_all)


def spread_of(grid: ScoreGrid) -> Spread | None:
    """The spread that the blocks show which all arms with trials have finished; None where they show none.

    With one seed per fold, all spread counts as the folds'; with one fold, its part is unknown and 0.
    """
    scores = grid.scores[np.isfinite(grid.scores).any(axis=(1, 2))]
    if len(scores) < 2:
        return None
    whole = np.asarray(np.isfinite(scores).all(axis=0))
    seed_squares, seed_df, means, counts = 0.0, 0, [], []
    for fold in range(scores.shape[1]):
        cells = scores[:, fold, whole[fold]]
        if not cells.size:
            continue
        squares, df = _interaction(cells)
        seed_squares, seed_df = seed_squares + squares, seed_df + df
        means.append(cells.mean(axis=1))
        counts.append(cells.shape[1])
    seed = math.sqrt(seed_squares / seed_df) if seed_df else 0.0
    squares, fold_df = _interaction(np.stack(means, axis=1)) if means else (0.0, 0)
    if seed_df + fold_df == 0:
        return None
    between = squares / fold_df - seed**2 * float(np.mean([1 / count for count in counts])) if fold_df else 0.0
    apart = 1 - 1 / max(grid.folds_in_all, 2)  # the rest is common to all folds, as their training sets overlap
    return Spread(math.sqrt(max(between, 0.0) / apart), seed, seed_df + fold_df)


def _interaction(cells: NDArray[np.float64]) -> tuple[float, int]:
    """Sum of squares and degrees of freedom of arms × columns, `[arms, columns]`."""
    residual = cells - cells.mean(axis=1, keepdims=True) - cells.mean(axis=0) + cells.mean()
    return float((residual**2).sum()), (cells.shape[0] - 1) * (cells.shape[1] - 1)


def steps_to(design: Design, spread: Spread, target: float) -> list[tuple[Design, float]]:
    """What the design finds, and larger ones on the way to one that finds differences of `target`.

    One fold stays one fold: the claim is about that split. Several grow to all the folds there are, then by seeds.
    Where training sets that overlap set a limit above `target`, the last design is the one with all folds.
    """
    steps = [(design, design.detectable(spread))]

    def step(larger: Design) -> float:
        if larger != steps[-1][0]:
            steps.append((larger, larger.detectable(spread)))
        return steps[-1][1]

    if steps[0][1] <= target:
        return steps
    if design.folds > 1:
        design = replace(design, folds=max(design.folds, design.folds_in_all))
    if step(design) <= target or spread.seed == 0:
        return steps
    limit = replace(design, seeds=1).detectable(replace(spread, seed=0.0)) if spread.fold > 0 else 0.0
    if limit >= target:
        return steps
    design = replace(design, seeds=max(design.seeds, _LINEAR))
    reached = step(design)
    if reached > target:
        seeds = math.ceil(design.seeds * (reached**2 - limit**2) / (target**2 - limit**2))
        step(replace(design, seeds=max(seeds, design.seeds + 1)))
    return steps
