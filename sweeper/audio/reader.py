"""From a file (WAV, FLAC, MP3, Ogg, AIFF, …) to mono samples, whatever is in the file.

libsndfile decodes. Around it stand the checks that keep a bad file from becoming a bad result: what can't be
trusted is refused with a reason (`AudioError`), what is shorter than it says too (`containers`), and nothing is
allocated because a header asks for it: decoding goes block by block up to `MAX_FRAMES`. What a file is, its content
says, not its name.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.audio.containers import ContainerError, examine
from sweeper.audio.datasets.base import DatasetError

MAX_FRAMES = 2**24  # per clip, before and after resampling: 6 minutes at 44.1 kHz
MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz
MAX_PEAK = 8.0  # of floating-point files, full scale = 1: beyond, the file is in another unit
BLOCK = 2**18  # values decoded at a time, all channels together
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
    "GSM610",
    "G721_32",
    "G723_24",
    "G723_40",
    "NMS_ADPCM_16",
    "NMS_ADPCM_24",
    "NMS_ADPCM_32",
    "ALAC_16",
    "ALAC_20",
    "ALAC_24",
    "ALAC_32",
    "VORBIS",
    "OPUS",
)
LFS_POINTER = b"version https://git-lfs"
UNKNOWN_FRAMES = 2**48  # so many frames, or more, libsndfile makes of a header that doesn't know


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

    The same samples to the last bit.

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

    try:
        size = _size(path)
        with path.open("rb") as content:
            _refuse_pointer(content.read(len(LFS_POINTER)), path)
            patched = examine(content, size)
            # as bytes, because a name need not be UTF-8
            with soundfile.SoundFile(patched or os.fsencode(path)) as file:
                if file.subtype not in SUBTYPES and file.format != "MP3":
                    raise AudioError(f"{path}: encoding {file.subtype} is not supported; convert it to 16-bit PCM")
                if not MIN_RATE <= file.samplerate <= MAX_RATE:
                    what = f"a sample rate of {file.samplerate} Hz; expected {MIN_RATE} to {MAX_RATE} Hz"
                    raise AudioError(f"{path}: {what}")
                yield file
    except ContainerError as error:
        raise AudioError(f"{path}: {error}") from None
    except OSError as error:
        raise AudioError(f"{path}: {_reason(error)}") from None
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"{path}: can't be decoded ({_reason(error)}); get or convert the file again") from None


def _size(path: Path) -> int:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise AudioError(f"{path}: not a regular file")
    if not status.st_size:
        raise AudioError(f"{path}: an empty file (0 bytes); get it again")
    return status.st_size


def _refuse_pointer(beginning: bytes, path: Path) -> None:
    if beginning == LFS_POINTER:
        raise AudioError(
            f"{path}: a git-lfs pointer, not audio; run 'git lfs install && git lfs pull' in its repository "
            "(CREMA-D: or 'python -m sweeper data fetch cremad')"
        )


def _mono_blocks(file: Any, path: Path) -> Iterator[NDArray[np.float32]]:
    """Channels averaged, block by block; ends in an error where the file doesn't hold what it promised."""
    import soundfile

    rate, channels = file.samplerate, file.channels
    dtype, scale = ("int16", np.float32(1 / 32768)) if file.subtype == "PCM_16" else ("float32", np.float32(1))
    total = 0
    while True:
        try:
            block = file.read(max(1, BLOCK // channels), dtype=dtype, always_2d=True)  # as int16: the same, but sooner
        except soundfile.LibsndfileError as error:
            what = f"promises {file.frames} frames, and not all of them can be decoded ({_reason(error)})"
            raise AudioError(f"{path}: header {what}; get the file again") from None
        if not len(block):
            break
        with np.errstate(invalid="ignore", over="ignore"):  # looked for below
            mono = (block[:, 0] if channels == 1 else block.mean(axis=1, dtype=np.float32)) * scale
        peak = float(max(mono.max(), -mono.min()))
        if not np.isfinite(peak):
            at = (total + int(np.argmin(np.isfinite(mono)))) / rate
            raise AudioError(f"{path}: NaN or infinity at {at:.3f} s; repair the file or leave it out")
        if peak > MAX_PEAK:
            raise AudioError(f"{path}: samples up to {peak:.3g} where full scale is 1; divide by the file's own scale")
        total += len(mono)
        yield mono
    if not total:
        raise AudioError(f"{path}: holds no samples (0 frames); record or get it again, or leave it out")
    if file.frames != total and file.frames < UNKNOWN_FRAMES:
        raise AudioError(f"{path}: header promises {file.frames} frames, {total} are there; get the file again")


def resample(samples: NDArray[np.float32], source: int, target: int, path: Path | None = None) -> NDArray[np.float32]:
    """`samples` `[time]` from `source` to `target` Hz, at libsoxr's "high quality": a passband up to 0.91 of the lower
    Nyquist frequency, and what would alias 120 dB down.

    Raises:
        AudioError: the result would be longer than `MAX_FRAMES`, or less than one sample.
    """
    if source == target:
        return samples
    if samples.size / source * target > MAX_FRAMES:
        raise AudioError(_too_long(path, source))
    import soxr

    resampled: NDArray[np.float32] = soxr.resample(samples, source, target)
    if not resampled.size:
        raise AudioError(f"{path}: {samples.size} samples at {source} Hz are none at {target} Hz; leave the file out")
    return resampled


def _resampled(blocks: Iterable[NDArray[np.float32]], source: int, target: int) -> Iterator[NDArray[np.float32]]:
    """`resample` of the blocks' concatenation, block by block."""
    if source == target:
        yield from blocks
        return
    import soxr

    resampler = soxr.ResampleStream(source, target, num_channels=1)
    for block in blocks:
        yield resampler.resample_chunk(np.ascontiguousarray(block))
    yield resampler.resample_chunk(np.empty(0, dtype=np.float32), last=True)


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Full scale 1 to full scale 32768, rounded, clipped; exact for what was 16-bit."""
    scaled = samples * np.float32(32768)
    np.rint(scaled, out=scaled)
    return np.clip(scaled, -32768, 32767, out=scaled).astype(np.int16)


def _too_long(path: Path | None, rate: int) -> str:
    return f"{path}: longer than {MAX_FRAMES / rate:.0f} s, too long for a clip; cut it into clips"


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
