"""Error rates of the package's methods by simulation, with the naive method's beside them.

    python -m tests.statistics.simulate

Each scenario draws many studies in which the arm is as good as the reference, and counts how often a method
says that it differs (false alarms, nominally 5 %) and how often its 95 % interval holds the true value
(coverage). ± is one Monte Carlo standard error.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sweeper.statistics import (
    bootstrap_accuracy,
    bootstrap_difference,
    holm,
    mcnemar_clustered,
    mean_interval,
    sign_flip_p,
    smallest_detectable_difference,
)

ALPHA = 0.05


@dataclass(frozen=True)
class Rate:
    """How often something happened in `studies` simulated studies."""

    rate: float
    studies: int

    @property
    def error(self) -> float:
        return (self.rate * (1 - self.rate) / self.studies) ** 0.5

    def __str__(self) -> str:
        return f"{100 * self.rate:5.1f} ± {100 * self.error:.1f}"


@dataclass(frozen=True)
class Row:
    """One method in one scenario. Whether it is the naive way is said in its name."""

    scenario: str
    method: str
    false_alarms: Rate | None = None
    coverage: Rate | None = None


def rate(events: object) -> Rate:
    events = np.asarray(events, dtype=bool)
    return Rate(float(events.mean()), events.size)


def t_interval_rates(differences: NDArray[np.float64], ratio: float, truth: float) -> tuple[Rate, Rate]:
    """False alarms (0 outside) and coverage (`truth` inside) of the interval, `[studies, blocks]`."""
    low, high = np.array([mean_interval(row, test_train_ratio=ratio) for row in differences]).T
    return rate((low > 0) | (high < 0)), rate((low <= truth) & (truth <= high))


def correlated_blocks(studies: int, rng: np.random.Generator, n: int = 10, ratio: float = 1 / 9) -> list[Row]:
    """Nadeau and Bengio's own model: Gaussian, correlated by ratio / (1 + ratio) through shared data."""
    correlation = ratio / (1 + ratio)
    shared, own = rng.normal(size=(studies, 1)), rng.normal(size=(studies, n))
    differences = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    scenario = f"{n} Gaussian blocks, correlation {correlation:.2f}"
    return [
        Row(scenario, "corrected t", *t_interval_rates(differences, ratio, 0.0)),
        Row(scenario, "naive: t, blocks taken as independent", *t_interval_rates(differences, 0.0, 0.0)),
    ]


def cross_validated_differences(
    studies: int, rng: np.random.Generator, *, folds: int, seeds: int, clips: int = 100
) -> NDArray[np.float64]:
    """Differences in accuracy of two real learners under k-fold cross-validation, `[studies, folds * seeds]`.

    Both are nearest-centroid classifiers, each with its own half of 20 equally informative features, so
    neither is better over all data sets. Folds are fixed within a study; a seed trains on a random 70 % of
    the training clips.
    """
    target = np.tile([-1.0, 1.0], clips // 2)
    fold_of = np.arange(clips) // 2 % folds
    features = rng.normal(size=(studies, clips, 20)) + 0.25 * target[:, None]
    blocks = []
    for fold in range(folds):
        for _ in range(seeds):
            used = (fold_of != fold) & (rng.random((studies, clips)) < 0.7)
            scores = []
            for half in (features[..., :10], features[..., 10:]):
                plus, minus = (
                    np.einsum("sn,snd->sd", mask, half) / mask.sum(axis=1, keepdims=True)
                    for mask in (used * (target > 0), used * (target < 0))
                )
                side = np.einsum("snd,sd->sn", half[:, fold_of == fold], plus - minus)
                middle = np.einsum("sd,sd->s", plus + minus, plus - minus) / 2
                scores.append(((side - middle[:, None]) * target[fold_of == fold] > 0).mean(axis=1))
            blocks.append(scores[0] - scores[1])
    return np.stack(blocks, axis=1)


def cross_validation(studies: int, rng: np.random.Generator, folds: int = 5, seeds: int = 3) -> list[Row]:
    differences = cross_validated_differences(studies, rng, folds=folds, seeds=seeds)
    scenario = f"{folds} folds × {seeds} seeds, two real learners"
    fold_of = np.repeat(np.arange(folds), seeds)
    return [
        Row(scenario, "corrected t", *t_interval_rates(differences, 1 / (folds - 1), 0.0)),
        Row(scenario, "naive: t, blocks taken as independent", *t_interval_rates(differences, 0.0, 0.0)),
        Row(scenario, "naive: sign-flip read as 'on other data too'", flip_alarms(differences, rng)),
        Row(scenario, "same, whole folds flipped (p >= 0.0625)", flip_alarms(differences, rng, fold_of)),
    ]


def flip_alarms(
    differences: NDArray[np.float64], rng: np.random.Generator, groups: NDArray[np.intp] | None = None
) -> Rate:
    return rate([sign_flip_p(row, rng=rng, groups=groups) <= ALPHA for row in differences])


def exchangeable_blocks(studies: int, rng: np.random.Generator, folds: int = 4, seeds: int = 3) -> list[Row]:
    """The sign-flip test's own null: on these folds both arms are one algorithm, with skewed noise."""
    spread = np.repeat(rng.exponential(size=(studies, folds)), seeds, axis=1)
    arm, reference = (spread * rng.exponential(size=(studies, folds * seeds)) for _ in range(2))
    scenario = f"{folds * seeds} blocks, one algorithm twice, skewed noise"
    return [
        Row(scenario, "exact sign-flip", flip_alarms(arm - reference, rng)),
        Row(scenario, "corrected t", *t_interval_rates(arm - reference, 1 / (folds - 1), 0.0)),
    ]


def uneven_folds(studies: int, rng: np.random.Generator, folds: int = 8, seeds: int = 2) -> list[Row]:
    """The arm helps in some folds and harms in others, nothing on average; seeds of a fold agree."""
    per_fold = np.repeat(rng.normal(size=(studies, folds)), seeds, axis=1)
    differences = per_fold + 0.5 * rng.normal(size=(studies, folds * seeds))
    fold_of = np.repeat(np.arange(folds), seeds)
    scenario = f"{folds} folds × {seeds} seeds, effect differs by fold"
    return [
        Row(scenario, "sign-flip, whole folds (groups=folds)", flip_alarms(differences, rng, fold_of)),
        Row(scenario, "corrected t", *t_interval_rates(differences, 1 / (folds - 1), 0.0)),
        Row(scenario, "naive: sign-flip, each block alone", flip_alarms(differences, rng)),
        Row(scenario, "naive: t, blocks taken as independent", *t_interval_rates(differences, 0.0, 0.0)),
    ]


def many_arms(studies: int, rng: np.random.Generator, arms: int = 11, blocks: int = 12) -> list[Row]:
    """Eleven arms against one reference, none better: is any declared significant?"""
    scores = rng.normal(size=(studies, arms + 1, blocks))
    differences = scores[:, 1:] - scores[:, :1]
    p = np.array([[sign_flip_p(arm, rng=rng) for arm in study] for study in differences])
    scenario = f"{arms} arms, {blocks} blocks, any significant"
    return [
        Row(scenario, "sign-flip, Holm", rate([(holm(study) <= ALPHA).any() for study in p])),
        Row(scenario, "naive: sign-flip, unadjusted", rate((p <= ALPHA).any(axis=1))),
    ]


def clustered_clips(
    studies: int, rng: np.random.Generator, recordings: int, clips: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.intp], float]:
    """Right answers of two equally good networks `[studies, clips]`, the clips' recordings, the true
    accuracy.

    Recordings differ in how hard they are, and each network does well on some recordings and badly on others.
    """
    hardness = rng.normal(size=(studies, recordings, 1))
    answers = []
    for _ in range(2):
        latent = 1.5 + hardness + rng.normal(size=(studies, recordings, 1))
        answers.append((latent + rng.normal(size=(studies, recordings, clips)) > 0).reshape(studies, -1))
    truth = float(stats.norm.cdf(1.5 / np.sqrt(3)))
    return answers[0], answers[1], np.repeat(np.arange(recordings), clips), truth


def single_split(
    studies: int, rng: np.random.Generator, recordings: int = 60, clips: int = 6, resamples: int = 999
) -> list[Row]:
    """One split: clips of one recording go right or wrong together."""
    arm, reference, source, truth = clustered_clips(studies, rng, recordings, clips)
    scenario = f"{recordings} recordings × {clips} clips"
    rows = []
    for name, labels in (("", source), ("naive: ", np.arange(source.size))):
        unit = "clips" if name else "recordings"
        p = [mcnemar_clustered(a, b, labels).p_value for a, b in zip(arm, reference, strict=True)]
        rows.append(Row(scenario, f"{name}exact McNemar over {unit}", rate(np.array(p) <= ALPHA)))
        for method in ("BCa", "percentile"):
            if name and method == "BCa":
                continue
            how = {"rng": rng, "method": method, "resamples": resamples}
            few = range(min(studies, 500))
            low, high = np.array([bootstrap_difference(arm[i], reference[i], labels, **how) for i in few]).T
            covered = rate((low <= 0) & (high >= 0))
            rows.append(
                Row(
                    scenario,
                    f"{name}{method} bootstrap of {unit}, difference",
                    Rate(1 - covered.rate, covered.studies),
                    covered,
                )
            )
            low, high = np.array([bootstrap_accuracy(arm[i], labels, **how) for i in few]).T
            covered = rate((low <= truth) & (truth <= high))
            rows.append(Row(scenario, f"{name}{method} bootstrap of {unit}, accuracy", None, covered))
    return rows


def power_at_smallest_difference(studies: int, rng: np.random.Generator, n: int = 10) -> Rate:
    """How often the corrected t finds the difference that the dry run calls detectable (nominally 80 %)."""
    ratio = 1 / 9
    correlation = ratio / (1 + ratio)
    # The SD of the differences *within* a study, which a pilot shows, is that of the independent part.
    sd = np.sqrt(1 - correlation)
    delta = smallest_detectable_difference(sd, n, test_train_ratio=ratio)
    noise = np.sqrt(correlation) * rng.normal(size=(studies, 1)) + sd * rng.normal(size=(studies, n))
    return t_interval_rates(delta + noise, ratio, delta)[0]


def table(seed: int = 0) -> list[Row]:
    """All scenarios; the same numbers for the same seed."""
    streams = iter(np.random.default_rng(seed).spawn(6))
    return [
        *correlated_blocks(4000, next(streams)),
        *cross_validation(2000, next(streams)),
        *exchangeable_blocks(4000, next(streams)),
        *uneven_folds(2000, next(streams)),
        *many_arms(1000, next(streams)),
        *single_split(1000, next(streams)),
    ]


def main() -> None:
    print(f"{'scenario':46} {'method':48} {'false alarms %':>14} {'coverage %':>12}")
    for row in table():
        print(f"{row.scenario:46} {row.method:48} {row.false_alarms or '–'!s:>14} {row.coverage or '–'!s:>12}")
    found = power_at_smallest_difference(4000, np.random.default_rng(1))
    print(f"Power at the smallest detectable difference (nominally 80 %): {found} %")


if __name__ == "__main__":
    main()
