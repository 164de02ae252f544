"""How often the rule errs, by simulation: false alarms, power, coverage of `compare_arms`; coverage of `effects`.

    python -m tests.statistics.simulate [--studies 1000] [--only TEXT]

Every scenario draws studies in which no arm differs from the reference, and as many in which some do. Columns: *false*,
the share of studies with a star on any arm that differs in nothing (in %; 5 is promised, 10 where two or three units
have unequal spreads); *power*, the share of stars among the arms that differ, by 2 standard deviations of one trial;
*cover*, the share of single arms' intervals that hold the true difference; *half*, the median half-width of an
interval, in standard deviations of one trial; *means*, the share of intervals of single means that hold the true one.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sweeper.statistics import bootstrap_accuracy, compare_arms, effects, mcnemar_clustered, recordings_interval

Vector = NDArray[np.float64]
EFFECT = 2.0


@dataclass(frozen=True)
class Scenario:
    """Studies of `arms` × `folds` × `seeds`; arm 0 is the reference.

    An arm suits a fold better or worse: standard deviation `fold_sd`, of whose variance a share 1/`in_all` is common to
    all folds, as their training sets overlap (Nadeau and Bengio 2003). Seeds add a standard deviation of 1, changed by
    `noise`. Blocks vary more than that, alike in all arms. On a single fold, what is the fold's is part of the truth.
    """

    name: str
    seeds: int
    folds: int = 1
    in_all: int = 10
    arms: int = 12
    noise: str = "equal"
    fold_sd: float = 0.0
    clips: int = 0
    holes: str = ""
    differing: int = 4

    @property
    def units(self) -> int:
        return self.folds if self.folds > 1 else self.seeds

    @property
    def promised(self) -> float:
        """The largest share of studies with a false star."""
        return 0.10 if self.units <= 3 and (self.noise in UNEQUAL or self.holes) else 0.05

    def draw(self, rng: np.random.Generator, effect: float) -> tuple[Vector, Vector]:
        """Scores `[arms, folds, seeds]` and the true differences to the reference, `[arms]`."""
        shape = (self.arms, self.folds, self.seeds)
        scores = _noise(rng, self.noise, shape)
        if self.folds > 1:
            scores += self.fold_sd * math.sqrt(1 - 1 / self.in_all) * rng.normal(size=(self.arms, self.folds, 1))
            scores += self.fold_sd * math.sqrt(1 / self.in_all) * rng.normal(size=(self.arms, 1, 1))
            scores += 3 * rng.normal(size=(1, self.folds, 1))
        scores += rng.normal(size=(1, self.folds, self.seeds))
        truth = np.zeros(self.arms)
        truth[1 : 1 + min(self.differing, self.arms - 1)] = -effect * math.hypot(
            1, self.fold_sd if self.folds > 1 else 0
        )
        scores += truth[:, None, None]
        if self.clips:  # accuracies: noise of 2 points around 70 %
            scores = np.round(np.clip(0.70 + 0.02 * scores, 0, 1) * self.clips) / self.clips
            truth = 0.02 * truth
        return _with_holes(rng, self.holes, scores), truth


UNEQUAL = (
    "arms differ",
    "arms differ widely",
    "reference x3",
    "reference x2",
    "one x4",
    "three x4",
    "half x4",
    "quiet reference",
)


def _noise(rng: np.random.Generator, kind: str, shape: tuple[int, int, int]) -> Vector:
    """Seeds' noise, of unit standard deviation but for what `kind` says."""
    arms = shape[0]
    x = rng.normal(size=shape)
    scale = np.ones(arms)
    match kind:
        case "t3":
            x = rng.standard_t(3, size=shape) / math.sqrt(3)
        case "skewed":
            x = 1 - rng.exponential(size=shape)
        case "outliers":  # one trial in ten is five times as noisy
            x *= np.where(rng.random(shape) < 0.1, 5, 1) / math.sqrt(3.4)
        case "collapses":  # one trial in thirty fails to train
            x -= 10 * (rng.random(shape) < 1 / 30)
        case "seeds correlate":  # of a block's noise, arms of one half share half, and those of the other another half
            shared = rng.normal(size=(2, *shape[1:]))
            x = (x + shared[np.arange(arms) % 2]) / math.sqrt(2)
        case "reference apart":  # all arms but the reference share half of their noise
            x[1:] = (x[1:] + rng.normal(size=(1, *shape[1:]))) / math.sqrt(2)
        case "arms differ":
            scale = np.geomspace(0.5, 2, arms)[rng.permutation(arms)]
        case "arms differ widely":
            scale = np.geomspace(0.25, 4, arms)[rng.permutation(arms)]
        case "reference x3":
            scale[0] = 3
        case "reference x2":
            scale[0] = 2
        case "quiet reference":
            scale[0] = 1 / 3
        case "one x4":
            scale[-1] = 4
        case "three x4":
            scale[-3:] = 4
        case "half x4":
            scale[-(arms // 2) :] = 4
    return x * scale[:, None, None]


def _with_holes(rng: np.random.Generator, holes: str, scores: Vector) -> Vector:
    match holes:
        case "a fifth":
            scores[rng.random(scores.shape) < 0.2] = np.nan
        case "late arms":  # half of the arms have only the first two seeds
            scores[-(len(scores) // 2) :, :, 2:] = np.nan
        case "one seed":  # half of the arms have one seed of each fold
            scores[-(len(scores) // 2) :, :, 1:] = np.nan
        case "reference short":
            scores[0, :, -(scores.shape[2] // 2) :] = np.nan
    return scores


def scenarios() -> Iterator[Scenario]:
    for n in (2, 3, 4, 5, 6, 7, 8, 10, 20):
        yield Scenario(f"1 fold x {n}", n)
    for noise, ns in (
        *((kind, (2, 3, 5, 10)) for kind in UNEQUAL),
        *(
            (kind, (2, 5, 10))
            for kind in ("t3", "skewed", "outliers", "collapses", "seeds correlate", "reference apart")
        ),
    ):
        for n in ns:
            yield Scenario(f"1 fold x {n}, {noise}", n, noise=noise)
    for arms in (2, 3, 4, 6, 30):
        for n in (2, 3, 5, 10):
            yield Scenario(f"{arms} arms, 1 fold x {n}", n, arms=arms, differing=1)
        for noise in ("reference x3", "one x4", "arms differ"):
            for n in (3, 5):
                yield Scenario(f"{arms} arms, 1 fold x {n}, {noise}", n, arms=arms, noise=noise, differing=1)
    for clips in (120, 40):
        for arms in (12, 4, 2):
            for n in (2, 3, 5, 10):
                yield Scenario(f"{arms} arms, 1 fold x {n}, {clips} clips", n, arms=arms, clips=clips, differing=1)
    for n in (3, 7):
        yield Scenario(f"1 fold x {n}, all arms differ", n, differing=11)
    for folds, seeds, in_all in (
        (5, 1, 5),
        (10, 1, 10),
        (2, 10, 10),
        (3, 3, 10),
        (5, 3, 5),
        (7, 2, 10),
        (10, 2, 10),
        (10, 3, 10),
    ):
        for fold_sd in (0.0, 0.5, 1.0, 2.0):
            yield Scenario(
                f"{folds} of {in_all} folds x {seeds}, fold sd {fold_sd:g}", seeds, folds, in_all, fold_sd=fold_sd
            )
    for noise in ("arms differ", "reference x3", "one x4", "t3"):
        yield Scenario(f"10 folds x 2, fold sd 0.5, {noise}", 2, 10, fold_sd=0.5, noise=noise)
        yield Scenario(f"5 folds x 1, {noise}", 1, 5, 5, fold_sd=0.5, noise=noise)
    for holes, shapes in (
        ("a fifth", ((1, 3), (1, 5), (1, 10), (5, 3), (10, 2))),
        ("late arms", ((1, 3), (1, 5), (1, 10), (5, 3))),
        ("one seed", ((5, 3), (10, 3))),
        ("reference short", ((1, 5), (1, 10), (5, 3))),
    ):
        for folds, seeds in shapes:
            for fold_sd in (0.0, 0.5) if folds > 1 else (0.0,):
                name = f"{folds} fold x {seeds}, holes: {holes}" + (f", fold sd {fold_sd:g}" if folds > 1 else "")
                yield Scenario(name, seeds, folds, fold_sd=fold_sd, holes=holes)


@dataclass(frozen=True)
class Outcome:
    """Rates over `studies` studies, half of them without any difference."""

    studies: int
    false: float
    power: float
    cover: float
    half: float
    means: float

    @property
    def error(self) -> float:
        """Monte Carlo standard error of the false alarms, at the nominal 5 %."""
        return math.sqrt(0.05 * 0.95 / self.studies)


def simulate(scenario: Scenario, studies: int, seed: int = 0) -> Outcome:
    """Run the rule on `studies` studies."""
    rng = np.random.default_rng(seed)
    false, power, cover, half, means = [], [], [], [], []
    for number in range(studies):
        effect = EFFECT * (number % 2)
        scores, truth = scenario.draw(rng, effect)
        found = compare_arms(scores, 0, test_train_ratio=1 / (scenario.in_all - 1), folds_in_all=scenario.in_all)
        known = np.isfinite(found.low)
        assert (found.high > found.low)[known].all(), "an interval without width"
        excluded = (found.low > 0) | (found.high < 0)
        assert np.array_equal(found.significant, excluded), "star and interval disagree"
        assert np.array_equal(found.significant, np.nan_to_num(found.p, nan=1.0) <= 0.05), "star and p disagree"
        false.append(found.significant[truth == 0].any())
        power.append(found.significant[truth != 0].mean() if effect else np.nan)
        cover.append(((found.low <= truth) & (truth <= found.high))[known].mean() if known.any() else np.nan)
        half.append(np.median((found.high - found.low)[known]) / 2 if known.any() else np.nan)
        expected = truth + (0.7 if scenario.clips else 0.0)
        sure = np.isfinite(found.mean_low)
        means.append(
            ((found.mean_low <= expected) & (expected <= found.mean_high))[sure].mean() if sure.any() else np.nan
        )
    unit = 0.02 if scenario.clips else 1.0
    return Outcome(
        studies, float(np.mean(false)), *(float(np.nanmean(x)) for x in (power, cover, np.array(half) / unit, means))
    )


def clustered_answers(
    rng: np.random.Generator, *, arms: int, seeds: int, recordings: int, clips: int, retraining: float = 0.3
) -> tuple[Vector, NDArray[np.intp]]:
    """Right answers `[arms, seeds, clips]` of equally good arms, and the clips' recordings.

    Recordings differ in how hard they are, and arms in how well they do on each; so do retrainings of an arm, which
    also differ by `retraining` in how good they are.
    """
    hardness = 1 + rng.normal(size=(1, 1, recordings)) + 0.7 * rng.normal(size=(arms, 1, recordings))
    trained = retraining * rng.normal(size=(arms, seeds, 1)) + 0.5 * rng.normal(size=(arms, seeds, recordings))
    source = np.repeat(np.arange(recordings), clips)
    latent = (hardness + trained)[:, :, source] + 0.7 * rng.normal(size=(1, 1, source.size))
    return (latent + rng.normal(size=(arms, seeds, source.size)) > 0).astype(float), source


def recordings_coverage(studies: int, seeds: int, *, arms: int = 12, seed: int = 0) -> float:
    """Share of intervals for other recordings that hold the true difference, 0."""
    rng, held = np.random.default_rng(seed), []
    for _ in range(studies):
        correct, source = clustered_answers(rng, arms=arms, seeds=seeds, recordings=40, clips=5)
        found = recordings_interval(correct, source, 0)
        held.append(((found.low <= 0) & (found.high >= 0))[1:].mean())
    return float(np.mean(held))


def one_pair_of_networks(studies: int, *, seed: int = 0) -> tuple[float, float]:
    """How often McNemar's clustered test calls equally good networks different, and how often the bootstrap's interval
    holds an accuracy."""
    rng, different, held = np.random.default_rng(seed), [], []
    truth = float(stats.norm.cdf(1 / math.sqrt(1 + 1 + 0.7**2 + 0.5**2 + 0.7**2)))
    for _ in range(studies):
        correct, source = clustered_answers(rng, arms=2, seeds=1, recordings=60, clips=5, retraining=0)
        different.append(mcnemar_clustered(correct[0, 0], correct[1, 0], source).p_value <= 0.05)
        low, high = bootstrap_accuracy(correct[0, 0], source, rng=rng, resamples=499)
        held.append(low <= truth <= high)
    return float(np.mean(different)), float(np.mean(held))


def effect_coverage(
    studies: int, units: int, *, noise: str = "equal", folds: bool = False, seed: int = 0
) -> tuple[float, float, float]:
    """Of a 2³ design: shares of studies whose intervals hold all effects, and of single intervals, and their half-width
    over that of a comparison of one of its arms with the reference."""
    rng = np.random.default_rng(seed)
    levels = np.array([[2 * (arm >> factor & 1) - 1 for factor in range(3)] for arm in range(8)])
    scenario = Scenario("", 1 if folds else units, units if folds else 1, units if folds else 10, 8, noise, 1.0)
    options = {"test_train_ratio": 1 / (scenario.in_all - 1), "folds_in_all": scenario.in_all}
    together, single, ratio = [], [], []
    for _ in range(studies):
        scores, _ = scenario.draw(rng, 0.0)
        found = effects(scores, levels, **options)
        held = (found.low <= 0) & (found.high >= 0)
        together.append(held.all())
        single.append(held.mean())
        if len(ratio) < 200:
            arms = compare_arms(scores, 7, **options)
            ratio.append((found.high[0] - found.low[0]) / np.nanmedian(arms.high - arms.low))
    return float(np.mean(together)), float(np.mean(single)), float(np.median(ratio))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    print(f"{'compare_arms':48} {'false':>6} {'power':>6} {'cover':>6} {'half':>6} {'means':>6}")
    for scenario in scenarios():
        if args.only in scenario.name:
            found = simulate(scenario, args.studies)
            broken = found.false > scenario.promised + 2 * math.sqrt(
                scenario.promised * (1 - scenario.promised) / args.studies
            )
            print(
                f"{scenario.name:48} {100 * found.false:6.1f} {100 * found.power:6.0f} {100 * found.cover:6.1f} "
                f"{found.half:6.2f} {100 * found.means:6.1f}{' <- more false alarms than promised' if broken else ''}",
                flush=True,
            )
    print(f"\n{'effects of a 2^3 design':48} {'all %':>6} {'one %':>6} {'half-width / comparison':>24}")
    for units in (2, 3, 5, 10):
        for noise in ("equal", "arms differ", "one x4"):
            for folds in (False, True):
                name = f"{units} {'folds' if folds else 'seeds'}, {noise}"
                if args.only in name:
                    together, single, ratio = effect_coverage(args.studies, units, noise=noise, folds=folds)
                    print(f"{name:48} {100 * together:6.1f} {100 * single:6.1f} {ratio:24.2f}", flush=True)
    print(f"\n{'differences on other recordings':48} {'cover':>6}")
    for seeds in (2, 3, 5, 10):
        print(f"{seeds} seeds{'':41} {100 * recordings_coverage(args.studies, seeds):6.1f}", flush=True)
    different, held = one_pair_of_networks(args.studies)
    print(f"\nMcNemar's test, equal networks: {100 * different:.1f} % called different")
    print(f"bootstrap of an accuracy: {100 * held:.1f} % cover")


if __name__ == "__main__":
    main()
