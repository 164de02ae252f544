"""Where does the spread come from? Variance components of a crossed design, by analysis of variance.

Within each fold, every seed of each source (say initial values, batch order, augmentation) meets every seed of the
others. With k seeds of each of s sources in F folds, and mean squares MS,

    E MS(rest)   = σ²(rest)
    E MS(source) = σ²(rest) + k^(s−1) · σ²(source)
    E MS(fold)   = σ²(rest) + k^(s−1) · Σ σ²(source) + k^s · σ²(fold)

and the components are what solves these (method of moments). The rest holds what sources make of each other, and all
that has no seed of its own here. Intervals are generalised ones (Weerahandi): mean squares are drawn back from their
chi-square laws. A source's p is that of the F test of its mean square against the rest's.

References: S. Searle, G. Casella, C. McCulloch. Variance Components (1992), ch. 4; S. Weerahandi. Generalized
confidence intervals. JASA 88 (1993) 899–905; X. Bouthillier et al. Accounting for variance in machine learning
benchmarks. MLSys 2021 (seeds that vary one source at a time).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS = 20_000
FOLD, REST = "fold", "what is left"


@dataclass(frozen=True)
class Component:
    """A source's part of the variance of one score.

    Attributes:
        name: of the source.
        variance: in the square of the scores' unit; an estimate can fall below 0 by chance.
        low, high: its interval, cut at 0.
        share, share_low, share_high: of the whole variance, 0 to 1.
        df: degrees of freedom of the source's mean square.
        p: under the null hypothesis that the component is 0, with Bonferroni's correction; NaN for the rest.
        significant: whether p is at most 1 − confidence.
    """

    name: str
    variance: float
    low: float
    high: float
    share: float
    share_low: float
    share_high: float
    df: int
    p: float
    significant: bool


def crossed_components(
    scores: ArrayLike,
    sources: Sequence[str],
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    resolution: float = 0.0,
) -> tuple[Component, ...]:
    """The components of folds (where there are two), of each source, and of the rest.

    Args:
        scores: `[folds, seeds of the first source, …, of the last]`, as many seeds of each, two at least.
        sources: their names.
        rng: draws the intervals.
        confidence: of each interval.
        resolution: smallest step of a score; mean squares are taken to be at least resolution² / 12, as rounding makes.

    Raises:
        ValueError: another shape, or a score that is missing.
    """
    y = np.asarray(scores, dtype=np.float64)
    number = len(sources)
    if y.ndim != number + 1 or number < 2 or len({*y.shape[1:]}) != 1 or y.shape[1] < 2 or not len(y):
        raise ValueError(f"scores: expected [folds, {', '.join(sources)}], 2 seeds of each or more, got {y.shape}")
    if not np.isfinite(y).all():
        raise ValueError("scores: expected finite values")
    folds, k = y.shape[0], y.shape[1]
    per_seed, per_fold = k ** (number - 1), k**number
    inside = tuple(range(1, number + 1))
    centre = y.mean(axis=inside, keepdims=True)
    squares, df = [], []
    for axis in inside:
        level = y.mean(axis=tuple(other for other in inside if other != axis), keepdims=True)
        squares.append(per_seed * float(((level - centre) ** 2).sum()))
        df.append(folds * (k - 1))
    rest_df = folds * (per_fold - 1) - sum(df)
    rest = max(float(((y - centre) ** 2).sum()) - sum(squares), 0.0)
    squares, df = [*squares, rest], [*df, rest_df]
    if folds > 1:
        squares.append(per_fold * float(((centre - y.mean()) ** 2).sum()))
        df.append(folds - 1)
    told = np.maximum(squares, np.array(df) * resolution**2 / 12)[:, None]
    seen = _solved(told / np.array(df)[:, None], number, per_seed, per_fold)
    drawn = _solved(told / rng.chisquare(np.array(df)[:, None], (len(df), DRAWS)), number, per_seed, per_fold)
    names = [*sources, REST, *([FOLD] if folds > 1 else [])]
    shares, drawn_shares = _shares(seen)[:, 0], _shares(drawn)
    tail = (1 - confidence) / 2
    ends, share_ends = (np.quantile(values, [tail, 1 - tail], axis=1) for values in (drawn, drawn_shares))
    tested = len(names) - 1
    found = []
    for i, name in enumerate(names):
        p = float("nan") if name == REST else min(1.0, tested * float((drawn[i] <= 0).mean()))
        found.append(
            Component(
                name=name,
                variance=float(seen[i, 0]),
                low=max(float(ends[0, i]), 0.0),
                high=max(float(ends[1, i]), 0.0),
                share=float(shares[i]),
                share_low=float(share_ends[0, i]),
                share_high=float(share_ends[1, i]),
                df=int(df[i]),
                p=p,
                significant=p <= 1 - confidence,
            )
        )
    return (*found[number + 1 :], *found[: number + 1])


def _solved(mean: NDArray[np.float64], number: int, per_seed: int, per_fold: int) -> NDArray[np.float64]:
    """Components `[sources, rest, fold]` from mean squares in that order; `[.., draws]`."""
    rest = mean[number]
    of_sources = (mean[:number] - rest) / per_seed
    of_folds = (mean[number + 1 :] - rest - per_seed * of_sources.sum(axis=0)) / per_fold
    return np.concatenate([of_sources, rest[None], of_folds])


def _shares(components: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the whole, of which nothing is below 0."""
    parts = np.maximum(components, 0.0)
    whole = parts.sum(axis=0)
    return np.where(whole > 0, parts / np.where(whole > 0, whole, 1.0), 0.0)
