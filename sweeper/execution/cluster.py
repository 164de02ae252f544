"""The Ray instance that a sweep runs on: its own, quiet and closed to everybody else, or one that is there already.

An own one listens on this machine's loopback only, asks every caller for a token that is made up for it, and keeps its
files where no other user can reach. A cluster that is there keeps its own settings.
"""

import contextlib
import logging
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group

from sweeper.execution.address import find_cluster
from sweeper.execution.fits import TrialResources, own_cpus, resources_on
from sweeper.execution.own_ray import connected, sheltered
from sweeper.execution.room import room
from sweeper.plan import PlanError
from sweeper.waiting import waiting

MEGABYTE = 2**20
MOST_WAITING = 200  # placement groups at once: Ray's scheduler was tested with a few hundred
TOKEN = secrets.token_hex(32)  # of this process's instances, one after another: Ray keeps the first that it reads
_own: set[Path] = set()  # folders of the instances that this process has had
# Workers, too, get the allocator that Ray brings along for its other processes, jemalloc; and what was given up is not
# given back to the system, but used again. A training step asks for memory some thousand times: with the C library's
# allocator it takes a tenth longer. The first is Ray's own switch; a user's "0" turns all of it off.
SWITCH = "RAY_LD_PRELOAD_ON_WORKERS"
ALLOCATOR = {SWITCH: "1", "MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1"}
NODE_SECONDS = 1200.0  # until a node that the autoscaler asked for has booted and installed its packages


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
            folder = stack.enter_context(room())
            stack.enter_context(_own_environment(folder))
            with waiting("starting Ray"):
                stack.enter_context(sheltered(lambda: _start(shared_bytes, folder)))
        else:
            with waiting("joining the Ray cluster"):
                stack.enter_context(connected(lambda: _join(there)))
        yield


def _join(address: str) -> None:
    if _own and os.environ.get("RAY_AUTH_TOKEN") != TOKEN:
        raise PlanError(
            f"can't join the Ray cluster at {address}: this Python process has run a sweep on its own, and Ray keeps "
            "that sweep's token for as long as the process lives; use another process"
        )
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises any, also that class itself
        reason = _reason(error)
        remedy = "all machines need the same Python and Ray, and the same RAY_AUTH_MODE and token"
        raise PlanError(f"can't join the Ray cluster at {address}: {reason}; {remedy}") from None


def _start(shared_bytes: int, folder: Path) -> None:
    """Start an own instance that keeps its files in `folder`; once more where it took too long, as the first may."""
    _own.add(folder)
    memory = int(shared_bytes * 1.2) + 256 * MEGABYTE
    if memory > 0.9 * _shared_memory():
        # Containers often have 64 MB of /dev/shm: Ray then keeps its objects in files, slower, but it works.
        os.environ.setdefault("RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE", "1")
        if memory > (free := shutil.disk_usage(folder).free):
            raise PlanError(
                f"the clips need {memory / 1e9:.1f} GB in shared memory, or on the disk of temporary files, and "
                f"{folder.parent.parent} has {free / 1e9:.1f} GB; enlarge /dev/shm (docker run --shm-size), or set "
                "TMPDIR to a folder with room"
            )
    for attempt in range(2):
        before = _children()
        try:
            ray.init(
                address="local",
                include_dashboard=False,
                num_cpus=own_cpus(),
                object_store_memory=memory,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=str(folder),
            )
        except Exception as error:  # Ray raises any, also that class itself
            ray.shutdown()
            for process in _children() - before:  # Ray leaves those that did start
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            if "InvalidAuthToken" in str(error.__cause__ or error):
                raise PlanError(
                    "Ray did not start: this Python process has used Ray before, and Ray keeps the token of then for "
                    "as long as the process lives; run the sweep in another process (restart the notebook's kernel), "
                    "or while that Ray is still there"
                ) from None
            if attempt or isinstance(error, ValueError | OSError):
                remedy = "if the machine was busy, run the same command again; else ask `sweeper doctor`"
                raise PlanError(f"Ray did not start: {_reason(error)}; {remedy}") from None
        else:
            return


@contextlib.contextmanager
def _own_environment(folder: Path) -> Iterator[None]:
    """Environment variables of an own instance, which all of its processes inherit; afterwards they are as before."""
    own: dict[str, str | None] = {
        "RAY_ADDRESS": None,
        "RAY_AUTH_MODE": None,  # Ray then asks everybody for the token; set, it would not look again in this process
        "RAY_AUTH_TOKEN_PATH": None,
        "RAY_AUTH_TOKEN": TOKEN,
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "torch"),  # torch would leave a folder in /tmp
    }
    if not os.environ.get("LD_PRELOAD") and os.environ.get(SWITCH) in (None, "1"):
        own |= {name: os.environ.get(name, value) for name, value in ALLOCATOR.items()}
    if sys.platform == "linux":  # else gloo listens where this host's name leads, which may be nowhere
        own["GLOO_SOCKET_IFNAME"] = os.environ.get("GLOO_SOCKET_IFNAME", "lo")
    before = {name: os.environ.get(name) for name in own}
    _set(own)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _children() -> set[int]:
    """Process ids of this process's children, where Linux shows them."""
    lists = Path("/proc/self/task").glob("*/children")
    return {int(process) for children in lists for process in children.read_text().split()}


def _reason(error: Exception) -> str:
    """What an exception of Ray's says, in one line: where it quotes a traceback, the end of that."""
    words = str(error.__cause__ or error).strip()
    line = words.splitlines()[-1] if "Traceback" in words else " ".join(words.split())
    return line[:300] or type(error).__name__


def _shared_memory() -> int:
    """Free bytes in /dev/shm; where there is none, Ray needs none."""
    place = Path("/dev/shm")
    return shutil.disk_usage(place).free if place.is_dir() else 2**63


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
