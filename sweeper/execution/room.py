"""The folder of an own Ray, for its sockets, logs and spilled objects: short, private, and gone afterwards.

Ray's default is /tmp/ray, where all users of a machine may write, also to what workers load. Ray lets everybody (0777)
into every folder that it is given: so it gets one inside of a folder that only its owner can enter.
"""

import contextlib
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from sweeper.execution.address import find_cluster
from sweeper.plan import PlanError

PREFIX, INSIDE, LOCK = "sw-", "ray", "lock"  # the second is what Ray calls its folder
SOCKET_BYTES = 103 if sys.platform == "darwin" else 107  # of a socket's path, as the kernel has it
RAY_BYTES = len("/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")  # of these, Ray's own
MOST_BYTES = SOCKET_BYTES - RAY_BYTES - len(f"/{PREFIX}12345678/{INSIDE}")
LEAST_FREE = 100_000_000  # bytes, for logs; Ray stops working on a disk that is almost full
YOUNG_SECONDS = 60.0  # a room may be younger than its lock
REMOVAL_SECONDS = 5.0  # in which processes that were told to end still write


def check_ray(address: str | None) -> str | None:
    """Refuse a cluster that can't be joined, or, where none is meant, a machine on which Ray could not start.

    Needs no Ray, and no time but for an address where nobody answers: that takes two seconds, or ten.

    Args:
        address: see `find_cluster`.

    Returns:
        the cluster's address, or None where none is meant.

    Raises:
        PlanError: see `find_cluster` and `find_room`.
    """
    check_interpreter()
    cluster = find_cluster(address)
    if cluster is None:
        find_room()
    return cluster


def check_interpreter() -> None:
    """Raises PlanError where Python leaves out docstrings, which Ray reads."""
    if sys.flags.optimize > 1:
        raise PlanError("Ray reads docstrings, which Python leaves out with -OO or PYTHONOPTIMIZE=2: go without it")


def find_room() -> Path:
    """The folder for temporary files in which an own Ray gets its room.

    It is `$RAY_TMPDIR` or `$TMPDIR`, if sockets' paths below it are not too long, else one that every machine has.

    Raises:
        PlanError: none can be used, with the reason of each; or this machine can't even connect to itself.
    """
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), 1.0).close()
    except OSError as error:
        raise PlanError(
            f"Ray can't run on a machine that can't connect to itself ({error.strerror}); `ip link set lo up`, or "
            "allow a sandbox its loopback interface"
        ) from None
    try:
        usual = tempfile.gettempdir()
    except FileNotFoundError:
        raise PlanError("no folder for temporary files can be written; set TMPDIR to one that can") from None
    names = (os.environ.get("RAY_TMPDIR"), usual, "/tmp", "/var/tmp", "/dev/shm")
    reasons = {}
    for place in (Path(name).absolute() for name in names if name):
        if not (reason := _unfit(place)):
            return place
        reasons[place] = reason
    listed = ", ".join(f"{place} ({reason})" for place, reason in reasons.items())
    raise PlanError(f"Ray can't keep its files in {listed}; set TMPDIR to a folder with a short path and some room")


def _unfit(place: Path) -> str:
    length = len(os.fsencode(place))
    if length > MOST_BYTES:
        return f"its path has {length} bytes, and sockets leave it {MOST_BYTES}"
    if not os.access(place, os.W_OK | os.X_OK):
        return "can't be written"
    free = shutil.disk_usage(place).free
    return "" if free >= LEAST_FREE else f"{free / 1e9:.1f} GB free"


@contextlib.contextmanager
def room() -> Iterator[Path]:
    """A folder for Ray, for as long as the block runs; see `find_room`."""
    place = find_room()
    _remove_forsaken(place)
    made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))  # nobody else can enter it
    try:
        with FileLock(made / LOCK):
            (made / INSIDE).mkdir()
            yield made / INSIDE
    finally:
        remove(made)


def remove(made: Path) -> None:
    """Remove a room, in which processes that were told to end may still write."""
    deadline = time.monotonic() + REMOVAL_SECONDS
    while made.exists() and time.monotonic() < deadline:
        shutil.rmtree(made, ignore_errors=True)
        time.sleep(0.01)


def _remove_forsaken(place: Path) -> None:
    """Remove this user's rooms whose processes were killed: these held a lock, which a kernel takes from the dead."""
    for folder in place.glob(f"{PREFIX}????????"):
        with contextlib.suppress(OSError, Timeout):
            status = folder.lstat()
            if status.st_uid == os.getuid() and time.time() - status.st_mtime > YOUNG_SECONDS:
                with FileLock(folder / LOCK, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
