"""From a .wav or .flac file to mono samples, whatever is in the file.

libsndfile decodes. Around it stand the checks that keep a bad file from becoming a bad result: what can't be
trusted is refused with a reason (`AudioError`), and nothing is allocated because a header asks for it:
decoding goes block by block up to `MAX_FRAMES`.
"""

import math
import stat
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sweeper.audio.datasets.base import DatasetError

MAX_FRAMES = 2**24  # per clip, before and after resampling: 6 minutes at 44.1 kHz
MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz
MAX_PEAK = 8.0  # of floating-point files, full scale = 1: beyond, the file is in another unit
BLOCK = 2**18  # values decoded at a time, all channels together
CHUNK = 2**20  # samples that are resampled at a time when a file is streamed
MAX_PHASES = 1500  # of the resampling filter
GROUP = 64  # phases computed together
NEGLIGIBLE = 1e-9  # a tap this small changes no 16-bit sample
SUBTYPES = (
    "PCM_16",
    "PCM_24",
    "PCM_32",
    "PCM_S8",
    "PCM_U8",
    "FLOAT",
    "DOUBLE",
    "ULAW",
    "ALAW",
    "IMA_ADPCM",
    "MS_ADPCM",
)
LFS_POINTER = b"version https://git-lfs"
UNKNOWN_LENGTH = 0xFFFFFFFF  # what programs that write to a pipe leave in the header
UNKNOWN_FRAMES = 2**48  # and how many frames, or more, libsndfile makes of that


class AudioError(DatasetError):
    """A file that can't be used; the message names it, says why and what to do."""


@dataclass(frozen=True, eq=False)
class Recording:
    """A decoded file: `samples` float32 `[time]`, mono, full scale 1, at `sample_rate` Hz; and how it was
    stored."""

    samples: NDArray[np.float32]
    sample_rate: int
    channels: int
    subtype: str


def read(path: Path, sample_rate: int) -> NDArray[np.int16]:
    """The clip as int16 `[time]`, mono, at `sample_rate` Hz, at its true length.

    Raises:
        AudioError: the file can't be used.
    """
    recording = decode(path)
    return to_int16(resample(recording.samples, recording.sample_rate, sample_rate, path))


def decode(path: Path) -> Recording:
    """The clip at its own rate, channels averaged.

    Raises:
        AudioError: missing, empty, not audio, truncated, too long, an unusable rate, or not finite.
    """
    with _opened(path) as file:
        if 0 <= MAX_FRAMES < file.frames < UNKNOWN_FRAMES:
            raise AudioError(_too_long(path, file.samplerate))
        blocks: list[NDArray[np.float32]] = []
        total = 0
        for block in _mono_blocks(file, path):
            total += len(block)
            if total > MAX_FRAMES:
                raise AudioError(_too_long(path, file.samplerate))
            blocks.append(block)
        return Recording(np.concatenate(blocks), file.samplerate, file.channels, file.subtype)


def stream(path: Path, sample_rate: int) -> Iterator[NDArray[np.int16]]:
    """What `read` returns, piece by piece, from a file of any length in memory that doesn't grow with it.

    The same samples to the last bit for files of up to `CHUNK` frames, so for every clip; in longer ones the
    resampling of different pieces may round a sample to its neighbour.

    Raises:
        AudioError: the file can't be used; some faults show only at its end, after pieces were given.
    """
    with _opened(path) as file:
        for samples in _resampled(_mono_blocks(file, path), file.samplerate, sample_rate):
            yield to_int16(samples)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """libsndfile's view of a file whose container, encoding and rate are usable."""
    import soundfile

    _check_container(path)
    try:
        with soundfile.SoundFile(path) as file:
            if file.subtype not in SUBTYPES:
                raise AudioError(f"{path}: encoding {file.subtype} is not supported; convert it to 16-bit PCM")
            if not MIN_RATE <= file.samplerate <= MAX_RATE:
                raise AudioError(f"{path}: a sample rate of {file.samplerate} Hz; expected {MIN_RATE} to {MAX_RATE} Hz")
            yield file
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        raise AudioError(f"{path}: can't be decoded ({_reason(error)}); get or convert the file again") from None


def _mono_blocks(file: Any, path: Path) -> Iterator[NDArray[np.float32]]:
    """Channels averaged, block by block; ends in an error where the file doesn't hold what it promised."""
    rate, channels = file.samplerate, file.channels
    total = 0
    while True:
        block = file.read(max(1, BLOCK // channels), dtype="float32", always_2d=True)
        if not len(block):
            break
        with np.errstate(invalid="ignore", over="ignore"):  # looked for below
            mono = block[:, 0] if channels == 1 else block.mean(axis=1, dtype=np.float32)
        peak = float(max(mono.max(), -mono.min()))
        if not np.isfinite(peak):
            at = (total + int(np.argmin(np.isfinite(mono)))) / rate
            raise AudioError(f"{path}: NaN or infinity at {at:.3f} s; repair or remove the file")
        if peak > MAX_PEAK:
            raise AudioError(f"{path}: samples up to {peak:.3g} where full scale is 1; divide by the file's own scale")
        total += len(mono)
        yield mono
    if not total:
        raise AudioError(f"{path}: holds no samples; remove it or get it again")
    if file.frames != total and file.frames < UNKNOWN_FRAMES:
        raise AudioError(f"{path}: header promises {file.frames} frames, {total} are there; get the file again")


def resample(samples: NDArray[np.float32], source: int, target: int, path: Path | None = None) -> NDArray[np.float32]:
    """`samples` `[time]` from `source` to `target` Hz with torchaudio's windowed sinc.

    A pair of rates whose ratio needs more than `MAX_PHASES` filter phases (11,024 to 22,050 Hz would take
    11,025) is rounded to the nearest ratio that doesn't: the pitch is then off by less than one cent, and no
    filter takes gigabytes. Last bits depend on the machine's vector units, so equal digests are asked of
    decoded, not of resampled audio.

    Raises:
        AudioError: the result would be longer than `MAX_FRAMES`.
    """
    if source == target:
        return samples
    ratio = _ratio(source, target)
    if samples.size / ratio > MAX_FRAMES:
        raise AudioError(_too_long(path, source))
    import torch  # its products, unlike numpy's, keep to one core where the caller says so

    bank = _filter_bank(ratio)
    count = math.ceil(samples.size / bank.period)
    padded = torch.zeros((count + 1) * bank.period + 2 * bank.width)
    padded[bank.width : bank.width + samples.size] = torch.from_numpy(samples)
    resampled = torch.empty((count, bank.phases))
    for phase, first, filters in bank.groups:
        taps, phases = filters.shape
        frames = padded[first:].unfold(0, taps, bank.period)[:count]
        step = max(1, BLOCK // taps)
        for row in range(0, count, step):
            resampled[row : row + step, phase : phase + phases] = frames[row : row + step] @ filters
    whole: NDArray[np.float32] = resampled.view(-1)[: math.ceil(samples.size / ratio)].numpy()
    return whole


def _resampled(blocks: Iterable[NDArray[np.float32]], source: int, target: int) -> Iterator[NDArray[np.float32]]:
    """`resample` of the blocks' concatenation, a chunk at a time.

    A chunk is resampled with a margin on both sides in which the filter has all of its taps, and the margin's
    output is dropped. Chunks and margins are whole periods of the ratio, so that phases continue.
    """
    if source == target:
        yield from blocks
        return
    ratio = _ratio(source, target)
    period, made = ratio.numerator, ratio.denominator  # so many samples become so many
    margin = period * (_resampler(ratio).width // period + 2)
    chunk = period * (CHUNK // period)
    pending = np.empty(0, dtype=np.float32)
    before = 0  # samples of `pending` that have been put out, and are there as a margin
    for block in blocks:
        pending = np.concatenate([pending, block])
        while len(pending) > before + chunk + margin:
            end = before + chunk
            resampled = resample(pending[: end + margin], source, target)
            yield resampled[before // period * made : end // period * made]
            pending, before = pending[end - margin :], margin
    yield resample(pending, source, target)[before // period * made :]


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Full scale 1 to full scale 32768, rounded, clipped; exact for what was 16-bit."""
    scaled = samples * np.float32(32768)
    np.rint(scaled, out=scaled)
    return np.clip(scaled, -32768, 32767, out=scaled).astype(np.int16)


def _ratio(source: int, target: int) -> Fraction:
    """Source over target rate, in terms of at most `MAX_PHASES`."""
    exact = Fraction(source, target)
    if exact <= 1:
        return exact.limit_denominator(MAX_PHASES)
    return 1 / (1 / exact).limit_denominator(MAX_PHASES)


@lru_cache(maxsize=32)
def _resampler(ratio: Fraction) -> Any:
    from torchaudio.transforms import Resample

    return Resample(ratio.numerator, ratio.denominator)


@dataclass(frozen=True, eq=False)
class _FilterBank:
    """Every `period` samples become `phases`; each of `groups` is `(first phase, first tap, [taps, phases])`."""

    period: int
    phases: int
    width: int
    groups: tuple[tuple[int, int, Any], ...]


@lru_cache(maxsize=32)
def _filter_bank(ratio: Fraction) -> _FilterBank:
    """torchaudio's filters in groups of neighbours, each cut to the taps it uses.

    torchaudio convolves with all taps of all phases, nearly all of them zero, and torch compiles that convolution
    anew for every length of clip. The same sums as products of small matrices take a fraction of the time. Where
    there are few phases, several periods are one, for the same reason.
    """
    import torch

    resampler = _resampler(ratio)
    kernel = resampler.kernel[:, 0].numpy()
    (made, taps), periods = kernel.shape, math.ceil(GROUP / len(kernel))
    filters = np.zeros((periods * made, taps + (periods - 1) * ratio.numerator), dtype=np.float32)
    for i in range(periods):
        start = i * ratio.numerator
        filters[i * made : (i + 1) * made, start : start + taps] = kernel
    groups = []
    for phase in range(0, len(filters), GROUP):
        group = filters[phase : phase + GROUP]
        used = np.flatnonzero(np.abs(group).max(axis=0) > NEGLIGIBLE)
        groups.append((phase, int(used[0]), torch.from_numpy(group[:, used[0] : used[-1] + 1].T.copy())))
    return _FilterBank(periods * ratio.numerator, len(filters), resampler.width, tuple(groups))


def _check_container(path: Path) -> None:
    """What can be said before libsndfile sees the file."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(f"{path}: not a regular file")
        if not status.st_size:
            raise AudioError(f"{path}: an empty file; remove it or get it again")
        with path.open("rb") as file:
            magic = file.read(len(LFS_POINTER))
            if magic == LFS_POINTER:
                raise AudioError(
                    f"{path}: a git-lfs pointer, not audio; run 'git lfs install && git lfs pull' in its repository "
                    "(CREMA-D: or 'python -m sweeper data fetch cremad')"
                )
            if magic[:4] in (b"RIFF", b"RIFX"):
                _check_riff(file, path, status.st_size, "<" if magic[:4] == b"RIFF" else ">")
            elif magic[:4] not in (b"fLaC", b"RF64"):
                raise AudioError(
                    f"{path}: neither WAV nor FLAC (it begins with {magic[:12]!r}); get or convert it again"
                )
    except OSError as error:
        raise AudioError(f"{path}: {_reason(error)}") from None


def _check_riff(file: IO[bytes], path: Path, size: int, order: str) -> None:
    """Compare the data chunk's length with the file's: libsndfile shortens a truncated clip without a
    word."""
    position = 12
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack(f"{order}4sI", file.read(8))
        position += 8
        if name == b"data":
            if length != UNKNOWN_LENGTH and length > size - position:
                raise AudioError(
                    f"{path}: header promises {length} bytes of audio, {size - position} are there; get the file again"
                )
            return
        position += length + length % 2
    raise AudioError(f"{path}: a WAV header without audio; get the file again")


def _too_long(path: Path | None, rate: int) -> str:
    return f"{path}: longer than {MAX_FRAMES / rate:.0f} s, too long for a clip; cut it into clips"


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
