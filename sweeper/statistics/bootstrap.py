"""Cluster bootstrap for a single split: how sure is an accuracy, given which recordings were tested?

Clips cut from one source recording succeed and fail together, so whole recordings are resampled, not clips.
The interval covers the choice of test recordings only: not another training set, not another seed. With few
recordings (below about 20) every bootstrap is too narrow.

References:
    B. Efron, R. Tibshirani. An Introduction to the Bootstrap (1993), ch. 14 (BCa: bias-corrected and accelerated).
    A. Davison, D. Hinkley. Bootstrap Methods and their Application (1997), §3.8 (resampling clusters).
    C. Clopper, E. Pearson. Biometrika 26 (1934) 404–413.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from sweeper.statistics._arrays import fraction, labels_vector, same_length, scores_vector

BATCH = 1000  # resamples at once


class Interval(NamedTuple):
    """A confidence interval; NaN on both sides where the data can't give one."""

    low: float
    high: float


def bootstrap_accuracy(
    correct: ArrayLike,
    recordings: ArrayLike,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 9999,
) -> Interval:
    """BCa bootstrap interval for an accuracy over clips.

    Args:
        correct: 1 where the clip was classified correctly, else 0; or the share of seeds that were right;
            `[clips]`.
        recordings: the source recording of each clip, any label; `[clips]`.
        rng: draws the resamples.
        confidence: of the two-sided interval.
        resamples: bootstrap samples.

    Returns:
        NaN bounds for a single recording. Where all recordings have one accuracy, which resampling would take for
        certain, the exact interval of as many recordings that are right or wrong as a whole, which is never too narrow.

    Raises:
        ValueError: an accuracy outside of 0 to 1, another shape, or lengths that differ.
    """
    shares, labels = scores_vector("correct", correct), labels_vector("recordings", recordings)
    if shares.min() < 0 or shares.max() > 1:
        raise ValueError(f"correct: expected values from 0 to 1, got {shares.min()} to {shares.max()}")
    same_length(correct=shares, recordings=labels)
    fraction("confidence", confidence)
    sums = np.bincount(labels, weights=shares).astype(np.float64)
    clips = np.bincount(labels).astype(np.float64)
    if len(clips) == 1:
        return Interval(math.nan, math.nan)
    mean = float(sums.sum() / clips.sum())
    if np.allclose(sums, mean * clips, rtol=0, atol=1e-12):
        return _exact(mean * len(clips), len(clips), (1 - confidence) / 2)
    return Interval(*_bca(sums, clips, rng, (1 - confidence) / 2, resamples))


def _bca(
    sums: NDArray[np.float64], clips: NDArray[np.float64], rng: np.random.Generator, tail: float, resamples: int
) -> tuple[float, float]:
    """Efron's bias-corrected and accelerated interval (1987) for the ratio of two sums over recordings.

    The same numbers as `scipy.stats.bootstrap`, whose package takes longer to import than a leaderboard to print.
    """
    n, found = len(sums), sums.sum() / clips.sum()
    ratios = []
    for start in range(0, resamples, BATCH):
        chosen = rng.integers(0, n, (min(BATCH, resamples - start), n))
        ratios.append(sums[chosen].sum(1) / clips[chosen].sum(1))
    drawn = np.concatenate(ratios)
    bias = special.ndtri(((drawn < found).mean() + (drawn <= found).mean()) / 2)
    without = (sums.sum() - sums) / (clips.sum() - clips)  # the jackknife: one recording left out
    influence = without.mean() - without
    acceleration = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    z = bias + special.ndtri(np.array([tail, 1 - tail]))
    shares = special.ndtr(bias + z / (1 - acceleration * z))
    if not np.isfinite(shares).all():
        return math.nan, math.nan
    low, high = np.quantile(drawn, shares)
    return float(low), float(high)


def _exact(right: float, recordings: int, tail: float) -> Interval:
    """Clopper and Pearson's interval for a share, `tail` on either side."""
    wrong = recordings - right
    low = float(special.betaincinv(right, wrong + 1, tail)) if right > 0 else 0.0
    high = float(special.betaincinv(right + 1, wrong, 1 - tail)) if wrong > 0 else 1.0
    return Interval(low, high)
