"""Building a clip store: threads decode, one thread writes in order, memory holds a window of clips.

Threads rather than processes: libsndfile and torch release the interpreter while they work, and a process would
first spend seconds importing torch. Resampling filters are made once per rate and shared.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from sweeper.audio import fingerprint
from sweeper.audio.datasets.base import Clip, Dataset
from sweeper.audio.reader import AudioError, decode, resample, to_int16
from sweeper.audio.store import DESCRIPTION, FORMAT, SAMPLES, TABLE, StoreError, file_digest

BOUNDARY = 2**16  # bytes: a multiple of every platform's mapping granularity
AHEAD = 4  # clips per worker that may be decoded before they are written

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class _Decoded:
    samples: NDArray[np.int16]
    content: bytes
    fingerprint: NDArray[np.int8]


def build(
    folder: Path,
    dataset: Dataset,
    sample_rate: int,
    bad_clips: Literal["fail", "skip"],
    workers: int | None,
    progress: bool,
) -> None:
    """Decode all clips into `folder`, which is there whole afterwards, or as it was before.

    The caller holds the folder's lock.

    Raises:
        StoreError: an unreadable file under "fail", or no readable file at all.
        OSError: no room, no permission.
    """
    for leftover in folder.parent.glob(f"{folder.name}.tmp-*"):  # of a build that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f"{folder.name}.tmp-", dir=folder.parent))
    try:
        _fill(made, dataset, sample_rate, bad_clips, workers or available_cores(), progress)
        shutil.rmtree(folder, ignore_errors=True)
        made.replace(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _fill(folder: Path, dataset: Dataset, sample_rate: int, bad_clips: str, workers: int, progress: bool) -> None:
    def decode_clip(clip: Clip) -> _Decoded | AudioError:
        try:
            return _decode(clip.path, sample_rate)
        except AudioError as error:
            return error

    kept: list[Clip] = []
    details: list[tuple[int, int, bytes, NDArray[np.int8]]] = []
    skipped: list[tuple[str, str]] = []
    checksum = hashlib.sha256()
    title = f"decoding {dataset.name}"
    with (folder / SAMPLES).open("wb") as file, progress_bar(title, len(dataset.clips), progress) as advance:
        for clip, decoded in zip(dataset.clips, ordered_map(decode_clip, dataset.clips, workers), strict=True):
            advance()
            if isinstance(decoded, AudioError):
                if bad_clips == "fail":
                    raise StoreError(f"{decoded} (--bad-clips skip leaves out what can't be read)")
                skipped.append((clip.clip_id, str(decoded)))
                continue
            if kept and clip.fold != kept[-1].fold:
                gap = bytes(-file.tell() % BOUNDARY)
                checksum.update(gap)
                file.write(gap)
            details.append((file.tell() // 2, len(decoded.samples), decoded.content, decoded.fingerprint))
            kept.append(clip)
            data = decoded.samples.astype("<i2", copy=False).data
            checksum.update(data)
            file.write(data)
        _sync(file)
    if not kept:
        raise StoreError(f"{skipped[0][1]}; and so for all {len(skipped)} clips of {dataset.name}")
    _describe(folder, dataset, sample_rate, kept, details, skipped, checksum.hexdigest())


def _decode(path: Path, sample_rate: int) -> _Decoded:
    recording = decode(path)
    content = fingerprint.content_hash(recording.samples, recording.sample_rate)
    samples = to_int16(resample(recording.samples, recording.sample_rate, sample_rate, path))
    return _Decoded(samples, content, fingerprint.fingerprint(samples, sample_rate))


def _describe(
    folder: Path,
    dataset: Dataset,
    sample_rate: int,
    kept: list[Clip],
    details: list[tuple[int, int, bytes, NDArray[np.int8]]],
    skipped: list[tuple[str, str]],
    checksum: str,
) -> None:
    offsets, lengths, hashes, prints = zip(*details, strict=True)
    with (folder / TABLE).open("wb") as file:
        np.savez(
            file,
            ids=np.array([clip.clip_id for clip in kept], dtype=np.str_),
            groups=np.array([clip.group for clip in kept], dtype=np.str_),
            targets=np.array([clip.target for clip in kept], dtype=np.int64),
            folds=np.array([clip.fold for clip in kept], dtype=np.int64),
            offsets=np.array(offsets, dtype=np.int64),
            lengths=np.array(lengths, dtype=np.int32),
            hashes=np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(len(kept), -1),
            fingerprints=np.stack(prints),
        )
        _sync(file)
    labels = [[clip.clip_id, clip.target, clip.group, clip.fold] for clip in kept]
    content = [json.dumps([sample_rate, dataset.classes, labels]).encode(), *hashes]
    status = (folder / SAMPLES).stat()
    described = {
        "format": FORMAT,
        "dataset": dataset.name,
        "sample_rate": sample_rate,
        "digest": hashlib.sha256(b"".join(content)).hexdigest(),
        "skipped": skipped,
        "samples_bytes": status.st_size,
        "samples_mtime_ns": status.st_mtime_ns,
        "samples_sha256": checksum,
        "table_sha256": file_digest(folder / TABLE),
    }
    with (folder / DESCRIPTION).open("w", encoding="utf-8") as text:
        json.dump(described, text, indent=1)
        _sync(text)


def _sync(file: IO[bytes] | IO[str]) -> None:
    file.flush()
    os.fsync(file.fileno())


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Like `map`, in threads, a few items ahead: `Executor.map` would decode everything and keep it."""
    import torch

    threads = torch.get_num_threads()
    # The clips are the parallelism. A thread has to say so itself: OpenMP counts per calling thread, and teams of
    # threads that wait for one another on a busy machine take a hundred times as long.
    executor = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(executor.submit(function, item))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


@contextmanager
def progress_bar(title: str, total: int, shown: bool) -> Iterator[Callable[[], None]]:
    """A bar on stderr while the block runs; call what it gives once per item."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)
