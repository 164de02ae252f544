"""McNemar's test for clips clustered by recording: do two trained networks err differently on the same clips?

McNemar's test counts the clips that only one of the two got right, and takes each for an independent coin
toss. Clips cut from one recording are not independent. Here the coin is tossed per recording: with d_k =
(clips of recording k that only the arm got right) − (… only the reference …), each d_k has either sign with
probability 1/2 under no difference. The null distribution of Σ d_k is computed exactly, by convolution, for
any number of recordings. Where every recording has one clip this is the exact McNemar test.

It compares two trained networks, not two ways of training: seeds are not in it (Dietterich 1998).

References:
    N. Obuchowski. On the comparison of correlated proportions for clustered data. Stat. Med. 17 (1998).
    V. Durkalski et al. Analysis of clustered matched-pair data. Stat. Med. 22 (2003).
    Z. Yang, X. Sun, J. Hardin. A note on the tests for clustered matched-pair binary data. Biom. J. (2010).
    T. Dietterich. Approximate statistical tests for comparing supervised classification learning algorithms.
    Neural Computation 10 (1998).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweeper.statistics._arrays import labels_vector, same_length, scores_vector


@dataclass(frozen=True)
class McNemarResult:
    """Outcome of `mcnemar_clustered`.

    Attributes:
        arm_only: clips that only the arm got right.
        reference_only: clips that only the reference got right.
        recordings: source recordings tested.
        statistic: (Σ d_k)² / Σ d_k², asymptotically χ² with one degree of freedom: Obuchowski's statistic
            without its factor (K − 1)/K, and McNemar's own where recordings have one clip. 0 where no d_k
            differs from 0.
        p_value: exact, two-sided.
    """

    arm_only: int
    reference_only: int
    recordings: int
    statistic: float
    p_value: float


def mcnemar_clustered(arm_correct: ArrayLike, reference_correct: ArrayLike, recordings: ArrayLike) -> McNemarResult:
    """Test two networks' right answers on the same clips.

    Args:
        arm_correct: whether the arm was right, per clip: bool or 0/1; `[clips]`.
        reference_correct: the same for the reference, in the same order; `[clips]`.
        recordings: the source recording of each clip, any label; `[clips]`.

    Raises:
        ValueError: lengths that differ, or an answer that is neither 0 nor 1.
    """
    arm, reference = _binary("arm_correct", arm_correct), _binary("reference_correct", reference_correct)
    labels = labels_vector("recordings", recordings)
    same_length(arm_correct=arm, reference_correct=reference, recordings=labels)
    difference = arm - reference
    per_recording = np.rint(np.bincount(labels, weights=difference)).astype(np.int64)
    total, squares = int(per_recording.sum()), int((per_recording**2).sum())
    return McNemarResult(
        arm_only=int((difference > 0).sum()),
        reference_only=int((difference < 0).sum()),
        recordings=len(per_recording),
        statistic=total**2 / squares if squares else 0.0,
        p_value=_exact_p(np.abs(per_recording), abs(total)),
    )


def _binary(name: str, values: ArrayLike) -> NDArray[np.float64]:
    vector = scores_vector(name, values)
    if not np.isin(vector, (0, 1)).all():
        odd = vector[~np.isin(vector, (0, 1))][0]
        raise ValueError(f"{name}: expected right or wrong (1 or 0) per clip, got {odd}")
    return vector


def _exact_p(magnitudes: NDArray[np.int64], observed: int) -> float:
    """P(|Σ ± magnitude| >= observed) with fair independent signs.

    Σ ± m = 2 T − S with T the sum of the magnitudes drawn with a plus and S the sum of all; the distribution
    of T on 0..S is built one recording at a time.
    """
    whole = int(magnitudes.sum())
    probability = np.zeros(whole + 1)
    probability[0] = 1.0
    for magnitude in magnitudes[magnitudes > 0]:
        shifted = np.zeros_like(probability)
        shifted[magnitude:] = probability[:-magnitude]
        probability = 0.5 * (probability + shifted)
    sums = 2 * np.arange(whole + 1) - whole
    return float(min(1.0, probability[np.abs(sums) >= observed].sum()))
