"""The Nadeau–Bengio corrected t interval: how sure is a mean over folds and seeds?

Scores from cross-validation or random splits are not independent: their training sets overlap. The sample
variance then understates the variance of the mean, and a plain t interval is far too narrow. The correction
adds the ratio of test to training clips to 1/n:

    Var(mean) ≈ (1/n + n_test / n_train) · s²

References:
    C. Nadeau, Y. Bengio. Inference for the generalization error. Machine Learning 52 (2003) 239–281.
    R. Bouckaert, E. Frank. Evaluating the replicability of significance tests for comparing learning
    algorithms. PAKDD 2004 (repeated k-fold cross-validation: ratio 1/(k − 1)).
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from sweeper.statistics._arrays import fraction, scores_vector


class Interval(NamedTuple):
    """A confidence interval; NaN on both sides where the data can't give one."""

    low: float
    high: float


def mean_interval(scores: ArrayLike, *, test_train_ratio: float, confidence: float = 0.95) -> Interval:
    """Corrected t interval for the mean of `scores` `[n]`, one per block (fold × seed).

    Args:
        scores: any score per block, or any difference of two; `[n]`.
        test_train_ratio: test clips per training clip: 1/(k − 1) for k folds, 0.25 for an 80:20 split. 0
            gives the classical interval, which is right only for independent blocks.
        confidence: of the two-sided interval.

    Returns:
        NaN bounds for a single block; a point where all scores are equal.
    """
    values = scores_vector("scores", scores)
    error = corrected_standard_error(values, test_train_ratio)
    quantile = float(special.stdtrit(len(values) - 1, 0.5 + fraction("confidence", confidence) / 2))
    mean, margin = float(values.mean()), quantile * error
    return Interval(mean - margin, mean + margin)


def corrected_standard_error(values: NDArray[np.float64], test_train_ratio: float) -> float:
    """Standard error of the mean of `values` `[n]`; NaN for n = 1, 0 where all are equal up to rounding."""
    n = len(values)
    if n == 1:
        return math.nan
    return standard_deviation(values) * math.sqrt(variance_factor(n, test_train_ratio))


def variance_factor(n: int, test_train_ratio: float) -> float:
    """Variance of a mean over n blocks, in units of the blocks' variance: 1/n + n_test/n_train."""
    if not (math.isfinite(test_train_ratio) and test_train_ratio >= 0):
        raise ValueError(f"test_train_ratio: expected a number of at least 0, got {test_train_ratio}")
    return 1 / n + test_train_ratio


def standard_deviation(values: NDArray[np.float64]) -> float:
    """SD of `values` `[n]`, n >= 2; a spread of rounding size (0.3 − 0.2 against 0.1) is 0."""
    if np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
        return 0.0
    return float(values.std(ddof=1))
