"""The clip store: every clip of a data set decoded once per machine, and from then on mapped into memory.

A store is a folder in the cache whose name is a digest of the files (name below their common folder, size, time
of change), their labels and the sample rate: when any of these changes, it is another store; and so it is for other
files of which all these are the same. It holds

    samples      int16, little-endian, clips one after the other, sorted by fold; each fold begins on a 64 KiB
                 boundary, so that mapping the folds that train maps nothing of the fold that tests
    table.npz    one row per clip (`ClipTable`)
    store.json   the data digest, what was skipped, and checksums of the other two

It is built in a temporary folder by one process (the others wait on a lock) and renamed, so it is there whole or
not at all; one that was damaged later is found on opening, and built again.
"""

import hashlib
import json
import os
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from sweeper.audio.clips import Clips
from sweeper.audio.datasets.base import Dataset, DatasetError, shorten
from sweeper.audio.places import cache_folder, failed_write
from sweeper.audio.reader import AudioError, decode, resample, to_int16

FORMAT = 4  # raise it when a store's content changes: decoding, resampling, layout
SAMPLES, TABLE, DESCRIPTION = "samples", "table.npz", "store.json"
MAX_VIEWS = 64
CHECKED, CHECKED_SAMPLES = 4, 2**21  # files, and about how much of them, that are decoded again before a store is used
ROUNDED = 2  # of 32768


class StoreError(DatasetError):
    """Clips that can't be prepared; one line that names the file and the remedy."""


@dataclass(frozen=True, eq=False)
class ClipTable:
    """What is known of each clip, one row each, sorted by fold and id; everything but the samples.

    Attributes:
        ids, groups: str `[clips]`.
        targets: int64 `[clips]`.
        folds: int64 `[clips]`; 0 or less where the official split never tests the clip.
        offsets: int64 `[clips]`, lengths: int32 `[clips]`, in samples of the store's file.
        hashes: uint8 `[clips, 16]`, equal for identical decoded audio.
        fingerprints: int8 `[clips, 512]`, see `sweeper.audio.fingerprint`.
    """

    ids: NDArray[np.str_]
    groups: NDArray[np.str_]
    targets: NDArray[np.int64]
    folds: NDArray[np.int64]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int32]
    hashes: NDArray[np.uint8]
    fingerprints: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class ClipStore:
    """A data set's decoded clips at one sample rate; samples are mapped when a part is asked for.

    Attributes:
        folder: where it lies.
        dataset: what it was made from.
        sample_rate: in Hz.
        digest: sha256 over decoded samples, ids, targets, groups and folds; the same wherever the
            files lie, whether WAV or FLAC, and on every machine (it is taken before resampling).
        skipped: `(clip id, reason)` of files that could not be read.
        clips: the table; its rows are what splits speak of.
    """

    folder: Path
    dataset: Dataset
    sample_rate: int
    digest: str
    skipped: tuple[tuple[str, str], ...]
    clips: ClipTable

    def __len__(self) -> int:
        return len(self.clips)

    @cached_property
    def heard(self) -> NDArray[np.bool_]:
        """Which clips can be told to repeat each other, `[clips]`: silent ones all sound alike.

        A fingerprint is also 0 throughout where a hum never changes, or a short sound falls between its windows; where
        such clips have the same hash, the samples say what they are.
        """
        heard: NDArray[np.bool_] = np.asarray(self.clips.fingerprints.any(axis=1))
        quiet = np.flatnonzero(~heard)
        _, same, count = np.unique(self.clips.hashes[quiet], axis=0, return_inverse=True, return_counts=True)
        for row in quiet[count[same.ravel()] > 1] if len(quiet) else ():
            heard[row] = self._map(row, row + 1).samples.any()
        return heard

    @property
    def notes(self) -> tuple[str, ...]:
        """The data set's notes, and what was skipped."""
        if not self.skipped:
            return self.dataset.notes
        listed = shorten(clip_id for clip_id, _reason in self.skipped)
        left = set(np.unique(self.clips.targets).tolist())
        gone = [name for target, name in enumerate(self.dataset.classes) if target not in left]
        none = f"; none is left of {shorten(gone)}" if gone else ""
        return (*self.dataset.notes, f"{len(self.skipped)} unreadable clips skipped: {listed}{none}")

    def parts(self, rows: NDArray[np.int64]) -> list[Clips]:
        """The clips `rows`, in order, without any other clip's samples.

        Consecutive rows are one mapped part each and cost no memory: the training side of an official fold is at
        most two. Rows so scattered that they would be more than 64 parts (a random split) are one part, copied.
        """
        runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1) if len(rows) else []
        if len(runs) <= MAX_VIEWS:
            return [self._map(int(run[0]), int(run[-1]) + 1) for run in runs]
        return [self._copy(rows)]

    def part(self, rows: NDArray[np.int64]) -> Clips:
        """The clips `rows` as one: mapped where they are consecutive, else copied."""
        parts = self.parts(rows)
        return parts[0] if len(parts) == 1 else self._copy(rows)

    def _map(self, first: int, stop: int) -> Clips:
        table = self.clips
        start = int(table.offsets[first])
        end = int(table.offsets[stop - 1]) + int(table.lengths[stop - 1])
        rows = slice(first, stop)
        return Clips(
            samples=np.asarray(_map_samples(self.folder, start, end - start)),
            offsets=table.offsets[rows] - start,
            lengths=table.lengths[rows].copy(),
            targets=table.targets[rows].copy(),
            ids=table.ids[rows].copy(),
            groups=table.groups[rows].copy(),
            rows=np.arange(first, stop),
            sample_rate=self.sample_rate,
        )

    def _copy(self, rows: NDArray[np.int64]) -> Clips:
        return self._map(0, len(self)).take(rows)


def _map_samples(folder: Path, start: int, count: int) -> NDArray[np.int16]:
    return np.memmap(folder / SAMPLES, dtype="<i2", mode="r", offset=2 * start, shape=(count,))


def prepare(
    dataset: Dataset,
    sample_rate: int,
    cache: Path | None = None,
    bad_clips: Literal["fail", "skip"] = "fail",
    workers: int | None = None,
    progress: bool = True,
) -> ClipStore:
    """The store of a data set at `sample_rate` Hz: opened where there is one, else built.

    Args:
        dataset: from `sweeper.audio.datasets.load`.
        sample_rate: in Hz.
        cache: folder for stores; the machine's cache folder by default.
        bad_clips: "fail": an unreadable file raises; "skip": it is left out and listed in `ClipStore.skipped`.
        workers: processes that decode; one per available core by default.
        progress: show a bar while building.

    Raises:
        StoreError: an unreadable file under "fail", no readable file at all, or no room in the cache.
    """
    from sweeper.audio.build import build

    folder = (cache or cache_folder()) / "clips" / f"{dataset.name}-{sample_rate}-{_key(dataset, sample_rate)[:16]}"
    store = _open(folder, dataset, sample_rate)
    if store is not None and (other := _heard_otherwise(store)):
        folder = folder.with_name(f"{folder.name}-{other}")
        store = _open(folder, dataset, sample_rate)
    if store is None:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_suffix(".lock")):
                store = _open(folder, dataset, sample_rate)  # another process may have been first
                if store is None:
                    build(folder, dataset, sample_rate, bad_clips, workers, progress)
                    store = _open(folder, dataset, sample_rate)
        except OSError as error:
            raise StoreError(failed_write(folder, error)) from None
    if store is None:
        raise StoreError(f"{folder}: can't be read back; is the disk failing?")
    if store.skipped and bad_clips == "fail":
        raise StoreError(f"{store.skipped[0][1]} ({len(store.skipped)} such files; --bad-clips skip leaves them out)")
    return store


def _key(dataset: Dataset, sample_rate: int) -> str:
    """A digest of all that a store depends on, without opening any file of the data set."""
    common = Path(os.path.commonpath([clip.path.parent for clip in dataset.clips]))
    files = []
    for clip in dataset.clips:
        try:
            status = clip.path.stat()
            state = [status.st_size, status.st_mtime_ns]
        except OSError:
            state = []  # the reader will say what is wrong with it
        name = clip.path.relative_to(common).as_posix()
        files.append([clip.clip_id, name, *state, clip.target, clip.group, clip.fold])
    described = json.dumps([FORMAT, dataset.name, dataset.classes, sample_rate, files])
    return hashlib.sha256(described.encode()).hexdigest()


def _heard_otherwise(store: ClipStore) -> str:
    """'' if a few of the files sound as what was decoded of them, else a digest of what they sound like now.

    Archives and images give all files of theirs one time, so that names, sizes and times don't tell them apart.
    """
    from sweeper.audio.fingerprint import content_hash

    paths = {clip.clip_id: clip.path for clip in store.dataset.clips}
    now, otherwise, total = hashlib.sha256(), False, 0
    for row in np.linspace(0, len(store) - 1, min(CHECKED, len(store))).round().astype(int).tolist():
        try:
            found = decode(paths[str(store.clips.ids[row])])
        except (AudioError, KeyError):  # it was readable, and is read no more
            continue
        content = content_hash(found.samples, found.sample_rate)
        now.update(content)
        if content != store.clips.hashes[row].tobytes():
            samples = to_int16(resample(found.samples, found.sample_rate, store.sample_rate))
            kept = store.part(np.array([row])).samples
            # Another version of a decoder may round differently.
            otherwise |= len(samples) != len(kept) or bool(np.abs(samples.astype(int) - kept).max(initial=0) > ROUNDED)
        total += len(found.samples)
        if total > CHECKED_SAMPLES:
            break
    return now.hexdigest()[:8] if otherwise else ""


def _open(folder: Path, dataset: Dataset, sample_rate: int) -> ClipStore | None:
    """The store in `folder`; None where there is none that is whole."""
    try:
        described: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text("utf-8"))
        if described["format"] != FORMAT or file_digest(folder / TABLE) != described["table_sha256"]:
            return None
        status = (folder / SAMPLES).stat()
        if status.st_size != described["samples_bytes"]:
            return None
        # Reading gigabytes on every start would cost more than it finds: only where the file was touched
        # since.
        touched = status.st_mtime_ns != described["samples_mtime_ns"]
        if touched and file_digest(folder / SAMPLES) != described["samples_sha256"]:
            return None
        with np.load(folder / TABLE) as table:
            clips = ClipTable(**{field.name: table[field.name] for field in fields(ClipTable)})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    skipped = tuple((str(clip_id), str(reason)) for clip_id, reason in described["skipped"])
    return ClipStore(folder, dataset, sample_rate, described["digest"], skipped, clips)


def file_digest(path: Path) -> str:
    """sha256 of a file, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
