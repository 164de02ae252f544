"""The Ray instance that a sweep runs on: its own, quiet and closed to everybody else, or one that is there already.

An own one listens on this machine's loopback only (but where this process had imported Ray before this package), asks
every caller for a token that is made up for it, and keeps its files where no other user can reach. A cluster that is
there keeps its own settings.
"""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group

from sweeper import signals
from sweeper.execution import own_ray
from sweeper.execution.address import find_cluster
from sweeper.execution.fits import TrialResources, resources_on
from sweeper.execution.keeper import reason
from sweeper.plan import PlanError
from sweeper.waiting import waiting

MOST_WAITING = 200  # placement groups at once: Ray's scheduler was tested with a few hundred
NODE_SECONDS = 1200.0  # until a node that the autoscaler asked for has booted and installed its packages
_own: list[str] = []  # folders of the instances that this process has had


@contextlib.contextmanager
def cluster(address: str | None, shared_bytes: int) -> Iterator[None]:
    """Connect to Ray for as long as a sweep runs.

    Args:
        address: see `find_cluster`. An instance of this machine's own is stopped on leaving; a cluster that was there
            before stays.
        shared_bytes: room that an own instance must have for clips in its object store.

    Inside of another `cluster`, it is that one: several sweeps one after another start Ray once.

    Raises:
        PlanError: the cluster can't be joined, or Ray can't start here.
    """
    if ray.is_initialized():
        yield
        return
    there = find_cluster(address)
    with contextlib.ExitStack() as stack:
        if there is None:
            with waiting("starting Ray"):
                _own.append(folder := stack.enter_context(own_ray.running(shared_bytes)))
                stack.enter_context(own_ray.environment(folder))
                stack.enter_context(_connected(_join_own))
        else:
            with waiting("joining the Ray cluster"):
                stack.enter_context(_connected(lambda: _join(there)))
        yield


@contextlib.contextmanager
def _connected(join: Callable[[], object]) -> Iterator[None]:
    """Call `join`, which calls `ray.init`, and disconnect after the block.

    `ray.init` installs its own handler for SIGTERM; the handler of this process is put back afterwards.

    Raises:
        Interrupted: SIGTERM came while Ray's handler was installed.
    """
    try:
        try:
            with signals.kept():
                join()
        except SystemExit:
            signals.receive(signal.SIGTERM)
            raise
        yield
    finally:
        ray.shutdown()


def _join_own() -> None:
    try:
        ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises any, also that class itself
        if "InvalidAuthToken" in str(error.__cause__ or error):
            raise PlanError(
                "Ray did not start: this Python process has used Ray before, and Ray keeps the token of then for as "
                "long as the process lives; run the sweep in another process (restart the notebook's kernel), or while "
                "that Ray is still there"
            ) from None
        raise PlanError(
            f"Ray did not start: {reason(error)}; run the same command again, or ask `sweeper doctor`"
        ) from None


def _join(address: str) -> None:
    if _own and os.environ.get("RAY_AUTH_TOKEN") != own_ray.TOKEN:
        raise PlanError(
            f"can't join the Ray cluster at {address}: this Python process has run a sweep on its own, and Ray keeps "
            "that sweep's token for as long as the process lives; use another process"
        )
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises any, also that class itself
        why = reason(error)
        remedy = "all machines need the same Python and Ray, and the same RAY_AUTH_MODE and token"
        raise PlanError(f"can't join the Ray cluster at {address}: {why}; {remedy}") from None


def trial_resources(cpus: int, gpus: float | None, trials: int = 1) -> TrialResources:
    """Check what each trial shall hold against the running cluster; `gpus=None`: one where there is one.

    A cluster that starts nodes on demand is asked for room for so many `trials`, and the first node is waited for.

    Raises:
        PlanError: not even one trial would fit.
    """
    wanted = {"CPU": float(cpus), "GPU": float(gpus or 0)}
    if grows() and not any(all(node.get(name, 0.0) >= wanted[name] for name in wanted) for node in nodes()):
        wait_for_room([wanted], trials)
    return resources_on(nodes(), cpus, gpus)


def nodes() -> list[dict[str, float]]:
    """What each living node has in all: amounts by name, such as `CPU`, `GPU` and `memory` in bytes."""
    known: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in known if node["Alive"]]


def grows() -> bool:
    """Whether the cluster starts nodes when trials wait for them.

    Ray has no question for this. A node without CPUs is taken for the sign: that is how a head is kept free of trials
    (all files in `cluster/` do it), which makes sense only where other nodes come.
    """
    return any(not node.get("CPU") for node in nodes())


def wait_for_room(bundles: Sequence[dict[str, float]], times: int = 1) -> None:
    """Wait until the cluster has room for bundles of resources, which makes an autoscaler start nodes.

    Args:
        bundles: of which each must fit on one node.
        times: how often the plan could use them at once. All of it is asked for, and the first waited for.

    Raises:
        PlanError: none have come in time.
    """
    each = f"{len(bundles)} × " + ", ".join(f"{name} {amount:g}" for name, amount in bundles[0].items() if amount)
    print(f"waiting for nodes with room for {each}", file=sys.stderr)
    bundles = [{name: amount for name, amount in bundle.items() if amount} for bundle in bundles]
    groups = [placement_group(bundles) for _ in range(min(times, MOST_WAITING))]
    try:
        if not ray.wait([group.ready() for group in groups], timeout=NODE_SECONDS)[0]:
            raise PlanError(
                f"the cluster did not start nodes with room for {each} within {NODE_SECONDS / 60:.0f} minutes; "
                "`ray status` on its head says why"
            )
    finally:
        for group in groups:
            remove_placement_group(group)
