"""Whether two files are the same: to the byte, or the same recording in another format."""

import filecmp
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

BEGINNING = 4096  # bytes that tell most files apart
RATE = 8_000  # Hz, at which recordings are compared
SECONDS = 30  # of each
ALIKE = 0.7  # correlation; of lossy copies it is higher, of other recordings near 0


def same_recording(a: Path, b: Path) -> bool:
    """Whether two files hold the same recording, whatever their format, sample rate, level and decoder delay.

    A file that can't be read counts as a copy; if it is the one used, the reader will say what is wrong with it.
    """
    from scipy.signal import correlate

    from sweeper.audio.reader import AudioError, decode, resample

    if equal(a, b):
        return True
    waves = []
    for path in (a, b):
        try:
            recording = decode(path)
            rate = recording.sample_rate
            waves.append(resample(recording.samples[: SECONDS * rate], rate, RATE, path).astype(np.float64))
        except AudioError:
            return True
    energy = np.sqrt(np.sum(waves[0] ** 2) * np.sum(waves[1] ** 2))
    if not energy:
        return not waves[0].any() and not waves[1].any()
    return bool(np.max(np.abs(correlate(*waves, method="fft"))) > ALIKE * energy)


def repeated(paths: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Files that repeat another of their name byte for byte, as `(file, the first)`: a tree that is there twice."""
    named: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        named[path.name].append(path)
    pairs = []
    for files in named.values():
        if len(files) > 1:
            alike: dict[tuple[int, bytes], list[Path]] = defaultdict(list)
            for path in files:
                same = alike[_beginning(path)]
                first = next((other for other in same if equal(path, other)), None)
                if first is None:
                    same.append(path)
                else:
                    pairs.append((path, first))
    return pairs


def _beginning(path: Path) -> tuple[int, bytes]:
    try:
        if path.is_file():  # a pipe would be waited for
            with path.open("rb") as file:
                return path.stat().st_size, file.read(BEGINNING)
    except OSError:
        pass  # the reader will say what is wrong with it
    return -1, os.fsencode(path)


def equal(a: Path, b: Path) -> bool:
    """Whether two files are the same, byte for byte."""
    try:
        return filecmp.cmp(a, b, shallow=False)
    except OSError:
        return False
