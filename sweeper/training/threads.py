"""How many threads compute where the work is small."""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes on one thread of the CPU: several wait for each other at every operation.

    Where the cores are busy with something else, such as Ray's start, small networks take five times as long on two.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
