"""Ctrl-C, SIGTERM and SIGHUP: the process was asked to end, and does, whatever it is at.

The first one raises `Interrupted`, which is a `KeyboardInterrupt`: whatever cleans up after Ctrl-C does so after
SIGTERM, too. A sweep is different, as its trials may go on for a while: within `noted` nothing is raised, and the sweep
looks at `asked` now and then. The second signal ends the process at once; within `noted`, the third.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# `timeout` signals its child and then its whole group, a closed terminal hangs up twice: that is asked once.
ECHO_SECONDS = 0.3


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end."""


@dataclass(frozen=True)
class Asked:
    """The signal that came first, how many came since, and when (monotonic, in s) the first and the last did."""

    number: int
    times: int
    first: float
    last: float

    @property
    def name(self) -> str:
        """The signal's name."""
        return signal.Signals(self.number).name

    @property
    def urgent(self) -> bool:
        """Whether the sender won't wait for long: true of SIGTERM and SIGHUP, false of Ctrl-C."""
        return self.number != signal.SIGINT


class _Listener:
    def __init__(self) -> None:
        self.asked: Asked | None = None
        self.installed = False
        self.on_first: Callable[[], None] | None = None  # within `noted`

    def listen(self) -> None:
        """Take the signals. One that was ignored stays so: `nohup` means it."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.take)

    def take(self, number: int, _frame: FrameType | None) -> None:
        now, asked = time.monotonic(), self.asked
        if asked is not None and now - asked.last < ECHO_SECONDS:
            return
        first = Asked(number, 1, now, now)
        self.asked = asked = first if asked is None else Asked(asked.number, asked.times + 1, asked.first, now)
        if asked.times > (1 if self.on_first is None else 2):
            tell("stopped")
            end_now(asked.number)
        if self.on_first is None:
            raise Interrupted(asked.name)
        if asked.times == 1:
            self.on_first()


_listener = _Listener()


def asked() -> Asked | None:
    """What was asked of this process, if anything was."""
    return _listener.asked


def exit_code(number: int) -> int:
    """As a shell says it of a process that a signal ended: 130, 143, 129."""
    return 128 + number


def install() -> None:
    """Listen from now on, in a process of one's own."""
    _listener.asked, _listener.installed = None, True
    _listener.listen()


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """After the block, handlers are as before it, whatever a library took, such as `ray.init`."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        if _in_main_thread():
            for number, handler in before.items():
                if handler is not None:
                    signal.signal(number, handler)


def receive(number: int) -> None:
    """Act as on a signal that somebody else's handler took."""
    if _listener.installed:
        _listener.take(number, None)


@contextlib.contextmanager
def noted(on_first: Callable[[], None]) -> Iterator[None]:
    """Within the block, nothing is raised: `on_first` is called, in a signal handler, and `asked` is there to see.

    In another thread than the main one, all is as it was.
    """
    if not _in_main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    if not _listener.installed:
        _listener.asked = None
    _listener.listen()
    _listener.on_first = on_first
    try:
        yield
    finally:
        _listener.on_first = None
        for number, handler in before.items():
            if not _listener.installed and handler is not None:
                signal.signal(number, handler)


@contextlib.contextmanager
def held_back(*numbers: int) -> Iterator[None]:
    """Within the block these signals wait, and child processes that are started in it never hear them."""
    if not _in_main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End the process if it is still in the block `seconds` after SIGTERM or SIGHUP, in code that ignores them."""
    if not _listener.installed:
        yield
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    over = threading.Event()

    def watch() -> None:
        while number := os.read(read, 1):  # C writes it, while Python's own handler still waits for its turn
            if number[0] in {signal.SIGTERM, signal.SIGHUP} and not over.wait(seconds):
                tell(f"not ended in {seconds:.0f} s; stopped")
                end_now(number[0])
        os.close(read)

    threading.Thread(target=watch, daemon=True).start()
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        over.set()
        os.close(write)


def end_now(number: int) -> None:
    """End the process, without unwinding anything."""
    if os.isatty(1):
        os.write(1, b"\x1b[?25h")  # a live view hides the cursor
    os._exit(exit_code(number))


def tell(line: str) -> None:
    """Write a line to stderr, also from a signal handler, which may have interrupted somebody who prints."""
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode("ascii", "replace"))


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
