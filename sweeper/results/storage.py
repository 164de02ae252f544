"""Where files lie and how one is committed whole: in a folder, or under a URL such as s3://bucket/prefix.

A folder's file is written aside, flushed and renamed or, to be written once, linked, which fails where the name is
taken. An object store has neither names to move nor half-written objects: an object is there when its upload has ended,
and to be written once it is put on the condition that there is none (`If-None-Match: *` on S3). fsspec is used because
its filesystems can do that (`mode="create"`); pyarrow's, of version 26, can't.
"""

import contextlib
import datetime
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import fsspec
import pyarrow as pa

HELD_BACK_SECONDS = 300.0  # between uploads of a file that changes often: a checkpoint has hundreds of MB
_CHANGED = ("LastModified", "last_modified", "mtime", "updated", "created")  # as the filesystems call it


class StorageError(OSError):
    """A place can't be used as asked; the message says what to do."""


class WorkingCopy:
    """A file to work with at `path`, which `save` brings to where it belongs; there it is whole, old or new."""

    def __init__(self, path: Path, upload: Callable[[Path], None] | None = None) -> None:
        self.path = path
        self._upload = upload
        self._uploaded = time.monotonic()
        self._held_back = False

    def save(self, *, often: bool = False) -> None:
        """Say that the file has changed. `often`: this is called again and again, and every few minutes will do."""
        self._held_back = True
        if not often or time.monotonic() - self._uploaded > HELD_BACK_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Upload a change that was held back."""
        if self._held_back and self._upload is not None:
            self._upload(self.path)
        self._held_back, self._uploaded = False, time.monotonic()


class Folder:
    """A folder on a local or shared file system. Names are relative to it."""

    patience = 1  # in heartbeats

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()  # a worker has another working directory

    def __str__(self) -> str:
        return str(self.path)

    def create(self, folders: Sequence[str]) -> None:
        """Make the folders; raises OSError where that is not allowed."""
        for name in folders:
            (self.path / name).mkdir(parents=True, exist_ok=True)

    def exists(self, name: str) -> bool:
        """Whether there is such a file or folder."""
        return (self.path / name).exists()

    def folders(self) -> list[str]:
        """Names of the folders in it, in order."""
        return sorted(path.name for path in self.path.glob("*/"))

    def files(self, folder: str, prefix: str = "") -> dict[str, int]:
        """Names (without folder) of the files in a folder, and when each was changed in ns; empty if it is missing."""
        try:
            with os.scandir(self.path / folder) as entries:
                return {
                    entry.name: entry.stat().st_mtime_ns
                    for entry in entries
                    if entry.name.startswith(prefix) and not entry.name.startswith(".")
                }
        except (FileNotFoundError, NotADirectoryError):
            return {}

    def changed(self, name: str) -> int:
        """When the file was changed, in ns."""
        return (self.path / name).stat().st_mtime_ns

    def read(self, *names: str) -> list[bytes]:
        """The files' contents; raises FileNotFoundError if one is missing, StorageError if one can't be read."""
        try:
            return [(self.path / name).read_bytes() for name in names]
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError(f"can't read {error.filename}: {error.strerror}; see who may, and the disk") from error

    def write(self, name: str, data: bytes | pa.Buffer, *, once: bool = False) -> bool:
        """Commit a whole file; with `once`, never replace one that is there (then return False)."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if once:
                try:
                    os.link(temporary, path)  # unlike rename, fails where the name is taken
                except FileExistsError:
                    return False
            else:
                temporary.replace(path)
            _sync_folder(path.parent)
            return True
        finally:
            temporary.unlink(missing_ok=True)

    def touch(self, name: str, data: bytes | pa.Buffer) -> None:
        """Set the file's time to now; `data` is what it holds."""
        os.utime(self.path / name)

    def delete(self, name: str) -> None:
        """Delete the file, if there is one."""
        (self.path / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def working_copy(self, name: str, *, fetch: bool = True) -> Iterator[WorkingCopy]:
        """The file itself, for code that reads or writes by path."""
        yield WorkingCopy(self.path / name)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system lets a folder be opened or flushed
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class ObjectStore:
    """All objects whose URL begins with `url/`; does what `Folder` does, by as few requests as that takes.

    Raises StorageError wherever the store can't be reached or refuses; FileNotFoundError as `Folder`.
    """

    patience = 6  # in heartbeats, as each is an upload

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        scheme, _, rest = self._url.partition("://")
        if not rest.strip("/") or rest.startswith("/"):
            raise StorageError(f"{url}: no bucket; write {scheme.rstrip(':')}://BUCKET/PREFIX")
        try:
            # Listings are not remembered: other processes write too.
            self.filesystem, self._root = fsspec.url_to_fs(self._url, use_listings_cache=False)
        except ImportError as error:
            remedy = "pip install 'sweeper[s3]'" if scheme in {"s3", "s3a"} else str(error)
            raise StorageError(f"{url} needs a package that is not installed: {remedy}") from None
        except ValueError:
            raise StorageError(
                f"{url}: unknown scheme {scheme!r}; results go to a folder, s3://BUCKET/PREFIX, or another of fsspec's"
            ) from None

    def __str__(self) -> str:
        return self._url

    def create(self, folders: Sequence[str]) -> None:
        """Nothing to make, but see that objects can be written here, and once only; raises StorageError."""
        name = f".probe-{uuid.uuid4().hex}"
        self.write(name, b"1", once=True)
        replaced = self.write(name, b"2", once=True)
        self.delete(name)
        if replaced:
            raise StorageError(
                f"{self} replaces objects that were to be written once (it ignores If-None-Match: *), so two "
                "clusters could commit the same trial; use a store that has conditional writes, or a folder"
            )

    def exists(self, name: str) -> bool:
        """Whether there is such an object, or one below it."""
        with self._explained():
            return bool(self.filesystem.exists(self._path(name)))

    def folders(self) -> list[str]:
        """First parts of the objects' names, in order."""
        with self._explained(), contextlib.suppress(FileNotFoundError):
            found = self.filesystem.ls(self._root, detail=True)
            return sorted(PurePosixPath(info["name"]).name for info in found if info["type"] == "directory")
        return []

    def files(self, folder: str, prefix: str = "") -> dict[str, int]:
        """Names (without folder) of the objects in a folder, and when each was changed in ns."""
        with self._explained(), contextlib.suppress(FileNotFoundError):
            found = (
                self.filesystem.glob(f"{self._path(folder)}/{prefix}*", detail=True).values()
                if prefix  # without one, `glob` lists everything twice
                else self.filesystem.ls(self._path(folder), detail=True)
            )
            files = {PurePosixPath(info["name"]).name: info for info in found if info["type"] == "file"}
            return {name: _changed(info) for name, info in files.items() if not name.startswith(".")}
        return {}

    def changed(self, name: str) -> int:
        """When the object was written, in ns; S3 tells whole seconds."""
        with self._explained():
            return _changed(self.filesystem.info(self._path(name)))

    def read(self, *names: str) -> list[bytes]:
        """The objects' contents, fetched at once; raises FileNotFoundError if one is missing."""
        if not names:
            return []
        paths = [self._path(name) for name in names]
        with self._explained():
            found = self.filesystem.cat(paths, start=0)  # without `start`, s3fs asks for each one's size first
        return [found[path] for path in paths]

    def write(self, name: str, data: bytes | pa.Buffer, *, once: bool = False) -> bool:
        """Commit a whole object; with `once`, never replace one that is there (then return False)."""
        with self._explained(missing="there is no such bucket; create it, or correct the URL"):
            try:
                self.filesystem.pipe_file(self._path(name), bytes(data), mode="create" if once else "overwrite")
            except FileExistsError:
                return False
            return True

    def touch(self, name: str, data: bytes | pa.Buffer) -> None:
        """Set the object's time to now, for which it must be written again; `data` is what it holds."""
        self.write(name, data)

    def delete(self, name: str) -> None:
        """Delete the object, if there is one."""
        with self._explained(), contextlib.suppress(FileNotFoundError):
            self.filesystem.rm_file(self._path(name))

    @contextlib.contextmanager
    def working_copy(self, name: str, *, fetch: bool = True) -> Iterator[WorkingCopy]:
        """A local copy of the object, fetched if there is one; what `save` held back is uploaded if the block fails."""
        with tempfile.TemporaryDirectory(prefix="sweeper") as scratch:
            path = Path(scratch) / PurePosixPath(name).name
            if fetch:
                with self._explained(), contextlib.suppress(FileNotFoundError):
                    self.filesystem.get_file(self._path(name), str(path))
            copy = WorkingCopy(path, lambda changed: self._upload(changed, name))
            try:
                yield copy
            except BaseException:
                with contextlib.suppress(OSError):  # what failed first is what the caller should see
                    copy.flush()
                raise

    def _upload(self, path: Path, name: str) -> None:
        with self._explained():
            self.filesystem.put_file(str(path), self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextlib.contextmanager
    def _explained(self, missing: str = "") -> Iterator[None]:
        """Whatever the filesystem raises, as a StorageError that names the place and the remedy."""
        try:
            yield
        except FileNotFoundError as error:
            if missing:
                raise StorageError(f"{self}: {missing} ({error})") from error
            raise
        except StorageError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            refused = isinstance(error, PermissionError) or "Credentials" in type(error).__name__
            remedy = (
                "check the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the machine's "
                "role), what they may do in this bucket, and the machine's clock"
                if refused
                else "check the network and, for a store other than AWS, AWS_ENDPOINT_URL"
            )
            raise StorageError(f"{self}: {reason}; {remedy}") from error


def _changed(info: Mapping[str, Any]) -> int:
    value = next(info[name] for name in _CHANGED if info.get(name) is not None)
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value)
    return int((value.timestamp() if isinstance(value, datetime.datetime) else value) * 1e9)


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
    return f"{locate(place)}/{name}" if isinstance(place, str) and "://" in place else Path(place) / name


@contextlib.contextmanager
def local_file(place: Path | str) -> Iterator[Path]:
    """A file to be read at a path or URL, for as long as the block runs; at a URL where nothing is, a missing file."""
    if isinstance(place, Path) or "://" not in place:
        yield Path(place)
    else:
        parent, _, name = place.rpartition("/")
        with locate(parent).working_copy(name) as copy:
            yield copy.path
