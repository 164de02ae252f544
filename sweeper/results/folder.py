"""Files in a folder, committed whole: written aside, flushed and renamed.

A file to be written once is linked instead, which fails where the name is taken.
"""

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

HELD_BACK_SECONDS = 300.0  # between uploads of a file that changes often: a checkpoint has hundreds of MB


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

    def delete(self, *names: str) -> None:
        """Delete the files that there are."""
        for name in names:
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
