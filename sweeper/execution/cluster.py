"""The Ray instance that a sweep runs on: its own, quiet and closed to the network, or one that is there already.

`ray.init()` left to itself attaches to whatever it finds, and hangs for minutes on an address where nobody answers.
Here an address is used only where somebody named it, and is knocked at first.
"""

import contextlib
import logging
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read by Ray when it is imported: set before the import below, and kept if the user set them.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")

import ray

from sweeper.plan import PlanError

MEGABYTE = 2**20
KNOCK_SECONDS = 2.0


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
        _start(shared_bytes)
    else:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


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


def trial_resources(cpus: int, gpus: float | None) -> TrialResources:
    """Check what each trial shall hold against the running cluster; `gpus=None`: one where there is one.

    Raises:
        PlanError: not even one trial would fit.
    """
    known: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    nodes = [node["Resources"] for node in known if node["Alive"]]
    most_cpus = max(node.get("CPU", 0.0) for node in nodes)
    most_gpus = max(node.get("GPU", 0.0) for node in nodes)
    resources = TrialResources(cpus, min(1.0, most_gpus) if gpus is None else gpus)
    place = "this machine has" if len(nodes) == 1 else "the largest node has"
    if cpus < 1 or cpus > most_cpus:
        raise PlanError(f"--cpus-per-trial {cpus}: {place} {most_cpus:g}")
    if resources.gpus < 0 or resources.gpus > most_gpus:
        raise PlanError(f"--gpus-per-trial {resources.gpus:g}: {place} {most_gpus:g}")
    return resources
