"""One split: how sure is a difference for other recordings, and other seeds, than those at hand?

Test recordings are a sample, and so are seeds. With each seed's right answers to the same clips, the variance of a
difference of accuracies over both is

    V = V_recordings / K + V_seeds / n − V_residual / (K n),

the residual being in both of the first two: the analysis of variance of the two-way table of K recordings × n seeds,
both random. It does not cover another training set. Recordings count by their clips (a ratio of sums, linearised).

References: S. Searle, G. Casella, C. McCulloch. Variance Components (1992), ch. 4; F. Satterthwaite. Biometrics Bull. 2
(1946) 110–114; W. Cochran. Sampling Techniques (1977), ch. 6 (ratios).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from sweeper.statistics._arrays import fraction, labels_vector
from sweeper.statistics.arms import copies
from sweeper.statistics.spread import residuals, spread

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class RecordingsInterval:
    """Differences in accuracy on one split, for other recordings and seeds; vectors are `[arms]`.

    Attributes:
        diff: arm minus reference over the seeds both have; NaN for the reference.
        low, high: interval for this arm alone, within ±1; NaN for one recording, where no arm has two seeds, and where
            the arm answered each clip as the reference did.
        df: degrees of freedom.
        recordings: tested.
    """

    diff: Vector
    low: Vector
    high: Vector
    df: Vector
    recordings: int


def recordings_interval(
    correct: ArrayLike, recordings: ArrayLike, reference: int, *, confidence: float = 0.95
) -> RecordingsInterval:
    """Intervals for the arms' differences to the reference.

    Args:
        correct: 1 where a clip was classified correctly, else 0; NaN for a trial that is missing;
            `[arms, seeds, clips]`.
        recordings: the source recording of each clip, any label; `[clips]`.
        reference: index of the reference arm.
        confidence: of each interval.

    Raises:
        ValueError: another shape, or an index or a confidence out of range.
    """
    right, labels = np.asarray(correct, dtype=np.float64), labels_vector("recordings", recordings)
    if right.ndim != 3 or right.shape[2] != len(labels):
        raise ValueError(f"correct: expected [arms, seeds, {len(labels)} clips], got shape {right.shape}")
    if not 0 <= reference < len(right):
        raise ValueError(f"reference: expected an arm from 0 to {len(right) - 1}, got {reference}")
    fraction("confidence", confidence)
    clips = np.bincount(labels).astype(np.float64)
    count = len(clips)
    member = np.zeros((len(labels), count))
    member[np.arange(len(labels)), labels] = 1
    difference = right - right[reference]
    per_recording = difference @ member  # clips that only the arm got right minus those only the reference did
    seed_variance, seed_df = _seeds(right.mean(axis=2), reference, 1 / len(labels) ** 2 / 12)
    blank = np.full(len(right), np.nan)
    diff, low, high, df = blank.copy(), blank.copy(), blank.copy(), blank.copy()
    for arm in range(len(right)):
        seeds = np.isfinite(per_recording[arm, :, 0])
        if arm == reference or not seeds.any():
            continue
        table = per_recording[arm, seeds]
        n = len(table)
        diff[arm] = table.sum() / (n * clips.sum())
        if count < 2 or not seed_df[arm] > 0 or not difference[arm, seeds].any():  # one answered as the other
            continue
        z = (table - diff[arm] * clips) * count / clips.sum()
        over_recordings = z.mean(axis=0).var(ddof=1) / count
        over_seeds = seed_variance[arm] / n
        residual, residual_df = 0.0, 1.0
        if n > 1:
            rest = z - z.mean(axis=0) - z.mean(axis=1, keepdims=True) + z.mean()
            residual_df = (n - 1.0) * (count - 1)
            residual = (rest**2).sum() / residual_df / (n * count)
        # Never below what the recordings alone, or the seeds alone, would give.
        variance = max(over_recordings + over_seeds - residual, over_recordings, over_seeds)
        spread = over_recordings**2 / (count - 1) + over_seeds**2 / seed_df[arm] + residual**2 / residual_df
        df[arm] = variance**2 / spread if spread > 0 else count - 1.0
        half = special.stdtrit(df[arm], (1 + confidence) / 2) * np.sqrt(variance)
        low[arm], high[arm] = max(diff[arm] - half, -1.0), min(diff[arm] + half, 1.0)
    return RecordingsInterval(diff, low, high, df, count)


def _seeds(accuracy: Vector, reference: int, floor: float) -> tuple[Vector, Vector]:
    """Variance over seeds of one seed's difference, by the rule of `spread`, and its degrees of freedom; `[arms]`.

    The copy of an arm is no evidence that arms are alike; `floor` is the smallest variance that can be told from 0.
    """
    others = np.where(copies(accuracy[:, None], reference, math.sqrt(12 * floor))[:, None], np.nan, accuracy)
    found = spread(residuals(others), reference, floor)
    if found.known:
        variance, df, _ = found.of_difference(reference)
        return variance, df
    difference = accuracy - accuracy[reference]
    df = np.isfinite(difference).sum(axis=1) - 1.0
    own = [np.nanvar(row, ddof=1) if n > 0 else np.nan for row, n in zip(difference, df, strict=True)]
    return np.maximum(own, 2 * floor), df
