"""A Ray instance of this machine's own, quiet and closed to the network, for as long as a sweep runs."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

# Read by Ray when it is imported: set before the import below, and kept if the user set them.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")

import ray

from sweeper.plan import PlanError

MEGABYTE = 2**20


@dataclass(frozen=True)
class TrialResources:
    """What one trial holds while it runs. Threads follow `cpus`, so a result does not depend on what else runs."""

    cpus: int
    gpus: float


@contextlib.contextmanager
def local_cluster(shared_bytes: int) -> Iterator[None]:
    """Start Ray here, with room for `shared_bytes` of clips in its object store; stop it on leaving."""
    ray.init(
        address="local",
        include_dashboard=False,
        object_store_memory=int(shared_bytes * 1.2) + 256 * MEGABYTE,
        log_to_driver=False,
        logging_level="ERROR",
    )
    try:
        yield
    finally:
        ray.shutdown()


def trial_resources(cpus: int, gpus: float | None) -> TrialResources:
    """Check what each trial shall hold against the running cluster; `gpus=None`: one where there is one.

    Raises:
        PlanError: not even one trial would fit.
    """
    have = ray.cluster_resources()
    have_gpus = have.get("GPU", 0.0)
    resources = TrialResources(cpus, min(1.0, have_gpus) if gpus is None else gpus)
    if cpus > have.get("CPU", 0.0):
        raise PlanError(f"--cpus-per-trial {cpus}: this machine has {have.get('CPU', 0.0):g}")
    if resources.gpus > have_gpus:
        raise PlanError(f"--gpus-per-trial {resources.gpus:g}: this machine has {have_gpus:g}")
    return resources
