"""What each part is worth: main effects and interactions of a two-level factorial, from all of its arms at once.

An effect is the mean over the runs where its factor is high minus the mean where it is low; an interaction's, the same
with the product of the factors' levels. Every run counts in every effect, so an effect of 8 arms has a quarter of the
variance of a single comparison from the same trials. Each effect is taken within a unit (a fold, or a seed of the one
fold), so what a unit's arms share cancels.

All effects of a design have one variance, 4/runs² · Σ of the arms' variances, whether these are equal or not: pooling
is right either way, and only the degrees of freedom depend on it (Satterthwaite). Intervals are simultaneous over all
effects of the design (studentised maximum modulus). Arms with the same scores throughout, as of a switch that reaches
nothing, are one arm that counts several times: it tells of the spread once, and its errors add up.

References: G. Box, W. G. Hunter, J. S. Hunter. Statistics for Experimenters (1978), ch. 10–12; F. Satterthwaite.
Biometrics Bull. 2 (1946) 110–114; Z. Šidák. JASA 62 (1967) 626–633.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweeper.statistics._arrays import fraction
from sweeper.statistics.dunnett import coarse, critical_t, largest_t_p
from sweeper.statistics.spread import spread
from sweeper.statistics.units import CLAIMS, Unit, Units, scores_array

Vector = NDArray[np.float64]

APART = 0.005  # p of an F test from which on an arm's spread is its own, so that few of equal ones seem to be


@dataclass(frozen=True)
class Effects:
    """Effects of a two-level design, in the unit of the scores; all vectors are `[effects]`.

    Attributes:
        names: "A", or "A × B" for an interaction; main effects first.
        aliases: what can't be told from each effect in a fraction, a minus sign before what enters it negatively; empty
            in a full factorial.
        order: 1 for a main effect, 2 for an interaction of two, …
        estimate: mean(high) − mean(low) over the units on which all arms have a score.
        low, high: simultaneous interval over all effects; NaN for a single unit.
        p: adjusted for the number of effects.
        significant: whether the interval excludes 0.
        units: on which all arms have a score.
        df: degrees of freedom of the variance; 0 for a single unit.
        unit, claim, confidence: as in `ArmComparison`.
    """

    names: tuple[str, ...]
    aliases: tuple[tuple[str, ...], ...]
    order: NDArray[np.int64]
    estimate: Vector
    low: Vector
    high: Vector
    p: Vector
    significant: NDArray[np.bool_]
    units: int
    df: float
    unit: Unit
    claim: str
    confidence: float


def effects(
    scores: ArrayLike,
    levels: ArrayLike,
    *,
    test_train_ratio: float,
    folds_in_all: int,
    confidence: float = 0.95,
    names: Sequence[str] | None = None,
    resolution: float | None = None,
) -> Effects:
    """All estimable effects of a full or regular fractional two-level factorial.

    Args:
        scores: `[arms, folds, seeds]`, NaN where a trial is missing; a seed of a fold counts where all arms have it.
        levels: −1 or +1, `[arms, factors]`.
        test_train_ratio, folds_in_all, confidence, resolution: as in `compare_arms`.
        names: of the factors; A, B, C … by default.

    Raises:
        ValueError: shapes or values that don't fit, or levels of no full or regular fractional factorial.
    """
    y, x = scores_array("scores", scores), np.asarray(levels, dtype=np.float64)
    if x.ndim != 2 or len(x) != len(y):
        raise ValueError(f"levels: expected [{len(y)} arms, factors], got shape {x.shape}")
    if not (np.abs(x) == 1).all():
        raise ValueError(f"levels: expected -1 or 1, got {x[np.abs(x) != 1][0]:g}")
    fraction("confidence", confidence)
    factors = tuple(names) if names is not None else tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: x.shape[1]])
    if len(factors) != x.shape[1]:
        raise ValueError(f"names: expected {x.shape[1]}, got {len(factors)}")
    labels, columns, aliases, order = _contrasts(x, factors)
    whole = np.where(np.isfinite(y).all(axis=0), y, np.nan)
    layout = Units(whole, test_train_ratio, folds_in_all, resolution)
    complete = layout.own[:, np.isfinite(layout.own[0])]
    runs, units = complete.shape
    blank = np.full(len(labels), np.nan)
    estimate = columns.T @ complete.mean(axis=1) / (runs / 2) if units else blank
    half, p, df = blank, blank, 0.0
    if units > 1:
        first, twin = _distinct(whole)
        others = Units(whole[first], test_train_ratio, folds_in_all, resolution)
        variance, df = _variance(others, len(first), units)
        retraining = others.retraining.mean(keepdims=True) / others.seeds.max()
        squared, left = layout.without_overlap(np.array([variance]), np.array([df]), np.array([units]), retraining)
        weights = np.zeros((len(first), len(labels)))
        np.add.at(weights, twin, columns / (runs / 2))
        error, df = np.sqrt(np.maximum((weights**2).sum(axis=0), 4 / runs) * squared[0]), coarse(float(left[0]))
        # Equal variances make the effects independent; unequal ones correlate them, and the bound holds (Šidák 1967).
        leniency = 1 + 0.1 / (units - 1)  # what the guard of `_variance` costs where noise is equal
        edge = 1 - confidence
        critical = critical_t(edge * leniency, df, 0.0, len(labels))
        half = critical * error
        if not np.nan_to_num(others.residual).any():  # no spread is shown: none is known
            half = np.maximum(half, np.abs(estimate) + layout.step)
        t = critical * np.abs(estimate) / half
        p = np.array([largest_t_p(value, df, 0.0, len(labels)) for value in t])
        p = np.interp(p, (0.0, edge * leniency, 1.0), (0.0, edge, 1.0))  # as in `arms`
        p = np.where(np.abs(estimate) > half, np.minimum(p, edge), np.maximum(p, math.nextafter(edge, 1)))
    return Effects(
        names=labels,
        aliases=aliases,
        order=order,
        estimate=estimate,
        low=estimate - half,
        high=estimate + half,
        p=p,
        significant=p <= 1 - confidence,
        units=units,
        df=df,
        unit=layout.unit,
        claim=CLAIMS[layout.unit],
        confidence=confidence,
    )


def _distinct(y: Vector) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first of the arms with the same scores, of each, and for every arm which of these it is."""
    cells = np.nan_to_num(y.reshape(len(y), -1), nan=np.inf)
    _, first, twin = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    if len(first) == 1:  # nothing tells them apart
        return np.arange(len(y)), np.arange(len(y))
    return first, twin.reshape(-1)


def _variance(layout: Units, runs: int, units: int) -> tuple[float, float]:
    """Mean over the arms of a unit's variance, and its degrees of freedom: fewer where some arms make up most of it."""
    df = (runs - 1.0) * (units - 1)
    variance = max(float(np.nansum(layout.residual**2)) / df, layout.floor)
    found = spread(layout.residual, None, layout.floor)
    if found.known:
        arms = np.where(found.tail < APART, found.variance, found.variance.min())
        df *= float(arms.sum() ** 2 / (arms**2).sum() / runs)
    return variance, df


def _contrasts(
    x: Vector, factors: Sequence[str]
) -> tuple[tuple[str, ...], Vector, tuple[tuple[str, ...], ...], NDArray[np.int64]]:
    """Names, columns `[arms, effects]`, aliases and order of the estimable effects.

    Raises:
        ValueError: an effect is neither apart from another nor the same: the fraction is not regular.
    """
    found: list[tuple[str, Vector, list[str], int]] = []
    for order in range(1, x.shape[1] + 1):
        for chosen in combinations(range(x.shape[1]), order):
            column, label = x[:, list(chosen)].prod(axis=1), " × ".join(factors[i] for i in chosen)
            if abs(column.sum()) == len(x):
                continue  # the same in all arms: part of the mean
            for _, other, aliases, _ in found:
                product = column @ other
                if abs(product) == len(x):
                    aliases.append(label if product > 0 else f"−{label}")
                    break
                if product:
                    raise ValueError("levels: not a full factorial or a regular fraction of one")
            else:
                if column.sum():
                    raise ValueError("levels: not a full factorial or a regular fraction of one")
                found.append((label, column, [], order))
    if not found:
        raise ValueError("levels: no factor varies")
    labels, columns, alias_lists, orders = zip(*found, strict=True)
    return labels, np.stack(columns, axis=1), tuple(map(tuple, alias_lists)), np.array(orders)
