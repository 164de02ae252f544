"""Before the GPU hours: what can this design show? By simulating the rule itself.

Shifting an arm moves its difference and leaves its interval's width alone. So one simulation without any difference
gives, per study and arm, a difference d and a half-width h, and a true difference δ is found where |d + δ| > h: the
same draws for every δ, and the power a smooth function of it.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweeper.statistics._arrays import fraction
from sweeper.statistics.arms import differences
from sweeper.statistics.effects import effects
from sweeper.statistics.spread import spread
from sweeper.statistics.units import Units

STUDIES = 200
FEWER_STUDIES = 40  # for a median over all arms of all studies, which varies less


def detectable_difference(
    arms: int,
    folds: int,
    seeds: int,
    *,
    test_train_ratio: float,
    folds_in_all: int,
    fold_sd: float = 0.0,
    seed_sd: float = 1.0,
    power: float = 0.8,
    confidence: float = 0.95,
    rng: np.random.Generator,
) -> float:
    """The smallest true difference of one arm that `compare_arms` finds with probability `power`.

    Args:
        arms: number in the study, including the reference and arms run earlier.
        folds, seeds: planned.
        test_train_ratio, folds_in_all: as in `compare_arms`.
        fold_sd: standard deviation of the arm × fold interaction, in the unit of the answer; not used on one fold.
        seed_sd: standard deviation over retrainings of one arm on one fold, in the unit of the answer.
        power: probability of finding it.
        confidence: of the intervals.
        rng: draws the studies.

    Returns:
        Infinity where no difference is found with that probability (one unit, one arm).
    """
    _check(arms, folds, seeds, fold_sd, seed_sd)
    fraction("power", power)
    if arms == 1:
        return math.inf
    resolution = 1e-9 * (math.hypot(seed_sd, fold_sd) or 1.0)
    found = []
    for scores in _studies(STUDIES, arms, folds, seeds, folds_in_all, fold_sd, seed_sd, rng):
        layout = Units(scores, test_train_ratio, folds_in_all, resolution)
        of_arms = differences(scores, 0, layout, spread(layout.residual, 0, layout.floor), 1 - confidence)
        found.append((of_arms.diff[1:], of_arms.half[1:]))
    d, h = (np.concatenate(part) for part in zip(*found, strict=True))
    if not np.isfinite(h).all():
        return math.inf

    def share(delta: float) -> float:
        return float((np.abs(d + delta) > h).mean())

    lower, upper = 0.0, float(np.max(h + np.abs(d))) + 1e-300
    for _ in range(60):
        middle = (lower + upper) / 2
        lower, upper = (lower, middle) if share(middle) >= power else (middle, upper)
    return upper


def half_widths(
    arms: int,
    folds: int,
    seeds: int,
    *,
    test_train_ratio: float,
    folds_in_all: int,
    fold_sd: float = 0.0,
    seed_sd: float = 1.0,
    levels: ArrayLike | None = None,
    confidence: float = 0.95,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Median half-widths, over simulated studies, of the intervals that `compare_arms` and `effects` give.

    Doubling both standard deviations doubles both half-widths.

    Args:
        arms, folds, seeds, test_train_ratio, folds_in_all, fold_sd, seed_sd, confidence, rng: as for
            `detectable_difference`.
        levels: of a factorial among the arms, as `effects` takes them, `[runs, factors]`.

    Returns:
        of an arm's difference, and of an effect; infinite where there is none (one unit, one arm, no factorial).
    """
    _check(arms, folds, seeds, fold_sd, seed_sd)
    resolution = 1e-9 * (math.hypot(seed_sd, fold_sd) or 1.0)
    of_arms, of_effects = [np.array([math.inf])], [math.inf]
    if arms > 1 and folds * seeds > 1:
        of_arms, of_effects = [], [] if levels is not None else of_effects
        for scores in _studies(FEWER_STUDIES, arms, folds, seeds, folds_in_all, fold_sd, seed_sd, rng):
            layout = Units(scores, test_train_ratio, folds_in_all, resolution)
            found = differences(scores, 0, layout, spread(layout.residual, 0, layout.floor), 1 - confidence)
            of_arms.append(np.where(np.isfinite(found.half[1:]), found.half[1:], math.inf))
            if levels is not None:
                runs = np.asarray(levels)
                told = effects(
                    scores[: len(runs)],
                    runs,
                    test_train_ratio=test_train_ratio,
                    folds_in_all=folds_in_all,
                    confidence=confidence,
                    resolution=resolution,
                )
                of_effects.append(float(told.high[0] - told.low[0]) / 2)
    return float(np.median(np.concatenate(of_arms))), float(np.median(of_effects))


def _check(arms: int, folds: int, seeds: int, fold_sd: float, seed_sd: float) -> None:
    if arms < 1 or folds < 1 or seeds < 1:
        raise ValueError(f"expected at least 1 arm, fold and seed, got {arms}, {folds} and {seeds}")
    for name, sd in (("fold_sd", fold_sd), ("seed_sd", seed_sd)):
        if not (math.isfinite(sd) and sd >= 0):
            raise ValueError(f"{name}: expected a number of at least 0, got {sd}")


def _studies(
    number: int,
    arms: int,
    folds: int,
    seeds: int,
    folds_in_all: int,
    fold_sd: float,
    seed_sd: float,
    rng: np.random.Generator,
) -> Iterator[NDArray[np.float64]]:
    """Scores `[arms, folds, seeds]` of studies in which nothing differs."""
    shared = 1 / folds_in_all if folds > 1 else 0.0
    for _ in range(number):
        scores = seed_sd * rng.normal(size=(arms, folds, seeds))
        if folds > 1:
            scores += fold_sd * math.sqrt(1 - shared) * rng.normal(size=(arms, folds, 1))
            scores += fold_sd * math.sqrt(shared) * rng.normal(size=(arms, 1, 1))
        yield scores
