"""Several data sets: does one of them say something else than the others, and which arm leads on most?

For a claim about further data sets, the data sets are the sample, however many trials each has. With five of them a
sign test can't reach p = 0.05 even if all agree (2 · 2⁻⁵ = 0.06); so no claim is made from fewer than `ENOUGH`.

References: W. Cochran. Biometrics 10 (1954) 101–129; J. Higgins, S. Thompson. Statistics in Medicine 21 (2002)
1539–1558 (I²); R. DerSimonian, N. Laird. Controlled Clinical Trials 7 (1986) 177–188; J. Demšar. JMLR 7 (2006) 1–30
(ranks, Friedman's test as Iman and Davenport correct it, Nemenyi's critical difference).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweeper.statistics._arrays import fraction

Vector = NDArray[np.float64]

ENOUGH = 6  # data sets
SIMULATED = 20_000


@dataclass(frozen=True)
class Heterogeneity:
    """How much more the differences of an arm vary over data sets than their errors explain; vectors `[arms]`.

    Attributes:
        p: of Cochran's Q, were the difference the same on all data sets; NaN with fewer than two.
        share: I², the part of the variance that lies between data sets, 0 to 1.
        sd: τ, standard deviation of the true differences over data sets, in the unit of the differences.
    """

    p: Vector
    share: Vector
    sd: Vector


@dataclass(frozen=True)
class Ranking:
    """Arms by their mean rank over data sets.

    Attributes:
        rank: mean over data sets, 1 for the best; `[arms]`.
        p: that all arms are alike (Friedman, as Iman and Davenport correct it).
        apart: Nemenyi's critical difference: smaller differences of mean ranks are not significant.
        alike: longest runs of arms (indices, best first) within `apart` of each other; all arms if p > 1 − confidence.
    """

    rank: Vector
    p: float
    apart: float
    alike: tuple[tuple[int, ...], ...]


def heterogeneity(diff: ArrayLike, error: ArrayLike, df: ArrayLike | None = None) -> Heterogeneity:
    """Whether arms differ from the reference by the same amount on all data sets.

    Standard errors of few degrees of freedom are small by chance, and Q then large: a third of what is taken for a
    difference of data sets would be none. With `df`, p is that of Q under such errors, by simulation.

    Args:
        diff: differences, `[arms, data sets]`; NaN where an arm has none.
        error: their standard errors, `[arms, data sets]`; NaN where none is known.
        df: degrees of freedom of these, `[arms, data sets]`; None where they are exact.

    Raises:
        ValueError: shapes that don't fit, or an error that is not above 0.
    """
    d, e = np.asarray(diff, np.float64), np.asarray(error, np.float64)
    if d.ndim != 2 or d.shape != e.shape:
        raise ValueError(f"error: expected the shape of diff, [arms, data sets], got {e.shape} for {d.shape}")
    if (e <= 0).any():
        raise ValueError(f"error: expected standard errors above 0, got {e[e <= 0][0]}")
    known = np.isfinite(d) & np.isfinite(e)
    weight = np.where(known, 1 / np.where(known, e, 1.0) ** 2, 0.0)
    d = np.where(known, d, 0.0)
    sets = known.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = weight.sum(axis=1)
        q = (weight * (d - ((weight * d).sum(axis=1) / whole)[:, None]) ** 2).sum(axis=1)
        excess = np.maximum(q - (sets - 1), 0.0)
        share = np.where(q > 0, excess / q, 0.0)
        variance = excess / (whole - (weight**2).sum(axis=1) / whole)
    told = sets > 1
    from scipy import stats  # takes longer to import than a leaderboard of one study to print

    p = np.where(told, stats.chi2.sf(q, np.maximum(sets - 1, 1)), np.nan)
    if df is not None:
        degrees = np.asarray(df, np.float64)
        for arm in np.flatnonzero(told):
            p[arm] = _simulated_p(q[arm], e[arm][known[arm]], degrees[arm][known[arm]])
    return Heterogeneity(p, np.where(told, share, np.nan), np.sqrt(np.where(told, variance, np.nan)))


def _simulated_p(q: float, error: Vector, df: Vector) -> float:
    """How often Q is as large where nothing differs and errors, estimated with `df`, are these."""
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(SIMULATED, len(error))) * error
    weight = df / rng.chisquare(df, size=drawn.shape) / error**2
    mean = (weight * drawn).sum(axis=1) / weight.sum(axis=1)
    larger = (weight * (drawn - mean[:, None]) ** 2).sum(axis=1) >= q
    return float(larger.sum() + 1) / (SIMULATED + 1)


def ranking(scores: ArrayLike, confidence: float = 0.95) -> Ranking:
    """Rank arms on every data set, and say which ranks can be told apart.

    Args:
        scores: mean scores, `[arms, data sets]`, larger is better; at least two of both.
        confidence: of `apart`.

    Raises:
        ValueError: another shape, or a score that is missing.
    """
    y = np.asarray(scores, np.float64)
    if y.ndim != 2 or min(y.shape) < 2 or not np.isfinite(y).all():
        raise ValueError(f"scores: expected finite [arms, data sets], at least two of both, got shape {y.shape}")
    fraction("confidence", confidence)
    arms, sets = y.shape
    from scipy import stats  # takes longer to import than a leaderboard of one study to print

    ranks = stats.rankdata(-y, axis=0)
    mean = ranks.mean(axis=1)
    spread = arms * (arms + 1) / 12
    chi2 = sets * float(((mean - (arms + 1) / 2) ** 2).sum()) / spread
    most = sets * (arms - 1)
    p = 0.0 if chi2 >= most else float(stats.f.sf((sets - 1) * chi2 / (most - chi2), arms - 1, (arms - 1) * (sets - 1)))
    apart = float(stats.studentized_range.ppf(confidence, arms, np.inf)) * math.sqrt(spread / sets)
    return Ranking(mean, p, apart, _alike(mean, apart if p <= 1 - confidence else math.inf))


def _alike(rank: Vector, apart: float) -> tuple[tuple[int, ...], ...]:
    order = np.argsort(rank, kind="stable")
    runs: list[tuple[int, ...]] = []
    end = 0
    for start in range(len(order)):
        last = max(i for i in range(start, len(order)) if rank[order[i]] - rank[order[start]] < apart)
        if last > start and last >= end:
            runs.append(tuple(int(i) for i in order[start : last + 1]))
            end = last + 1
    return tuple(runs)
