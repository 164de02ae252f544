"""Where files go that can be made again: decoded clips, downloads, the demo."""

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """`$SWEEPER_CACHE`, or the platform's cache folder (`~/.cache/sweeper` on Linux)."""
    chosen = os.environ.get("SWEEPER_CACHE")
    if chosen:
        return Path(os.path.expanduser(chosen))  # noqa: PTH111  # pathlib raises for a user who is not there
    return user_cache_path("sweeper", appauthor=False)


def failed_write(path: Path, error: OSError) -> str:
    """One line about something that can't be written to or below `path`, in the cache: what, where, what to do."""
    return f"{error.filename or path}: {error.strerror or error}; set SWEEPER_CACHE to a folder with room"


def data_folder(name: str) -> Path:
    """Where `data fetch NAME` puts a data set that was given no folder of its own."""
    return cache_folder() / "data" / name
