"""Clips in parallel: processes that import little, a window of clips in memory, results in order.

Processes rather than threads: per clip there are some dozens of short array operations between the decoder's longer
ones, and four threads that pass the interpreter's lock around for each are slower than one thread.
"""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

BATCH = 16  # items handed to a process at a time
AHEAD = 2  # batches per process that may be done before they are taken
FEW = 256  # items that are done before processes have started
# The clips are the parallelism: libraries that start threads of their own would only get in each other's way.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ordered_map(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """Like `map`, in `workers` processes, a few batches ahead: memory does not grow with the number of items.

    Raises:
        concurrent.futures.process.BrokenProcessPool: a process was killed, such as for want of memory.
    """
    if workers == 1 or len(items) <= FEW:
        yield from map(function, items)
        return
    from loky import ProcessPoolExecutor  # its processes don't import the caller's main module, and die with it

    executor = ProcessPoolExecutor(workers, initializer=_leave_interrupts_to_the_parent, env=ONE_THREAD)
    waiting: deque[Future[list[Result]]] = deque()
    done = False
    try:
        for start in range(0, len(items), BATCH):
            waiting.append(executor.submit(_each, function, items[start : start + BATCH]))
            if len(waiting) > AHEAD * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
        done = True
    finally:
        executor.shutdown(kill_workers=not done)


def _each(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [function(item) for item in items]


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def progress_bar(title: str, total: int, shown: bool) -> Iterator[Callable[[], None]]:
    """A bar on stderr while the block runs; call what it gives once per item."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)
