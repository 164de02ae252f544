"""`sweeper run …`: data, plan, what is missing, sweep; in that order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from search_spaces.ablations import REFERENCE
from search_spaces.recipes import RECIPES, Recipe
from sweeper.audio import datasets, splits
from sweeper.audio.datasets import Dataset
from sweeper.audio.sides import cut
from sweeper.audio.store import ClipStore, prepare
from sweeper.plan import Plan, PlanError, TrialSpec, build_plan, select_arms
from sweeper.results import provenance
from sweeper.results.storage import under
from sweeper.results.store import Study

OK, FAILED, INTERRUPTED = 0, 1, 130


@dataclass(frozen=True)
class AblationOptions:
    """What the command line asks of `run ablations`; None where a default depends on the rest."""

    dataset: str = "demo"
    data: Path | None = None
    split: str = "official"
    folds: tuple[int, ...] | None = None
    seeds: int = 2
    table: Literal["6", "7", "all"] = "all"
    arms: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    recipe: str | None = None
    epochs: int | None = None
    results: str = "results"
    study: str | None = None
    dry_run: bool = False
    workers_per_trial: int = 1
    cpus_per_trial: int = 1
    gpus_per_trial: float | None = None
    max_failures: int = 2
    address: str | None = None
    log: tuple[str, ...] = ()
    bad_clips: Literal["fail", "skip"] = "fail"


Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit code, and the study to show (None after a dry run)."""

    code: int
    study: Study | None


def run_ablations(options: AblationOptions, say: Say) -> Outcome:
    """Plan, train what is missing, commit, derive the tables.

    Args:
        options: the command line.
        say: prints one line.

    Raises:
        DatasetError, LeakError, PlanError, StudyError: one line each, for the user.
    """
    for name in ("workers_per_trial", "cpus_per_trial"):
        if getattr(options, name) < 1:
            raise PlanError(f"--{name.replace('_', '-')} {getattr(options, name)}: at least 1")
    recipe = _recipe(options)
    arms = select_arms(options.table, options.arms)  # a wrong name is told before anything slow
    dataset = datasets.load(options.dataset, options.data)
    folds = _folds(options, dataset)
    plan = build_plan(
        study=options.study or _study_name(options, recipe),
        arms=arms,
        recipe=recipe,
        dataset=dataset.name,
        split=options.split,
        folds=folds,
        classes=len(dataset.classes),
        replicates=options.seeds,
        peers=options.peers,
    )
    study = Study(under(options.results, plan.study))
    done = study.finished()
    missing = [trial for trial in plan.trials if trial.trial_id not in done]
    for line in describe(plan, len(missing), dataset, recipe):
        say(line)
    if options.dry_run:
        for line in expected_cost(missing, dataset):
            say(line)
        return Outcome(OK, None)
    study.create()
    store = prepare(dataset, recipe.sample_rate, bad_clips=options.bad_clips)
    study.write_plan(
        plan.describe()
        | {
            "data_digest": store.digest,
            "synthetic": dataset.synthetic,
            "classes": list(dataset.classes),
            "notes": list(store.notes),
            "skipped": [list(pair) for pair in store.skipped],
            "software": provenance.software(),
        }
    )
    if not missing:
        say(f"Nothing to do: all {len(plan.trials)} trials are committed in {study}. No training was done.")
        return Outcome(OK, study)
    return Outcome(_sweep(options, missing, store, study, say), study)


def _sweep(
    options: AblationOptions,
    missing: Sequence[TrialSpec],
    store: ClipStore,
    study: Study,
    say: Say,
) -> int:
    folds = cut(store, options.split, sorted({trial.data.fold for trial in missing}))
    from sweeper.execution.sweep import (
        run_sweep,  # Ray takes seconds to import: wrong input is told without it
    )

    failures = run_sweep(
        missing,
        folds,
        study,
        store,
        cpus=options.cpus_per_trial,
        gpus=options.gpus_per_trial,
        workers=options.workers_per_trial,
        max_failures=options.max_failures,
        address=options.address,
        loggers=options.log,
    )
    left = {trial.trial_id for trial in missing} - study.finished() - {f.spec.trial_id for f in failures}
    for failure in failures:
        spec = failure.spec
        say(f"failed: {spec.arm}, fold {spec.data.fold}, seed {spec.replicate}: {failure.error}")
    if left:
        say(f"Interrupted with {len(left)} of {len(missing)} trials to go. The same command continues.")
        return INTERRUPTED
    return FAILED if failures else OK


def _recipe(options: AblationOptions) -> Recipe:
    name = options.recipe or ("quick" if options.dataset == "demo" else "paper")
    if name not in RECIPES:
        raise PlanError(f"unknown recipe {name!r}; the recipes are: {', '.join(RECIPES)}")
    recipe = RECIPES[name]()
    if options.epochs is None:
        return recipe
    if options.epochs < 1:
        raise PlanError(f"--epochs {options.epochs}: at least 1")
    return replace(recipe, training=replace(recipe.training, epochs=options.epochs))


def _study_name(options: AblationOptions, recipe: Recipe) -> str:
    parts = ["ablations", options.dataset, recipe.name]
    parts += [options.split] if options.split != "official" else []
    parts += [f"{options.epochs}epochs"] if options.epochs is not None else []
    return "-".join(parts)


def _folds(options: AblationOptions, dataset: Dataset) -> tuple[int, ...]:
    available = splits.folds_of(dataset, options.split)
    if options.folds is None:
        return available[:1] if dataset.name == "demo" else available
    if unknown := sorted(set(options.folds) - set(available)):
        raise PlanError(
            f"--folds {','.join(map(str, unknown))}: the {options.split} split of {dataset.name} has here "
            f"the folds {','.join(map(str, available))}"
        )
    return tuple(sorted(set(options.folds)))


def describe(plan: Plan, missing: int, dataset: Dataset, recipe: Recipe) -> list[str]:
    """What is about to run and what it can show at all, in a few lines."""
    first = plan.trials[0]
    arms = list(dict.fromkeys(trial.arm for trial in plan.trials))
    compared = {trial.arm for trial in plan.trials if trial.kind == "ablation"} - {REFERENCE}
    folds = sorted({trial.data.fold for trial in plan.trials})
    blocks = len(plan.trials) // len(arms)
    lines = [
        f"study {plan.study}: {_count(len(arms), 'arm')} × {_count(len(folds), 'fold')} × "
        f"{_count(blocks // len(folds), 'seed')} = {_count(len(plan.trials), 'trial')}, "
        f"{len(plan.trials) - missing} of them already committed",
        f"data: {dataset.name}{' (synthetic sounds)' if dataset.synthetic else ''}, {len(dataset.clips)} clips, "
        f"{len(dataset.classes)} classes, {first.data.split} split, test folds {', '.join(map(str, folds))}",
        f"recipe: {recipe.name}: {_count(first.training.epochs, 'epoch')}, batch {first.training.batch_size}, "
        f"{first.data.seconds:g} s clips at {first.data.sample_rate} Hz",
        *dataset.notes,
    ]
    if REFERENCE in arms and compared:
        lines += _reach(len(folds), blocks // len(folds), len(compared), _test_share(dataset, first.data.split))
    return lines


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


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def expected_cost(missing: Sequence[TrialSpec], dataset: Dataset) -> list[str]:
    """What the missing trials will take, from counted operations and one training step measured here."""
    if not missing:
        return ["expected cost: none, all trials are committed"]
    from sweeper.training.cost import gflops_per_clip, training_gflops_per_second

    counted = {
        network: gflops_per_clip(network, missing[0].data.length) for network in {trial.model for trial in missing}
    }
    operations = sum(
        3 * counted[trial.model] * trial.training.epochs * _training_clips(dataset, trial.data.split, trial.data.fold)
        for trial in missing
    )
    largest = max(counted, key=lambda network: counted[network])
    speed = training_gflops_per_second(largest, missing[0].data.length)
    import torch

    unit = "GPU-hours" if torch.cuda.is_available() else "core-hours"
    return [
        f"expected cost: {operations / 1e6:,.3g} PFLOP; at {speed:,.0f} GFLOP/s, measured here with one training step, "
        f"{operations / speed / 3600:,.3g} {unit}, which as many trials share as fit on the machine at once"
    ]


def _training_clips(dataset: Dataset, split: str, fold: int) -> int:
    """How many clips train; for splits that are drawn after decoding, four fifths."""
    if split == "official":
        return sum(clip.fold != fold for clip in dataset.clips)
    return round(0.8 * len(dataset.clips))
