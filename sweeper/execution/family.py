"""Processes that belong together, as one has started the others, or by what they inherited: to end them all."""

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

Process = tuple[int, str]  # id, and when it was started, as ids are given again


def below(ancestor: int) -> list[Process]:
    """The living descendants of a process; none where the system has no /proc."""
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


def end_below(ancestor: int) -> None:
    """End the living descendants of a process, at once.

    First all are stopped: or one could begin another, which is nobody's then, before it ends itself.
    """
    family: set[Process] = set()
    while new := set(below(ancestor)) - family:
        _send(signal.SIGSTOP, new)
        family |= new
    kill(family)


def carrying(name: str, value: str, titles: tuple[str, ...]) -> list[Process]:
    """This user's living processes with such a title that were started with an environment variable.

    None where the system has no /proc.
    """
    mark, found = f"{name}={value}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if not (folder / "cmdline").read_text(errors="replace").startswith(titles):
                continue
            if mark in (folder / "environ").read_bytes().split(b"\0") and (look := _look(int(folder.name))) is not None:
                found.append((int(folder.name), look[1]))
    return found


def kill(processes: Iterable[Process]) -> None:
    """Kill those processes that still live."""
    _send(signal.SIGKILL, processes)


def _send(number: int, processes: Iterable[Process]) -> None:
    for process, started in processes:
        if (found := _look(process)) is not None and found[1] == started:
            with contextlib.suppress(OSError):
                os.kill(process, number)
