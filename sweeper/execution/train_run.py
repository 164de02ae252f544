"""An actor with a Ray Train run, whose workers take one piece of work after another; stopped, it leaves no trace.

A Train run takes ten seconds to start on two cores: a controller and its helpers, then the workers, which all
import what they need. So the run stays when a piece of work is done, and its workers ask for the next, until there has
been none for a while. One that fails, or is stopped, ends the run: the next piece begins with new processes.

Ray 2.60 cleans up after a Train run only where the run itself ends: then its controller removes the placement group and
ends its helpers. Where Tune kills the process that called `TorchTrainer.fit`, the controller dies with it. The group
with its CPUs and GPUs, and a helper process, then stay for ever, unless the dashboard runs, whose API the helper asks.

So `fit` is called here, in a process that Tune knows nothing of. To stop a run, its workers are killed; the controller
finds them gone, gives up, and cleans up as after any failure. A client that asks for no news for a while is taken for
dead, and then its work is stopped in the same way.

A run that waits for nodes has no workers to kill, so its controller and its helper are killed.

What is left is a kill -9 of this actor or of a controller. Then the placement group is removed here; the helper, which
holds nothing, stays until this actor's `close`, or, on another node, until the cluster ends.

Processes that have ended for Ray may live on: some hang in Python's exit, as Train's own workers did before it killed
them (github.com/ray-project/ray/pull/59872); a controller still ends by itself. So `close` looks whether processes of
its runs are left on this node, and kills them, where the system has a /proc to find them in. Other actors that Train
has started may be there for others.
"""

import math
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sweeper.garbage import staying

with staying():
    import ray
    import torch.distributed as dist
    from ray.train import RunConfig, ScalingConfig, WorkerGroupError
    from ray.train.torch import TorchTrainer
    from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group

    from sweeper.execution.family import carrying, kill
    from sweeper.plan import derive_seed

LEASE_SECONDS = 10.0  # without a question from its client, work is stopped
WATCH_SECONDS = 1.0  # between looks at the lease
PATIENCE_SECONDS = 1.0  # how long a client's question is left open when there is no news
ASK_SECONDS = 0.1  # between a worker's questions for the next work
LOOK_SECONDS = 0.5  # between looks whether a run that is to end waits for nodes
IDLE_SECONDS = 5.0  # without work, a run ends: what it holds may be wanted elsewhere
POLL_SECONDS = 0.5  # between the controller's looks at its workers: two by default, by which each end would take longer
EXIT_SECONDS = 1.0  # which a process of ended runs has until it is killed
VARIABLE = "SWEEPER_TRAIN_RUN"  # in the environment of an actor, and of all that its runs start
TITLES = ("ray::TrainController", "ray::RayTrainWorker", "ray::PlacementGroupCleaner")
TAGS = 2**24
SPARE_MEMORY = 2 * TAGS  # bytes: more than what a worker holds beyond what it asks for, see `create`

Report = dict[str, Any]
Actor = Any  # a handle to an actor of the class `TrainRun`


@dataclass(frozen=True)
class Work:
    """What a Train run shall do: `loop(config | {"run": Link})` on each of `workers` workers.

    Each worker holds `resources`. The first one's return value is the work's. `name`: of a run that begins with it.
    """

    name: str
    loop: Callable[[dict[str, Any]], Any]
    config: dict[str, Any]
    workers: int
    resources: dict[str, float]


@dataclass(frozen=True)
class News:
    """Reports since the last question; and, once all workers are through with the work, its value or its error."""

    reports: tuple[Report, ...]
    ended: bool
    value: Any = None
    error: Exception | None = None


class TrainRun:
    """The actor's class: at most one run at a time, and in it one piece of work. Safe with any number of threads."""

    def __init__(self, tag: int) -> None:
        """`tag`: bytes of memory, by which this actor's placement groups are recognised, see `create`."""
        self._tag = tag
        self._changed = threading.Condition()
        self._running = False  # there is a Train run, perhaps one that ends
        self._runs = 0  # how many there were
        self._crew = ""  # of workers that may go on
        self._workers: list[Any] = []  # handles to them
        self._token = ""  # of the work that may go on, or whose end the client has not heard of
        self._work: Work | None = None  # the latest
        self._number = 0  # how many there were
        self._done: dict[int, Any] = {}  # what the workers that are through with it returned, by rank
        self._idle = self._asked = 0.0
        self._reports: list[Report] = []
        self._end: News | None = None
        self._closed = False
        remove_groups(tag)  # Ray started this actor again after a kill: what it left

    def start(self, work: Work) -> str:
        """Begin work; returns its token, or nothing if other work, or a run that it can't have, has not ended yet."""
        with self._changed:
            if self._closed or self._token or (self._running and not self._can_take(work)):
                return ""
            self._token, self._work, self._number = uuid.uuid4().hex, work, self._number + 1
            self._done, self._asked, self._reports, self._end = {}, time.monotonic(), [], None
            if not self._running:
                self._running, self._crew, self._workers = True, uuid.uuid4().hex, []
                self._runs += 1
                config = {"run": ray.get_runtime_context().current_actor, "crew": self._crew}
                threading.Thread(target=self._fit, args=(work, config), daemon=True).start()
            threading.Thread(target=self._watch, args=(self._token,), daemon=True).start()
            return self._token

    def _can_take(self, work: Work) -> bool:
        last = self._work
        return bool(self._crew and last and (last.workers, last.resources) == (work.workers, work.resources))

    def join(self, crew: str, worker: Any) -> None:
        """Take in a worker of a run that has begun; a worker of a stopped run does not live on."""
        with self._changed:
            if crew == self._crew:
                self._workers.append(worker)
                return
        ray.kill(worker)

    def next(self, crew: str, number: int) -> tuple[bool, "Order | None"]:
        """For a worker that is through with so many pieces: whether to go on, and the next one, if there is any yet."""
        with self._changed:
            if crew != self._crew:
                return False, None
            if self._work is not None and self._number > number:
                return True, Order(self._number, self._token, self._work.loop, self._work.config)
            if not self._token and time.monotonic() - self._idle > IDLE_SECONDS:
                self._crew = ""  # for the others, too
            return bool(self._crew), None

    def report(self, token: str, report: Report) -> None:
        """Take a worker's report for the client."""
        with self._changed:
            if token == self._token:
                self._reports.append(report)
                self._changed.notify_all()

    def finish(self, token: str, rank: int, value: Any) -> None:
        """Take what a worker returned, that is through with the work."""
        with self._changed:
            if token == self._token and self._work is not None:
                self._done[rank] = value
                if len(self._done) == self._work.workers:
                    self._end = News((), True, value=self._done[0])
                    self._changed.notify_all()

    def news(self, token: str) -> News:
        """Wait a moment for news and return it. The client must keep calling, or it is taken for dead."""
        with self._changed:
            if token != self._token:
                return News((), True, error=RunStopped("the run was stopped"))
            self._asked = time.monotonic()
            self._changed.wait_for(lambda: token != self._token or self._reports or self._end, PATIENCE_SECONDS)
            if token != self._token:  # stopped meanwhile: what came since is another client's
                return News((), True, error=RunStopped("the run was stopped"))
            self._asked = self._idle = time.monotonic()
            reports, self._reports = tuple(self._reports), []
            if self._end is None:
                return News(reports, False)
            self._token = ""
            return News(reports, True, self._end.value, self._end.error)

    def stop(self, token: str) -> None:
        """Stop this work, and the run with it, if it has not ended."""
        with self._changed:
            if token != self._token:
                return
            self._token, self._idle = "", time.monotonic()
            if self._end is not None:
                return
            run = (self._dismissed(), self._runs)
        threading.Thread(target=self._end_run, args=(*run, math.inf), daemon=True).start()

    def close(self, seconds: float) -> bool:
        """Stop the run, whatever it does, and wait at most `seconds` for its end; returns whether it has ended.

        No other begins. No placement group of this actor's runs is left, and `EXIT_SECONDS` later no controller, helper
        or worker on its node.
        """
        with self._changed:
            self._closed, self._token, run = True, "", (self._dismissed(), self._runs)
        ended = self._end_run(*run, seconds)
        if not ended:
            remove_groups(self._tag)
        _see_off(os.environ[VARIABLE])
        return ended

    def _end_run(self, workers: list[Any], number: int, seconds: float) -> bool:
        """End the `number`th run, of which these workers have joined, within `seconds`; returns whether it has ended.

        Workers that start end as they join; a run that waits for nodes has none.
        """
        for worker in workers:
            ray.kill(worker)
        deadline = time.monotonic() + seconds

        def over() -> bool:
            return not self._running or self._runs != number

        while not over() and time.monotonic() < deadline:
            if any(group["state"] != "CREATED" for group in _groups(self._tag).values()):
                kill(carrying(VARIABLE, os.environ[VARIABLE], TITLES))
            with self._changed:
                self._changed.wait_for(over, LOOK_SECONDS)
        return over()

    def _dismissed(self) -> list[Any]:
        """The workers, which are to be killed: none that joins later lives on, and no work is taken until all ended."""
        self._crew, workers, self._workers = "", self._workers, []
        return workers

    def _fit(self, work: Work, config: dict[str, Any]) -> None:
        error: Exception = RunStopped("the run ended")
        try:
            _fit(work, config, self._tag)
        except Exception as failure:
            error = _cause(failure)
        try:
            remove_groups(self._tag)  # there is one only if the controller was killed
        finally:  # or the client would wait for ever
            with self._changed:
                self._running, self._crew, self._workers = False, "", []
                if self._end is None:
                    self._end = News((), True, error=error)
                self._changed.notify_all()

    def _watch(self, token: str) -> None:
        while token == self._token:
            time.sleep(WATCH_SECONDS)
            if time.monotonic() - self._asked > LEASE_SECONDS:
                self.stop(token)


class RunStopped(RuntimeError):
    """The run was stopped before it ended."""


class WorkerLost(RuntimeError):
    """A worker's process ended before its work did."""


@dataclass(frozen=True)
class Link:
    """A worker's connection to the actor that started it."""

    run: Actor
    token: str
    _sent: list["ray.ObjectRef[None]"] = field(default_factory=list)  # what may not have arrived

    def report(self, report: Report) -> None:
        """Tell the client. Neither waits nor, unlike `ray.train.report`, brings the workers into step."""
        self._arrive(0.0)
        self._sent.append(self.run.report.remote(self.token, report))

    def arrive(self) -> None:
        """Wait until all reports have arrived: the actor takes several calls at once, an end would overtake them."""
        self._arrive(None)

    def _arrive(self, seconds: float | None) -> None:
        if self._sent:
            self._sent[:] = ray.wait(self._sent, num_returns=len(self._sent), timeout=seconds)[1]


@dataclass(frozen=True)
class Order:
    """The `number`th piece of work, as a worker is given it."""

    number: int
    token: str
    loop: Callable[[dict[str, Any]], Any]
    config: dict[str, Any]


def _work_on(config: dict[str, Any]) -> None:
    """What Train runs on each worker: join, then one piece of work after another.

    In a run that was stopped before it began, it does not return.
    """
    run, crew, number = config["run"], config["crew"], 0
    rank = ray.train.get_context().get_world_rank()
    ray.get(run.join.remote(crew, ray.get_runtime_context().current_actor))
    while True:
        go_on, order = ray.get(run.next.remote(crew, number))
        if not go_on:
            return
        if order is None:
            time.sleep(ASK_SECONDS)
            continue
        link = Link(run, order.token)
        value = order.loop(order.config | {"run": link})
        link.arrive()
        ray.get(run.finish.remote(order.token, rank, value))
        number, order, value = order.number, None, None


def create(index: int) -> Actor:
    """Start an actor that holds no resources; each of a driver's has an `index` of its own."""
    context = ray.get_runtime_context()
    # Train gives its placement groups no name, but what they ask for can be seen: so each actor's ask for a few bytes
    # more than they need, a number of its own.
    tag = 2 + derive_seed(context.get_job_id(), index) % (TAGS - 2)
    # Train's helper asks the Ray instance that was started last on the machine whether the controller lives, and if
    # that one knows of none, removes the placement group. With the address it asks the right one.
    # Its watcher of nodes that are about to be taken away, one more process of a run, would start workers anew: a lost
    # worker ends the run, and the trial goes on from its checkpoint, whatever the reason.
    # torch's own log says on every worker when a network, which might leave parameters unused, used them all.
    environment = {
        "RAY_ADDRESS": context.gcs_address,
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": str(POLL_SECONDS),
        "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        VARIABLE: uuid.uuid4().hex,
    }
    options = {"max_concurrency": 16, "max_restarts": -1, "runtime_env": {"env_vars": environment}}
    return ray.remote(TrainRun).options(num_cpus=0, **options).remote(tag)


def _fit(work: Work, config: dict[str, Any], tag: int) -> None:
    memory = math.ceil(work.resources.get("memory", 0) / TAGS) * TAGS + tag
    with tempfile.TemporaryDirectory() as scratch:  # of Train's own state nothing is needed again
        TorchTrainer(
            _work_on,
            train_loop_config=config,
            scaling_config=ScalingConfig(
                num_workers=work.workers,
                use_gpu=work.resources.get("GPU", 0) > 0,
                resources_per_worker=work.resources | {"memory": memory},
            ),
            run_config=RunConfig(name=work.name, storage_path=scratch),
        ).fit()


def _cause(error: Exception) -> Exception:
    """What to tell of a failed run: a worker's own exception, rather than its echo in those that lost their peer."""
    if not isinstance(error, WorkerGroupError):
        return error
    failures = sorted(error.worker_failures.items())
    own = [failure for _, failure in failures if not type(failure).__module__.startswith("ray.") and not _echo(failure)]
    if own:
        return own[0]
    ranks = [rank for rank, failure in failures if not _echo(failure)] or [rank for rank, _ in failures]
    return WorkerLost(f"the process of worker {', '.join(map(str, ranks))} ended")


def _echo(error: Exception) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error)


def _see_off(run: str) -> None:
    """Wait until no process of an actor's runs is left on this node; kill those that stay."""
    deadline = time.monotonic() + EXIT_SECONDS
    while left := carrying(VARIABLE, run, TITLES):
        if time.monotonic() > deadline:
            return kill(left)
        time.sleep(0.1)


def remove_groups(tag: int) -> None:
    """Remove the placement groups that carry a tag in this cluster, and with them the processes in them."""
    for group_id in _groups(tag):
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(group_id))))


def _groups(tag: int) -> dict[str, dict[str, Any]]:
    """What Ray tells of the placement groups that carry a tag and are not removed, by id."""

    def tags(group: dict[str, Any]) -> set[int]:
        return {int(bundle.get("memory", 0)) % TAGS for bundle in group["bundles"].values()}

    table = placement_group_table()
    return {id_: group for id_, group in table.items() if group["state"] != "REMOVED" and tag in tags(group)}
