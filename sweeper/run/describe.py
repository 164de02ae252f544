"""What is about to run, what it can show and what it will cost, in lines."""

from collections.abc import Sequence
from typing import Any

from sweeper.audio import splits
from sweeper.audio.datasets import Dataset
from sweeper.plan import Plan, TrialSpec
from sweeper.run.prepare import Run


def describe(plan: Plan, missing: int, run: Run) -> list[str]:
    """What is about to run and what it can show at all, in a few lines."""
    reference = run.source.study.reference
    arms = list(dict.fromkeys(trial.arm for trial in plan.trials))
    compared = {trial.arm for trial in plan.trials if trial.kind == "ablation"} - {reference}
    folds = sorted({trial.data.fold for trial in plan.trials})
    blocks = len(plan.trials) // len(arms)
    lines = [
        f"study {plan.study}: {count(len(arms), 'arm')} × {count(len(folds), 'fold')} × "
        f"{count(blocks // len(folds), 'seed')} = {count(len(plan.trials), 'trial')}, "
        f"{len(plan.trials) - missing} of them already committed",
        *describe_data(plan.trials[0], folds, run),
    ]
    lines += [f"alias: {line}" for line in plan.definition["aliases"]]
    if reference in arms and compared:
        share = _test_share(run.dataset, plan.trials[0].data.split)
        lines += _reach(len(folds), blocks // len(folds), len(compared), share)
    return lines


def describe_data(first: TrialSpec, folds: Sequence[int], run: Run) -> list[str]:
    """Data and recipe, and what is worth knowing of both and of the networks."""
    dataset, recipe = run.dataset, run.recipe
    own = [f"arms: {run.source.argument}"] if run.source.argument else []
    return [
        *own,
        f"data: {dataset.name}{' (synthetic sounds)' if dataset.synthetic else ''}, {len(dataset.clips)} clips, "
        f"{len(dataset.classes)} classes, {first.data.split} split, test folds {', '.join(map(str, folds))}",
        f"recipe: {recipe.name}: {count(recipe.training.epochs, 'epoch')}, batch {recipe.training.batch_size}, "
        f"{first.data.seconds:g} s clips at {first.data.sample_rate} Hz",
        *dataset.notes,
        *run.notes,
    ]


def _reach(folds: int, seeds: int, compared: int, test_share: float) -> list[str]:
    """Which p and which difference the design can reach at all; blocks are counted as the leaderboard will."""
    from sweeper.statistics import blocks_needed, reach_sentence, smallest_detectable_difference  # SciPy is slow

    blocks = folds * seeds
    by_fold = seeds > 1 and folds >= blocks_needed(compared)  # then the sign-flip test flips whole folds
    ratio = test_share / (1 - test_share)
    detectable = smallest_detectable_difference(1.0, blocks, test_train_ratio=ratio)
    return [
        f"reach: {reach_sentence(folds if by_fold else blocks, compared, blocks_per_seed=folds)}",
        "power: "
        + (
            f"a true difference is found with probability 0.8 from {detectable:.1f} × the standard deviation of the "
            "paired differences between blocks"
            if blocks > 1
            else "one block shows no spread, so no difference can be told from noise"
        ),
    ]


def _test_share(dataset: Dataset, split: str) -> float:
    """The share of the clips that one fold tests on."""
    folds = splits.folds_of(dataset, split)
    if split != "official":
        return 0.2
    return sum(clip.fold in folds for clip in dataset.clips) / len(folds) / len(dataset.clips)


def count(number: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def expected_cost(missing: Sequence[TrialSpec], dataset: Dataset) -> list[str]:
    """What the missing trials will take, from counted operations and one training step measured here."""
    if not missing:
        return ["expected cost: none, all trials are committed"]
    from sweeper.training.cost import count_operations, training_seconds_per_clip

    length = missing[0].data.length
    clips: dict[Any, int] = {}  # by network
    for trial in missing:
        trained = trial.training.epochs * _training_clips(dataset, trial)
        clips[trial.model] = clips.get(trial.model, 0) + trained
    counted = {network: gflops for network in clips if (gflops := count_operations(network, length).gflops) is not None}
    import torch

    unit = "GPU-hours" if torch.cuda.is_available() else "core-hours"
    shared = "which as many trials share as fit on the machine at once"
    if len(counted) < len(clips):
        # Speeds of different networks can't be compared without a count, so each is measured.
        seconds = sum(number * training_seconds_per_clip(network, length) for network, number in clips.items())
        torch.cuda.empty_cache()  # this process lives as long as the sweep, and would keep it from the trials
        return [f"expected cost: by one training step of each network here, {seconds / 3600:,.3g} {unit}, {shared}"]
    operations = sum(3 * gflops * clips[network] for network, gflops in counted.items())
    largest = max(counted, key=lambda network: counted[network])
    speed = 3 * counted[largest] / training_seconds_per_clip(largest, length)
    torch.cuda.empty_cache()
    return [
        f"expected cost: {operations / 1e6:,.3g} PFLOP; at {speed:,.0f} GFLOP/s, measured here with one training step, "
        f"{operations / speed / 3600:,.3g} {unit}, {shared}"
    ]


def _training_clips(dataset: Dataset, trial: TrialSpec) -> int:
    """How many clips train, about: splits are drawn, and validation clips chosen, only after decoding."""
    clips = round(0.8 * len(dataset.clips))
    if trial.data.split == "official":
        clips = sum(clip.fold != trial.data.fold for clip in dataset.clips)
    return round(0.8 * clips) if trial.selects else clips
