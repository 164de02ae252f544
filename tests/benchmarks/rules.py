"""The rule beside others on the same simulated studies: `python -m tests.benchmarks.rules [--studies 1000]`.

One fold, twelve arms, Gaussian noise. Each cell: share of studies without any difference in which some arm gets a star
/ share of stars among arms that differ by 2 standard deviations of one trial; both in %. Studies as in
`tests.statistics.simulate`, the same for every rule. 5 % false alarms are allowed, 10 % where two or three seeds have
unequal spreads.
"""

import argparse
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from sweeper.statistics import compare_arms
from sweeper.statistics.dunnett import coarse, critical_t
from tests.statistics.simulate import EFFECT, Scenario

Vector = NDArray[np.float64]
LEVEL = 0.05


def ours(y: Vector) -> Vector:
    """Half-widths of `compare_arms`, `[arms - 1]`, of `y` `[arms, units]`."""
    found = compare_arms(y[:, None], 0, test_train_ratio=0.0, folds_in_all=1)
    return ((found.high - found.low) / 2)[1:]


def plain_pooling(y: Vector) -> Vector:
    """Dunnett's test with the variance of the two-way layout."""
    arms, n = y.shape
    df = (arms - 1) * (n - 1)
    error = math.sqrt(2 * (_residuals(y) ** 2).sum() / df / n)
    return np.full(arms - 1, critical_t(LEVEL, coarse(df), math.sqrt(0.5), arms - 1) * error)


def larger_variance(y: Vector) -> Vector:
    """The pooled variance or the own, whichever is larger, for reference and arm alike."""
    return _guarded(y, arm_level=1.0, reference_level=1.0)


def f_tests(y: Vector) -> Vector:
    """The own variance where it is larger by an F test: at 2 % an arm's, at 20 % the reference's."""
    return _guarded(y, arm_level=0.02, reference_level=0.20)


def paired_t_holm(y: Vector) -> Vector:
    """Each difference's own variance, Bonferroni's level: Holm's first step, to which an interval belongs."""
    arms, n = y.shape
    d = y[1:] - y[0]
    return special.stdtrit(n - 1, 1 - LEVEL / 2 / (arms - 1)) * d.std(axis=1, ddof=1) / math.sqrt(n)


def moderated_t_holm(y: Vector) -> Vector:
    """The same with variances drawn towards a common one, as far as they seem to agree (Smyth 2004)."""
    arms, n = y.shape
    own, df = (y[1:] - y[0]).var(axis=1, ddof=1), n - 1
    e = np.log(own) - special.digamma(df / 2) + math.log(df / 2)
    excess = e.var(ddof=1) - special.polygamma(1, df / 2)
    if excess > 1e-3:
        prior = 2 * optimize.brentq(lambda x: special.polygamma(1, x) - excess, 1e-3, 1e4)
        common = math.exp(e.mean() + special.digamma(prior / 2) - math.log(prior / 2))
        variance, total = (prior * common + df * own) / (prior + df), prior + df
    else:
        variance, total = np.full(arms - 1, math.exp(e.mean())), 1e6
    total = min(total, (arms - 1) * df)
    return special.stdtrit(total, 1 - LEVEL / 2 / (arms - 1)) * np.sqrt(variance / n)


def _residuals(y: Vector) -> Vector:
    return y - y.mean(axis=1, keepdims=True) - y.mean(axis=0) + y.mean()


def _guarded(y: Vector, arm_level: float, reference_level: float) -> Vector:
    """Welch and Dunnett with the pooled variance, unless an own one is larger, and at this level."""
    arms, n = y.shape
    rest = y[1:] - y[1:].mean(axis=1, keepdims=True)
    block = rest.mean(axis=0)
    squares = ((rest - block) ** 2).sum(axis=1)
    df = (arms - 2) * (n - 1)
    pool = squares.sum() / df
    own = squares / (n - 1) * (arms - 1) / (arms - 2)
    ratio = own / ((squares.sum() - squares) / (df - n + 1))
    is_own = (own > pool) & (special.fdtrc(n - 1, df - n + 1, ratio) < arm_level)
    variance, free = np.where(is_own, own, pool), np.where(is_own, n - 1, df)
    deviation = y[0] - y[0].mean() - block
    apart = (deviation**2).sum() / (n - 1)
    reference, reference_df = pool, df
    tail = special.fdtrc(n - 1, df, apart / (pool * arms / (arms - 1)))
    if apart - pool / (arms - 1) > pool and tail < reference_level:
        reference, reference_df = apart - pool / (arms - 1), n - 1
    total = variance + reference
    welch = total**2 / (variance**2 / free + reference**2 / reference_df)
    welch = np.where(~is_own & (reference_df == df), df, welch)
    loading = math.floor(100 * float(np.sqrt(reference / total).mean())) / 100
    critical = np.array([critical_t(LEVEL, coarse(float(each)), loading, arms - 1) for each in welch])
    return critical * np.sqrt(total / n)


RULES: dict[str, Callable[[Vector], Vector]] = {
    "compare_arms": ours,
    "own variance by F tests": f_tests,
    "plain pooling": plain_pooling,
    "always the larger variance": larger_variance,
    "paired t, Holm": paired_t_holm,
    "moderated t, Holm": moderated_t_holm,
}
NOISE = ("equal", "arms differ", "reference x3", "one x4", "three x4")


def main() -> None:
    """Compare and print, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    studies = parser.parse_args().studies
    print(f"| seeds, noise | {' | '.join(RULES)} |\n|---|{'---|' * len(RULES)}")
    for seeds in (2, 3, 5, 10):
        for noise in NOISE:
            scenario, rng = Scenario("", seeds, noise=noise), np.random.default_rng(0)
            false, power = np.zeros(len(RULES)), np.zeros(len(RULES))
            for _ in range(studies):
                y = scenario.draw(rng, 0.0)[0][:, 0]
                d = y[1:].mean(axis=1) - y[0].mean()
                for i, rule in enumerate(RULES.values()):
                    half = rule(y)  # shifting an arm would leave it alone
                    false[i] += (np.abs(d) > half).any()
                    power[i] += (np.abs(d - EFFECT) > half).mean()
            cells = (f"{100 * f / studies:.1f} / {100 * p / studies:.0f}" for f, p in zip(false, power, strict=True))
            print(f"| {seeds}, {noise} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
