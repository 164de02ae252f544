"""What is wrong, or merely good to know, about a data set's recordings: the numbers behind `data check`."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sweeper.audio.datasets.base import Dataset
from sweeper.audio.fingerprint import content_hash, fingerprint, near_pairs
from sweeper.audio.parallel import available_cores, ordered_map, progress_bar
from sweeper.audio.reader import AudioError, decode, to_int16

CLIPPED_RUN = 4  # samples in a row at full scale: one alone can be a loud moment
SILENT_PEAK = 10 ** (-60 / 20)  # −60 dB of full scale


@dataclass(frozen=True)
class Report:
    """The state of a data set. Clips are named by id.

    Attributes:
        dataset: what was looked at.
        counts: clips by (class index, fold).
        groups: clips by group.
        seconds: durations in s, sorted, of readable clips.
        formats: clips by (sample rate in Hz, channels, encoding).
        clipped: clips with a run of full-scale samples.
        silent: clips whose peak is below −60 dB.
        duplicates: sets of clips with identical audio.
        near_duplicates: pairs that differ only in level, format or sample rate.
        unreadable: `(id, reason)`.
    """

    dataset: Dataset
    counts: Counter[tuple[int, int]]
    groups: Counter[str]
    seconds: tuple[float, ...]
    formats: Counter[tuple[int, int, str]]
    clipped: tuple[str, ...]
    silent: tuple[str, ...]
    duplicates: tuple[tuple[str, ...], ...]
    near_duplicates: tuple[tuple[str, str], ...]
    unreadable: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class _Look:
    seconds: float
    format: tuple[int, int, str]
    clipped: bool
    silent: bool
    nothing: bool
    content: bytes
    fingerprint: np.ndarray


def check(dataset: Dataset, progress: bool = True) -> Report:
    """Decode every clip once and report on the data set; clips that can't be read are listed, not raised."""
    found: dict[str, _Look] = {}
    unreadable = []
    with progress_bar(f"checking {dataset.name}", len(dataset.clips), progress) as advance:
        paths = [clip.path for clip in dataset.clips]
        for clip, seen in zip(dataset.clips, ordered_map(_look, paths, available_cores()), strict=True):
            advance()
            if isinstance(seen, AudioError):
                unreadable.append((clip.clip_id, str(seen)))
            else:
                found[clip.clip_id] = seen
    heard = [clip_id for clip_id, seen in found.items() if not seen.nothing]
    same = defaultdict(list)
    for clip_id in heard:
        same[found[clip_id].content].append(clip_id)
    return Report(
        dataset=dataset,
        counts=Counter((clip.target, clip.fold) for clip in dataset.clips),
        groups=Counter(clip.group for clip in dataset.clips),
        seconds=tuple(sorted(seen.seconds for seen in found.values())),
        formats=Counter(seen.format for seen in found.values()),
        clipped=tuple(clip_id for clip_id, seen in found.items() if seen.clipped),
        silent=tuple(clip_id for clip_id, seen in found.items() if seen.silent),
        duplicates=tuple(tuple(ids) for ids in same.values() if len(ids) > 1),
        near_duplicates=_near(heard, found),
        unreadable=tuple(unreadable),
    )


def _look(path: Path) -> _Look | AudioError:
    try:
        recording = decode(path)
    except AudioError as error:
        return error
    native = to_int16(recording.samples)
    extreme = np.convolve(np.abs(native.astype(np.int32)) >= 32767, np.ones(CLIPPED_RUN, dtype=np.int32), "valid")
    return _Look(
        seconds=len(native) / recording.sample_rate,
        format=(recording.sample_rate, recording.channels, recording.subtype),
        clipped=bool((extreme == CLIPPED_RUN).any()) if len(native) >= CLIPPED_RUN else False,
        silent=bool(np.max(np.abs(recording.samples)) < SILENT_PEAK),
        nothing=not native.any(),
        content=content_hash(recording.samples, recording.sample_rate),
        fingerprint=fingerprint(native, recording.sample_rate),
    )


def _near(heard: list[str], found: dict[str, _Look]) -> tuple[tuple[str, str], ...]:
    if not heard:
        return ()
    prints = np.stack([found[clip_id].fingerprint for clip_id in heard])
    pairs = ((heard[i], heard[j]) for i, j in near_pairs(prints, prints) if i < j)
    return tuple((a, b) for a, b in pairs if found[a].content != found[b].content)
