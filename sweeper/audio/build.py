"""Building a clip store: processes decode, one writes in order, memory holds a window of clips."""

import hashlib
import json
import os
import shutil
import tempfile
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray

from sweeper.audio import fingerprint
from sweeper.audio.datasets.base import Clip, Dataset
from sweeper.audio.parallel import available_cores, ordered_map, progress_bar
from sweeper.audio.reader import AudioError, decode, resample, to_int16
from sweeper.audio.store import DESCRIPTION, FORMAT, SAMPLES, TABLE, StoreError, file_digest

BOUNDARY = 2**16  # bytes: a multiple of every platform's mapping granularity


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
    except BrokenProcessPool as error:
        raise StoreError(
            f"decoding {dataset.name}: a process was killed, as happens when memory runs out; free some and run the "
            f"same command ({error})"
        ) from None
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _fill(folder: Path, dataset: Dataset, sample_rate: int, bad_clips: str, workers: int, progress: bool) -> None:
    kept: list[Clip] = []
    details: list[tuple[int, int, bytes, NDArray[np.int8]]] = []
    skipped: list[tuple[str, str]] = []
    checksum = hashlib.sha256()
    title = f"decoding {dataset.name}"
    with (folder / SAMPLES).open("wb") as file, progress_bar(title, len(dataset.clips), progress) as advance:
        paths = [clip.path for clip in dataset.clips]
        results = ordered_map(partial(_decode, sample_rate=sample_rate), paths, workers)
        for clip, decoded in zip(dataset.clips, results, strict=True):
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


def _decode(path: Path, sample_rate: int) -> _Decoded | AudioError:
    try:
        recording = decode(path)
        content = fingerprint.content_hash(recording.samples, recording.sample_rate)
        samples = to_int16(resample(recording.samples, recording.sample_rate, sample_rate, path))
    except AudioError as error:
        return error
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
