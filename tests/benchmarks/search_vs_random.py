"""Is the search better than random draws? `python -m tests.benchmarks.search_vs_random [--seeds 10] [--budget 40]`.

Both get the same budget over the real search space of the `small` recipe, and the same seeds. What they look for is a
made-up response surface, so that hundreds of trials take seconds: it says whether the sampler uses what it is told, not
how much a network gains. Prints the best noiseless score of each, the paired differences, and the sign-flip test.
"""

import argparse
import math
from dataclasses import replace

import numpy as np
import optuna
from scipy import stats

from sweeper.results.searching import Goal
from sweeper.search.plan import ArmSearch, plan_searches
from sweeper.search.suggest import Search
from sweeper.space import SearchScope
from sweeper.training_config import TrainingConfig
from tests.studies import ARMS, PAPER, former_small

NOISE = 0.01  # of a score, standard deviation: about what another seed does to an accuracy on a few hundred clips


def arm_search(name: str = "race", *, ema: bool = True) -> ArmSearch:
    """The search of the full network on the demo."""
    (search,) = plan_searches(
        study=name,
        source=PAPER,
        arms=[ARMS["full"]],
        recipe=former_small(),
        dataset="demo",
        split="official",
        folds=(1,),
        classes=10,
        scope=SearchScope("accuracy_ema" if ema else "accuracy"),
    )
    return search


def surface(training: TrainingConfig) -> float:
    """A made-up accuracy: a ridge in the learning rate, some effects that help, some that harm, and one interaction."""
    sound = training.augmentation
    rate = math.log10(training.max_lr / 8e-4)
    forgetting = math.log10((1 - training.ema.decay) / 3e-3)
    score = 0.9 - 0.25 * rate**2 - 0.05 * forgetting**2
    score += 0.02 * (sound.signal.time_shift_probability > 0) + 0.01 * (sound.signal.polarity_probability > 0)
    score -= 0.05 * (sound.signal.mu_law_probability > 0) + 0.03 * (sound.signal.time_reversal_probability > 0)
    if sound.mixing.probability > 0:
        score += 0.05 - 0.1 * abs(sound.mixing.probability - 0.6)
    if sound.noise.probability > 0:
        score += 0.03 - 0.002 * abs(sound.noise.snr_low_db - 20)
    return score


def race(seed: int, budget: int) -> tuple[float, float]:
    """Best noiseless score of the search, and of random draws, by what each found best with noise."""
    plan = arm_search(f"race{seed}")
    search = Search(
        plan.name,
        plan.make,
        Goal("accuracy"),
        budget=budget,
        storage=optuna.storages.InMemoryStorage(),
        rows=(),
        design="",
    )
    noise = np.random.default_rng(seed).normal(0, NOISE, (2, budget))
    tried = []
    for step in range(budget):
        spec = search.ask()
        assert spec is not None
        true = surface(spec.training)
        tried.append((true + noise[0, step], true))
        row = {"trial_id": spec.trial_id, "status": "complete", "accuracy": tried[-1][0], "params": spec.params}
        search.tell(spec.trial_id, row)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    drawn = []
    for step in range(budget):
        true = surface(plan.make(study.ask()).training)
        drawn.append((true + noise[1, step], true))
    return max(tried)[1], max(drawn)[1]


def races(seeds: int, budget: int) -> np.ndarray:
    """Scores `[seeds, 2]`: the search's and random's."""
    return np.array([race(seed, budget) for seed in range(seeds)])


def main() -> None:
    """Race and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budget", type=int, default=40)
    arguments = parser.parse_args()
    scores = races(arguments.seeds, arguments.budget)
    recipe = surface(replace(former_small().training))
    print(f"made-up surface, budget {arguments.budget}; the recipe's own values score {100 * recipe:.2f} %")
    print("seed   search   random   difference")
    for seed, (ours, random) in enumerate(scores):
        print(f"{seed:>4}  {100 * ours:6.2f}   {100 * random:6.2f}   {100 * (ours - random):+9.2f}")
    difference = scores[:, 0] - scores[:, 1]
    p = stats.permutation_test((difference,), np.mean, permutation_type="samples", rng=0).pvalue
    print(
        f"mean  {100 * scores[:, 0].mean():6.2f}   {100 * scores[:, 1].mean():6.2f}   {100 * difference.mean():+9.2f}"
        f"   better in {int((difference > 0).sum())} of {len(difference)}, sign-flip p = {p:.4f}"
    )


if __name__ == "__main__":
    main()
