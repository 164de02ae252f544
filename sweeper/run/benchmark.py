"""`sweeper run benchmark`: the paper's network and its rivals on several data sets, a study for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sweeper import signals
from sweeper.audio.datasets import NAMES, DatasetError
from sweeper.definition import PlanError, Source
from sweeper.results.store import Study
from sweeper.run.ablations import Grid, begin, plan_grid, train
from sweeper.run.describe import cost_of, hours
from sweeper.run.options import OK, BenchmarkOptions, Say, interrupted, resumable
from sweeper.run.prepare import choose_recipe
from sweeper.run.words import count
from sweeper.search_spaces.benchmark import NETWORKS, REFERENCE, STUDY, printed
from sweeper.search_spaces.peers import PEERS

SOURCE = Source("benchmark", STUDY)


@dataclass(frozen=True)
class Benchmark:
    """What `run benchmark` is asked.

    Attributes:
        datasets: names; none: those that `folders` names, or the demo.
        folders: where each data set lies, by name.
        networks: names; none: the paper's and each rival that can take the recipe's clips.
        options: all that holds for each data set alike.
    """

    datasets: Sequence[str]
    folders: Mapping[str, Path]
    networks: Sequence[str]
    options: BenchmarkOptions


def run_benchmark(asked: Benchmark, say: Say) -> tuple[int, list[Study]]:
    """Train what the studies are missing; one data set after another, under one Ray.

    Everything of every data set is checked before the first one trains.

    Returns:
        the exit code, and the studies; none after a dry run.

    Raises:
        DatasetError, LeakError, PlanError, StudyError: one line each, for the user.
    """
    names = _datasets(asked)
    grids = []
    for name in names:
        options = replace(asked.options, dataset=name, data=asked.folders.get(name))
        options, notes = _with_networks(options, asked.networks)
        grids.append(_plan(options, say))
        for note in notes:
            say(note)
    if asked.options.dry_run:
        _describe_cost(grids, say)
        return OK, []
    return _run(grids, say), [grid.run.results for grid in grids]


def _datasets(asked: Benchmark) -> list[str]:
    names = list(dict.fromkeys(asked.datasets or [*asked.folders] or ["demo"]))
    for name in [*names, *asked.folders]:
        if name not in NAMES:
            raise PlanError(f"unknown data set {name!r}; the data sets are: {', '.join(NAMES)}")
    if unused := [name for name in asked.folders if name not in names]:
        raise PlanError(f"--data {unused[0]}={asked.folders[unused[0]]}: add --dataset {unused[0]}, or leave it out")
    return names


def _plan(options: BenchmarkOptions, say: Say) -> Grid:
    """As `plan_grid`, whose remedies name a folder as commands on one data set take it, and this one doesn't."""
    try:
        return plan_grid(options, say, SOURCE)
    except DatasetError as error:
        raise DatasetError(str(error).replace("--data ", f"--data {options.dataset}=")) from None


def _with_networks(options: BenchmarkOptions, names: Sequence[str]) -> tuple[BenchmarkOptions, list[str]]:
    """The options with the networks that were named; or with all that can take the recipe's clips, and what can't.

    Raises:
        PlanError: an unknown network or recipe, or only rivals, which are compared with the paper's network.
    """
    if unknown := [name for name in names if name not in NETWORKS]:
        raise PlanError(f"unknown network {unknown[0]!r}; the networks are: {', '.join(NETWORKS)}")
    if names and REFERENCE not in names:
        raise PlanError(f"--networks {' '.join(names)}: add {REFERENCE}, with which the rivals are compared")
    if names:
        return replace(options, peers=tuple(name for name in PEERS if name in names)), []
    recipe = choose_recipe(SOURCE, options.recipe, demo=options.dataset == "demo")
    able, notes = [], []
    for name, network in PEERS.items():
        try:
            network.filled(2, recipe.sample_rate, recipe.length)
            able.append(name)
        except ValueError as error:
            notes.append(f"left out: {error}")
    return replace(options, peers=tuple(able)), notes


def _describe_cost(grids: Sequence[Grid], say: Say) -> None:
    total = 0.0
    for grid in grids:
        run = grid.run
        if not grid.missing:
            say(f"{run.dataset.name}: expected cost: none, all trials are committed")
            continue
        cost = cost_of(grid.missing, run.dataset)
        parts = sorted(cost.by_network.items(), key=lambda item: -item[1])
        shares = ", ".join(f"{name} {100 * seconds / cost.seconds:.0f} %" for name, seconds in parts)
        say(f"{run.dataset.name}: expected cost: {cost.how}, {hours(cost.seconds)}: {shares}")
        total += cost.seconds
    say(f"expected cost in all: {hours(total)}, which as many trials share as fit on the machine at once")


def _run(grids: Sequence[Grid], say: Say) -> int:
    opened = []
    for grid in grids:
        with resumable(grid.run.results):
            facts = {"benchmark": printed(grid.run.dataset.name)}
            opened.append((grid, begin(grid, say, facts)))
            if not grid.missing:
                train(*opened[-1], say)
    left = [(grid, store) for grid, store in opened if grid.missing]
    if not left:
        return OK
    from sweeper.execution.cluster import cluster  # Ray takes seconds to import: wrong input is told without it

    code = OK
    largest = max(sum(map(int, store.clips.lengths)) for _, store in left)
    with cluster(grids[0].options.address, 2 * largest):  # two bytes a sample; one data set's clips at a time
        for grid, store in left:
            study = grid.run.results
            say(f"{study.name}: {count(len(grid.missing), 'trial')} to run")
            with resumable(study):
                code = max(code, train(grid, store, say))
            if signals.asked():
                return interrupted()
    return code
