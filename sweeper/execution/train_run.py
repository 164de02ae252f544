"""An actor that runs one Ray Train run after another, and from which a run can be stopped without a trace.

Ray 2.60 cleans up after a Train run only where the run itself ends: then its controller removes the placement group and
ends its helpers. Where Tune kills the process that called `TorchTrainer.fit`, the controller dies with it. The group
with its CPUs and GPUs, and a helper process, then stay for ever, unless the dashboard runs, whose API the helper asks.

So `fit` is called here, in a process that Tune knows nothing of. To stop a run, its workers are killed; the controller
finds them gone, gives up, and cleans up as after any failure. A client that asks for no news for a while is taken for
dead, and then its run is stopped in the same way.

What is left is a kill -9 of this actor or of a controller. Then the placement group is removed here; the helper, which
holds nothing, stays until the cluster ends.

Processes that have ended for Ray may live on: some hang in Python's exit, as Train's own workers did before it killed
them (github.com/ray-project/ray/pull/59872); a controller still ends by itself. So `close` looks whether processes of
its runs are left on this node, and kills them.
"""

import math
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
import torch.distributed as dist
from ray.train import RunConfig, ScalingConfig, WorkerGroupError
from ray.train.torch import TorchTrainer
from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group

from sweeper.execution.family import carrying, kill
from sweeper.plan import derive_seed

LEASE_SECONDS = 10.0  # without a question from its client, a run is stopped
WATCH_SECONDS = 1.0  # between looks at the lease
PATIENCE_SECONDS = 1.0  # how long a client's question is left open when there is no news
EXIT_SECONDS = 5.0  # which a process of an ended run has until it is killed
VARIABLE = "SWEEPER_TRAIN_RUN"  # in the environment of an actor, and of all that its runs start
TAGS = 2**24
SPARE_MEMORY = 2 * TAGS  # bytes: more than what a worker holds beyond what it asks for, see `create`

Report = dict[str, Any]
Actor = Any  # a handle to an actor of the class `TrainRun`


@dataclass(frozen=True)
class Work:
    """What a Train run shall do: `loop(config | {"run": Link})` on each of `workers` workers.

    Each worker holds `resources`. The first one's return value is the run's.
    """

    name: str
    loop: Callable[[dict[str, Any]], Any]
    config: dict[str, Any]
    workers: int
    resources: dict[str, float]


@dataclass(frozen=True)
class News:
    """Reports since the last question; and, once the run has ended and left nothing, its value or its error."""

    reports: tuple[Report, ...]
    ended: bool
    value: Any = None
    error: Exception | None = None


class TrainRun:
    """The actor's class: at most one run at a time. Safe with any number of threads."""

    def __init__(self, tag: int) -> None:
        """`tag`: bytes of memory, by which this actor's placement groups are recognised, see `create`."""
        self._tag = tag
        self._changed = threading.Condition()
        self._token = ""  # of the run that may go on
        self._workers: list[Any] = []  # handles to the run's
        self._busy = False
        self._asked = 0.0
        self._reports: list[Report] = []
        self._end: News | None = None
        remove_groups(tag)  # Ray started this actor again after a kill: what it left

    def start(self, work: Work) -> str:
        """Start a run; returns its token, or nothing if the run before, though stopped, has not ended yet."""
        with self._changed:
            if self._busy:
                return ""
            self._token, self._busy = uuid.uuid4().hex, True
            self._asked, self._workers, self._reports, self._end = time.monotonic(), [], [], None
            link = Link(ray.get_runtime_context().current_actor, self._token)
        threading.Thread(target=self._fit, args=(work, link), daemon=True).start()
        threading.Thread(target=self._watch, args=(link.token,), daemon=True).start()
        return link.token

    def join(self, token: str, worker: Any) -> None:
        """Take in a worker of a run that has begun; a worker of a stopped run does not live on."""
        with self._changed:
            if token == self._token:
                self._workers.append(worker)
                return
        ray.kill(worker)

    def report(self, token: str, report: Report) -> None:
        """Take a worker's report for the client."""
        with self._changed:
            if token == self._token:
                self._reports.append(report)
                self._changed.notify_all()

    def news(self, token: str) -> News:
        """Wait a moment for news and return it. The client must keep calling, or it is taken for dead."""
        with self._changed:
            if token != self._token:
                return News((), True, error=RunStopped("the run was stopped"))
            self._asked = time.monotonic()
            self._changed.wait_for(lambda: self._reports or self._end, PATIENCE_SECONDS)
            self._asked = time.monotonic()
            reports, self._reports = tuple(self._reports), []
            return News(reports, False) if self._end is None else News(reports, True, self._end.value, self._end.error)

    def stop(self, token: str) -> None:
        """Stop this run, if it is still the one that runs."""
        with self._changed:
            if token != self._token:
                return
            self._token, workers = "", self._workers
        for worker in workers:
            ray.kill(worker)

    def close(self, seconds: float) -> bool:
        """Stop the current run and wait at most `seconds` for it to end; returns whether it has ended.

        If it has, no process of this actor's runs is left on its node, at most `EXIT_SECONDS` later.
        """
        self.stop(self._token)
        with self._changed:
            ended = self._changed.wait_for(lambda: not self._busy, seconds)
        if ended:
            _see_off(os.environ[VARIABLE])
        return ended

    def _fit(self, work: Work, link: "Link") -> None:
        try:
            end = News((), True, value=_fit(work, link, self._tag))
        except Exception as error:
            end = News((), True, error=_cause(error))
        remove_groups(self._tag)  # there is one only if the controller was killed
        with self._changed:
            self._busy, self._end = False, end
            self._changed.notify_all()

    def _watch(self, token: str) -> None:
        while token == self._token and self._busy:
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

    def report(self, report: Report) -> None:
        """Tell the client. Neither waits nor, unlike `ray.train.report`, brings the workers into step."""
        self.run.report.remote(self.token, report)

    def join(self) -> None:
        """To be called first by each worker. In a run that was stopped before it began, it does not return."""
        ray.get(self.run.join.remote(self.token, ray.get_runtime_context().current_actor))


def create(index: int) -> Actor:
    """Start an actor that holds no resources; each of a driver's has an `index` of its own."""
    context = ray.get_runtime_context()
    # Train gives its placement groups no name, but what they ask for can be seen: so each actor's ask for a few bytes
    # more than they need, a number of its own.
    tag = 2 + derive_seed(context.get_job_id(), index) % (TAGS - 2)
    # Train's helper asks the Ray instance that was started last on the machine whether the controller lives, and if
    # that one knows of none, removes the placement group. With the address it asks the right one.
    # torch's own log says on every worker when a network, which might leave parameters unused, used them all.
    environment = {
        "env_vars": {"RAY_ADDRESS": context.gcs_address, "TORCH_CPP_LOG_LEVEL": "ERROR", VARIABLE: uuid.uuid4().hex}
    }
    actor = ray.remote(TrainRun).options(num_cpus=0, max_concurrency=16, max_restarts=-1, runtime_env=environment)
    return actor.remote(tag)


def _fit(work: Work, link: Link, tag: int) -> Any:
    memory = math.ceil(work.resources.get("memory", 0) / TAGS) * TAGS + tag
    with tempfile.TemporaryDirectory() as scratch:  # of Train's own state nothing is needed again
        trainer = TorchTrainer(
            work.loop,
            train_loop_config=work.config | {"run": link},
            scaling_config=ScalingConfig(
                num_workers=work.workers,
                use_gpu=work.resources.get("GPU", 0) > 0,
                resources_per_worker=work.resources | {"memory": memory},
            ),
            run_config=RunConfig(name=work.name, storage_path=scratch),
        )
        return trainer.fit().return_value  # type: ignore[attr-defined]  # typed as Train's former result


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
    """Wait until this is the last process of this node that carries the actor's name, then kill the others."""
    deadline = time.monotonic() + EXIT_SECONDS
    while others := [process for process in carrying(VARIABLE, run) if process[0] != os.getpid()]:
        if time.monotonic() > deadline:
            return kill(others)
        time.sleep(0.1)


def remove_groups(tag: int) -> None:
    """Remove the placement groups that carry a tag in this cluster, and with them the processes in them."""
    for group_id, group in placement_group_table().items():
        tags = {int(bundle.get("memory", 0)) % TAGS for bundle in group["bundles"].values()}
        if group["state"] != "REMOVED" and tag in tags:
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(group_id))))
