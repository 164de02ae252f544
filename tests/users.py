"""Commands as another user of this machine, who may have no name: what only root can start."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOBODY, NAMELESS = 65534, 54321  # user ids; the second is in no passwd
PACKAGES = [path for path in sys.path if path.endswith("site-packages")]


def need_root() -> None:
    """Skip a test where commands can't be run as somebody else."""
    if os.geteuid() or not all(shutil.which(program) for program in ("setpriv", "unshare", "mount")):
        pytest.skip("needs root on Linux, and setpriv, unshare, mount")
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespace can be made here")


def as_user(user: int, *command: str) -> list[str]:
    """The command as that user, to whom Python, its packages and the project are opened wherever they lie.

    They may lie in a folder of root's own: the command sees that folder with nothing but them in it.
    """
    hidden = {path: folder for path in (sys.base_prefix, sys.prefix, str(ROOT), *PACKAGES) if (folder := _closed(path))}
    steps = ["set -e"]
    for number, path in enumerate(hidden):
        steps += [f"mkdir -p /mnt/{number}", f"mount --bind {path} /mnt/{number}"]
    steps += [f"mount -t tmpfs -o mode=755 none {folder}" for folder in sorted(set(hidden.values()))]
    for number, path in enumerate(hidden):
        steps += [f"mkdir -p {path}", f"mount --bind /mnt/{number} {path}"]
    if hidden:
        steps.insert(1, "mount -t tmpfs none /mnt")
    steps.append(f"exec setpriv --reuid {user} --regid {user} --clear-groups {shlex.join(command)}")
    return ["unshare", "--mount", "--propagation", "private", "bash", "-c", "; ".join(steps)]


def _closed(path: str) -> Path | None:
    """The uppermost folder on the way to `path` that others can't enter."""
    way = [*reversed(Path(path).parents), Path(path)]
    return next((folder for folder in way if not folder.stat().st_mode & 0o001), None)
