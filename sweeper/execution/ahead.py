"""Ray started ahead, in a thread, while a command still checks, decodes and computes its floor.

Starting Ray is mostly waiting: two to four seconds, in which this process can do what it has to do anyway. The thread
stays for as long as Ray does, as Linux ends Ray's processes with the thread that began them.

What goes wrong here is no error: the sweep starts Ray itself then, and says what is wrong.
"""

import contextlib
import sys
import threading
from collections.abc import Iterator

ROOM = 200_000_000  # bytes of clips, which are not known yet; for more, the sweep starts Ray anew


class _Ahead(threading.Thread):
    """Holds an own Ray instance until it is told to end."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="ray-ahead")
        self._answered, self._over = threading.Event(), threading.Event()
        self._up = False

    def run(self) -> None:
        with contextlib.suppress(Exception):
            from sweeper.execution.cluster import own_instance  # Ray takes a second to import

            with own_instance(ROOM):
                self._up = True
                self._answered.set()
                self._over.wait()
        self._up = False
        self._answered.set()

    @property
    def answered(self) -> bool:
        """Whether it is known if Ray runs."""
        return self._answered.is_set()

    def is_up(self) -> bool:
        """Whether Ray runs; waits until that is known."""
        self._answered.wait()
        return self._up

    def end(self) -> None:
        self._over.set()
        self.join()


class _Command:
    """What runs in this process, if anything does that Ray may be started ahead for."""

    allowed = False
    started: _Ahead | None = None


_command = _Command()


@contextlib.contextmanager
def allowed() -> Iterator[None]:
    """Within the block, a command, Ray may be started ahead; what no sweep took is ended on leaving."""
    _command.allowed = True
    try:
        yield
    finally:
        _command.allowed = False
        if (left := take()) is not None:
            left.end()


def begin(address: str | None) -> None:
    """Start Ray ahead of a sweep that will have `address`, if that means an instance of its own."""
    ray = sys.modules.get("ray")
    if not _command.allowed or _command.started is not None or (ray is not None and ray.is_initialized()):
        return
    from sweeper.execution.address import find_cluster  # not for every command
    from sweeper.plan import PlanError

    with contextlib.suppress(PlanError):  # the sweep says it
        if find_cluster(address) is None:
            _command.started = _Ahead()
            _command.started.start()


def take() -> _Ahead | None:
    """What was started ahead, if anything was; whoever takes it ends it."""
    taken, _command.started = _command.started, None
    return taken
