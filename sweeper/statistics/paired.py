"""One arm against the reference over the blocks (fold × seed) that both were run on.

References, beside those of `intervals` and `sign_flip`:
    effect size: J. Cohen, Statistical Power Analysis (1988), d_z; L. Hedges, J. Educ. Stat. 6 (1981) 107–128.
    probability of being better: G. Corani, A. Benavoli. A Bayesian approach for comparing cross-validated
    algorithms on multiple data sets. Machine Learning 100 (2015) 285–304 (the Bayesian correlated t-test).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from sweeper.statistics._arrays import labels_vector, same_length, scores_vector
from sweeper.statistics.intervals import corrected_standard_error, mean_interval, standard_deviation
from sweeper.statistics.sign_flip import sign_flip_p, smallest_p


@dataclass(frozen=True)
class PairedComparison:
    """An arm's scores and their difference to the reference's, in the unit of the scores.

    Attributes:
        n: blocks.
        mean, ci_low, ci_high: the arm's mean score and its corrected t interval.
        diff, diff_low, diff_high: mean of arm minus reference and its corrected t interval.
        p_value: exact two-sided sign-flip p, not adjusted for the number of arms (see `holm`).
        p_smallest: the smallest p that these blocks could have given.
        effect_size: Hedges' g of the paired differences (mean over SD, small-sample corrected); descriptive.
            NaN below 3 blocks, ±inf where all differences are equal and not zero.
        p_better: posterior probability that the arm's true mean lies above the reference's (flat prior,
            correlation as in the corrected t interval); NaN for a single block.
    """

    n: int
    mean: float
    ci_low: float
    ci_high: float
    diff: float
    diff_low: float
    diff_high: float
    p_value: float
    p_smallest: float
    effect_size: float
    p_better: float


def compare_paired(
    arm: ArrayLike,
    reference: ArrayLike,
    *,
    test_train_ratio: float,
    rng: np.random.Generator,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
) -> PairedComparison:
    """Compare two vectors of scores `[n]` whose i-th entries come from the same block.

    Args:
        arm: the arm's score per block, `[n]`.
        reference: the reference's score per block, `[n]`, same order.
        test_train_ratio: test clips per training clip: 1/(k − 1) for k folds, 0.25 for an 80:20 split.
        rng: for the sign-flip test, used only above 20 units.
        groups: a label per block `[n]` (its fold) to flip whole groups in the sign-flip test; None flips each
            block.
        confidence: of both intervals.

    Raises:
        ValueError: lengths differ, or a score is missing.
    """
    scores, baseline = scores_vector("arm", arm), scores_vector("reference", reference)
    same_length(arm=scores, reference=baseline)
    differences = scores - baseline
    units = len(scores) if groups is None else int(labels_vector("groups", groups).max()) + 1
    interval = mean_interval(scores, test_train_ratio=test_train_ratio, confidence=confidence)
    difference = mean_interval(differences, test_train_ratio=test_train_ratio, confidence=confidence)
    return PairedComparison(
        n=len(scores),
        mean=float(scores.mean()),
        ci_low=interval.low,
        ci_high=interval.high,
        diff=float(differences.mean()),
        diff_low=difference.low,
        diff_high=difference.high,
        p_value=sign_flip_p(differences, rng=rng, groups=groups),
        p_smallest=smallest_p(units),
        effect_size=_hedges_g(differences),
        p_better=_probability_positive(differences, test_train_ratio),
    )


def _hedges_g(differences: NDArray[np.float64]) -> float:
    """Mean over SD of `differences` `[n]`, times the exact small-sample factor J(n − 1)."""
    n = len(differences)
    if n < 3:
        return math.nan
    df = n - 1
    factor = math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)
    return factor * _ratio(float(differences.mean()), standard_deviation(differences))


def _probability_positive(differences: NDArray[np.float64], test_train_ratio: float) -> float:
    """Posterior P(mean > 0): Student's t about the mean, scaled by the corrected standard error."""
    error = corrected_standard_error(differences, test_train_ratio)
    return float(special.stdtr(len(differences) - 1, _ratio(float(differences.mean()), error)))


def _ratio(mean: float, spread: float) -> float:
    """mean / spread, where no spread means certainty: 0 for a mean of (rounding) zero, else ±inf."""
    if spread == 0:
        return 0.0 if abs(mean) < 1e-12 else math.copysign(math.inf, mean)
    return mean / spread
