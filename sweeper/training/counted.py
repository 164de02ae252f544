"""What was counted before of this package's networks, on this machine: operations, and bytes that training keeps.

Counting takes half a second for each network. A sweep counts every arm's operations before it begins, and each of its
workers again. What was counted is a small JSON file in the cache, named by all that decides it: the network, the sizes,
the code of networks and of counting, and torch.
"""

import contextlib
import functools
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch

from sweeper.audio.places import cache_folder
from sweeper.plan import canonical_json
from sweeper.study import Network

FOLDER = "counted"
Count = TypeVar("Count", float | None, int)


def known(unit: str, config: Network, sizes: Sequence[int], count: Callable[[], Count]) -> Count:
    """A number of `config` in `unit`, for clips and batches of these `sizes`: from the cache, else by `count`."""
    what = [unit, type(config).__name__, asdict(config), *sizes, torch.__version__, _code()]
    path = cache_folder() / FOLDER / f"{hashlib.sha256(canonical_json(what).encode()).hexdigest()[:16]}.json"
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_bytes())
        if found is None or (type(found) in (int, float) and 0 <= found < math.inf):
            return found  # type: ignore[no-any-return]
    number = count()
    with contextlib.suppress(OSError):  # a cache that can't be written is none
        _write(path, number)
    return number


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            json.dump(value, file)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@functools.cache
def _code() -> str:
    """Of every file that decides what is counted."""
    package = Path(__file__).parents[1]
    counting = ("training/cost.py", "training/operations.py", "tools/profile.py")
    files = [*sorted((package / "model").glob("*.py")), *(package / name for name in counting)]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
