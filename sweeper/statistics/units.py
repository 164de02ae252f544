"""What counts as one piece of evidence: a fold, or a seed where there is one fold."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweeper.statistics.spread import residuals

Vector = NDArray[np.float64]
Unit = Literal["fold", "seed"]
ON_THIS_SPLIT, ON_OTHER_DATA = "on this split, over retraining", "on other data of this kind"
_ENOUGH = 8.0
CLAIMS: dict[Unit, str] = {"seed": ON_THIS_SPLIT, "fold": ON_OTHER_DATA}


def scores_array(name: str, scores: ArrayLike) -> Vector:
    """`scores` as floats `[arms, folds, seeds]`; raises ValueError for another shape or an infinity."""
    y = np.asarray(scores, dtype=np.float64)
    if y.ndim != 3 or 0 in y.shape:
        raise ValueError(f"{name}: expected [arms, folds, seeds], at least one of each, got shape {y.shape}")
    if np.isinf(y).any():
        raise ValueError(f"{name}: expected finite values or NaN, got {y[np.isinf(y)][0]}")
    return y


class Units:
    """Scores `[arms, folds, seeds]` as what counts as evidence.

    Attributes:
        unit: "fold" where there are several folds, else "seed".
        own: each arm's score per unit, `[arms, units]`.
        residual: what arms and blocks leave of it, `[arms, units]`.
        seeds: trials in each of these, `[arms, units]`.
        retraining: variance over the seeds of a fold, `[arms]`: the arm's own or the arms' common one, whichever is
            smaller; 0 where no fold has two seeds, or seeds are the unit.
        overlap: what shared training clips add to 1/units.
        size: of the largest score.
        step: between two scores that can be told apart.
        floor: smallest variance of a unit's score that can be told from 0.
    """

    def __init__(self, y: Vector, test_train_ratio: float, folds_in_all: int, resolution: float | None = None) -> None:
        if folds_in_all < 1:
            raise ValueError(f"folds_in_all: expected at least 1, got {folds_in_all}")
        if resolution is not None and not resolution > 0:
            raise ValueError(f"resolution: expected a number above 0, got {resolution}")
        arms, folds, seeds = y.shape
        self.unit: Unit = "fold" if folds > 1 else "seed"
        self._grid = (arms, folds, seeds) if folds > 1 else (arms, seeds, 1)
        self.own, self.seeds = self.per_unit(y)
        self.size = _size(y)
        blocks = self._blocks(y)
        self.residual, _ = self.per_unit(blocks)
        self.retraining = self._retraining(blocks)
        if not (np.isfinite(test_train_ratio) and test_train_ratio >= 0):
            raise ValueError(f"test_train_ratio: expected a number of at least 0, got {test_train_ratio}")
        self.overlap = max(test_train_ratio, 1 / (folds_in_all - 1) if folds_in_all > 1 else 0.0) if folds > 1 else 0.0
        self.step = _smallest_step(y) if resolution is None else resolution
        self.floor = self.step**2 / 12 / max(float(self.seeds.max()), 1.0)  # rounding to steps, averaged over the seeds

    def per_unit(self, values: Vector) -> tuple[Vector, Vector]:
        """Mean over the seeds of each unit, and how many there are; `[arms, units]` each."""
        cells = values.reshape(self._grid)
        known = np.isfinite(cells)
        count = known.sum(axis=2)
        total = np.where(known, cells, 0.0).sum(axis=2)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan), count.astype(np.float64)

    def residual_of(self, y: Vector) -> Vector:
        """What arms and blocks leave of such scores, `[arms, folds, seeds]`, of which some may be left out."""
        return self.per_unit(self._blocks(y))[0]

    def _blocks(self, y: Vector) -> Vector:
        blocks = residuals(y.reshape(len(y), -1))
        blocks[np.abs(blocks) <= 1e-9 * self.size] = 0.0  # rounding
        return blocks

    def _retraining(self, blocks: Vector) -> Vector:
        cells = blocks.reshape(self._grid)
        squares = np.nansum((cells - self.residual[:, :, None]) ** 2, axis=(1, 2))
        spare = np.maximum(self.seeds - 1, 0).sum(axis=1)  # of each arm; blocks take the share below from all of them
        taken = np.maximum(np.isfinite(cells).any(axis=0).sum(axis=1) - 1, 0).sum()
        df = spare.sum() - taken
        if df <= 0:
            return np.zeros(len(cells))
        own = squares / np.maximum(spare * df / spare.sum(), 1e-12)
        return np.asarray(np.minimum(own, squares.sum() / df))

    def of_mean(self, variance: Vector, units: Vector) -> Vector:
        """Variance of a mean over `units` units from that of one; NaN for none."""
        return variance * (1 / np.where(units > 0, units, np.nan) + self.overlap)

    def without_overlap(self, variance: Vector, df: Vector, units: Vector, retraining: Vector) -> tuple[Vector, Vector]:
        """Variance of a mean and its degrees of freedom; the variance due to retraining gets no overlap term.

        Subtracting an estimate costs degrees of freedom (Satterthwaite). Where fewer than `_ENOUGH` would be left, the
        whole variance is returned, with its own degrees of freedom.

        Args:
            variance, df: of one unit.
            units: how many.
            retraining: the part of `variance` that is the seeds'.
        """
        whole = self.of_mean(variance, units)
        least = variance / np.where(units > 0, units, np.nan)
        part = np.maximum(whole - self.overlap * retraining, least)
        left = df * (part / np.where(whole > 0, whole, 1.0)) ** 2
        return np.where(left < _ENOUGH, whole, part), np.where(left < _ENOUGH, df, left)


def _size(y: Vector) -> float:
    """The largest score; 1 where all are 0."""
    return float(np.abs(y[np.isfinite(y)]).max(initial=0.0)) or 1.0


def _smallest_step(y: Vector) -> float:
    """Smallest step between two scores of a fold; where all are equal, which tells nothing, the size of the scores."""
    scale, steps = _size(y), []
    for fold in range(y.shape[1]):
        gaps = np.diff(np.unique(y[:, fold][np.isfinite(y[:, fold])]))
        steps += [float(gaps[gaps > 1e-9 * scale].min())] if (gaps > 1e-9 * scale).any() else []
    return float(np.median(steps)) if steps else scale


def mean_inverse(seeds: Vector) -> Vector:
    """Mean of 1 / seeds over each row's units; 1 where it has none."""
    known = seeds > 0
    inverse = np.where(known, 1 / np.maximum(seeds, 1), 0.0).sum(axis=1)
    return np.where(known.any(axis=1), inverse / np.maximum(known.sum(axis=1), 1), 1.0)
