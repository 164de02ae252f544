"""The process that keeps a Ray of this machine's own: it starts Ray, says where, and ends it with the sweep.

A process of its own, so that Ray starts while the sweep is still getting ready, and ends whatever becomes of the sweep:
this process sees the pipe between them close, and leaves nothing behind.

Slurm, systemd and a stopping container signal every process; a terminal and `timeout` signal the whole process group.
Ray's processes would end at once, before the trials in them could keep their state. So signals are blocked here,
which Ray's processes inherit, and only the sweep's process receives signals.
"""

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from sweeper.execution.family import end_below
from sweeper.execution.fits import own_cpus
from sweeper.execution.room import room
from sweeper.plan import PlanError
from sweeper.signals import SIGNALS

MEGABYTE = 2**20
_REMOVE = (
    "import sys; from pathlib import Path; sys.path[:] = sys.argv[2:]; from sweeper.execution.room import remove; "
    "remove(Path(sys.argv[1]))"
)
REAP_SECONDS = 5.0  # in which killed processes have ended


def main() -> None:
    """Start Ray, answer on stdout with its folder or why there is none, and stay until stdin is closed."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    # Ray terminates its processes one by one, and waits a second for each: which they, sheltered, do not hear of.
    subprocess.Popen.terminate = subprocess.Popen.kill  # type: ignore[method-assign]
    # What Ray's processes inherit: nothing to read, and what they print is no answer.
    sweep, answers = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    try:
        with room() as folder:
            threading.Thread(target=_end_with_the_sweep, args=(sweep, folder.parent), daemon=True).start()
            _start(int(sys.argv[1]), folder)
            _answer(answers, {"folder": str(folder.parent)})
            threading.Event().wait()
    except (PlanError, OSError) as error:
        _answer(answers, {"error": str(error)})


def _answer(answers: int, words: dict[str, str]) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(answers, f"{json.dumps(words)}\n".encode())


def _end_with_the_sweep(sweep: int, made: Path) -> None:
    """Wait until the sweep's process closes the pipe, or is gone; then end Ray's processes, and this one."""
    while os.read(sweep, 1):
        pass
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # Ray's threads here miss what is ended
    subprocess.Popen.__init__ = _no_more  # type: ignore[method-assign]  # while the other thread still starts Ray
    ray = sys.modules.get("ray")
    if ray is not None and not Path("/proc").is_dir():  # where a process can't find its descendants, Ray does
        ray.shutdown()
    deadline = time.monotonic() + REAP_SECONDS
    while time.monotonic() < deadline:
        end_below(os.getpid())
        try:  # or they stay in the list of processes where nobody else takes them off it, as in a container
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.005)
        except ChildProcessError:
            break
    # As another program, since the other thread may still write there.
    os.execv(sys.executable, [sys.executable, "-c", _REMOVE, str(made), *sys.path])


def _no_more(*_: object, **__: object) -> None:
    raise OSError("the sweep has ended")


def _start(shared_bytes: int, folder: Path) -> None:
    """Start an instance that keeps its files in `folder`; once more where it took too long, as the first may.

    Raises:
        PlanError: Ray does not start here.
    """
    import ray

    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "torch")  # torch would leave a folder in /tmp
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
            # As `ray start` does, by which processes find a cluster on their machine.
            (folder / "ray_current_cluster").write_text(ray.get_runtime_context().gcs_address, "ascii")
            return
        except Exception as error:  # Ray raises any, also that class itself
            ray.shutdown()
            end_below(os.getpid())  # Ray leaves those that did start
            if attempt or isinstance(error, ValueError | OSError):
                remedy = "if the machine was busy, run the same command again; else ask `sweeper doctor`"
                raise PlanError(f"Ray did not start: {reason(error)}; {remedy}") from None


def reason(error: Exception) -> str:
    """What an exception of Ray's says, in one line: where it quotes a traceback, the end of that."""
    words = str(error.__cause__ or error).strip()
    line = words.splitlines()[-1] if "Traceback" in words else " ".join(words.split())
    return line[:300] or type(error).__name__


def _shared_memory() -> int:
    """Free bytes in /dev/shm; where there is none, Ray needs none."""
    place = Path("/dev/shm")
    return shutil.disk_usage(place).free if place.is_dir() else 2**63
