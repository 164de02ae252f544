"""Do the arms differ from the reference, and by how much? One rule for star, p and interval.

1. The *unit* is the fold where the study has several (its seeds averaged first: they share the fold's clips), the seed
   where it has one. Only units on which both the arm and the reference were run count.
2. Variance of a unit's difference: the arm's plus the reference's (`spread`: pooled over the arms unless one stands
   out), with Satterthwaite's degrees of freedom. A mean over units has that / units. Folds share training clips, so
   where they are the unit, test/train times the variance is added (Nadeau and Bengio 2003), less the part due to
   retraining alone, where several seeds show that part: it is independent between folds. Seeds of one fold share all of
   their clips: the claim is about that split.
3. The largest |t| over all planned arms has Dunnett's distribution; p, interval and star are read from it.
4. Where noise is equal, the guards of step 2 make this cautious (3 % false alarms for 5), so the level is raised by
   `_leniency`, most for few units.

How often it errs, over scenarios: `python -m tests.statistics.simulate`.

References: C. Dunnett. JASA 50 (1955) 1096–1121; F. Satterthwaite. Biometrics Bull. 2 (1946) 110–114; W. Cochran.
Biometrics 20 (1964) 191–195; C. Nadeau, Y. Bengio. Inference for the generalization error. Machine Learning 52 (2003)
239–281; R. Bouckaert, E. Frank. PAKDD 2004 (k folds: test/train is 1/(k − 1)).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from sweeper.statistics._arrays import fraction
from sweeper.statistics.dunnett import coarse, critical_t, largest_t_p
from sweeper.statistics.spread import Spread, spread
from sweeper.statistics.units import CLAIMS, Unit, Units, mean_inverse, scores_array

Vector = NDArray[np.float64]
Verdict = Literal["worse", "better", "equivalent", "undecided", ""]


@dataclass(frozen=True)
class ArmComparison:
    """Every arm against the reference, in the unit of the scores; all vectors are `[arms]`.

    Attributes:
        diff: mean over the paired units of arm minus reference; NaN for the reference and where no unit is paired.
        low, high: simultaneous interval of `diff`: all of them hold together with probability `confidence`. NaN where
            the study shows no spread (one unit).
        error: standard error of `diff`; NaN where the study shows no spread.
        p: adjusted for all planned arms; at most 1 − confidence exactly where the interval excludes 0.
        significant: whether it does.
        mean, mean_low, mean_high: the arm's own mean over its units, and an interval for this arm alone.
        sd: the arm's own standard deviation over units; NaN for one unit.
        pooled: whether the interval of `diff` uses a variance pooled over arms.
        own: whether the arm's own variance counts, as its spread stands out; the reference's is in every interval.
        units: paired units of the arm; for the reference, its own.
        df: degrees of freedom of the difference's variance.
        unit: what counts as one piece of evidence.
        claim: what the difference is a statement about.
        confidence: of the intervals.
    """

    diff: Vector
    low: Vector
    high: Vector
    error: Vector
    p: Vector
    significant: NDArray[np.bool_]
    mean: Vector
    mean_low: Vector
    mean_high: Vector
    sd: Vector
    pooled: NDArray[np.bool_]
    own: NDArray[np.bool_]
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
    if limits is not None and not limits[0] < limits[1]:
        raise ValueError(f"limits: expected the lower one first, got {limits}")
    layout = Units(y, test_train_ratio, folds_in_all, resolution)
    found = spread_of_arms(y, reference, layout)
    difference = differences(y, reference, layout, found, 1 - confidence)
    p = _adjusted_p(difference, 1 - confidence)
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
        error=difference.error,
        p=p,
        significant=p <= 1 - confidence,
        mean=mean,
        mean_low=mean_low,
        mean_high=mean_high,
        sd=sd,
        pooled=difference.pooled,
        own=found.own,
        units=difference.units,
        df=difference.df,
        unit=layout.unit,
        claim=CLAIMS[layout.unit],
        confidence=confidence,
    )


def verdicts(comparison: ArmComparison, margin: float) -> tuple[Verdict, ...]:
    """What can be said of each arm, in a word; '' where it has no interval.

    "equivalent": the interval lies within ±`margin`, even where it excludes 0: then the difference is real (the star
    says so) but too small to matter. "worse", "better": else, where the interval excludes 0. "undecided": otherwise.

    Raises:
        ValueError: a `margin` below 0.
    """
    columns = zip(comparison.low, comparison.high, comparison.significant, strict=True)
    return tuple(verdict(float(low), float(high), bool(star), margin) for low, high, star in columns)


def verdict(low: float, high: float, star: bool, margin: float) -> Verdict:
    """See `verdicts`."""
    if not margin >= 0:
        raise ValueError(f"margin: expected a number of at least 0, got {margin}")
    if math.isnan(low):
        return ""
    if -margin <= low and high <= margin:
        return "equivalent"
    if star:
        return "better" if low > 0 else "worse"
    return "undecided"


@dataclass(frozen=True)
class Differences:
    """Differences to the reference and half-widths of their intervals; `[arms]`, NaN where there is none.

    Attributes:
        diff, half, df, pooled, units: as in `ArmComparison`.
        error: standard error of `diff`.
        critical: `half` / `error`.
        level: at which `critical` was taken.
        loading: root of the reference's share of a difference's variance.
    """

    diff: Vector
    half: Vector
    df: Vector
    pooled: NDArray[np.bool_]
    units: NDArray[np.int64]
    error: Vector
    critical: Vector
    level: Vector
    loading: float


def spread_of_arms(y: Vector, reference: int, layout: Units) -> Spread:
    """`spread`, from arms with scores of their own: the copy of an arm is no evidence that arms are alike.

    Args:
        y: scores, `[arms, folds, seeds]`.
        reference: index of the reference.
        layout: of the scores.
    """
    others = np.where(copies(y, reference, layout.step)[:, None, None], np.nan, y)
    return spread(layout.residual_of(others), reference, layout.floor)


def copies(y: Vector, reference: int, step: float = 0.0) -> NDArray[np.bool_]:
    """Which arms have, wherever both were run and at least twice, the scores of the reference or of an earlier arm.

    Such an arm switches what does not reach the scores; if it is by chance, the others tell of the spread all the same.
    Of four scores or more, a quarter may differ by a step: the same trial rounds otherwise if it was trained with
    others as one program, or on another machine.

    Args:
        y: `[arms, folds, seeds]`.
        reference: index of the reference.
        step: smallest one of a score.
    """
    cells, found = y.reshape(len(y), -1), np.zeros(len(y), bool)
    order = [reference, *(arm for arm in range(len(y)) if arm != reference)]
    for place, arm in enumerate(order):
        for other in order[:place]:
            apart = np.abs(cells[arm] - cells[other])
            apart = apart[np.isfinite(apart)]
            rounded = int((apart > 0).sum())
            if not found[other] and len(apart) >= 2 and rounded <= len(apart) // 4 and (apart <= 1.001 * step).all():
                found[arm] = True
                break
    return found


def differences(y: Vector, reference: int, layout: Units, found: Spread, level: float) -> Differences:
    """Steps 1 to 4, but for p.

    Args:
        y: scores, `[arms, folds, seeds]`.
        reference: index of the reference.
        layout, found: of the scores.
        level: 1 − confidence.
    """
    paired, seeds = layout.per_unit((y - y[reference]).reshape(len(y), -1))
    units = (seeds > 0).sum(axis=1)
    others = np.arange(len(y)) != reference
    diff, spent = _mean_and_variance(paired)
    inverse = mean_inverse(seeds)
    if found.known:
        variance, df, pooled = found.of_difference(reference)
        share = found.variance[reference] / variance
        # An arm that misses seeds of a fold is compared over fewer than the others' variance is about.
        pool = layout.seeds[~found.own & (layout.seeds > 0).any(axis=1)]
        variance = variance * np.maximum(inverse / mean_inverse(pool).mean(), 1) if len(pool) else variance
    else:  # two arms: the differences' own variance is all there is
        # A copy's differences show no spread, no evidence that there is none: it gets the largest of the others.
        if (copied := copies(y, reference, layout.step)).any() and np.isfinite(spent[others & ~copied]).any():
            spent = np.where(copied, np.nanmax(spent[others & ~copied]), spent)
        variance, share = np.maximum(spent, 2 * layout.floor), np.full(len(y), 0.5)
        df, pooled = units - 1.0, np.zeros(len(y), bool)
    known = others & (units > 0) & np.isfinite(variance) & (df > 0)
    retraining = (layout.retraining + layout.retraining[reference]) * inverse
    squared, df = layout.without_overlap(variance, df, units, retraining)
    # What two arms have in common is the reference's error on the units that both were run on.
    most_units = np.full(len(y), units[others].max(initial=0))
    loading = np.sqrt(share * layout.of_mean(np.ones(len(y)), most_units) / layout.of_mean(np.ones(len(y)), units))
    common = math.floor(100 * float(loading[known].mean())) / 100 if known.any() else 0.0
    df, critical = np.where(known, df, np.nan), np.full(len(y), np.nan)
    raised = np.array([level * (_leniency(n) if pool else 1.0) for n, pool in zip(units, pooled, strict=True)])
    for i in np.flatnonzero(known):
        critical[i] = critical_t(float(raised[i]), coarse(float(df[i])), common, len(y) - 1)
    error = np.where(known, np.sqrt(squared), np.nan)
    half = critical * error
    # Where no arm shows any spread, none is known: a difference may be all noise, whatever the resolution says.
    silent = found.silent & found.silent[reference] if found.known else spent <= (1e-9 * layout.size) ** 2
    half = np.where(silent, np.maximum(half, np.abs(diff) + layout.step), half)
    return Differences(
        diff=np.where(others, diff, np.nan),
        half=half,
        df=df,
        pooled=pooled & known,
        units=np.where(others, units, np.isfinite(layout.own[reference]).sum()),
        error=error,
        critical=critical,
        level=raised,
        loading=common,
    )


def _adjusted_p(found: Differences, level: float) -> Vector:
    """p of each arm, `[arms]`; NaN without an interval."""
    p = np.full(len(found.diff), np.nan)
    for i in np.flatnonzero(np.isfinite(found.half)):
        # From the half-width, so that p follows the interval, also where that is wider than `critical` says.
        t = found.critical[i] * abs(found.diff[i]) / found.half[i]
        value = largest_t_p(t, coarse(float(found.df[i])), found.loading, len(p) - 1)
        # The raised level is called `level`, and 1 stays 1.
        p[i] = np.interp(value, (0.0, found.level[i], 1.0), (0.0, level, 1.0))
        # The same function gave the interval, so that they agree but for rounding at the very edge.
        outside = abs(found.diff[i]) > found.half[i]
        p[i] = min(p[i], level) if outside else max(p[i], math.nextafter(level, 1))
    return p


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


def _means(layout: Units, found: Spread, confidence: float) -> tuple[Vector, Vector, Vector, Vector]:
    """Each arm's mean, its interval, and its own standard deviation.

    A mean varies with its units, too, which all arms share: that variance has the units' few degrees of freedom,
    whatever is pooled over arms. Each of the two parts is widened by its own t, which is never too narrow (Cochran).
    """
    mean, own = _mean_and_variance(layout.own)
    units = np.isfinite(layout.own).sum(axis=1).astype(np.float64)
    quantile = 0.5 + confidence / 2
    with np.errstate(invalid="ignore"):
        of_units = special.stdtrit(np.where(units > 1, units - 1, np.nan), quantile)
        if found.known:
            shared, _ = _mean_and_variance((layout.own - layout.residual - mean[:, None]).T)
            between = _mean_and_variance(shared[None])[1]
            squared = special.stdtrit(found.df, quantile) ** 2 * found.variance + of_units**2 * between
        else:
            squared = of_units**2 * np.maximum(own, layout.floor)
        half = np.sqrt(layout.of_mean(squared, units))
    return mean, mean - half, mean + half, np.sqrt(own)
