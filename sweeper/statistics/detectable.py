"""Before the GPU hours: what can this design show? By simulating the rule itself.

Shifting an arm moves its difference and leaves its interval's width alone. So one simulation without any difference
gives, per study and arm, a difference d and a half-width h, and a true difference δ is found where |d + δ| > h: the
same draws for every δ, and the power a smooth function of it.
"""

import math

import numpy as np

from sweeper.statistics._arrays import fraction
from sweeper.statistics.arms import differences
from sweeper.statistics.spread import spread
from sweeper.statistics.units import Units

STUDIES = 200


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
        arms: in the study, the reference and those that are there already included.
        folds, seeds: planned.
        test_train_ratio, folds_in_all: as in `compare_arms`.
        fold_sd: standard deviation of how an arm suits a fold, in the unit of the answer; on one fold it has no part.
        seed_sd: standard deviation over retrainings of one arm on one fold, in the unit of the answer.
        power: probability of finding it.
        confidence: of the intervals.
        rng: draws the studies.

    Returns:
        Infinity where no difference is found with that probability (one unit, one arm).
    """
    if arms < 1 or folds < 1 or seeds < 1:
        raise ValueError(f"expected at least 1 arm, fold and seed, got {arms}, {folds} and {seeds}")
    fraction("power", power)
    for name, sd in (("fold_sd", fold_sd), ("seed_sd", seed_sd)):
        if not (math.isfinite(sd) and sd >= 0):
            raise ValueError(f"{name}: expected a number of at least 0, got {sd}")
    if arms == 1:
        return math.inf
    shared = 1 / folds_in_all if folds > 1 else 0.0
    scale = math.hypot(seed_sd, fold_sd) or 1.0
    found = []
    for _ in range(STUDIES):
        scores = seed_sd * rng.normal(size=(arms, folds, seeds))
        if folds > 1:
            scores += fold_sd * math.sqrt(1 - shared) * rng.normal(size=(arms, folds, 1))
            scores += fold_sd * math.sqrt(shared) * rng.normal(size=(arms, 1, 1))
        layout = Units(scores, test_train_ratio, folds_in_all, resolution=1e-9 * scale)
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
