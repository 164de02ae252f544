"""Which code, which libraries, which machine: what a row must say to be traced."""

import functools
import platform
import socket
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import sweeper


@functools.cache
def software() -> dict[str, str]:
    """Versions and the commit of the code, as the columns of a trial row."""
    return {
        "git_commit": _git_commit(),
        "sweeper_version": sweeper.__version__,
        "torch_version": version("torch"),
        "ray_version": version("ray"),
        "python_version": platform.python_version(),
    }


def node() -> dict[str, Any]:
    """The host that computed."""
    return {"node": socket.gethostname()}


def process_space() -> str | None:
    """Among which processes this one's id means this one: its boot and PID namespace. None: the system has no such.

    Containers, pods and cloned machines may share a host name, and don't see each other's processes.
    """
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _git_commit() -> str:
    """Commit of the checkout that `sweeper` is imported from; '' when it is installed or git is missing."""
    source = Path(sweeper.__file__).resolve().parents[1]
    if not (source / ".git").exists():
        return ""
    try:
        commit = _git(source, "rev-parse", "HEAD")
        changes = _git(source, "status", "--porcelain", "--", "sweeper", "model", "search_spaces")
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit + ("+dirty" if changes else "")


def _git(folder: Path, *command: str) -> str:
    # A checkout owned by somebody else (a container's mount) is still ours to describe.
    line = ["git", "-c", f"safe.directory={folder}", "-C", str(folder), *command]
    return subprocess.run(line, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
