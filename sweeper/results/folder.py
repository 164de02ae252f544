"""Files in a folder, committed whole: written aside, flushed and renamed.

A file to be written once is linked instead, which fails where the name is taken. A folder may come from a stranger: no
name and no link in it leads a write or a deletion out of it.
"""

import contextlib
import errno
import os
import re
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import pyarrow as pa
from filelock import FileLock, SoftFileLock, Timeout

HELD_BACK_SECONDS = 300.0  # between uploads of a file that changes often: a checkpoint has hundreds of MB
LOCK_SECONDS = 60.0  # a lock is held for the time of reading and writing one small file
LEFT_SECONDS = 86_400.0  # after which a draft is of a process that was killed: writing one takes minutes
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # of a file system that has none

_DRAFT = re.compile(r"\.(.+\.)?[0-9a-f]{32}\.tmp")  # a name of `Folder.draft`, of `checkpoint.save` or `write_named`


class StorageError(OSError):
    """A place can't be used as asked; the message says what to do."""


def inside(name: str) -> str:
    """A name within a folder or below a URL, as it is.

    Raises:
        StorageError: it leads elsewhere.
    """
    if name.startswith("/") or "\0" in name or ".." in (parts := PurePosixPath(name).parts) or not parts:
        raise StorageError(f"{name!r} leads out of its folder")
    return name


class WorkingCopy:
    """A local file at `path` to work on; `save` commits it to its place, where it is always whole, old or new."""

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
    """A folder on a local or shared file system. Names are relative to it.

    Whatever goes wrong is a StorageError that names the file, but for a missing file and a full disk: these stay what
    they are.
    """

    patience = 1  # in heartbeats

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()  # a worker has another working directory

    def __str__(self) -> str:
        return str(self.path)

    def create(self, folders: Sequence[str]) -> None:
        """Make the folders, see that a file can be written once there, and clear away what killed processes left.

        Raises:
            StorageError: it can't.
            OSError: that is not allowed.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        check_links(self.path)
        for place in (places := [self.place(f"{name}/") for name in folders]):
            place.mkdir(parents=True, exist_ok=True)
        for place in (self.path, *places) if places else ():
            _clear_drafts(place)

    def exists(self, name: str) -> bool:
        """Whether there is such a file or folder."""
        with self._explained("look for", name):
            return (self.path / inside(name)).exists()

    def folders(self) -> list[str]:
        """Names of the folders in it, in order."""
        with self._explained("list", ""):
            return sorted(path.name for path in self.path.glob("*/"))

    def files(self, folder: str, prefix: str = "") -> dict[str, int]:
        """Names (without folder) of what is in a folder, and when each was changed in ns; empty if it is missing."""
        found: dict[str, int] = {}
        with self._explained("list", folder), contextlib.suppress(FileNotFoundError):
            place = self.path / inside(folder)
            if place.is_symlink() and not place.exists():
                raise StorageError(f"{place} is a link to nothing, such as a disk that is not there; bring that back")
            for entry in os.scandir(place) if place.exists() else ():
                if entry.name.startswith(prefix) and not entry.name.startswith("."):
                    with contextlib.suppress(FileNotFoundError):  # it went since it was listed, or is a link to nothing
                        found[entry.name] = entry.stat().st_mtime_ns
        return found

    def changed(self, name: str) -> int:
        """When the file was changed, in ns."""
        with self._explained("look at", name):
            return (self.path / inside(name)).stat().st_mtime_ns

    def read(self, *names: str) -> list[bytes]:
        """The files' contents; raises FileNotFoundError if one is missing, StorageError if one can't be read."""
        found = []
        for name in names:
            with self._explained("read", name):
                path = self.path / inside(name)
                if not stat.S_ISREG(mode := path.stat().st_mode) and not stat.S_ISDIR(mode):
                    raise StorageError(f"{path} is a pipe or a device, and should be a file; delete it")
                found.append(path.read_bytes())
        return found

    def write(self, name: str, data: bytes | pa.Buffer, *, once: bool = False) -> bool:
        """Commit a whole file; with `once`, never replace one that is there (then return False)."""
        with self.draft(PurePosixPath(name).parent.as_posix()) as draft:
            with self._explained("write", name), draft.open("wb") as file:
                file.write(data)
            return self.put(draft, name, once=once)

    @contextlib.contextmanager
    def draft(self, folder: str) -> Iterator[Path]:
        """Where to write a file that `put` shall then bring into `folder`; afterwards nothing is left there."""
        path = self.place(f"{folder}/.{uuid.uuid4().hex}.tmp")
        with self._explained("write to", folder):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield path
        finally:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()

    def put(self, draft: Path, name: str, *, once: bool = False) -> bool:
        """Commit a draft, whole; with `once`, never replace a file that is there (then return False)."""
        path = self.place(name)
        with self._explained("write", name):
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            if once:
                try:
                    os.link(draft, path)  # unlike rename, fails where the name is taken
                except FileExistsError:
                    if not path.exists():
                        raise StorageError(f"{path} is a link to nothing; delete it") from None
                    return False
            else:
                draft.replace(path)
            _sync_folder(path.parent)
        return True

    def rename(self, name: str, new: str) -> None:
        """Give a file another name; one that is there under it is replaced."""
        with self._explained("write", new):
            self.place(name).replace(self.place(new))

    def update(self, name: str, change: Callable[[bytes | None], bytes]) -> None:
        """Commit `change` of what a file holds, None where there is none. Nobody else changes it in between."""
        with self._locked(name):
            try:
                (old,) = self.read(name)
            except FileNotFoundError:
                old = None
            if (new := change(old)) != old:
                self.write(name, new)

    def touch(self, name: str, data: bytes | pa.Buffer) -> None:
        """Set the file's time to now; `data` is what it holds."""
        with self._explained("write", name):
            os.utime(self.place(name))

    def delete(self, *names: str) -> None:
        """Delete the files that there are."""
        for name in names:
            with self._explained("delete", name):
                self.place(name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def working_copy(self, name: str) -> Iterator[WorkingCopy]:
        """The file itself, for code that reads and writes by path."""
        yield WorkingCopy(self.place(name))

    @contextlib.contextmanager
    def local_copy(self, name: str) -> Iterator[Path]:
        """The file itself, for code that reads by path; it may be missing."""
        yield self.path / inside(name)

    def place(self, name: str) -> Path:
        """Where a file may be written.

        Raises:
            StorageError: the name, or a link on the way there, leads out of the folder.
        """
        path = self.path
        for part in PurePosixPath(inside(name)).parts[: None if name.endswith("/") else -1]:
            path = path / part
            if path.is_symlink():
                raise StorageError(
                    f"{path} is a link (to {path.readlink()}): what it leads to is read, but nothing is written or "
                    "deleted there; put a folder in its place, or the whole study where it leads"
                )
        return path if name.endswith("/") else path / PurePosixPath(name).name

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Keep other processes, on whatever host, out of the block. A lock ends with its process."""
        place = self.place(name)
        path = place.with_name(f".{place.name}.lock")
        with contextlib.ExitStack() as stack:
            with self._explained("lock", name):
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    stack.enter_context(FileLock(path, LOCK_SECONDS, mode=0o664, fallback_to_soft=False))
                except (OSError, NotImplementedError) as error:
                    if isinstance(error, OSError) and error.errno not in NO_LOCKS:
                        raise
                    # Some network file systems have no locks: there the lock is a file that is there.
                    stack.enter_context(SoftFileLock(path.with_suffix(".softlock"), LOCK_SECONDS))
                # On NFS a client believes its own list of names for a while: until the folder has changed.
                with contextlib.suppress(OSError):
                    os.utime(path.parent)
            yield

    @contextlib.contextmanager
    def _explained(self, verb: str, name: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, StorageError):
            raise
        except Timeout as error:
            raise StorageError(
                f"can't {verb} {self.path / name}: another process has held {error.lock_file} for "
                f"{LOCK_SECONDS:.0f} s; if none is at work on this study, delete that file"
            ) from error
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise  # which the command line explains
            reason, remedy = _reason(error)
            raise StorageError(f"can't {verb} {self.path / name}: {reason}; {remedy}") from error


def check_links(folder: Path) -> None:
    """See that a file can be written once in a folder: else a trial would find out, at its end.

    Raises:
        StorageError: it can't, as the file system has no hard links.
        OSError: nothing can be written there.
    """
    draft, place = (folder / f".{uuid.uuid4().hex}.tmp" for _ in range(2))
    draft.touch()
    try:
        os.link(draft, place)
        os.link(draft, place)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        reason = error.strerror
    else:
        reason = "a link replaces what is there"
    finally:
        draft.unlink(missing_ok=True)
        place.unlink(missing_ok=True)
    raise StorageError(
        f"can't write results to {folder}: its file system has no hard links ({reason}), without which two commands "
        "could commit the same trial; use --results DIR on another file system, or s3://BUCKET/PREFIX"
    )


def _clear_drafts(folder: Path) -> None:
    """Delete files of a folder that nobody will bring to their place any more."""
    before = time.time() - LEFT_SECONDS
    for entry in os.scandir(folder):
        if _DRAFT.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            with contextlib.suppress(OSError):  # it went since, or is another user's to delete
                if entry.stat(follow_symlinks=False).st_mtime < before:
                    Path(entry.path).unlink()


def _reason(error: OSError | ValueError) -> tuple[str, str]:
    """What is wrong, and what to do about it."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EISDIR:
        return "it is a folder, and should be a file", "move it away"
    if number == errno.ENOTDIR:
        return "there is a file where a folder should be", "move that away"
    if number == errno.ELOOP:
        return "there is a link where a file should be", "delete it"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return os.strerror(number), "ask its owner, or work on a copy"
    return (error.strerror if isinstance(error, OSError) else None) or str(error), "see who may, and the disk"


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system lets a folder be opened or flushed
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
