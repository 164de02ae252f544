"""A call that a thread makes while trials run."""

import atexit
import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any

from ray.tune import Callback

from sweeper import signals

END_SECONDS = 5.0  # for the thread to end with the process


class Meanwhile(Callback):
    """Makes a call once the first trial has begun: until then the machine has enough to do.

    Args:
        call: None: there is nothing to do.
    """

    def __init__(self, call: Callable[[], None] | None) -> None:
        self._call = call
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Begin, with the first report of a trial."""
        self._begin()

    def end(self) -> None:
        """Wait for the call, also if no trial has begun; but not where the process was asked to end.

        Raises:
            Exception: whatever the call raises.
        """
        if signals.asked():
            return
        self._begin()
        while self._thread is not None and self._thread.is_alive() and not signals.asked():
            self._thread.join(0.1)
        if self._thread is None or not self._thread.is_alive():
            atexit.unregister(self._abandon)  # or a process that stays would keep the call, and what it holds
        if self._error is not None:
            raise self._error

    def _begin(self) -> None:
        if self._call is not None and self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            with signals.held_back(*signals.SIGNALS):  # which are for the main thread
                self._thread.start()
            atexit.register(self._abandon)

    def _abandon(self) -> None:
        """End the thread: in an interpreter that ends, one that is within torch's code would abort the process."""
        assert self._thread is not None
        over = time.monotonic() + END_SECONDS
        while self._thread.is_alive() and time.monotonic() < over:
            end = ctypes.py_object(SystemExit)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident or 0), end)
            self._thread.join(0.05)

    def _run(self) -> None:
        assert self._call is not None
        try:
            self._call()
        except BaseException as error:  # raised in the thread that waits
            self._error = error
