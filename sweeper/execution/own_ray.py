"""A Ray instance that this process starts: signals reach it only through this process, and it leaves nothing behind.

Slurm, systemd and a stopping container signal every process; a terminal and `timeout` signal the whole process group.
Ray's processes would end at once, before the trials in them could keep their state. So Ray is started with SIGTERM and
SIGHUP blocked, which its child processes inherit (Ray itself blocks SIGINT), and only this process receives signals.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import ray

from sweeper import signals

Process = tuple[int, str]  # id, and when it was started, as ids are given again


@contextlib.contextmanager
def connected(start: Callable[[], object]) -> Iterator[None]:
    """Call `start`, which calls `ray.init`, and shut Ray down after the block.

    `ray.init` installs its own handler for SIGTERM; the handler of this process is put back afterwards.

    Raises:
        Interrupted: SIGTERM came while Ray's handler was installed.
    """
    try:
        try:
            start()
        except SystemExit:
            signals.receive(signal.SIGTERM)
            raise
        finally:
            signals.listen_again()
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def sheltered(start: Callable[[], object]) -> Iterator[None]:
    """As `connected`, where `start` starts Ray on this machine."""
    before = set(_below(os.getpid()))
    family: set[Process] = set()

    def begin() -> None:
        try:
            with signals.held_back(signal.SIGTERM, signal.SIGHUP):
                start()
        finally:
            family.update(process for process in _below(os.getpid()) if process not in before)

    def grow() -> None:
        for process, _ in list(family):
            family.update(_below(process))

    def end() -> None:
        grow()
        _kill(family)

    with signals.last_resort(end):
        try:
            with _terminate_means_kill(), connected(begin):
                try:
                    yield
                finally:
                    grow()
        finally:
            _kill(family)


@contextlib.contextmanager
def _terminate_means_kill() -> Iterator[None]:
    """Ray terminates its processes one by one, and waits a second for each: which they, sheltered, do not hear of."""
    terminate = subprocess.Popen.terminate
    subprocess.Popen.terminate = subprocess.Popen.kill  # type: ignore[method-assign]
    try:
        yield
    finally:
        subprocess.Popen.terminate = terminate  # type: ignore[method-assign]


def _below(ancestor: int) -> list[Process]:
    """The living descendants of a process; none where the system has no /proc, and Ray's own end has to do."""
    children: dict[int, list[Process]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        if (found := _look(int(folder.name))) is not None:
            parent, started = found
            children.setdefault(parent, []).append((int(folder.name), started))
    below, left = [], [ancestor]
    while left:
        for process in children.get(left.pop(), ()):
            below.append(process)
            left.append(process[0])
    return below


def _look(process: int) -> tuple[int, str] | None:
    """A process's parent, and when it was started; None where it is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), fields[19]


def _kill(processes: set[Process]) -> None:
    for process, started in processes:
        if (found := _look(process)) is not None and found[1] == started:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
