"""Do the arms differ from the reference, and by how much? One rule for star, p and interval.

1. The *unit* is the fold where the study has several (its seeds averaged first: they share the fold's clips), the seed
   where it has one. Only units on which both the arm and the reference were run count.
2. Variance of a difference: the arm's plus the reference's (`spread`: pooled over the arms unless one stands out), with
   Satterthwaite's degrees of freedom, times 1/units, or 1/units + test/train where folds share training clips
   (Nadeau and Bengio 2003). Seeds of one fold share none: the claim is about that split.
3. The largest |t| over all planned arms has Dunnett's distribution; p, interval and star are read from it.
4. Where noise is equal, the guards of step 2 make this cautious (3 % false alarms for 5), so the level is raised by
   `_leniency`, most for few units.

How often it errs, over scenarios: `python -m tests.statistics.simulate`.

References: C. Dunnett. JASA 50 (1955) 1096–1121; F. Satterthwaite. Biometrics Bull. 2 (1946) 110–114; C. Nadeau,
Y. Bengio. Inference for the generalization error. Machine Learning 52 (2003) 239–281; R. Bouckaert, E. Frank. PAKDD 2004
(k folds: test/train is 1/(k − 1)).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from sweeper.statistics._arrays import fraction
from sweeper.statistics.dunnett import critical_t, largest_t_p
from sweeper.statistics.intervals import variance_factor
from sweeper.statistics.spread import Spread, residuals, spread

Vector = NDArray[np.float64]
Unit = Literal["fold", "seed"]
Verdict = Literal["worse", "better", "equivalent", "undecided", ""]
ON_THIS_SPLIT, ON_OTHER_DATA = "on this split, over retraining", "on other data of this kind"
CLAIMS: dict[Unit, str] = {"seed": ON_THIS_SPLIT, "fold": ON_OTHER_DATA}


@dataclass(frozen=True)
class ArmComparison:
    """Every arm against the reference, in the unit of the scores; all vectors are `[arms]`.

    Attributes:
        diff: mean over the paired units of arm minus reference; NaN for the reference and where no unit is paired.
        low, high: simultaneous interval of `diff`: all of them hold together with probability `confidence`. NaN where
            the study shows no spread (one unit).
        p: adjusted for all planned arms; at most 1 − confidence exactly where the interval excludes 0.
        significant: whether it does.
        mean, mean_low, mean_high: the arm's own mean over its units, and an interval for this arm alone.
        sd: the arm's own standard deviation over units; NaN for one unit.
        pooled: whether the interval of `diff` uses a variance pooled over arms.
        units: paired units of the arm; for the reference, its own.
        df: degrees of freedom of the difference's variance.
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
    unit: Unit
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
    resolution: float | None = None,
) -> ArmComparison:
    """Compare every arm with the reference.

    Args:
        scores: `[arms, folds, seeds]`, NaN where a trial is missing. All planned arms, run or not: they are the family.
        reference: index of the reference arm.
        test_train_ratio: test clips per training clip: 1/(k − 1) for k folds, 0.25 for an 80:20 split.
        folds_in_all: folds that the data are divided into, run or not; 1 where they are not.
        confidence: of the intervals.
        limits: lowest and highest possible score, (0, 1) for accuracies; intervals are cut there.
        resolution: smallest step of a score, 1 / test clips for accuracies: less than that can't be told from 0. By
            default the smallest step between two of the scores.

    Raises:
        ValueError: another shape, an infinite score, or a value out of range.
    """
    y = scores_array("scores", scores)
    if not 0 <= reference < len(y):
        raise ValueError(f"reference: expected an arm from 0 to {len(y) - 1}, got {reference}")
    fraction("confidence", confidence)
    layout = Units(y, test_train_ratio, folds_in_all, resolution)
    found = spread(layout.residual, reference, layout.floor)
    difference = _differences(y, reference, layout, found, 1 - confidence)
    mean, mean_low, mean_high, sd = _means(layout, found, confidence)
    low, high = difference.diff - difference.half, difference.diff + difference.half
    if limits is not None:
        lowest, highest = limits
        low, high = np.clip(low, lowest - highest, highest - lowest), np.clip(high, lowest - highest, highest - lowest)
        mean_low, mean_high = np.clip(mean_low, lowest, highest), np.clip(mean_high, lowest, highest)
    return ArmComparison(
        diff=difference.diff,
        low=low,
        high=high,
        p=difference.p,
        significant=difference.p <= 1 - confidence,
        mean=mean,
        mean_low=mean_low,
        mean_high=mean_high,
        sd=sd,
        pooled=difference.pooled,
        units=difference.units,
        df=difference.df,
        unit=layout.unit,
        claim=CLAIMS[layout.unit],
        confidence=confidence,
    )


def verdicts(comparison: ArmComparison, margin: float) -> tuple[Verdict, ...]:
    """What can be said of each arm, in a word; '' where it has no interval.

    "equivalent": its interval lies within ±`margin`. That comes before "worse" and "better", also where the interval
    excludes 0: such a difference is real and too small to matter, which is what the margin was set for; that it is real
    the star says. "undecided" is anything else: the study can't tell.
    """
    if not margin >= 0:
        raise ValueError(f"margin: expected a number of at least 0, got {margin}")
    words: list[Verdict] = []
    for low, high, star in zip(comparison.low, comparison.high, comparison.significant, strict=True):
        if math.isnan(low):
            words.append("")
        elif -margin <= low and high <= margin:
            words.append("equivalent")
        elif star:
            words.append("better" if low > 0 else "worse")
        else:
            words.append("undecided")
    return tuple(words)


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
        overlap: what shared training clips add to 1/units.
        floor: smallest variance of a unit's score that can be told from 0.
    """

    def __init__(self, y: Vector, test_train_ratio: float, folds_in_all: int, resolution: float | None = None) -> None:
        if folds_in_all < 1:
            raise ValueError(f"folds_in_all: expected at least 1, got {folds_in_all}")
        arms, folds, seeds = y.shape
        self.unit: Unit = "fold" if folds > 1 else "seed"
        self._grid = (arms, folds, seeds) if folds > 1 else (arms, seeds, 1)
        self.own, self.seeds = self.per_unit(y)
        self.residual, _ = self.per_unit(residuals(y.reshape(arms, -1)))
        variance_factor(1, test_train_ratio)  # refuses what is no ratio
        self.overlap = max(test_train_ratio, 1 / (folds_in_all - 1) if folds_in_all > 1 else 0.0) if folds > 1 else 0.0
        step = _smallest_step(y) if resolution is None else resolution
        self.floor = step**2 / 12 / max(float(self.seeds.max()), 1.0)  # rounding to steps, averaged over the seeds

    def per_unit(self, values: Vector) -> tuple[Vector, Vector]:
        """Mean over the seeds of each unit, and how many there are; `[arms, units]` each."""
        cells = values.reshape(self._grid)
        known = np.isfinite(cells)
        count = known.sum(axis=2)
        total = np.where(known, cells, 0.0).sum(axis=2)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan), count.astype(np.float64)

    def factor(self, units: Vector) -> Vector:
        """Variance of a mean over so many units, in units of one's variance; NaN for none."""
        return np.where(units > 0, 1 / np.maximum(units, 1) + self.overlap, np.nan)


def _smallest_step(y: Vector) -> float:
    """Smallest step between two scores of a fold; where all are equal, which tells nothing, the size of the scores."""
    scale = max(float(np.nanmax(np.abs(y), initial=0.0)), 1e-300)
    steps = []
    for fold in range(y.shape[1]):
        gaps = np.diff(np.unique(y[:, fold][np.isfinite(y[:, fold])]))
        steps += [float(gaps[gaps > 1e-9 * scale].min())] if (gaps > 1e-9 * scale).any() else []
    return float(np.median(steps)) if steps else scale


@dataclass(frozen=True)
class _Differences:
    diff: Vector
    half: Vector
    p: Vector
    pooled: NDArray[np.bool_]
    units: NDArray[np.int64]
    df: Vector


def _differences(y: Vector, reference: int, layout: Units, found: Spread, level: float) -> _Differences:
    paired, seeds = layout.per_unit((y - y[reference]).reshape(len(y), -1))
    units = (seeds > 0).sum(axis=1)
    others = np.arange(len(y)) != reference
    diff, spent = _mean_and_variance(paired)
    diff[reference] = np.nan
    if np.isfinite(found.variance).all():
        arm, base = found.variance, found.variance[reference]
        variance, share = arm + base, base / (arm + base)
        same = ~found.own & ~found.own[reference]
        df = np.where(same, found.df, variance**2 / (arm**2 / found.df + base**2 / found.df[reference]))
        pooled = ~(found.own & found.own[reference])
        # An arm that misses seeds of a fold is compared over fewer than the others' variance is about.
        variance = variance * np.maximum(_mean_inverse(seeds) / _mean_inverse(layout.seeds[~found.own]).max(), 1)
    else:  # two arms: the differences' own variance is all there is
        variance, share = np.maximum(spent, 2 * layout.floor), np.full(len(y), 0.5)
        df, pooled = units - 1.0, np.zeros(len(y), bool)
    known = others & (units > 0) & np.isfinite(variance) & (df > 0)
    factor = layout.factor(units.astype(np.float64))
    error = np.sqrt(variance * factor)
    # What two arms have in common is the reference's error on the units that both were run on.
    loading = np.sqrt(share * layout.factor(units[others].max(initial=0, keepdims=True).astype(np.float64)) / factor)
    common = math.floor(100 * float(loading[known].mean())) / 100 if known.any() else 0.0
    half, p = np.full(len(y), np.nan), np.full(len(y), np.nan)
    for i in np.flatnonzero(known):
        most = level * (_leniency(int(units[i])) if pooled[i] else 1.0)
        rounded = float(f"{df[i]:.3g}")
        critical = critical_t(most, rounded, common, len(y) - 1)
        t = abs(diff[i]) / error[i]
        value = largest_t_p(t, rounded, common, len(y) - 1) * level / most
        half[i] = critical * error[i]
        # One function gives both, so that they agree but for rounding at the very edge.
        p[i] = min(value, level) if t > critical else min(max(value, math.nextafter(level, 1)), 1.0)
    return _Differences(
        diff,
        half,
        p,
        pooled & known,
        np.where(others, units, np.isfinite(layout.own[reference]).sum()),
        np.where(known, df, np.nan),
    )


def _leniency(units: int) -> float:
    """By how much the level is raised for what the guards of `spread` cost where noise is equal."""
    if units < 2:
        return 1.0  # no guard
    return 1.4 if units <= 3 else 1 + 0.4 / (units - 1)


def _mean_and_variance(values: Vector) -> tuple[Vector, Vector]:
    """Over what is known of each row; NaN without a value, and without a second one."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    mean = np.where(count > 0, np.where(known, values, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)
    squares = (np.where(known, values - mean[:, None], 0.0) ** 2).sum(axis=1)
    return mean, np.where(count > 1, squares / np.maximum(count - 1, 1), np.nan)


def _mean_inverse(seeds: Vector) -> Vector:
    """Mean of 1 / seeds over each row's units; 1 where it has none."""
    known = seeds > 0
    inverse = np.where(known, 1 / np.maximum(seeds, 1), 0.0).sum(axis=1)
    return np.where(known.any(axis=1), inverse / np.maximum(known.sum(axis=1), 1), 1.0)


def _means(layout: Units, found: Spread, confidence: float) -> tuple[Vector, Vector, Vector, Vector]:
    """Each arm's mean, its interval, and its own standard deviation.

    A mean varies with the units, too, which all arms share: their variance is that of the units' means, and of few
    degrees of freedom, whatever is pooled over arms.
    """
    mean, own = _mean_and_variance(layout.own)
    units = np.isfinite(layout.own).sum(axis=1).astype(np.float64)
    variance, df = np.maximum(own, layout.floor), units - 1
    if np.isfinite(found.variance).all():
        per_unit = np.nanmean(layout.own - layout.residual - mean[:, None], axis=0)
        per_unit = per_unit[np.isfinite(per_unit)]
        between = per_unit.var(ddof=1)
        variance = found.variance + between
        df = variance**2 / (found.variance**2 / found.df + between**2 / (len(per_unit) - 1))
    with np.errstate(invalid="ignore"):
        half = special.stdtrit(np.where(df > 0, df, np.nan), 0.5 + confidence / 2) * np.sqrt(
            variance * layout.factor(units)
        )
    return mean, mean - half, mean + half, np.sqrt(own)
