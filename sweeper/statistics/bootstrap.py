"""Cluster bootstrap for a single split: how sure is an accuracy, given which recordings were tested?

Clips cut from one source recording succeed and fail together, so whole recordings are resampled, not clips.
The interval covers the choice of test recordings only: not another training set, not another seed. With few
recordings (below about 20) every bootstrap is too narrow.

References:
    B. Efron, R. Tibshirani. An Introduction to the Bootstrap (1993), ch. 13–14 (percentile, BCa).
    A. Davison, D. Hinkley. Bootstrap Methods and their Application (1997), §3.8 (resampling clusters).
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from sweeper.statistics._arrays import fraction, labels_vector, same_length, scores_vector
from sweeper.statistics.intervals import Interval

Method = Literal["BCa", "percentile"]


def bootstrap_accuracy(
    correct: ArrayLike,
    recordings: ArrayLike,
    *,
    rng: np.random.Generator,
    method: Method = "BCa",
    confidence: float = 0.95,
    resamples: int = 9999,
) -> Interval:
    """Bootstrap interval for an accuracy over clips.

    Args:
        correct: 1 where the clip was classified correctly, else 0; or the share of seeds that were right;
            `[clips]`.
        recordings: the source recording of each clip, any label; `[clips]`.
        rng: draws the resamples.
        method: "BCa" (bias-corrected and accelerated) or "percentile".
        confidence: of the two-sided interval.
        resamples: bootstrap samples.

    Returns:
        NaN bounds for a single recording; a point where all recordings have one accuracy.
    """
    shares = _shares("correct", correct)
    return _cluster_interval(shares, recordings, rng=rng, method=method, confidence=confidence, resamples=resamples)


def bootstrap_difference(
    arm_correct: ArrayLike,
    reference_correct: ArrayLike,
    recordings: ArrayLike,
    *,
    rng: np.random.Generator,
    method: Method = "BCa",
    confidence: float = 0.95,
    resamples: int = 9999,
) -> Interval:
    """Bootstrap interval for the difference of two accuracies over the same clips, arm minus reference.

    Both arms' answers to a clip stay together in every resample. Arguments as in `bootstrap_accuracy`, with
    `arm_correct` and `reference_correct` `[clips]` in the same order.
    """
    arm, reference = _shares("arm_correct", arm_correct), _shares("reference_correct", reference_correct)
    same_length(arm_correct=arm, reference_correct=reference)
    return _cluster_interval(
        arm - reference, recordings, rng=rng, method=method, confidence=confidence, resamples=resamples
    )


def _shares(name: str, values: ArrayLike) -> NDArray[np.float64]:
    shares = scores_vector(name, values)
    if shares.min() < 0 or shares.max() > 1:
        raise ValueError(f"{name}: expected values from 0 to 1, got {shares.min()} to {shares.max()}")
    return shares


def _cluster_interval(
    values: NDArray[np.float64],
    recordings: ArrayLike,
    *,
    rng: np.random.Generator,
    method: Method,
    confidence: float,
    resamples: int,
) -> Interval:
    """Interval for the mean of `values` `[clips]`, resampling whole recordings."""
    labels = labels_vector("recordings", recordings)
    same_length(values=values, recordings=labels)
    sums, clips = np.bincount(labels, weights=values), np.bincount(labels).astype(np.float64)
    if len(clips) == 1:
        return Interval(math.nan, math.nan)
    mean = float(sums.sum() / clips.sum())
    if np.allclose(sums, mean * clips, rtol=0, atol=1e-12):
        return Interval(mean, mean)
    result = stats.bootstrap(
        (sums, clips),
        _ratio_of_sums,
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        batch=1000,
        confidence_level=fraction("confidence", confidence),
        method=method,
        rng=rng,
    )
    return Interval(float(result.confidence_interval.low), float(result.confidence_interval.high))


def _ratio_of_sums(sums: NDArray[np.float64], clips: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = sums.sum(axis=axis) / clips.sum(axis=axis)
    return ratio
