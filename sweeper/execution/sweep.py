"""A sweep: trials as one Ray Tune run over reused actors.

Tune schedules, retries crashed workers and tells the live view what happens. Its own experiment state is scratch: what
is finished is what the results folder says.
"""

import contextlib
import functools
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import ray
from ray import tune
from ray.tune import Callback
from ray.tune.schedulers import TrialScheduler

from sweeper import signals
from sweeper.audio.fold_data import FoldData
from sweeper.audio.store import ClipStore
from sweeper.execution.cluster import MOST_WAITING, cluster, grows, nodes, trial_resources
from sweeper.execution.deaths import cause_of, note_death, record_death
from sweeper.execution.fits import Machine, TrialResources, share_of_batch, workers_on
from sweeper.execution.fused_worker import train_seeds
from sweeper.execution.in_order import InOrder
from sweeper.execution.interrupt import Beginnings, Ending, PlannedTrials, TrialSource, WithinBudget
from sweeper.execution.loggers import keep_event_files, logger_callback
from sweeper.execution.meanwhile import Meanwhile
from sweeper.execution.memory import memory_per_trial
from sweeper.execution.packing import Packing
from sweeper.execution.progress import Progress
from sweeper.execution.seed_groups import PlannedSeeds
from sweeper.execution.seeds_at_once import most_alike, programs, that_keep_busy
from sweeper.execution.time_left import Course
from sweeper.execution.watchdog import Watchdog
from sweeper.execution.worker import FoldClips, SweepContext, specs_of, train_trial
from sweeper.plan import PlanError, TrialSpec
from sweeper.results.attempts import new_run
from sweeper.results.budget import Spending
from sweeper.results.claims import Claims
from sweeper.results.store import Study

_USUAL = Machine()
Call = Callable[[Callable[[str], None]], None]  # given what prints a line


@dataclass(frozen=True)
class Failure:
    """A trial that did not finish, and why."""

    spec: TrialSpec
    error: str


def run_sweep(
    trials: Sequence[TrialSpec],
    folds: Mapping[int, FoldData],
    study: Study,
    store: ClipStore,
    machine: Machine = _USUAL,
    course: Course | None = None,
    spending: Spending | None = None,
    meanwhile: Call | None = None,
) -> tuple[Failure, ...]:
    """Run `trials` and commit each; a trial's failure does not stop the others.

    `course` says where this sweep stands among others, for the live view; `spending`, what may be spent; `meanwhile`,
    what is to be done while trials run.

    Returns:
        the trials that failed. Those that were neither finished nor failed after an interrupt, or that other runs are
        at, are just missing.

    Raises:
        PlanError: a single trial needs more than the machine has, or can't be shared by so many workers.
    """
    view = Progress(trials, trials, course)

    def source(sweep: SweepContext) -> TrialSource:
        claims = Claims(study, sweep.run)
        if sweep.seeds > 1:
            return PlannedSeeds(trials, sweep.seeds, claims, view.say)
        if spending is None:
            return PlannedTrials(trials, claims, view.say)
        return WithinBudget(trials, spending, claims, view.say)

    return run_trials(
        lambda sweep: (source(sweep), None),
        folds,
        study,
        store,
        machine,
        like=trials,
        ahead=len(trials),
        view=view,
        meanwhile=meanwhile,
    )


Making = Callable[[SweepContext], tuple[TrialSource, TrialScheduler | None]]


def run_trials(
    make: Making,
    folds: Mapping[int, FoldData],
    study: Study,
    store: ClipStore,
    machine: Machine,
    *,
    like: Sequence[TrialSpec],
    ahead: int,
    view: Progress,
    follow: bool = False,
    meanwhile: Call | None = None,
) -> tuple[Failure, ...]:
    """Run the trials that a source gives; see `run_sweep`.

    Args:
        make: given the sweep, returns the source and Tune's scheduler; None: first in, first out.
        folds: the clips.
        study: where results go.
        store: whose clips they are.
        machine: what trials hold.
        like: trials that need as much memory as any that will come.
        ahead: how many may wait for nodes at once, where the cluster starts nodes on demand.
        view: the live view.
        follow: report validation accuracies, for the scheduler.
        meanwhile: what a thread of this process shall do while trials run.
    """
    if machine.workers < 1:
        raise PlanError(f"--workers-per-trial {machine.workers}: at least 1")
    watching = [logger_callback(name, study) for name in machine.loggers]
    parts = {id(part): part for data in folds.values() for part in (*data.train, *data.scored)}
    with (
        cluster(machine.address, sum(part.samples.nbytes for part in parts.values())),
        tempfile.TemporaryDirectory() as scratch,
        contextlib.ExitStack() as stack,
    ):
        resources = trial_resources(machine.cpus, machine.gpus, ahead * machine.workers)
        shares = [share_of_batch(trial, machine.workers) for trial in like]
        seeds, memory = _at_once_of_one(like, shares, machine.seeds, resources, study)
        # Each node fetches them once, whatever it trains.
        references = {key: ray.put(part) for key, part in parts.items()}
        sweep = SweepContext(
            study=study,
            folds={
                fold: FoldClips(
                    tuple(references[id(part)] for part in data.train),
                    tuple(references[id(part)] for part in data.scored),
                    data.leak,
                )
                for fold, data in folds.items()
            },
            classes=store.dataset.classes,
            synthetic=store.dataset.synthetic,
            data_digest=store.digest,
            cpus=resources.cpus,
            gpus=resources.gpus,
            max_failures=machine.max_failures,
            follow=follow,
            run=new_run(),
            seeds=seeds,
            measured=machine.seeds == "auto",
        )
        held = {"CPU": resources.cpus, "GPU": resources.gpus, "memory": memory}
        if machine.workers == 1:
            function = train_trial if seeds == 1 else train_seeds
            trainable, at_once = tune.with_resources(tune.with_parameters(function, sweep=sweep), held), None
        else:
            from sweeper.execution import multi_worker  # with Ray Train, which takes a while and few sweeps need

            batch = min(trial.training.batch_size for trial in like)
            trainable, at_once = stack.enter_context(
                multi_worker.trainable(sweep, machine.workers, memory, batch, ahead)
            )
        room = _at_once(held) if at_once is None else at_once
        # Of a searcher's trials Tune lets one wait: workers, and an autoscaler's nodes, would start one by one. With as
        # many as workers, they start together. While they do, Tune gives a trial that waits for its own worker to one
        # that is free, and ends the one that starts: trials shorter than a start leave workers out.
        waiting = min(ahead, MOST_WAITING) if grows() else min(room, MOST_WAITING)
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(1, waiting))
        source, scheduler = make(sweep)
        source.waiting = waiting if grows() else 1
        stopper = Ending(source, machine.grace)
        deaths, beside = (
            _Deaths(sweep),
            Meanwhile(None if meanwhile is None else functools.partial(meanwhile, view.say)),
        )
        packing = Packing(study)
        # `auto` measures how fast trials are, with nothing beside them: then it waits for their end.
        while_trials_run = [] if machine.seeds == "auto" else [beside]
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=source,
                scheduler=scheduler or InOrder(),
                num_samples=-1,  # the source knows
                max_concurrent_trials=at_once,
                reuse_actors=True,
                trial_dirname_creator=_name,
                trial_name_creator=_name,
            ),
            run_config=tune.RunConfig(
                name=study.name,
                storage_path=scratch,
                verbose=0,
                stop=stopper,
                callbacks=[Beginnings(source), view, deaths, Watchdog(), packing, *watching, *while_trials_run],
                failure_config=tune.FailureConfig(max_failures=machine.max_failures),
            ),
        )
        view.begin(room if seeds == 1 else min(room, programs(like, seeds)))
        try:
            with signals.noted(source.drain), _without_warnings():
                results = tuner.fit()
                keep_event_files(Path(scratch), study)
                beside.end()
        finally:
            view.close()
            stopper.end()
            packing.end()
        return *_failures(results, deaths.reasons), *deaths.of_seeds


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Tune warns that it finds no metrics of its own, also on a Ray that the user has started, with its own level."""
    logger = logging.getLogger("ray.tune")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _at_once_of_one(
    trials: Sequence[TrialSpec],
    shares: Sequence[TrialSpec],
    wished: int | Literal["auto"],
    resources: TrialResources,
    study: Study,
) -> tuple[int, int]:
    """How many seeds of an arm train as one program, and the memory that this is given.

    Raises:
        PlanError: so many don't fit; of an automatic number, not even one.
    """
    if wished != "auto":
        seeds = most_alike(trials, wished) if wished > 1 else 1
        return seeds, memory_per_trial(shares, resources, study, seeds)
    held = {"CPU": float(resources.cpus), "GPU": resources.gpus}
    alone = 0 if resources.gpus else memory_per_trial(shares, resources, study)
    room = _at_once(held | {"memory": alone})
    seeds = that_keep_busy(trials, room)
    while seeds > 1:
        with contextlib.suppress(PlanError):
            memory = memory_per_trial(shares, resources, study, seeds)
            if _at_once(held | {"memory": memory}) >= min(room, programs(trials, seeds)):
                return seeds, memory
        seeds //= 2
    return 1, memory_per_trial(shares, resources, study)


def _at_once(held: Mapping[str, float]) -> int:
    """How many trials that hold so much the nodes have room for."""
    return workers_on(nodes(), {name: amount for name, amount in held.items() if amount})


def _name(trial: Any) -> str:
    return str(trial.config["trial_id"])


def _failures(results: Any, died: Mapping[str, str]) -> tuple[Failure, ...]:
    failures = {}
    for result in results:
        specs = specs_of(result.config) if result.config else ()
        for spec in specs:
            if spec.trial_id in died:
                failures[spec.trial_id] = Failure(spec, died[spec.trial_id])
        if (result.metrics or {}).get("outcome") == "failed":
            failures.setdefault(specs[0].trial_id, Failure(specs[0], result.metrics["error"]))
    return tuple(failures.values())


class _Deaths(Callback):
    """Records the trials that Tune gave up, as their workers can't; of those that never began, its results say nothing.

    Also the seeds that failed in a program of several, of which results tell the end alone.
    """

    def __init__(self, sweep: SweepContext) -> None:
        # Without the clips: Tune keeps a copy of its callbacks, which would hold them for ever.
        folds = {fold: FoldClips((), (), clips.leak) for fold, clips in sweep.folds.items()}
        self._sweep = replace(sweep, folds=folds)
        self.reasons: dict[str, str] = {}
        self.of_seeds: list[Failure] = []
        self._ended: set[str] = set()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Take in how seeds ended. Those that train apart after all are Tune's other trials, also after a crash."""
        if "apart" in result:
            trial.config.pop("others", None)
        by_id = {spec.trial_id: spec for spec in specs_of(trial.config)}
        for row in result.get("seeds", ()):
            if row.get("outcome") in ("complete", "failed"):
                self._ended.add(row["trial"])
            if row.get("outcome") == "failed":
                self.of_seeds.append(Failure(by_id[row["trial"]], row["error"]))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune calls this when a worker died and its trial is to begin anew."""
        for spec in specs_of(trial.config):
            note_death(self._sweep, spec)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune calls this after the last try."""
        for spec in specs_of(trial.config):
            if spec.trial_id not in self._ended:
                reason = record_death(self._sweep, spec, trial.num_failures, cause_of(trial))
                self.reasons[spec.trial_id] = reason
