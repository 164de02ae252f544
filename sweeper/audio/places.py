"""Where files go that can be made again: decoded clips, downloads, the demo."""

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """`$SWEEPER_CACHE`, or the platform's cache folder (`~/.cache/sweeper` on Linux)."""
    chosen = os.environ.get("SWEEPER_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("sweeper", appauthor=False)


def data_folder(name: str) -> Path:
    """Where `data fetch NAME` puts a data set that was given no folder of its own."""
    return cache_folder() / "data" / name
