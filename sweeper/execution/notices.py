"""What a driver tells all of its trials while they train: to keep their state, and to leave.

A trial looks up once a second whether there is an actor of a certain name in the driver's namespace. That costs half a
millisecond, reaches every node of every cluster, and needs no process until there is something to tell.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import ray
from ray.util import list_named_actors

if TYPE_CHECKING:  # a process that is nothing but a notice needs no torch
    from sweeper.training.fit import Wish

LOOK_SECONDS = 1.0


class _Notice:
    """Does nothing but be there."""


def put_up(wish: "Wish") -> Any:
    """Tell all trials of this driver, for as long as what is returned lives."""
    return ray.remote(_Notice).options(name=_name(wish), num_cpus=0).remote()


@contextlib.contextmanager
def watched() -> Iterator[Callable[[], "Wish"]]:
    """In a worker: what the driver wishes, as far as it is known; to be asked as often as one likes."""
    wish: Wish = ""
    over = threading.Event()

    def look() -> None:
        nonlocal wish
        while not over.wait(LOOK_SECONDS):
            with contextlib.suppress(ray.exceptions.RayError):  # a cluster that ends: then there is nobody to obey
                names = list_named_actors()
                wish = next((said for said in ("leave", "keep") if _name(said) in names), "")

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield lambda: wish
    finally:
        over.set()


def _name(wish: Literal["", "keep", "leave"]) -> str:
    return f"sweeper-{wish}"
