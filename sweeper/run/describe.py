"""What is about to run, what it can show and what it will cost, in lines."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.audio import splits
from sweeper.audio.datasets import Dataset
from sweeper.plan import Plan, TrialSpec
from sweeper.results.store import Study
from sweeper.run.prepare import Run
from sweeper.run.words import count
from sweeper.waiting import waiting

if TYPE_CHECKING:
    from sweeper.results.reach import Design


def describe(plan: Plan, missing: int, run: Run) -> list[str]:
    """What is about to run, in a few lines."""
    arms = list(dict.fromkeys(trial.arm for trial in plan.trials))
    folds = sorted({trial.data.fold for trial in plan.trials})
    blocks = len(plan.trials) // len(arms)
    return [
        f"study {plan.study}: {count(len(arms), 'arm')} × {count(len(folds), 'fold')} × "
        f"{count(blocks // len(folds), 'seed')} = {count(len(plan.trials), 'trial')}, "
        f"{len(plan.trials) - missing} of them already committed",
        *describe_data(plan.trials[0], folds, run),
        *(f"can't be told apart: {effects}" for effects in plan.definition["aliases"]),
    ]


def describe_data(first: TrialSpec, folds: Sequence[int], run: Run) -> list[str]:
    """Data and recipe, and what is worth knowing of both and of the networks."""
    dataset, recipe = run.dataset, run.recipe
    own = [f"arms: {run.source.argument}"] if run.source.argument else []
    return [
        *own,
        f"data: {dataset.name}{' (synthetic sounds)' if dataset.synthetic else ''}, {len(dataset.clips)} clips, "
        f"{len(dataset.classes)} classes, {first.data.split} split, test folds {', '.join(map(str, folds))}",
        f"recipe: {recipe.name}: {count(recipe.training.epochs, 'epoch')}, batch {recipe.training.batch_size}, "
        f"{first.data.seconds:g} s clips at {first.data.sample_rate} Hz; AdamW's first beta "
        f"{' → '.join(f'{beta:g}' for beta in recipe.training.first_beta)}, second {recipe.training.betas[1]:g}",
        *dataset.notes,
        *run.notes,
    ]


def describe_reach(plan: Plan, dataset: Dataset, study: Study, results: Path | str) -> list[str]:
    """What the design can find, by simulating the rule, and what one more seed or fold would bring.

    The design is the plan's with what the study holds already. Sizes are in points where earlier trials of the same
    design tell the spread: of this study, or of another one under `results`.
    """
    from sweeper.results.reach import Spread, earlier_trials  # SciPy is slow

    planned, names = planned_design(plan, dataset, study)
    reference = plan.definition["reference"]
    if planned.arms < 2 or reference not in names:
        return [f"reach: nothing is compared, which needs {reference} and another arm"]
    arms, folds, seeds, in_all = planned.arms, planned.folds, planned.seeds, planned.folds_in_all
    earlier = earlier_trials(study, results, plan.design)
    spread = Spread(seed=1.0, fold=None) if earlier is None else earlier.spread

    def found(design: "Design") -> str:
        size = design.detectable(spread)
        if math.isinf(size):
            return "none, as one block shows no spread"
        return f"from {size:.1f} SDs" if earlier is None else f"from {100 * size:.1f} points"

    lines = [
        f"reach: true differences found with probability 0.8, by simulation of {count(arms, 'arm')} × "
        f"{count(folds, 'fold')} × {count(seeds, 'seed')}, {planned.claim}: {found(planned)}"
    ]
    if spread.seed is not None:
        lines.append(f"with one more seed: {found(replace(planned, seeds=seeds + 1))}")
    if folds < in_all:
        wider = replace(planned, folds=folds + 1)
        lines.append(f"with one more fold, {wider.claim}: {found(wider)}")
    if earlier is None:
        told = "SD: of an arm's score over retrainings, apart from what all arms share; no earlier trials tell its size"
    else:
        parts = [(spread.seed, "seeds"), (spread.fold, "folds")]
        known = ", ".join(f"{100 * sd:.1f} points over {what}" for sd, what in parts if sd is not None)
        told = f"spread, as in the trials of {earlier.study}: {known}"
    if spread.fold is None and in_all > 1:
        told += "; arms are taken to suit folds as differently as seeds"
    return [*lines, told]


def planned_design(plan: Plan, dataset: Dataset, study: Study) -> tuple["Design", tuple[str, ...]]:
    """The plan's design with what the study holds already, and the names of its arms."""
    from sweeper.results.reach import Design  # SciPy is slow

    trials = [*plan.describe()["trials"], *(study.read_plan() or {}).get("trials", ())]
    cells = {
        (trial["arm"], trial["fold"], trial["replicate"])
        for trial in trials
        if trial.get("kind", "ablation") == "ablation"
    }
    arms, folds, seeds = (dict.fromkeys(cell[axis] for cell in cells) for axis in range(3))
    split = plan.trials[0].data.split
    share, in_all = _test_share(dataset, split), len(splits.folds_of(dataset, split))
    return Design(len(arms), len(folds), len(seeds), share / (1 - share), in_all), tuple(sorted(arms))


def _test_share(dataset: Dataset, split: str) -> float:
    """The share of the clips that one fold tests on."""
    folds = splits.folds_of(dataset, split)
    if split != "official":
        return 0.2
    return sum(clip.fold in folds for clip in dataset.clips) / len(folds) / len(dataset.clips)


@dataclass(frozen=True)
class ExpectedCost:
    """What trials will take: device-seconds, of which networks, and in words how that is known."""

    seconds: float
    by_network: Mapping[str, float]
    how: str


def expected_cost(missing: Sequence[TrialSpec], dataset: Dataset) -> list[str]:
    """What the missing trials will take, from counted operations and one training step measured here."""
    if not missing:
        return ["expected cost: none, all trials are committed"]
    with waiting("timing a training step"):
        cost = cost_of(missing, dataset)
    shared = "which as many trials share as fit on the machine at once"
    return [f"expected cost: {cost.how}, {hours(cost.seconds)}, {shared}"]


def hours(seconds: float) -> str:
    """Device-seconds in words."""
    import torch

    return f"{seconds / 3600:,.3g} {'GPU-hours' if torch.cuda.is_available() else 'core-hours'}"


def cost_of(missing: Sequence[TrialSpec], dataset: Dataset) -> ExpectedCost:
    """What trials, of which there is one at least, will take; see `expected_cost`."""
    import torch

    from sweeper.training.cost import gflops_per_clip, training_seconds_per_clip

    length = missing[0].data.length
    clips: dict[Any, int] = {}  # by network
    names: dict[Any, str] = {}
    for trial in missing:
        trained = trial.training.epochs * _training_clips(dataset, trial)
        clips[trial.model] = clips.get(trial.model, 0) + trained
        names.setdefault(trial.model, trial.arm)
    counted = {network: gflops for network in clips if (gflops := gflops_per_clip(network, length)) is not None}
    if len(counted) < len(clips):
        # Speeds of different networks can't be compared without a count, so each is measured.
        spent = {network: number * training_seconds_per_clip(network, length) for network, number in clips.items()}
        how = "by one training step of each network here"
    else:
        largest = max(counted, key=lambda network: counted[network])
        speed = 3 * counted[largest] / training_seconds_per_clip(largest, length)
        operations = {network: 3 * gflops * clips[network] for network, gflops in counted.items()}
        spent = {network: done / speed for network, done in operations.items()}
        total = sum(operations.values()) / 1e6
        how = f"{total:,.3g} PFLOP; at {speed:,.0f} GFLOP/s, measured here with one training step"
    torch.cuda.empty_cache()  # this process lives as long as the sweep, and would keep it from the trials
    return ExpectedCost(sum(spent.values()), {names[network]: seconds for network, seconds in spent.items()}, how)


def _training_clips(dataset: Dataset, trial: TrialSpec) -> int:
    """How many clips train, about: splits are drawn, and validation clips chosen, only after decoding."""
    clips = round(0.8 * len(dataset.clips))
    if trial.data.split == "official":
        clips = sum(clip.fold != trial.data.fold for clip in dataset.clips)
    return round(0.8 * clips) if trial.selects else clips
