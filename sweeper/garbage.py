"""When Python looks for garbage: not among the hundred thousands of objects that imports leave, which all stay."""

import contextlib
import functools
import gc
from collections.abc import Iterator

OBJECTS = 1_000_000  # new ones, until a look; importing torch, Ray and pandas makes half as many
_USUAL = gc.get_threshold()


def look_seldom() -> None:
    """Do not look while this process starts, which would take half a second of a sweep's start.

    One that stays is to call `leave_out_what_is_there` then: a page that is made again and again left 0.15 GB.
    """
    gc.set_threshold(OBJECTS, *gc.get_threshold()[1:])


@contextlib.contextmanager
def staying() -> Iterator[None]:
    """What is imported in here stays, and nobody looks for garbage meanwhile: a tenth of a worker's start."""
    looked = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if looked:
            gc.enable()


@functools.cache
def leave_out_what_is_there() -> None:
    """From now on, this process looks for garbage as often as any, but only in what comes: the rest would take 0.14 s.

    For processes of our own, as what is there now is never given back where it hangs together in circles.
    """
    gc.freeze()
    gc.set_threshold(*_USUAL)
