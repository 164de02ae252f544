"""The exact sign-flip test: could arm and reference have swapped places in every block?

If the arm makes no difference, then within a block (same fold, same seed) the two scores are exchangeable,
and the difference has either sign with probability 1/2. The p-value is the share of all 2^n sign patterns
whose sum is at least as far from zero as the observed one. Nothing is assumed about the distribution, and no
p below 2/2^n exists.

The null hypothesis is about *these folds*: the arms' scores are exchangeable in every unit that is flipped.
Flipping blocks one by one takes the seeds of a fold as independent evidence; pass `groups=folds` to flip
whole folds, which also allows for arms that differ from fold to fold but not on average. Neither allows for
training sets that overlap; the corrected t interval does (`intervals`).

References:
    R. A. Fisher. The Design of Experiments (1935), §21.
    B. Phipson, G. Smyth. Permutation p-values should never be zero. Stat. Appl. Genet. Mol. Biol. 9 (2010).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweeper.statistics._arrays import labels_vector, same_length, scores_vector

MAX_EXACT = 20
"""Up to this many units all sign patterns are enumerated (2^19 sums, by symmetry); above, some are drawn."""

DRAWS = 99_999


def sign_flip_p(differences: ArrayLike, *, rng: np.random.Generator, groups: ArrayLike | None = None) -> float:
    """Two-sided p-value of the sign-flip test on the mean of `differences` `[n]`.

    Args:
        differences: arm minus reference per block; `[n]`.
        rng: used only above `MAX_EXACT` units, where 99,999 patterns are drawn and
            p = (1 + hits) / (1 + draws).
        groups: a label per block `[n]`; blocks with one label are flipped together. None: each block alone.
    """
    blocks = scores_vector("differences", differences)
    labels = np.arange(len(blocks)) if groups is None else labels_vector("groups", groups)
    same_length(differences=blocks, groups=labels)
    units = np.bincount(labels, weights=blocks)
    magnitudes = np.abs(units)
    # Rounding must not break a tie with the observed sum: equal patterns count as equal.
    threshold = abs(units.sum()) - 1e-12 * magnitudes.sum()
    if len(units) <= MAX_EXACT:
        return float(np.mean(np.abs(_all_sums(magnitudes)) >= threshold))
    hits = np.count_nonzero(np.abs(_drawn_sums(magnitudes, rng)) >= threshold)
    return float((1 + hits) / (1 + DRAWS))


def smallest_p(units: int) -> float:
    """The smallest p that `sign_flip_p` can return for this many blocks (or groups)."""
    if units < 1:
        raise ValueError(f"units: expected at least 1, got {units}")
    return float(2.0 ** (1 - units)) if units <= MAX_EXACT else max(2.0 ** (1 - units), 1 / (1 + DRAWS))


def _all_sums(magnitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed sums over all patterns whose first sign is +, `[2^(n-1)]`; the other half mirrors them."""
    sums = magnitudes[:1]
    for magnitude in magnitudes[1:]:
        sums = np.concatenate([sums + magnitude, sums - magnitude])
    return sums


def _drawn_sums(magnitudes: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Signed sums over `DRAWS` random patterns, `[DRAWS]`."""
    sums = np.zeros(DRAWS)
    for magnitude in magnitudes:
        sums += np.where(rng.random(DRAWS) < 0.5, magnitude, -magnitude)
    return sums
