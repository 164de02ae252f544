"""The embedded data set: ten classes of sounds made by a program, to try everything without a download.

Built like UrbanSound8K in small: 5 folds × 10 classes × 6 "recordings" × 2 slices of 1 s at 8 kHz. A recording is
one draw of pitch, rate, timbre and background; its slices differ in position, level and signal-to-noise ratio,
and share its fold. Classes overlap on purpose (drill and engine, siren and horn, bark and shot) and many slices
are noisy, so that a small network lands well above the 10 % of chance and below 100 %.

The files are the same on every machine: counter-based random numbers, phases from rounded frequencies, and
16-bit samples far coarser than the last bits in which mathematical libraries differ.
"""

import io
import shutil
import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.random import Generator, Philox, SeedSequence
from numpy.typing import NDArray

from sweeper.audio.datasets.base import Clip, DatasetError, Definition, Reading
from sweeper.audio.places import cache_folder, failed_write

SAMPLE_RATE = 8000  # Hz
LENGTH = SAMPLE_RATE  # 1 s
FOLDS, RECORDINGS, SLICES = 5, 6, 2
VERSION = 1  # part of the folder's name: raise it when any sample changes
SNR_DB = (-3.0, 15.0)
LEVEL_DB = (-24.0, -1.0)
TIME = np.arange(LENGTH) / SAMPLE_RATE

Wave = NDArray[np.float64]


def _phase(frequency: Wave | float) -> Wave:
    """Turns since the start; `frequency` in Hz, constant or per sample, rounded so that sums are exact."""
    return np.cumsum(np.round(np.broadcast_to(frequency, LENGTH) * 1024)) / (1024 * SAMPLE_RATE)


def _tone(frequency: Wave | float, start: float = 0.0) -> Wave:
    return np.sin(2 * np.pi * ((_phase(frequency) + start) % 1.0))


def _harmonics(pitch: Wave | float, weights: NDArray[np.float64], start: float = 0.0) -> Wave:
    audible = weights[: int(SAMPLE_RATE / 2 / np.max(pitch))]
    phase = _phase(pitch) + start
    partials = (w * np.sin(2 * np.pi * (n * phase % 1.0)) for n, w in enumerate(audible, 1))
    return sum(partials, start=np.zeros(LENGTH))


def _noise(rng: Generator, slope: float) -> Wave:
    """Noise whose power falls as frequency to the power of `slope`."""
    spectrum = np.fft.rfft(rng.standard_normal(LENGTH))
    spectrum[1:] *= np.arange(1, len(spectrum)) ** (-slope / 2)
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, LENGTH)
    return np.asarray(noise / np.sqrt(np.mean(noise**2)))


def _pulses(times: NDArray[np.float64], attack: float, decay: float) -> Wave:
    """An envelope that rises within `attack` s and falls by 1/e in `decay` s at each of `times` (s)."""
    since = TIME - times[:, None]
    rise = np.clip(since / attack, 0.0, 1.0)
    return np.asarray(np.sum(rise * np.exp(-np.clip(since, 0.0, None) / decay), axis=0))


def _weights(rng: Generator, count: int, fall: float) -> NDArray[np.float64]:
    return rng.uniform(0.3, 1.0, count) / np.arange(1, count + 1) ** fall


def _repeats(cut: Generator, rate: float, jitter: float) -> NDArray[np.float64]:
    """Times at `rate` per second, from a random start, each off by up to `jitter` of the period."""
    times = np.arange(-1, int(rate) + 2) + cut.uniform()
    return (times + jitter * cut.uniform(-1, 1, len(times))) / rate


# One function per class. `source` draws what the recording fixes, `cut` what differs from slice to slice.


def _siren(source: Generator, cut: Generator) -> Wave:
    low, span, rate = source.uniform(400, 800), source.uniform(200, 900), source.uniform(0.4, 4.0)
    weights = _weights(source, 3, 1.5)
    phase = (rate * TIME + cut.uniform()) % 1.0
    triangle = np.abs(2 * phase - 1)
    return _harmonics(low + span * triangle, weights)


def _engine(source: Generator, cut: Generator) -> Wave:
    pitch, weights = source.uniform(45, 130), _weights(source, 12, source.uniform(0.2, 0.9))
    wobble = 1 + source.uniform(0.0, 0.06) * _tone(source.uniform(0.5, 3.0), cut.uniform())
    return _harmonics(pitch * wobble, weights, cut.uniform()) + 0.3 * _noise(cut, 1.0)


def _drill(source: Generator, cut: Generator) -> Wave:
    pitch, weights = source.uniform(100, 320), _weights(source, 10, source.uniform(0.0, 0.6))
    depth = source.uniform(0.2, 0.8)
    tremolo = 1 + depth * _tone(source.uniform(15, 45), cut.uniform())
    return (_harmonics(pitch, weights, cut.uniform()) + 0.6 * _noise(cut, 0.0)) * tremolo


def _jackhammer(source: Generator, cut: Generator) -> Wave:
    blows = _pulses(_repeats(cut, source.uniform(8, 22), 0.06), 0.001, source.uniform(0.008, 0.03))
    ring = _tone(source.uniform(300, 1800))
    return blows * (_noise(cut, source.uniform(0.0, 1.0)) + source.uniform(0.0, 1.0) * ring)


def _bark(source: Generator, cut: Generator) -> Wave:
    pitch, drop, weights = source.uniform(250, 750), source.uniform(0.1, 0.5), _weights(source, 6, 0.5)
    times = _repeats(cut, source.uniform(0.9, 2.6), 0.2)
    since = np.clip(np.min(np.where(times[:, None] <= TIME, TIME - times[:, None], 1.0), axis=0), 0, 0.3)
    voice = _harmonics(pitch * (1 - drop * since / 0.3), weights)
    return (voice + source.uniform(0.2, 1.0) * _noise(cut, 0.5)) * _pulses(times, 0.01, source.uniform(0.03, 0.1))


def _shot(source: Generator, cut: Generator) -> Wave:
    decay, echo = source.uniform(0.03, 0.15), source.uniform(0.05, 0.3)
    first = cut.uniform(0.02, 0.6)
    body = _pulses(np.array([first]), 0.001, decay)
    tail = source.uniform(0.0, 0.5) * _pulses(np.array([first + echo]), 0.01, 2 * decay)
    return (body + tail) * _noise(cut, source.uniform(0.0, 1.2))


def _horn(source: Generator, cut: Generator) -> Wave:
    pitch, second = source.uniform(280, 650), source.uniform(1.15, 1.35)
    weights = _weights(source, 6, source.uniform(0.2, 1.0))
    start, length = cut.uniform(-0.3, 0.4), source.uniform(0.3, 0.9)
    gate = np.clip((TIME - start) / 0.02, 0, 1) * np.clip((start + length - TIME) / 0.05, 0, 1)
    return gate * (_harmonics(pitch, weights) + _harmonics(pitch * second, weights, cut.uniform()))


def _chirps(source: Generator, cut: Generator) -> Wave:
    low, span, rate = source.uniform(1200, 2600), source.uniform(-900, 1200), source.uniform(3, 10)
    phase = (rate * TIME + cut.uniform()) % 1.0
    duty = source.uniform(0.2, 0.6)
    inside = np.clip(phase / duty, 0, 1)
    return _tone(low + span * inside) * np.where(phase < duty, inside * (1 - inside) * 4, 0.0)


def _chords(source: Generator, cut: Generator) -> Wave:
    root, third = source.uniform(130, 420), source.choice([1.1875, 1.25])
    weights = _weights(source, 4, source.uniform(0.8, 1.6))
    steps = np.round(source.uniform(1, 5))
    beat = TIME * steps + cut.uniform()
    move = np.where(beat.astype(int) % 2, 1.0, source.choice([0.75, 1.125, 1.5]))
    notes = (_harmonics(root * interval * move, weights, cut.uniform()) for interval in (1.0, third, 1.5))
    return np.asarray(sum(notes, start=np.zeros(LENGTH)) * (1 - beat % 1.0 * source.uniform(0.2, 0.9)))


def _hiss(source: Generator, cut: Generator) -> Wave:
    band = _tone(source.uniform(60, 600)) * source.uniform(0.0, 0.6)
    swell = 1 + source.uniform(0.0, 0.5) * _tone(source.uniform(0.3, 12.0), cut.uniform())
    return (_noise(cut, source.uniform(-0.5, 1.5)) + band) * swell


SOUNDS: dict[str, Callable[[Generator, Generator], Wave]] = {
    "siren": _siren,
    "engine": _engine,
    "drill": _drill,
    "jackhammer": _jackhammer,
    "bark": _bark,
    "shot": _shot,
    "horn": _horn,
    "chirps": _chirps,
    "chords": _chords,
    "hiss": _hiss,
}


def synthesise(target: int, fold: int, recording: int, slice_: int) -> NDArray[np.int16]:
    """One clip, int16 `[8000]` at 8 kHz: a function of its four numbers alone."""
    entropy = [VERSION, target, fold, recording]
    source = Generator(Philox(SeedSequence(entropy)))
    cut = Generator(Philox(SeedSequence([*entropy, slice_ + 1])))
    sound = list(SOUNDS.values())[target](source, cut)
    background = _noise(cut, source.uniform(0.0, 2.0))
    power = np.mean(sound**2)
    snr = 10 ** (cut.uniform(*SNR_DB) / 20)
    mixed = sound / np.sqrt(power) * snr + background if power > 1e-9 else background
    peak = 32767 * 10 ** (cut.uniform(*LEVEL_DB) / 20)
    scaled: Wave = np.round(mixed / np.max(np.abs(mixed)) * peak)
    return scaled.astype(np.int16)


def read(_root: Path | None) -> Reading:
    """The clips; the files are made in the cache on first use.

    Raises:
        DatasetError: there is no room for them.
    """
    grid = list(product(range(1, FOLDS + 1), range(len(SOUNDS)), range(RECORDINGS), range(SLICES)))
    folder = cache_folder() / f"demo-{VERSION}"
    clips = []
    for fold, target, recording, slice_ in grid:
        group = f"{list(SOUNDS)[target]}-{fold}{'abcdef'[recording]}"
        name = f"{group}-{slice_}"
        clips.append(Clip(name, folder / f"fold{fold}" / f"{name}.wav", target, group, fold))
    if not all(clip.path.exists() for clip in clips):
        files = [(clip.path.relative_to(folder), (c[1], c[0], *c[2:])) for clip, c in zip(clips, grid, strict=True)]
        try:
            _write(folder, files)
        except OSError as error:
            raise DatasetError(failed_write(folder, error)) from None
    return Reading(tuple(clips))


def _write(folder: Path, files: list[tuple[Path, tuple[int, int, int, int]]]) -> None:
    """All files, or none: made in a folder beside it, which then takes its place."""
    import soundfile

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if all((folder / name).exists() for name, _numbers in files):
            return  # another process was first
        made = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
        try:
            for name, numbers in files:
                (made / name).parent.mkdir(exist_ok=True)
                file = io.BytesIO()  # of a full disk, soundfile itself tells nothing
                soundfile.write(file, synthesise(*numbers), SAMPLE_RATE, subtype="PCM_16", format="WAV")
                (made / name).write_bytes(file.getvalue())
            shutil.rmtree(folder, ignore_errors=True)
            made.replace(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)


DEFINITION = Definition(
    title="demo: ten classes of synthesised sounds, made on first use",
    classes=tuple(SOUNDS),
    size=FOLDS * len(SOUNDS) * RECORDINGS * SLICES,
    official="5 folds",
    licence="Apache-2.0",
    homepage="",
    layout="none, it takes no folder",
    read=read,
    synthetic=True,
)
