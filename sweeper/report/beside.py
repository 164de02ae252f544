"""A part of the page that another process makes, while this one computes the maps.

A process of our own rather than a pool's: it imports nothing of the caller's, leaves no semaphores behind if this one
is killed, and is there for one call.
"""

import contextlib
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, TypeVar

from sweeper.audio.parallel import ONE_THREAD, available_cores
from sweeper.garbage import look_seldom

Made = TypeVar("Made")

# It takes the call in before it imports anything, as who sends it waits until it is taken.
_PROGRAM = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "  # Ctrl-C reaches both: the other one ends this
    "call = sys.stdin.buffer.read(); sys.path[:] = sys.argv[1:]; "
    "from sweeper.report.beside import make; make(call)"
)


class Beside(Generic[Made]):
    """A call whose result is needed later: once begun, another process makes it, else this one, when it is needed.

    To be used in a `with` statement, at whose end the other process is gone.

    Args:
        function: of a module.
        args: of it; pickled, if another process makes the call.
    """

    def __init__(self, function: Callable[..., Made], *args: Any) -> None:
        self._function, self._args = function, args
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Begin in another process, where there is a core for it."""
        if available_cores() == 1:
            return
        call = pickle.dumps((self._function, self._args))
        command, pipe = [sys.executable, "-c", _PROGRAM, *sys.path], subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=os.environ | ONE_THREAD)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as stdin:  # why it is gone, `result` tells
            stdin.write(call)

    def result(self) -> Made:
        """What the call returns.

        Raises:
            ChildProcessError: the other process was killed, such as for want of memory.
            Exception: whatever the call raises.
        """
        if self._process is None:
            return self._function(*self._args)
        assert self._process.stdout is not None
        answer = self._process.stdout.read()
        if code := self._process.wait():
            why = ", as where memory is short" if code == -9 else ""
            raise ChildProcessError(f"the process that makes figures and tables ended{why} (code {code})")
        made, error, trace = pickle.loads(answer)
        if error is not None:
            raise error from RuntimeError(trace)
        return made  # type: ignore[no-any-return]

    def __enter__(self) -> "Beside[Made]":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            with self._process:  # waits for its end, and closes the pipes
                pass


def make(call: bytes) -> None:
    """Make a call, in a process that is there for nothing else, and answer on its stdout."""
    look_seldom()
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what is printed is no answer
        made, raised, trace = None, None, ""
        try:
            function, args = pickle.loads(call)
            made = function(*args)
        except Exception as error:
            raised, trace = error, "".join(traceback.format_exception(error))  # which an error that is sent loses
        with contextlib.suppress(BrokenPipeError):  # the other one was killed
            answers.write(pickle.dumps((made, raised, trace)))
            answers.flush()
    os._exit(0)  # there is nothing to tidy up
