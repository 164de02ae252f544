"""Files as objects of a store, such as S3's.

An object store has no rename and no half-written objects: an object appears when its upload ends. To write once, it is
put on the condition that there is none (`If-None-Match: *` on S3); to change it, on the condition that it is still what
was read (`If-Match`). fsspec's filesystems can do that, so they are used; pyarrow 26's can't.
"""

import contextlib
import datetime
import random
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from sweeper.results.folder import StorageError, WorkingCopy, inside
from sweeper.results.redaction import redact

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}|arn:[^/]+")  # old ones have capitals; an access point
_TRIES = 30  # to change an object that others change, too
_AT_ONCE = "ConditionalRequestConflict"
_CONFLICTS = (_AT_ONCE, "PreconditionFailed", "409", "412")
_CHANGED = ("LastModified", "last_modified", "mtime", "updated", "created")  # as the filesystems call it


class ObjectStore:
    """All objects whose URL begins with `url/`; does what `Folder` does, by as few requests as that takes.

    Raises StorageError wherever the store can't be reached or refuses; FileNotFoundError as `Folder`.
    """

    patience = 6  # in heartbeats, as each is an upload

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        scheme, _, rest = self.url.partition("://")
        if not rest.strip("/") or rest.startswith("/"):
            raise StorageError(f"{self}: no bucket; write {scheme.rstrip(':')}://BUCKET/PREFIX")
        if scheme in {"s3", "s3a"} and not _BUCKET.fullmatch(rest.partition("/")[0]):
            raise StorageError(
                f"{self}: no bucket is called so; write {scheme}://BUCKET/PREFIX (credentials are found as the AWS "
                "command line finds them)"
            )
        import fsspec  # results in a folder need it not

        try:
            # Listings are not remembered: other processes write too.
            self.filesystem, self._root = fsspec.url_to_fs(self.url, use_listings_cache=False)
        except ImportError as error:
            remedy = "pip install 'sweeper[s3]'" if scheme in {"s3", "s3a"} else str(error)
            raise StorageError(f"{self} needs a package that is not installed: {remedy}") from None
        except ValueError:
            raise StorageError(
                f"{self}: unknown scheme {scheme!r}; results go to a folder, s3://BUCKET/PREFIX, or another of fsspec's"
            ) from None

    def __str__(self) -> str:
        return redact(self.url, self.url)

    def create(self, folders: Sequence[str]) -> None:
        """Nothing to make, but see that objects can be written here, and on conditions only; raises StorageError."""
        name = f".probe-{uuid.uuid4().hex}"
        self.write(name, b"1", once=True)
        ignored = ["If-None-Match: *"] if self.write(name, b"2", once=True) else []
        tag, _ = self._tagged(name)
        if tag and self._swap(name, b"3", '"00000000000000000000000000000000"'):
            ignored.append("If-Match")
        self.delete(name)
        if ignored:
            raise StorageError(
                f"{self} replaces objects that were to stay (it ignores {' and '.join(ignored)}), so two "
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
        path, content, mode = self._path(name), bytes(data), "create" if once else "overwrite"
        return self._committed(lambda: self.filesystem.pipe_file(path, content, mode=mode))

    @contextlib.contextmanager
    def draft(self, folder: str) -> Iterator[Path]:
        """Where to write a file that `put` shall then bring into `folder`."""
        with tempfile.TemporaryDirectory(prefix="sweeper") as scratch:
            yield Path(scratch) / "draft"

    def put(self, draft: Path, name: str, *, once: bool = False) -> bool:
        """Commit a draft, whole; with `once`, never replace an object that is there (then return False)."""
        path, mode = self._path(name), "create" if once else "overwrite"
        return self._committed(lambda: self.filesystem.put_file(str(draft), path, mode=mode))

    def rename(self, name: str, new: str) -> None:
        """Give an object another name; one that is there under it is replaced."""
        with self._explained():
            self.filesystem.cp_file(self._path(name), self._path(new))
            self.filesystem.rm_file(self._path(name))

    def update(self, name: str, change: Callable[[bytes | None], bytes]) -> None:
        """Commit `change` of what an object holds, None where there is none. Nobody else changes it in between.

        Where a store has no tags (fsspec's memory), the last one counts.
        """
        for attempt in range(_TRIES):
            tag, old = self._tagged(name)
            if (new := change(old)) == old or self._swap(name, new, tag):
                return
            time.sleep(random.uniform(0, min(0.05 * 2**attempt, 2)))
        raise StorageError(f"{self}/{name} has changed {_TRIES} times while it was to be changed; run this again")

    def _tagged(self, name: str) -> tuple[str | None, bytes | None]:
        """The object's tag and content; in this order, so that the tag is never newer. None where there is none."""
        with self._explained(), contextlib.suppress(FileNotFoundError):
            tag = self.filesystem.info(self._path(name)).get("ETag", "")
            (content,) = self.read(name)
            return tag, content
        return None, None

    def _swap(self, name: str, data: bytes, tag: str | None) -> bool:
        """Commit an object if there is none (`tag` None) or still the one of that tag."""
        if not tag:
            return self.write(name, data, once=tag is None)
        with self._explained():
            try:
                self.filesystem.pipe_file(self._path(name), data, IfMatch=tag)
            except FileNotFoundError:
                return False
            except OSError as error:
                if _code(error) in _CONFLICTS:
                    return False
                raise
        return True

    def _committed(self, upload: Callable[[], object]) -> bool:
        """Upload; whether there was no such object, where that is the condition."""
        for attempt in range(_TRIES):
            with self._explained(missing="there is no such bucket; create it, or correct the URL"):
                try:
                    upload()
                except FileExistsError:
                    return False
                except OSError as error:
                    # Two conditional uploads at once: S3 asks one to try again, and then says who was first.
                    if _code(error) != _AT_ONCE or attempt == _TRIES - 1:
                        raise
                    time.sleep(random.uniform(0, 0.5))
                else:
                    return True
        raise AssertionError("unreachable")

    def touch(self, name: str, data: bytes | pa.Buffer) -> None:
        """Set the object's time to now, for which it must be written again; `data` is what it holds."""
        self.write(name, data)

    def delete(self, *names: str) -> None:
        """Delete the objects that there are."""
        with self._explained(), contextlib.suppress(FileNotFoundError):
            if len(names) == 1:
                self.filesystem.rm_file(self._path(names[0]))
            else:  # S3 takes a thousand in a request
                self.filesystem.rm([self._path(name) for name in names])

    @contextlib.contextmanager
    def local_copy(self, name: str) -> Iterator[Path]:
        """A local copy of the object, to be read; a missing file where there is none."""
        with tempfile.TemporaryDirectory(prefix="sweeper") as scratch:
            path = Path(scratch) / PurePosixPath(name).name
            with self._explained(), contextlib.suppress(FileNotFoundError):
                self.filesystem.get_file(self._path(name), str(path))
            yield path

    @contextlib.contextmanager
    def working_copy(self, name: str) -> Iterator[WorkingCopy]:
        """A local copy of the object, fetched if there is one."""
        with self.local_copy(name) as path:
            yield WorkingCopy(path, lambda changed: self._upload(changed, name))

    def _upload(self, path: Path, name: str) -> None:
        with self._explained():
            self.filesystem.put_file(str(path), self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root}/{inside(name)}"

    @contextlib.contextmanager
    def _explained(self, missing: str = "") -> Iterator[None]:
        """Whatever the filesystem raises, as a StorageError that names the place and the remedy."""
        try:
            yield
        except FileNotFoundError as error:
            if missing:
                raise StorageError(f"{self}: {missing} ({redact(str(error), self.url)})") from error
            raise
        except StorageError:
            raise
        except Exception as error:
            reason = redact(f"{type(error).__name__}: {error}".splitlines()[0], self.url)
            refused = isinstance(error, PermissionError) or "Credentials" in type(error).__name__
            remedy = (
                "check the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the machine's "
                "role), what they may do in this bucket, and the machine's clock"
                if refused
                else "check the network and, for a store other than AWS, AWS_ENDPOINT_URL"
            )
            raise StorageError(f"{self}: {reason}; {remedy}") from error


def _code(error: BaseException) -> str:
    """What the store called it."""
    response = getattr(error.__cause__ or error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _changed(info: Mapping[str, Any]) -> int:
    value = next(info[name] for name in _CHANGED if info.get(name) is not None)
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value)
    return int((value.timestamp() if isinstance(value, datetime.datetime) else value) * 1e9)
