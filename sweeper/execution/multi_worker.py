"""One trial on several workers: Ray Train's `TorchTrainer` inside a Tune trial, with the same `fit()` as on one worker.

The Tune function holds no resources: it asks a `TrainRun` actor to run the trial, and passes on what that tells. There
are as many of these actors as trials fit into the cluster at once, and Tune runs no more trials than that; the rest
queue, and take the actor, with its Train run, that the trial before them leaves. So nobody holds what another one waits
for. Where nodes are started on demand, some more trials are handed out: Train asks for room for all of a trial's
workers together, which an autoscaler sees, and the trial begins when that has come.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sweeper.garbage import staying

with staying():
    import ray
    import ray.train
    import ray.train.torch
    from ray import tune

    from sweeper.execution import train_run
    from sweeper.execution.cluster import grows, nodes, wait_for_room
    from sweeper.execution.fits import check_room, check_sharing, workers_on
    from sweeper.execution.notices import watched
    from sweeper.execution.train_run import EXIT_SECONDS, Actor, Link, Work
    from sweeper.execution.worker import (
        Row,
        SweepContext,
        commit_result,
        epoch_reporter,
        free_gpu,
        hold,
        opened,
        recorded,
        run_with_retries,
        started,
        with_signs,
    )
    from sweeper.plan import TrialSpec
    from sweeper.results.attempts import Attempt
    from sweeper.training.distributed import Worker
    from sweeper.training.fit import TrialLeft, Wish
    from sweeper.training.raised import place_in_code
    from sweeper.training.trial import run_trial

SEARCH_SECONDS = 1.0  # between looks for an actor that is free
CLOSE_SECONDS = 20.0
GROWTH = 8  # trials that a growing cluster is asked to run at once, if no more fit: each has processes on its head


@contextlib.contextmanager
def trainable(sweep: SweepContext, workers: int, memory: int, batch: int, ahead: int) -> Iterator[tuple[Any, int]]:
    """Tune's trainable for the sweep's trials, and how many of them may run, or wait for nodes, at once.

    On leaving, what still runs is stopped, and no process or placement group of it is left.

    Args:
        sweep: the sweep; each worker holds its `cpus` and `gpus`.
        workers: of each trial, at least 2.
        memory: in bytes, that each worker holds.
        batch: the smallest batch of all trials.
        ahead: how many may wait for nodes at once, where the cluster starts nodes on demand.

    Raises:
        PlanError: the cluster has no room for one trial; a worker would hold part of a GPU; or a batch has fewer clips
            than there are workers.
    """
    resources = {"CPU": float(sweep.cpus), "GPU": float(sweep.gpus), "memory": float(memory)}
    resources = {name: amount for name, amount in resources.items() if amount}
    check_sharing(workers, sweep.gpus, batch)
    at_once = _room(resources | {"memory": memory + train_run.SPARE_MEMORY}, workers) // workers
    if grows():
        at_once = max(at_once, min(ahead, GROWTH))
    runs = [train_run.create(index) for index in range(at_once)]
    function = tune.with_parameters(train_trial, sweep=sweep, workers=workers, resources=resources, runs=runs)
    try:
        # Tune's own process must hold something. It is a byte, as what it held its own workers might wait for.
        yield tune.with_resources(function, {"memory": 1}), at_once
    finally:
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get([run.close.remote(CLOSE_SECONDS) for run in runs], timeout=CLOSE_SECONDS + EXIT_SECONDS + 5)
        for run in runs:
            ray.kill(run)


def _room(resources: dict[str, float], workers: int) -> int:
    """How many workers the cluster has room for; one that starts nodes on demand is first asked for one trial's.

    Raises:
        PlanError: fewer than one trial's.
    """
    if grows() and workers_on(nodes(), resources) < workers:
        wait_for_room([resources] * workers)
    return check_room(nodes(), resources, workers)


def train_trial(
    config: dict[str, Any], sweep: SweepContext, workers: int, resources: dict[str, float], runs: Sequence[Actor]
) -> None:
    """Tune's function trainable: run and commit the trial `config["spec"]` on several workers, by one of `runs`."""
    spec: TrialSpec = config["spec"]
    work = Work(spec.trial_id, train_loop, {"sweep": sweep, "spec": spec}, workers, resources)
    run_with_retries(sweep, spec, lambda: _follow(work, runs))


def _follow(work: Work, runs: Sequence[Actor]) -> Row:
    """Start the work on an actor that is free, pass its reports to Tune, and return its value.

    Raises:
        TrialLeft: the sweep was asked to end while this trial waited, be it for nodes that may never come.
    """
    with watched() as wish:
        (run, token), begun = _start(work, runs, wish), False
        try:
            while begun or not wish():
                news = ray.get(run.news.remote(token))
                for report in news.reports:
                    begun = True
                    tune.report(report)
                if news.error is not None:
                    raise news.error
                if news.ended:
                    return dict(news.value)
            raise TrialLeft
        finally:
            run.stop.remote(token)  # when Tune stops this trial, `report` ends the thread by SystemExit


def _start(work: Work, runs: Sequence[Actor], wish: Callable[[], Wish]) -> tuple[Actor, str]:
    while not wish():  # one is free, or will be when the stopped trial in it is gone
        for run in runs:
            with contextlib.suppress(ray.exceptions.ActorUnavailableError):  # Ray is starting it again
                if token := ray.get(run.start.remote(work)):
                    return run, token
        time.sleep(SEARCH_SECONDS)
    raise TrialLeft


def train_loop(config: dict[str, Any]) -> Row | None:
    """What each of Train's workers does; the first one commits the result and returns its row."""
    sweep: SweepContext = config["sweep"]
    link: Link = config["run"]
    context = ray.train.get_context()
    worker = Worker(context.get_world_rank(), context.get_world_size())
    if worker.rank == 0:
        link.report(started())  # now that all workers have their nodes: Ctrl-C ends a trial that waited until here
    spec = opened(config["spec"], sweep)
    free_gpu()
    fold = sweep.folds[spec.data.fold]
    hold(sweep)

    def run(running: Attempt | None) -> Row | None:
        with sweep.study.checkpoint(spec.trial_id) as state, watched() as wish:
            result, fitted = run_trial(
                spec,
                ray.get(list(fold.train)),
                lambda: ray.get(list(fold.scored)),
                device=ray.train.torch.get_device(),
                state=state.path,
                on_state=lambda: state.save(often=not wish()),
                on_epoch=epoch_reporter(link.report, spec.training.epochs) if worker.rank == 0 else lambda _epoch: None,
                follow=sweep.follow,
                wish=with_signs(wish, link.report),  # which only the first worker is asked
                worker=worker,
            )
            return None if running is None else commit_result(sweep, result, fitted, running)

    try:
        if worker.rank:
            return run(None)
        with recorded(sweep, spec, worker.world_size) as running:
            return run(running)
    except Exception as error:
        error.add_note(place_in_code(error))  # its frames stay in this process
        raise
