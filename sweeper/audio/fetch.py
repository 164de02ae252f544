"""Getting a data set from where its authors publish it.

pooch checks and places the files; around it: transfers that resume, archives that can't write outside their
folder, and git-lfs pointers replaced by the files they stand for, each checked against the sha256 in its
pointer.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sweeper.audio.archives import ArchiveError, unpack
from sweeper.audio.datasets import definition
from sweeper.audio.datasets.base import DatasetError, Download
from sweeper.audio.parallel import progress_bar
from sweeper.audio.places import cache_folder, failed_write
from sweeper.audio.reader import LFS_POINTER

ATTEMPTS = 5
FIRST_WAIT = 1.0  # s, doubled after every attempt that brought nothing
TIMEOUT = 30.0  # s without a byte
CHUNK = 2**20
AT_ONCE = 8  # git-lfs files
RECEIPT = ".fetched.json"
POINTED = (".wav", ".flac")  # git-lfs files that are got; not the MP3 copies and videos beside them


class FetchError(DatasetError):
    """A data set that could not be got; usually the way on is to run the command again."""


def fetch(name: str, folder: Path, progress: bool = True) -> None:
    """Download, check and unpack a data set into `folder`; run again, it continues where it was interrupted.

    Args:
        name: of a data set that is published for download.
        folder: new or empty, or one that `fetch` filled (then only what is still missing is got).
        progress: show bars.

    Raises:
        FetchError: no such download, no connection, wrong checksum, an unsafe archive, or a folder in use.
    """
    known = definition(name)
    if not known.downloads:
        raise FetchError(f"{name}: nothing to download")
    if not (folder / RECEIPT).exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FetchError(f"{folder}: is there and was not made by fetch; pass a new folder with --data DIR")
        try:
            _unpack_all(name, known.downloads, folder, progress)
        except OSError as error:
            if Path(error.filename or folder).is_relative_to(cache_folder()):
                raise FetchError(failed_write(folder, error)) from None
            raise FetchError(f"{folder}: {error.strerror or error}; pass a folder with room, --data DIR") from None
    if known.lfs_url is not None:
        resolve_pointers(folder, known.lfs_url, progress)


def _unpack_all(name: str, downloads: tuple[Download, ...], folder: Path, progress: bool) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    archives = [download(item, cache_folder() / "downloads", progress) for item in downloads]
    made = Path(tempfile.mkdtemp(prefix=f"{folder.name}.tmp-", dir=folder.parent))
    try:
        for archive in archives:
            unpack(archive, made)
        receipt = {"dataset": name, "urls": [item.url for item in downloads]}
        (made / RECEIPT).write_text(json.dumps(receipt, indent=1), encoding="utf-8")
        made.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        made.replace(folder)
    except ArchiveError as error:
        raise FetchError(str(error)) from None
    finally:
        shutil.rmtree(made, ignore_errors=True)
    for archive in archives:
        archive.unlink(missing_ok=True)


def download(item: Download, folder: Path, progress: bool = True) -> Path:
    """The file, in `folder`, with the right checksum.

    Where the authors publish none, the first download's sha256 is written to `checksums.json` beside it, and
    later downloads are held to that.

    Raises:
        FetchError: no connection, an error from the server, or a wrong checksum.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "checksums.json"
    seen: dict[str, str] = json.loads(record.read_text("utf-8")) if record.exists() else {}
    expected = item.checksum or seen.get(item.url)
    with _byte_bar(item, progress) as advance:
        transfer = ResumingDownload(folder / f"{item.file_name}.part", advance)
        try:
            path = Path(pooch.retrieve(item.url, expected, item.file_name, folder, downloader=transfer))
        except requests.RequestException as error:
            raise FetchError(f"{item.url}: {_short(error)}; run the same command again to continue") from None
        except ValueError:  # pooch, of the checksum; it has deleted the file
            hint = "run the same command again" if item.checksum else f"try again, or remove its line from {record}"
            raise FetchError(f"{item.url}: what arrived doesn't have the checksum {expected}; {hint}") from None
    if expected is None:
        seen[item.url] = f"sha256:{pooch.file_hash(str(path), alg='sha256')}"
        record.write_text(json.dumps(seen, indent=1), encoding="utf-8")
    return path


class ResumingDownload:
    """A downloader for pooch that keeps what it got in a `.part` file and asks the server for the rest.

    A server that can't do range requests, or whose file changed in between (its ETag or date says), sends all of
    it again.
    """

    def __init__(self, part: Path, advance: Callable[[int], None]) -> None:
        self.part = part
        self.validator = part.with_suffix(".validator")
        self.advance = advance

    def __call__(self, url: str, output_file: str, _pooch: Any, check_only: bool = False) -> None:
        """Transfer `url` to `output_file`.

        Raises:
            requests.RequestException: after several attempts that brought nothing.
        """
        import requests

        fruitless, wait = 0, FIRST_WAIT
        while True:
            before = self._size()
            try:
                self._transfer(url)
                break
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                fruitless = 0 if self._size() > before else fruitless + 1
                wait = FIRST_WAIT if self._size() > before else 2 * wait
                if fruitless >= ATTEMPTS:
                    raise
                time.sleep(wait)
        self.part.replace(output_file)
        self.validator.unlink(missing_ok=True)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _transfer(self, url: str) -> None:
        import requests

        have = self._size() if self.validator.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": self.validator.read_text("utf-8")}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                self.validator.unlink()  # the part file can't be continued: begin again
                raise requests.ConnectionError(f"cannot resume at byte {have}")
            response.raise_for_status()
            resumed = response.status_code == requests.codes.partial_content
            if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                self.validator.unlink()
                raise requests.ConnectionError("the server resumed at another place")
            etag = response.headers.get("ETag", "")
            validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
            if not resumed:
                self.validator.unlink(missing_ok=True)
                if validator:
                    self.validator.write_text(validator, "utf-8")
            size = have if resumed else 0
            total = size + int(response.headers["Content-Length"]) if "Content-Length" in response.headers else None
            with self.part.open("ab" if resumed else "wb") as file:
                self.advance(size)
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    size += len(chunk)
                    self.advance(size)
            if total is not None and size < total:
                raise requests.ConnectionError(f"the connection ended after {size} of {total} bytes")


def resolve_pointers(folder: Path, base_url: str, progress: bool = True) -> None:
    """Replace git-lfs pointers to audio below `folder` by the files they stand for.

    Args:
        folder: a repository, or a folder that holds one.
        base_url: what a path inside the repository is appended to.
        progress: show a bar.

    Raises:
        FetchError: some could not be got; those that could are in place.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    pointers = [(path, oid) for path in sorted(folder.rglob("*")) if (oid := _pointer(path))]

    def resolve(pointer: tuple[Path, str]) -> str | None:
        path, oid = pointer
        inside = path.relative_to(_repository(folder, path)).as_posix()
        try:
            # pooch sees that the file in place has another hash, and replaces it when the new one is whole
            # and right
            pooch.retrieve(base_url + inside, f"sha256:{oid}", path.name, path.parent)
        except (requests.RequestException, ValueError, OSError) as error:
            return f"{base_url}{inside}: {_short(error)}"
        return None

    failures = []
    with (
        ThreadPoolExecutor(AT_ONCE) as executor,
        progress_bar("git-lfs files", len(pointers), progress and bool(pointers)) as advance,
    ):
        for failure in executor.map(resolve, pointers):
            advance()
            if failure:
                failures.append(failure)
    if failures:
        raise FetchError(f"{len(failures)} of {len(pointers)} files failed, first {failures[0]}; run it again")


def _pointer(path: Path) -> str | None:
    """The sha256 in a git-lfs pointer; None for anything else."""
    if path.suffix.lower() not in POINTED or path.is_symlink() or path.stat().st_size > 1024:
        return None
    content = path.read_bytes()
    if not content.startswith(LFS_POINTER):
        return None
    fields = dict(line.split(" ", 1) for line in content.decode("ascii", "replace").splitlines() if " " in line)
    return fields.get("oid", "").removeprefix("sha256:").strip() or None


def _repository(folder: Path, path: Path) -> Path:
    """The folder that a GitHub archive unpacks into; `folder` itself where the data lie right there."""
    first = path.relative_to(folder).parts[0]
    return folder / first if (folder / first / ".gitattributes").exists() else folder


def _byte_bar(item: Download, shown: bool) -> Any:
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    @contextmanager
    def bar() -> Any:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as progress:
            task = progress.add_task(item.file_name, total=item.megabytes * 1e6)
            yield lambda size: progress.update(task, completed=size)

    return bar()


def _short(error: BaseException) -> str:
    """A transport error without the nested representation that requests wraps it in."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answers {response.status_code} {response.reason}"
    text = str(error).split("(Caused by")[0].strip()
    return type(error).__name__ if len(text) > 200 or not text else text
