"""What the command line asks of each design, and what all three make of it first."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sweeper import signals
from sweeper.audio import datasets, splits
from sweeper.audio.datasets import Dataset
from sweeper.audio.store import ClipStore
from sweeper.execution.loggers import check_loggers
from sweeper.plan import PlanError
from sweeper.results import provenance
from sweeper.results.names import check_study_name
from sweeper.results.store import Study
from sweeper.run.describe import count
from sweeper.search_spaces.recipes import RECIPES, Recipe

if TYPE_CHECKING:
    from sweeper.execution.sweep import Machine

OK, FAILED = 0, 1

Say = Callable[[str], None]


@dataclass(frozen=True)
class RunOptions:
    """What every design is asked; None where a default depends on the rest. `margin` is in points."""

    dataset: str = "demo"
    data: Path | None = None
    split: str = "official"
    folds: tuple[int, ...] | None = None
    bad_clips: Literal["fail", "skip"] = "fail"
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
    grace: float = 20.0
    margin: float = 1.0


@dataclass(frozen=True)
class AblationOptions(RunOptions):
    """What `run ablations` is asked."""

    seeds: int = 2
    table: Literal["6", "7", "all"] = "all"
    arms: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()


@dataclass(frozen=True)
class SearchOptions(RunOptions):
    """What `run search` is asked: `trials` for each arm and fold, `top` of them run again with `replicates` seeds."""

    arms: tuple[str, ...] = ("full",)
    trials: int = 30
    top: int = 3
    replicates: int = 2
    objective: Literal["accuracy", "accuracy_ema"] = "accuracy_ema"
    cost: Literal["gflops", "seconds"] | None = None
    storage: str | None = None
    halving: bool = True


@dataclass(frozen=True)
class TunedOptions(SearchOptions):
    """What `run tuned-ablations` is asked. The grid compares the last epoch's weights, so these are searched for."""

    arms: tuple[str, ...] = ()
    objective: Literal["accuracy", "accuracy_ema"] = "accuracy"
    seeds: int = 2
    table: Literal["6", "7", "all"] = "all"


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit code, and the study to show (None after a dry run)."""

    code: int
    study: Study | None


def check(options: RunOptions, *names: str) -> None:
    """Refuse numbers below 1, a study's name that is none, and loggers that could not write.

    Raises:
        PlanError, StudyError: naming the first one.
    """
    if options.study is not None:
        check_study_name(options.study)
    for name in ("workers_per_trial", "cpus_per_trial", *names):
        if getattr(options, name) < 1:
            raise PlanError(f"--{name.replace('_', '-')} {getattr(options, name)}: at least 1")
    check_loggers(options.log, options.results)


def choose_recipe(options: RunOptions) -> Recipe:
    """The recipe, with the epochs that were asked for.

    Raises:
        PlanError: there is none of that name, or no epoch.
    """
    name = options.recipe or ("quick" if options.dataset == "demo" else "paper")
    if name not in RECIPES:
        raise PlanError(f"unknown recipe {name!r}; the recipes are: {', '.join(RECIPES)}")
    recipe = RECIPES[name]()
    if options.epochs is None:
        return recipe
    if options.epochs < 1:
        raise PlanError(f"--epochs {options.epochs}: at least 1")
    return replace(recipe, training=replace(recipe.training, epochs=options.epochs))


def load(options: RunOptions) -> Dataset:
    """The data set, not decoded yet."""
    return datasets.load(options.dataset, options.data)


def study_name(design: str, options: RunOptions, recipe: Recipe) -> str:
    """A study's name where none was given: what distinguishes it from others."""
    parts = [design, options.dataset, recipe.name]
    parts += [options.split] if options.split != "official" else []
    parts += [f"{options.epochs}epochs"] if options.epochs is not None else []
    return "-".join(parts)


def choose_folds(options: RunOptions, dataset: Dataset, *, few: bool) -> tuple[int, ...]:
    """The folds that were asked for; where none were, the first one (`few`) or all.

    Raises:
        PlanError: the split has no such fold.
        SplitError: too few clips, groups or classes for it.
    """
    available = splits.folds_of(dataset, options.split)
    chosen = tuple(sorted(set(options.folds or (available[:1] if few else available))))
    if unknown := sorted(set(chosen) - set(available)):
        raise PlanError(
            f"--folds {','.join(map(str, unknown))}: the {options.split} split of {dataset.name} has here "
            f"the folds {','.join(map(str, available))}"
        )
    splits.check(dataset, options.split, chosen)
    return chosen


def data_facts(dataset: Dataset, store: ClipStore, split: str) -> dict[str, object]:
    """What a study's plan says about its data and its code."""
    return {
        "data_digest": store.digest,
        "synthetic": dataset.synthetic,
        "all_folds": list(splits.folds_of(dataset, split)),
        "classes": list(dataset.classes),
        "notes": list(store.notes),
        "skipped": [list(pair) for pair in store.skipped],
        "software": provenance.software(),
    }


def machine(options: RunOptions) -> "Machine":
    """What each trial holds, for the sweeps."""
    from sweeper.execution.sweep import Machine  # Ray takes seconds to import: wrong input is told without it

    return Machine(
        cpus=options.cpus_per_trial,
        gpus=options.gpus_per_trial,
        workers=options.workers_per_trial,
        max_failures=options.max_failures,
        address=options.address,
        loggers=options.log,
        grace=options.grace,
    )


def interrupted() -> int:
    """The exit code of a run that was asked to end."""
    asked = signals.asked()
    return signals.exit_code(signal.SIGINT if asked is None else asked.number)


@contextlib.contextmanager
def resumable(study: Study) -> Iterator[None]:
    """Whatever ends the block before its time says what is kept of the study."""
    try:
        yield
    except (KeyboardInterrupt, OSError) as error:
        with contextlib.suppress(OSError):
            finished = len(study.finished())
            kept = "no trial has finished" if not finished else f"{count(finished, 'finished trial')} kept"
            error.add_note(f"{kept}: the same command continues")
        raise
