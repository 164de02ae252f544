"""A Ray of this machine's own, which another process keeps (`sweeper.execution.keeper`) for as long as a sweep runs.

Its start takes three seconds, most of which are spent waiting. So a command that is going to train begins it ahead, and
goes on checking and decoding meanwhile. This module imports no Ray.
"""

import atexit
import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from sweeper import signals
from sweeper.execution.family import end_below
from sweeper.plan import PlanError

MOST_BYTES = 2**31  # of clips, for which an instance is begun ahead: more take longer to decode than Ray to start
END_SECONDS = 10.0  # in which the keeper has ended all
TOKEN = secrets.token_hex(32)  # of this process's instances, one after another: Ray keeps the first that it reads
# Workers, too, get the allocator that Ray brings along for its other processes, jemalloc; and what was given up is not
# given back to the system, but used again. A training step asks for memory some thousand times: with the C library's
# allocator it takes a tenth longer. The first is Ray's own switch; a user's "0" turns all of it off.
SWITCH = "RAY_LD_PRELOAD_ON_WORKERS"
ALLOCATOR = {SWITCH: "1", "MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1"}
# Without a mode Ray asks everybody for the token; set, it would not look again in this process.
_OF_A_USER = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_TMPDIR")
_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from sweeper.execution.keeper import main; main()"


class OwnRay:
    """An instance that starts; to be ended by `end`, or with this process.

    Args:
        shared_bytes: room for clips in its object store.
    """

    def __init__(self, shared_bytes: int) -> None:
        self.shared_bytes = shared_bytes
        command, pipe = [sys.executable, "-c", _PROGRAM, str(shared_bytes), *sys.path], subprocess.PIPE
        with signals.held_back(*signals.SIGNALS):  # which it inherits
            self._keeper = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=_environment())

    def folder(self) -> str:
        """Wait until it is up; returns the folder where it can be found, as `RAY_TMPDIR`.

        Raises:
            PlanError: Ray can't start here.
        """
        assert self._keeper.stdout is not None
        answer = json.loads(self._keeper.stdout.readline() or "{}")
        if "folder" in answer:
            return str(answer["folder"])
        raise PlanError(answer.get("error") or f"Ray did not start: its keeper ended with code {self._keeper.wait()}")

    def let_go(self) -> None:
        """End its processes, and wait for that only where this process ends: whoever needs none goes on at once."""
        self._close()
        atexit.register(self.end)

    def _close(self) -> None:
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()  # which the keeper is waiting for, and would see at the end of this process as well

    def end(self) -> None:
        """End all of its processes; nothing stays."""
        self._close()
        try:
            self._keeper.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            end_below(self._keeper.pid)
            self._keeper.kill()
        with self._keeper:  # closes the other pipe
            pass


@dataclass
class _Ahead:
    """What a block of `ahead` knows: the room that an instance will need, and the one that has begun."""

    room: int | None = None
    instance: OwnRay | None = None

    def end(self) -> None:
        if self.instance is not None:
            self.instance.let_go()  # what made the command end is to be told first
            self.instance = None


_ahead: ContextVar[_Ahead | None] = ContextVar("ahead", default=None)


@contextlib.contextmanager
def ahead() -> Iterator[None]:
    """Within the block, `begin` begins an instance ahead of `running`; afterwards it ends."""
    state = _Ahead()
    token = _ahead.set(state)
    try:
        yield
    finally:
        _ahead.reset(token)
        state.end()


def expect(shared_bytes: int | None) -> None:
    """Say about how much room for clips an instance will need; None: nobody knows."""
    if (state := _ahead.get()) is not None:
        state.room = shared_bytes


def begin(address: str | None) -> None:
    """Begin an instance, where `ahead` allows it, its size is known, and no other Ray is named or connected to.

    Args:
        address: see `find_cluster`.
    """
    state, ray = _ahead.get(), sys.modules.get("ray")
    if state is None or state.instance is not None or state.room is None or state.room > MOST_BYTES:
        return
    named = (address or os.environ.get("RAY_ADDRESS", "")).strip() not in ("", "local")
    if not named and not (ray is not None and ray.is_initialized()):
        state.instance = OwnRay(state.room)


@contextlib.contextmanager
def running(shared_bytes: int) -> Iterator[str]:
    """An instance with so much room, for as long as the block runs: the one that has begun, or another.

    Yields:
        the folder where it can be found, as `RAY_TMPDIR`.

    Raises:
        PlanError: Ray can't start here.
    """
    state = _ahead.get() or _Ahead()
    instance, state.instance = state.instance, None
    with contextlib.ExitStack() as stack:
        folder = None
        if instance is not None:
            stack.callback(instance.end)
            if instance.shared_bytes >= shared_bytes:
                with contextlib.suppress(PlanError):  # one of the right size may start
                    folder = instance.folder()
        if folder is None:
            stack.close()
            instance = OwnRay(shared_bytes)
            stack.callback(instance.end)
            folder = instance.folder()
        yield folder


@contextlib.contextmanager
def environment(folder: str) -> Iterator[None]:
    """What Ray's environment variables must be to find the instance of `folder`; afterwards they are as before."""
    before = {name: os.environ.pop(name) for name in _OF_A_USER if name in os.environ}
    os.environ |= {"RAY_TMPDIR": folder, "RAY_AUTH_TOKEN": TOKEN}
    try:
        yield
    finally:
        for name in _OF_A_USER:
            os.environ.pop(name, None)
        os.environ |= before


def _environment() -> dict[str, str]:
    """Environment variables of the keeper, which all of Ray's processes inherit."""
    own = {name: value for name, value in os.environ.items() if name not in _OF_A_USER[:-1]}
    own["RAY_AUTH_TOKEN"] = TOKEN
    if "error" in own.get("PYTHONWARNINGS", ""):  # Ray's own processes die of theirs
        del own["PYTHONWARNINGS"]
    if not own.get("LD_PRELOAD") and own.get(SWITCH) in (None, "1"):
        own = ALLOCATOR | own
    # Ray starts a worker per core for the first driver that it sees, which is the keeper: it has no work for them.
    own.setdefault("RAY_prestart_worker_first_driver", "0")
    if sys.platform == "linux":
        own.setdefault("GLOO_SOCKET_IFNAME", "lo")  # else gloo listens where this host's name leads, maybe nowhere
        own.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "1")  # see `sweeper.execution`: Ray was imported before
    return own
