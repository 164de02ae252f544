"""How noisy is an arm? Its own spread where it stands out, the arms' common one where it does not.

With two or three units an arm's own variance is next to worthless, and the variance pooled over all arms is a good one
if all are equally noisy; if the reference is noisier than that, every comparison with it is wrong. So:

- Each arm's deviation from the mean of the *other* arms in the same unit has an own variance, and the others have a
  pooled one, independent of it; their ratio is an exact F under equal noise.
- The pool leaves out arms that are beyond doubt noisier (`GROSS`), one after the other: they would hide the next.
- An arm whose ratio exceeds `ARM_RATIO` gets its own variance; so does the reference, which enters every difference, if
  its ratio exceeds `reference_ratio`. Any other arm gets the pool's, drawn towards its own where that is larger, as if
  the pool were known from `PRIOR_DF` degrees of freedom; never less than the pool's. The reference is not drawn.

The limits were chosen by simulation (`tests/statistics/simulate.py`): the largest power in equal noise for which false
alarms stay within what is promised where spreads are unequal.

References: B. L. Welch. Biometrika 34 (1947) 28–35; G. Smyth. Linear models and empirical Bayes methods for assessing
differential expression. Stat. Appl. Genet. Mol. Biol. 3 (2004) (variances drawn towards a common one).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]

GROSS = 1e-5
ARM_RATIO = 3.0
PRIOR_DF = 4.0


def reference_ratio(units: int) -> float:
    """The ratio of its own variance to the pool's from which on the reference counts as noisier."""
    return 1.3 if units <= 2 else 1.7


@dataclass(frozen=True)
class Spread:
    """Variances of one unit's score about the arm's mean and the unit's, in the square of the scores' unit; `[arms]`.

    Attributes:
        variance: NaN for all where fewer than three arms have two units, as nothing tells them apart then.
        df: degrees of freedom of each.
        own: whether it is the arm's own, not the pool's.
        tail: p of the F test of the arm's own variance against the other arms'.
        silent: whether neither the arm nor the pool shows any spread.
    """

    variance: Vector
    df: Vector
    own: Flags
    tail: Vector
    silent: Flags

    @property
    def known(self) -> bool:
        """Whether the arms show their spread at all."""
        return bool(np.isfinite(self.variance).all())

    def of_difference(self, reference: int) -> tuple[Vector, Vector, Flags]:
        """Variance of each arm's difference to the reference in a unit, its df, and whether the pool is in it."""
        base, base_df = self.variance[reference], self.df[reference]
        variance = self.variance + base
        df = variance**2 / (self.variance**2 / self.df + base**2 / base_df)  # Satterthwaite
        neither = ~self.own & ~self.own[reference]
        return variance, np.where(neither, self.df, df), ~(self.own & self.own[reference])


def residuals(scores: Vector) -> Vector:
    """What the effects of arms and of blocks leave of `scores` `[arms, blocks]`; NaN stays NaN (least squares)."""
    known = np.isfinite(scores)
    values, weights = np.where(known, scores, 0.0), known.astype(np.float64)
    per_block = np.maximum(weights.sum(axis=0), 1)
    # Blocks eliminated, the normal equations of the arms' effects; their sum is free, hence the pseudo-inverse.
    normal = np.diag(weights.sum(axis=1)) - (weights / per_block) @ weights.T
    arms = np.linalg.pinv(normal, hermitian=True) @ (values - weights * (values.sum(axis=0) / per_block)).sum(axis=1)
    blocks = (values - weights * arms[:, None]).sum(axis=0) / per_block
    return np.where(known, scores - arms[:, None] - blocks, np.nan)


def spread(residual: Vector, reference: int | None, floor: float) -> Spread:
    """Each arm's variance, its own or pooled.

    Args:
        residual: of `residuals`, averaged over the seeds of a fold where a fold is the unit; `[arms, units]`.
        reference: index of the arm that enters every difference; None where there is none.
        floor: smallest variance that can be told from 0.
    """
    layout = _Layout(residual, floor)
    arms = len(residual)
    nothing = Spread(np.full(arms, np.nan), np.zeros(arms), np.zeros(arms, bool), np.ones(arms), np.ones(arms, bool))
    if layout.measured.sum() < 3:
        return nothing
    quiet = layout.measured.copy()
    for _ in range(arms):
        loud = layout.measured & (layout.without_each(quiet).tail < GROSS)
        if (layout.measured & ~loud).sum() < 3 or np.array_equal(quiet, layout.measured & ~loud):
            break
        quiet = layout.measured & ~loud
    found = layout.without_each(quiet)
    limits = np.full(arms, ARM_RATIO)
    if reference is not None:
        limits[reference] = reference_ratio(int(layout.units.max()))
    own = layout.measured & (found.ratio > limits)
    if reference is not None and own[reference]:
        quiet[reference] = False
    pool, pool_df = layout.pool(quiet)
    weight = found.own_df / (PRIOR_DF + found.own_df)
    drawn = pool + weight * np.maximum(found.variance - pool, 0)
    if reference is not None:
        drawn[reference] = pool
    drawn[~layout.measured] = pool
    variance, df = np.where(own, np.maximum(found.variance, pool), drawn), np.where(own, found.own_df, pool_df)
    silent = ~own & ~layout.values[quiet].any()
    return Spread(variance, df, own, np.where(layout.measured, found.tail, 1.0), silent)


@dataclass(frozen=True)
class _Against:
    """Each arm against the others; `[arms]`. `tail` is the F test's p, `ratio` its F, `variance` the arm's own."""

    ratio: Vector
    tail: Vector
    variance: Vector
    own_df: Vector


class _Layout:
    """Residuals `[arms, units]`, each arm's centred on what it has."""

    def __init__(self, residual: Vector, floor: float) -> None:
        self.known: Vector = np.isfinite(residual).astype(np.float64)
        self.units = self.known.sum(axis=1)
        self.measured: Flags = self.units >= 2
        values = np.where(self.known > 0, residual, 0.0)
        self.values = self.known * (values - (values.sum(axis=1) / np.maximum(self.units, 1))[:, None])
        self.floor = floor

    def pool(self, among: Flags) -> tuple[float, float]:
        """Variance pooled over the arms `among`, about their means and the units', and its degrees of freedom."""
        known, values = self.known[among], self.values[among]
        per_unit = known.sum(axis=0)
        df = max(known.sum() - len(known) - (per_unit > 0).sum() + 1, 1.0)
        squares = (values**2).sum() - (values.sum(axis=0) ** 2 / np.maximum(per_unit, 1)).sum()
        return max(float(squares / df), self.floor), float(df)

    def without_each(self, quiet: Flags) -> _Against:
        member = quiet[:, None] * self.known
        count = member.sum(axis=0) - member  # of the other quiet arms in the unit, [arms, units]
        total = (member * self.values).sum(axis=0) - member * self.values
        mean = total / np.maximum(count, 1)
        usable = self.known * (count > 0)
        own_units = usable.sum(axis=1)
        deviation = usable * (self.values - mean)
        deviation -= usable * (deviation.sum(axis=1) / np.maximum(own_units, 1))[:, None]
        own_df = np.maximum(own_units - 1, 1)
        own = (deviation**2).sum(axis=1) / own_df
        inverse = (usable / np.maximum(count, 1)).sum(axis=1) / np.maximum(own_units, 1)  # mean of 1 / others
        squares = (
            (member * self.values**2).sum() - (member * self.values**2).sum(axis=1) - (count * mean**2).sum(axis=1)
        )
        others = quiet.sum() - quiet
        df = np.maximum(count.sum(axis=1) - others - (count > 0).sum(axis=1) + 1, 1)
        rest = np.maximum(squares / df, max(self.floor, 1e-300))
        ratio = np.maximum(own, self.floor) / ((1 + inverse) * rest)
        return _Against(ratio, special.fdtrc(own_df, df, ratio), np.maximum(own - rest * inverse, self.floor), own_df)
