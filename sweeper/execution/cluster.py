"""The Ray instance that a sweep runs on: its own, quiet and closed to the network, or one that is there already.

`ray.init()` left to itself attaches to whatever it finds, and hangs for minutes on an address where nobody answers.
Here an address is used only where somebody named it, and is knocked at first.
"""

import contextlib
import logging
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read by Ray when it is imported: set before the import below, and kept if the user set them.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")

import ray
from ray.util.placement_group import placement_group, remove_placement_group

from sweeper.execution.own_ray import connected, sheltered
from sweeper.plan import PlanError

MEGABYTE = 2**20
KNOCK_SECONDS = 2.0
MOST_WAITING = 200  # placement groups at once: Ray's scheduler was tested with a few hundred
NODE_SECONDS = 1200.0  # until a node that the autoscaler asked for has booted and installed its packages


@dataclass(frozen=True)
class TrialResources:
    """What one trial holds while it runs. Threads follow `cpus`, so a result does not depend on what else runs."""

    cpus: int
    gpus: float


@contextlib.contextmanager
def cluster(address: str | None, shared_bytes: int) -> Iterator[None]:
    """Connect to Ray for as long as a sweep runs.

    Args:
        address: `host:port` of a cluster; None: `$RAY_ADDRESS` where it is set, else an instance of this machine's own,
            which is stopped on leaving. A cluster that was there before stays.
        shared_bytes: room that an own instance must have for clips in its object store.

    Inside of another `cluster`, it is that one: several sweeps one after another start Ray once.

    Raises:
        PlanError: nobody answers at the address.
    """
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address == "local":
        with sheltered(lambda: _start(shared_bytes)):
            yield
    else:
        with connected(lambda: _connect(address)):
            yield


def _connect(address: str) -> None:
    _knock(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise PlanError(f"no Ray cluster answers at {address} ({error})") from None


def _start(shared_bytes: int) -> None:
    # A stray token file would switch authentication on for the head alone and lock its workers out.
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    memory = int(shared_bytes * 1.2) + 256 * MEGABYTE
    if memory > 0.9 * _shared_memory():
        # Containers often have 64 MB of /dev/shm: Ray then keeps its objects in files, slower, but it works.
        os.environ.setdefault("RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE", "1")
    ray.init(
        address="local",
        include_dashboard=False,
        object_store_memory=memory,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


def _shared_memory() -> int:
    """Free bytes in /dev/shm; where there is none, Ray needs none."""
    place = Path("/dev/shm")
    return shutil.disk_usage(place).free if place.is_dir() else 2**63


def _knock(address: str) -> None:
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise PlanError(f"Ray address {address!r}: expected host:port, such as 10.0.0.5:6379, or 'auto'")
    try:
        socket.create_connection((host, int(port)), KNOCK_SECONDS).close()
    except OSError as error:
        raise PlanError(
            f"no Ray cluster answers at {address} ({error}); start one, or leave out --address and unset RAY_ADDRESS "
            "to run on this machine"
        ) from None


def trial_resources(cpus: int, gpus: float | None, trials: int = 1) -> TrialResources:
    """Check what each trial shall hold against the running cluster; `gpus=None`: one where there is one.

    A cluster that starts nodes on demand is asked for room for so many `trials`, and the first node is waited for.

    Raises:
        PlanError: not even one trial would fit.
    """
    wanted = {"CPU": float(cpus), "GPU": float(gpus or 0)}
    if grows() and not any(all(node.get(name, 0.0) >= wanted[name] for name in wanted) for node in nodes()):
        wait_for_room([wanted], trials)
    most_cpus = max(node.get("CPU", 0.0) for node in nodes())
    most_gpus = max(node.get("GPU", 0.0) for node in nodes())
    resources = TrialResources(cpus, min(1.0, most_gpus) if gpus is None else gpus)
    place = "this machine has" if len(nodes()) == 1 else "the largest node has"
    if cpus < 1 or cpus > most_cpus:
        raise PlanError(f"--cpus-per-trial {cpus}: {place} {most_cpus:g}")
    if resources.gpus < 0 or resources.gpus > most_gpus:
        raise PlanError(f"--gpus-per-trial {resources.gpus:g}: {place} {most_gpus:g}")
    return resources


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
