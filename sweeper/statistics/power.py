"""Before the GPU hours: what can this design show at all?

Reference: J. Cohen. Statistical Power Analysis for the Behavioral Sciences (1988), ch. 2; variance of the
mean as in `intervals` (Nadeau & Bengio 2003).
"""

import math

from scipy import optimize, stats

from sweeper.statistics._arrays import fraction
from sweeper.statistics.intervals import variance_factor
from sweeper.statistics.sign_flip import MAX_EXACT, smallest_p


def smallest_detectable_difference(
    sd: float, n: int, *, test_train_ratio: float, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The smallest true difference that the two-sided corrected t-test finds with the given power.

    Args:
        sd: standard deviation of the paired differences over blocks, from a pilot or an earlier study; its
            unit is the unit of the answer.
        n: blocks (folds × seeds).
        test_train_ratio: test clips per training clip: 1/(k − 1) for k folds, 0.25 for an 80:20 split.
        alpha: of one test; alpha / k is the first and hardest step of Holm's over k arms.
        power: probability of finding it.

    Returns:
        Infinity for a single block, from which no variance can be estimated.
    """
    if not (math.isfinite(sd) and sd >= 0):
        raise ValueError(f"sd: expected a number of at least 0, got {sd}")
    if n < 1:
        raise ValueError(f"n: expected at least 1 block, got {n}")
    fraction("alpha", alpha)
    if not alpha < fraction("power", power):
        raise ValueError(f"power: expected a value above alpha = {alpha}, got {power}")
    if n == 1:
        return math.inf
    critical = float(stats.t.ppf(1 - alpha / 2, n - 1))

    def shortfall(noncentrality: float) -> float:
        return _power_of_t(noncentrality, n - 1, critical) - power

    upper = 1.0
    while shortfall(upper) < 0:
        upper *= 2
    noncentrality = optimize.brentq(shortfall, 0.0, upper)
    return float(noncentrality * sd * math.sqrt(variance_factor(n, test_train_ratio)))


def blocks_needed(arms: int, alpha: float = 0.05) -> int:
    """Blocks from which on the sign-flip test can find one arm among `arms`, after Holm.

    The best arm has to pass alpha / arms, and n blocks can't go below 2 / 2^n.
    """
    if arms < 1:
        raise ValueError(f"arms: expected at least 1 compared with the reference, got {arms}")
    target = fraction("alpha", alpha) / arms
    for n in range(1, MAX_EXACT + 2):
        if smallest_p(n) <= target:
            return n
    raise ValueError(f"no number of blocks reaches p = {target:.2g} (alpha {alpha} over {arms} arms)")


def reach_sentence(n: int, arms: int, *, alpha: float = 0.05, blocks_per_seed: int = 1) -> str:
    """One sentence for the dry run: can n blocks make any of `arms` significant, and what is missing?

    Args:
        n: blocks (folds × seeds) of the plan.
        arms: arms compared with the reference, the reference not counted.
        alpha: family-wise error rate of Holm's procedure.
        blocks_per_seed: folds, the blocks that one more seed adds.
    """
    if blocks_per_seed < 1:
        raise ValueError(f"blocks_per_seed: expected at least 1, got {blocks_per_seed}")
    reached, needed = smallest_p(n), blocks_needed(arms, alpha)
    holm = "" if arms == 1 else f" ({min(1.0, arms * reached):.3g} after Holm over {arms} arms)"
    blocks = _count(n, "block")
    if n >= needed:
        return f"{blocks} can go down to p = {reached:.3g}{holm}: significance at {alpha:g} is within reach"
    seeds = math.ceil((needed - n) / blocks_per_seed)
    total = n + seeds * blocks_per_seed
    return (
        f"{blocks} can't go below p = {reached:.3g}{holm}: no arm can be significant at {alpha:g}; "
        f"add {_count(seeds, 'seed')} for {_count(total, 'block')}"
    )


def _power_of_t(noncentrality: float, df: int, critical: float) -> float:
    """P(|T| > critical) for noncentral t, whose square is noncentral F: both tails in one call."""
    return float(stats.ncf.sf(critical**2, 1, df, noncentrality**2))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
