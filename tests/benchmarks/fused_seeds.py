"""How many training steps there are in a second, of trials one after another, and of so many fused as one program.

    python -m tests.benchmarks.fused_seeds [--recipes quick small] [--seeds 2 4 8] [--rounds 5]

The paper's full network in one process, on a GPU where there is one, else on one CPU thread: whole training steps on
clips of noise, with augmentation, optimiser and average. Both ways take turns; of all rounds, the fastest counts. A
fused step counts as one for each of its seeds.
"""

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from sweeper.plan import TrialSpec, build_plan
from sweeper.search_spaces import recipes
from sweeper.study import Recipe
from sweeper.training.batches import Batches
from sweeper.training.distributed import ALONE
from sweeper.training.fit import _Run
from sweeper.training.fused_check import noise, take_step, take_steps
from sweeper.training.fused_stack import Stack
from tests.benchmarks.step_against import cpu_name
from tests.studies import ARMS, PAPER, REFERENCE

CLASSES = 10
WARMUP_STEPS = 2
WINDOW_SECONDS = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["quick", "small"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"{torch.cuda.get_device_name() if device.type == 'cuda' else f'{cpu_name()}, one thread'}\n")
    print("| recipe | seeds | steps/s, one by one | steps/s, fused | times |\n|---|---:|---:|---:|---:|")
    for recipe in args.recipes:
        for seeds in args.seeds:
            apart, fused = _rates(recipe, seeds, args.rounds, device)
            print(f"| {recipe} | {seeds} | {apart:.1f} | {fused:.1f} | {fused / apart:.2f} |", flush=True)


def _rates(recipe: str, seeds: int, rounds: int, device: torch.device) -> tuple[float, float]:
    specs = _specs(recipe, seeds)
    batches = Batches([noise(specs[0], 4 * specs[0].training.batch_size, 0)], specs[0].data.length, device)
    alone = _Run(specs[0], batches, device, ALONE)
    stack = Stack([_Run(spec, batches, device, ALONE) for spec in specs])
    ways: list[Callable[[], None]] = [lambda: take_step(alone), lambda: take_steps(stack)]
    for way in ways:
        _seconds(way, device, WARMUP_STEPS)
    steps = [max(1, round(WINDOW_SECONDS / _seconds(way, device, WARMUP_STEPS))) for way in ways]
    seconds = [math.inf for _ in ways]
    for _ in range(rounds):
        seconds = [min(s, _seconds(way, device, n)) for s, way, n in zip(seconds, ways, steps, strict=True)]
    return 1 / seconds[0], seeds / seconds[1]


def _specs(recipe: str, seeds: int) -> tuple[TrialSpec, ...]:
    found: Recipe = getattr(recipes, recipe)()
    # So many epochs that the one-cycle schedule doesn't end before the measurement.
    found = replace(found, training=replace(found.training, epochs=10_000))
    return build_plan(
        study="fused-seeds",
        source=PAPER,
        arms=[ARMS[REFERENCE]],
        recipe=found,
        dataset="noise",
        split="none",
        folds=(1,),
        classes=CLASSES,
        replicates=seeds,
    ).trials


def _seconds(step: Callable[[], None], device: torch.device, steps: int) -> float:
    _wait(device)
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    _wait(device)
    return (time.perf_counter() - begin) / steps


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
