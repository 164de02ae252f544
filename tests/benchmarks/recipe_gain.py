"""What the recipe is worth: the full network with augmentation, EMA and self-distillation, and without all three.

    python -m tests.benchmarks.recipe_gain --data FSDD            three seeds of each, scored on the test clips
    python -m tests.benchmarks.recipe_gain --data FSDD --select   how the strengths were chosen: validation clips only

The `small` recipe scaled to a CPU: few training clips of the Free Spoken Digit Dataset, and as many epochs as minutes
allow, for the recipe needs many: with 500 clips and 32 epochs neither side led on the validation clips. Both sides
see the same clips, the same number of steps, the same learning rates and the same seeds. The test clips (the author's
recordings 0 to 4) are opened after the last epoch of a run. Each trial computes on one core; two run at once. What came
out, with the designs that were tried before this one, is in `results/recipe_gain.md`.
"""

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from sweeper.audio import datasets, splits
from sweeper.audio.clips import Clips
from sweeper.audio.store import prepare
from sweeper.augmentation_config import AugmentationConfig, MixingConfig, SignalConfig
from sweeper.plan import TrialSpec, build_plan
from sweeper.training_config import DistillationConfig, EMAConfig, TrainingConfig
from tests.studies import ARMS, PAPER, REFERENCE, former_small

DATASET, FOLD, CLASSES = "fsdd", 1, 10
CLIPS_PER_CLASS = 10
EPOCHS = 160
SECONDS = 0.5  # half of these digits are shorter than 0.42 s, so the recipe's 1 s would mostly be zeros
SEEDS = 3
PROCESSES = 2

_SHARED = replace(former_small().training, epochs=EPOCHS, batch_size=16)
_EMA = EMAConfig(decay=0.98)
# The paper's twelve epochs without mixing are 0.8 % of its 1500; here they would be 8 %.
_MIXING = MixingConfig(warmup_epochs=3)

BARE = replace(_SHARED, augmentation=AugmentationConfig.off(), distillation=None)
CANDIDATES: Mapping[str, TrainingConfig] = {
    name: replace(_SHARED, augmentation=augmentation, ema=_EMA, distillation=DistillationConfig())
    for name, augmentation in {
        "paper strengths, warm-up scaled": AugmentationConfig(mixing=_MIXING),
        "mixing a third": AugmentationConfig(mixing=replace(_MIXING, probability=1 / 3)),
        "mixing a third, shorter shifts": AugmentationConfig(
            mixing=replace(_MIXING, probability=1 / 3), signal=SignalConfig(cyclic_shift_share=0.25)
        ),
    }.items()
}
CHOSEN = "mixing a third, shorter shifts"


@dataclass(frozen=True)
class Run:
    """One training run: accuracies of the last epoch's weights and of their average."""

    setting: str
    seed: int
    raw: float
    averaged: float
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="where FSDD lies")
    parser.add_argument("--select", action="store_true", help="score every candidate on the validation clips")
    args = parser.parse_args()
    settings = {"bare": BARE} | (CANDIDATES if args.select else {CHOSEN: CANDIDATES[CHOSEN]})
    seeds = 1 if args.select else SEEDS
    train, scored = _clips(args.data, args.select)
    print(
        f"fsdd, {len(train)} training clips, scored on {len(scored)} {'validation' if args.select else 'test'} clips; "
        f"{EPOCHS} epochs of the small network on {SECONDS} s clips",
        flush=True,
    )
    begin = time.perf_counter()
    jobs = [(name, _spec(training, seed)) for seed in range(seeds) for name, training in settings.items()]
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        runs = [future.result() for future in [pool.submit(_train, *job, train, scored) for job in jobs]]
    for name in settings:
        _print_setting(name, [run for run in runs if run.setting == name])
    if not args.select:
        _print_verdict(runs)
    print(f"{time.perf_counter() - begin:.0f} s on {PROCESSES} cores")


def _clips(data: Path, select: bool) -> tuple[Clips, Clips]:
    """The few training clips, as many of every class and drawn once, and the clips that are scored."""
    store = prepare(datasets.load(DATASET, data), former_small().sample_rate)
    parts = splits.split(store, "official", FOLD)
    rng = np.random.default_rng(0)
    targets = store.clips.targets[parts.train]
    rows = [rng.permutation(parts.train[targets == target])[:CLIPS_PER_CLASS] for target in range(CLASSES)]
    return store.part(np.sort(np.concatenate(rows))), store.part(parts.validation if select else parts.test)


def _spec(training: TrainingConfig, replicate: int) -> TrialSpec:
    plan = build_plan(
        study="recipe-gain",
        source=PAPER,
        arms=[ARMS[REFERENCE]],
        recipe=replace(former_small(), training=training, seconds=SECONDS),
        dataset=DATASET,
        split="official",
        folds=(FOLD,),
        classes=CLASSES,
        replicates=replicate + 1,
    )
    return plan.trials[replicate]


def _train(setting: str, spec: TrialSpec, train: Clips, scored: Clips) -> Run:
    import torch

    from sweeper.training.trial import run_trial

    torch.set_num_threads(1)
    result, _ = run_trial(spec, [train], lambda: [scored], device=torch.device("cpu"))
    run = Run(setting, spec.replicate, result.metrics.accuracy, result.metrics_ema.accuracy, result.seconds)
    print(f"  {setting}, seed {run.seed}: {run.raw:.1%}, average {run.averaged:.1%}, {run.seconds:.0f} s", flush=True)
    return run


def _print_setting(name: str, runs: Sequence[Run]) -> None:
    columns = {"last epoch's weights": [run.raw for run in runs], "their average": [run.averaged for run in runs]}
    described = (f"{what} {_mean_and_spread(values)}" for what, values in columns.items())
    print(f"{name:32} {'   '.join(described)}")


def _mean_and_spread(values: Sequence[float]) -> str:
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{spread} %"


def _print_verdict(runs: Sequence[Run]) -> None:
    """The recipe's EMA weights against the bare run's last weights: what each side would be used as."""
    bare = [run.raw for run in runs if run.setting == "bare"]
    full = [run.averaged for run in runs if run.setting == CHOSEN]
    gain = statistics.mean(full) - statistics.mean(bare)
    spread = max(statistics.stdev(bare), statistics.stdev(full))
    apart = "no seed of the recipe is below any of the bare" if min(full) > max(bare) else "the seeds overlap"
    verdict = "more" if gain > spread else "NOT more"
    print(f"gain {100 * gain:+.1f} points, {verdict} than the seeds' larger spread of {100 * spread:.1f}; {apart}")


if __name__ == "__main__":
    main()
