"""Where files lie: in a folder, or under a URL such as s3://bucket/prefix."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from sweeper.results.folder import Folder, StorageError
from sweeper.results.object_store import ObjectStore


def locate(place: Path | str) -> Folder | ObjectStore:
    """The storage at a path or URL.

    Raises:
        StorageError: the URL has no bucket or an unknown scheme, or its package is not installed.
    """
    if isinstance(place, Path) or "://" not in place:
        return Folder(Path(place))
    if place.startswith("file://"):
        parts = urlsplit(place)
        if parts.netloc:
            raise StorageError(f"{place}: write file:///FOLDER, with three slashes, or the folder itself")
        return Folder(Path(url2pathname(parts.path)))
    return ObjectStore(place)


def under(place: Path | str, name: str) -> Path | str:
    """`place/name`, for a path or URL; raises as `locate`."""
    if isinstance(place, Path) or "://" not in place:
        return Path(place) / name
    there = locate(place)
    return f"{there.url if isinstance(there, ObjectStore) else there}/{name}"


@contextlib.contextmanager
def local_file(place: Path | str) -> Iterator[Path]:
    """A file to be read at a path or URL, for as long as the block runs; at a URL where nothing is, a missing file."""
    if isinstance(place, Path) or "://" not in place:
        yield Path(place)
    else:
        parent, _, name = place.rpartition("/")
        with locate(parent).local_copy(name) as path:
            yield path
