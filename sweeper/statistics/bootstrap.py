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
from scipy import special, stats

from sweeper.statistics._arrays import fraction, labels_vector, same_length, scores_vector


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
    sums, clips = np.bincount(labels, weights=shares), np.bincount(labels).astype(np.float64)
    if len(clips) == 1:
        return Interval(math.nan, math.nan)
    mean = float(sums.sum() / clips.sum())
    if np.allclose(sums, mean * clips, rtol=0, atol=1e-12):
        return _exact(mean * len(clips), len(clips), (1 - confidence) / 2)
    result = stats.bootstrap(
        (sums, clips),
        _ratio_of_sums,
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        batch=1000,
        confidence_level=confidence,
        method="BCa",
        rng=rng,
    )
    return Interval(float(result.confidence_interval.low), float(result.confidence_interval.high))


def _exact(right: float, recordings: int, tail: float) -> Interval:
    """Clopper and Pearson's interval for a share, `tail` on either side."""
    wrong = recordings - right
    low = float(special.betaincinv(right, wrong + 1, tail)) if right > 0 else 0.0
    high = float(special.betaincinv(right + 1, wrong, 1 - tail)) if wrong > 0 else 1.0
    return Interval(low, high)


def _ratio_of_sums(sums: NDArray[np.float64], clips: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = sums.sum(axis=axis) / clips.sum(axis=axis)
    return ratio
