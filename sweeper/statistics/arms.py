"""Do the arms differ from the reference, and by how much? One rule for star, p and interval."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from sweeper.statistics._arrays import fraction
from sweeper.statistics.dunnett import largest_t_p
from sweeper.statistics.intervals import variance_factor

Vector = NDArray[np.float64]
ON_THIS_SPLIT, ON_OTHER_DATA = "on this split, over retraining", "on other data of this kind"
Verdict = Literal["worse", "better", "equivalent", "undecided"]
ARM_LEVEL, REFERENCE_LEVEL = 0.02, 0.20


@dataclass(frozen=True)
class ArmComparison:
    """Every arm against the reference, in the unit of the scores; all vectors are `[arms]`.

    Attributes:
        diff: mean over the paired units of arm minus reference; NaN for the reference and where no unit is paired.
        low, high: simultaneous interval of `diff`: with probability `confidence`, all of them hold.
        p: adjusted for the number of arms; at most 1 − confidence exactly where the interval excludes 0.
        significant: whether it does.
        mean, mean_low, mean_high: the arm's own mean and its interval, for this arm alone.
        sd: the arm's own standard deviation over units; NaN for one unit.
        pooled: whether the interval of `diff` uses a variance pooled over the arms.
        units: units on which both the arm and the reference have a score (for the reference: its own).
        df: degrees of freedom of the variance.
        unit: what counts as one piece of evidence.
        claim: what the difference is a statement about.
        confidence: of the intervals.
    """

    diff: Vector
    low: Vector
    high: Vector
    p: Vector
    significant: NDArray[np.bool_]
    mean: Vector
    mean_low: Vector
    mean_high: Vector
    sd: Vector
    pooled: NDArray[np.bool_]
    units: NDArray[np.int64]
    df: Vector
    unit: Literal["fold", "seed"]
    claim: str
    confidence: float


def compare_arms(
    scores: ArrayLike,
    reference: int,
    *,
    test_train_ratio: float,
    folds_in_all: int,
    confidence: float = 0.95,
    limits: tuple[float, float] | None = None,
) -> ArmComparison:
    """Compare every arm with the reference.

    Args:
        scores: `[arms, folds, seeds]`, NaN where a trial is missing; all planned arms, as they are the family.
        reference: index of the reference arm.
        test_train_ratio: test clips per training clip.
        folds_in_all: folds that the data set is divided into, run or not; 1 for a single split.
        confidence: of the intervals.
        limits: lowest and highest possible score.
    """
    y = np.asarray(scores, dtype=np.float64)
    if y.ndim != 3:
        raise ValueError(f"scores: expected [arms, folds, seeds], got shape {y.shape}")
    if not 0 <= reference < len(y):
        raise ValueError(f"reference: expected an arm from 0 to {len(y) - 1}, got {reference}")
    fraction("confidence", confidence)
    by_fold = y.shape[1] > 1
    overlap = max(test_train_ratio, 1 / (folds_in_all - 1) if folds_in_all > 1 else 0.0) if by_fold else 0.0
    own, paired = _units(y, reference, by_fold)
    step = _resolution(y)
    arms = np.arange(len(y)) != reference
    units = np.where(arms, np.isfinite(paired).sum(axis=1), np.isfinite(own[reference]).sum())
    diff = np.full(len(y), np.nan)
    diff[units > 0] = np.nanmean(paired[units > 0], axis=1)
    diff[reference] = np.nan
    low, high, p, df = (np.full(len(y), np.nan) for _ in range(4))
    pooled = np.zeros(len(y), bool)
    variance, share, df[arms], pooled[arms] = _variances(paired[arms], step)
    factor = np.array([variance_factor(n, overlap) if n else np.nan for n in units[arms]])
    error = np.sqrt(variance * factor)
    known = np.isfinite(error)
    family = np.where(known, share, np.nanmean(share) if known.any() else 0.5)
    loadings = np.sqrt(family)
    half = np.full(len(error), np.nan)
    critical: dict[float, float] = {}
    level = 1 - confidence
    dfs, t = df[arms], np.abs(diff[arms]) / error
    adjusted = np.full(len(error), np.nan)
    for i in np.flatnonzero(known):
        d = round(float(dfs[i]), 2)
        if d not in critical:
            critical[d] = _critical(d, loadings, level)
        half[i] = critical[d] * error[i]
        value = largest_t_p(float(t[i]), d, loadings)
        # The same function gives both: rounding alone could part them at the edge.
        adjusted[i] = min(value, level) if t[i] > critical[d] else max(value, np.nextafter(level, 1))
    p[arms] = adjusted
    low[arms], high[arms] = diff[arms] - half, diff[arms] + half
    mean, mean_low, mean_high, sd = _means(own, overlap, confidence, step)
    if limits is not None:
        span = limits[1] - limits[0]
        low, high = np.clip(low, -span, span), np.clip(high, -span, span)
        mean_low, mean_high = np.clip(mean_low, *limits), np.clip(mean_high, *limits)
    return ArmComparison(
        diff=diff,
        low=low,
        high=high,
        p=p,
        significant=np.nan_to_num(p, nan=1.0) <= level,
        mean=mean,
        mean_low=mean_low,
        mean_high=mean_high,
        sd=sd,
        pooled=pooled,
        units=units,
        df=df,
        unit="fold" if by_fold else "seed",
        claim=ON_OTHER_DATA if by_fold else ON_THIS_SPLIT,
        confidence=confidence,
    )


def verdicts(comparison: ArmComparison, margin: float) -> tuple[Verdict | Literal[""], ...]:
    """What can be said of each arm: worse, better, equivalent (interval within ±margin) or undecided; '' without one.

    A difference that is both significant and within the margin is real and too small to matter: "equivalent".
    """
    words: list[Verdict | Literal[""]] = []
    for low, high, star in zip(comparison.low, comparison.high, comparison.significant, strict=True):
        if math.isnan(low):
            words.append("")
        elif max(abs(low), abs(high)) <= margin:
            words.append("equivalent")
        elif star:
            words.append("better" if low > 0 else "worse")
        else:
            words.append("undecided")
    return tuple(words)


def _units(y: Vector, reference: int, by_fold: bool) -> tuple[Vector, Vector]:
    """Each arm's scores and its paired differences per unit, `[arms, units]` each."""
    difference = y - y[reference]
    if not by_fold:
        return y[:, 0], difference[:, 0]
    return _mean_of_known(y), _mean_of_known(difference)


def _mean_of_known(values: Vector) -> Vector:
    known = np.isfinite(values)
    count = known.sum(axis=-1)
    return np.where(count > 0, np.where(known, values, 0).sum(axis=-1) / np.maximum(count, 1), np.nan)


def _resolution(y: Vector) -> float:
    """The smallest step between two scores: what can't be told apart is not known to be equal."""
    values = np.unique(y[np.isfinite(y)])
    if len(values) == 0:
        return math.nan
    scale = max(float(np.abs(values).max()), 1e-300)
    gaps = np.diff(values)
    gaps = gaps[gaps > 1e-9 * scale]
    return float(gaps.min()) if len(gaps) else scale


def _variances(d: Vector, step: float) -> tuple[Vector, Vector, Vector, NDArray[np.bool_]]:
    """Variance of one unit's difference, the reference's share of it, df, and whether it is pooled; `[others]`."""
    count, n = d.shape
    floor = step**2 / 12
    nothing = np.full(count, np.nan)
    known = np.isfinite(d)
    usable = known.sum(axis=1) >= 1
    units = known.sum(axis=1)
    if count == 1 or usable.sum() < 2 or n < 2:
        own = np.array([np.nanvar(row, ddof=1) if np.isfinite(row).sum() > 1 else np.nan for row in d])
        return np.maximum(own, 2 * floor), np.full(count, 0.5), np.where(units > 1, units - 1.0, np.nan), nothing == 0
    residual, block = _additive(d)
    spare = residual_df = max(float(known[usable].sum() - usable.sum() - known.any(axis=0).sum() + 1), 0.0)
    if spare == 0:
        own = np.array([np.nanvar(row, ddof=1) if np.isfinite(row).sum() > 1 else np.nan for row in d])
        return np.maximum(own, 2 * floor), np.full(count, 0.5), np.where(units > 1, units - 1.0, np.nan), nothing == 0
    squares = np.nansum(residual**2, axis=1)
    mse = max(squares.sum() / residual_df, floor)
    arms = usable.sum() + 1
    own_df = np.maximum(units - 1, 0)
    own = np.where(own_df > 0, squares / np.maximum(own_df, 1) * (arms - 1) / max(arms - 2, 1), np.nan)
    rest_df = np.maximum(residual_df - own_df, 1)
    ratio = own / np.maximum((squares.sum() - squares) / rest_df, floor)
    with np.errstate(invalid="ignore"):
        larger = special.fdtrc(np.maximum(own_df, 1), rest_df, np.nan_to_num(ratio)) < ARM_LEVEL
    variance = np.where(larger & (own > mse), own, mse)
    free = np.where(larger & (own > mse), own_df, residual_df)
    blocks = block[np.isfinite(block)]
    ref_df = len(blocks) - 1
    ref_variance, ref_free = mse, residual_df
    if ref_df > 0:
        ref_own = blocks.var(ddof=1) - mse / (arms - 1)
        if special.fdtrc(ref_df, residual_df, blocks.var(ddof=1) / (mse * arms / (arms - 1))) < REFERENCE_LEVEL:
            ref_variance, ref_free = max(ref_own, mse), float(ref_df)
    total = variance + ref_variance
    both = (ref_variance == mse) & (variance == mse)
    df = np.where(both, residual_df, total**2 / (variance**2 / free + ref_variance**2 / ref_free))
    total = np.where(usable, total, np.nan)
    return total, ref_variance / total, np.where(usable, df, np.nan), usable & (both | (variance == mse))


def _additive(d: Vector) -> tuple[Vector, Vector]:
    """Residuals `[rows, columns]` and column effects `[columns]` of the additive fit to what is known."""
    known = np.isfinite(d)
    row_count, column_count = known.sum(axis=1), known.sum(axis=0)
    value = np.where(known, d, 0)
    rows, columns = np.zeros(len(d)), np.zeros(d.shape[1])
    for _ in range(1 if known.all() else 200):
        rows = (value - known * columns).sum(axis=1) / np.maximum(row_count, 1)
        columns = (value - known * rows[:, None]).sum(axis=0) / np.maximum(column_count, 1)
    residual = np.where(known, d - rows[:, None] - columns, np.nan)
    return residual, np.where(column_count > 0, columns, np.nan)


def _critical(df: float, loadings: Vector, level: float) -> float:
    def excess(log_t: float) -> float:
        return largest_t_p(math.exp(log_t), df, loadings) - level

    return math.exp(optimize.brentq(excess, math.log(0.01), math.log(1e6), xtol=1e-10))


def _means(own: Vector, overlap: float, confidence: float, step: float) -> tuple[Vector, Vector, Vector, Vector]:
    """Means, their intervals and the arms' own spread, `[arms]` each; the spread pooled unless an arm's is larger."""
    known = np.isfinite(own)
    units = known.sum(axis=1)
    mean = _mean_of_known(own)
    deviation = np.where(known, own - mean[:, None], 0)
    squares = (deviation**2).sum(axis=1)
    sd = np.where(units > 1, np.sqrt(squares / np.maximum(units - 1, 1)), np.nan)
    spare = np.maximum(units - 1, 0)
    if spare.sum() == 0:
        return mean, np.full(len(mean), np.nan), np.full(len(mean), np.nan), sd
    between = squares.sum() / spare.sum()
    # Arms share their blocks, so that together they know little more of the blocks than one arm does.
    df = float(spare.max())
    variance = np.maximum(np.maximum(between, np.nan_to_num(sd) ** 2), step**2 / 12)
    factor = np.array([variance_factor(max(n, 1), overlap) for n in units])
    half = special.stdtrit(df, 0.5 + confidence / 2) * np.sqrt(variance * factor)
    half = np.where(units > 0, half, np.nan)
    return mean, mean - half, mean + half, sd
