"""The paper's Fig. 5 for clips of one's choice: waveform, STFT, FBSP, mel and MFCC, a column per clip.

All clips share one amplitude scale, and one colour scale per row. FBSP stands for complex frequency B-spline wavelets,
from which ESResNe(X)t-fbsp (Guzhov et al. 2021, [27] of the paper) makes its spectrograms; there each frequency learns
its order and bandwidth, here all have the same ones. The paper's own figure spells FBSP out as "frequency bandsplit
excitation features" and does not say what it shows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torchaudio.transforms import MFCC, AmplitudeToDB, MelSpectrogram, Spectrogram

from sweeper.audio.datasets.base import Clip, Dataset, DatasetError, shorten
from sweeper.audio.drawn_text import as_written
from sweeper.audio.reader import read

WINDOW, HOP, MELS, COEFFICIENTS = 1024, 256, 64, 40  # samples, samples, bands, numbers
FBSP_ORDER, FBSP_BANDWIDTH = 2, 8.0  # bandwidth in bins: the wavelet's second zeros are at the window's ends
DYNAMIC_RANGE = 80.0  # dB shown
COLUMNS = 10  # clips side by side; more stand below
TITLE = 26  # letters that a column has room for
ROWS = ("waveform", "STFT / kHz", "FBSP / kHz", "mel band", "MFCC")


class Pictures(NamedTuple):
    """What is made of a waveform; `[height, frames]` each, all but MFCC in dB."""

    stft: NDArray[np.float32]
    fbsp: NDArray[np.float32]
    mel: NDArray[np.float32]
    mfcc: NDArray[np.float32]


def choose(dataset: Dataset, ids: Sequence[str]) -> list[Clip]:
    """The clips named, or without names the first of each class.

    Raises:
        DatasetError: a name that isn't there.
    """
    if not ids:
        first = {clip.target: clip for clip in reversed(dataset.clips)}
        return [first[target] for target in sorted(first)]
    by_id = {clip.clip_id: clip for clip in dataset.clips}
    if unknown := [clip_id for clip_id in ids if clip_id not in by_id]:
        raise DatasetError(f"{dataset.name} has no clip {unknown[0]!r}; its clips are {shorten(by_id)}")
    return [by_id[clip_id] for clip_id in ids]


def draw(dataset: Dataset, clips: Sequence[Clip], sample_rate: int, path: Path) -> None:
    """Draw `clips`, read at `sample_rate` Hz, to the PNG file `path`.

    Raises:
        DatasetError: matplotlib isn't installed, or the file can't be written.
        AudioError: a clip that can't be read.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise DatasetError("drawing needs matplotlib: pip install matplotlib") from None
    with as_written():
        _draw(dataset, clips, sample_rate, path, Figure)


def _draw(dataset: Dataset, clips: Sequence[Clip], sample_rate: int, path: Path, figure_class: Any) -> None:
    waveforms = [torch.from_numpy(read(clip.path, sample_rate).astype(np.float32) / 32768) for clip in clips]
    made = [pictures(waveform, sample_rate) for waveform in waveforms]
    loudest = max(float(waveform.abs().max()) for waveform in waveforms) or 1.0
    scales = colour_scales(made)
    wide = min(len(clips), COLUMNS)
    figure = figure_class(figsize=(2.0 * wide + 0.8, 8.0 * -(-len(clips) // COLUMNS)), layout="constrained")
    bands = np.atleast_1d(np.asarray(figure.subfigures(-(-len(clips) // COLUMNS), 1)))
    for band, start in zip(bands, range(0, len(clips), COLUMNS), strict=True):
        axes = band.subplots(len(ROWS), wide, squeeze=False, sharex="col", sharey="row")
        for column, number in enumerate(range(start, start + wide)):
            if number >= len(clips):
                for axis in axes[:, column]:
                    axis.set_visible(False)
                continue
            clip, waveform, seconds = clips[number], waveforms[number], len(waveforms[number]) / sample_rate
            axes[0, column].set_title("\n".join(map(_cut, (dataset.classes[clip.target], clip.clip_id))), fontsize=8)
            axes[0, column].plot(np.arange(len(waveform)) / sample_rate, waveform, linewidth=0.4)
            axes[0, column].set(xlim=(0, seconds), ylim=(-loudest, loudest))
            _draw_pictures(axes[1:, column], made[number], scales, seconds, sample_rate)
            axes[-1, column].set_xlabel("time / s")
        for axis, label in zip(axes[:, 0], ROWS, strict=True):
            axis.set_ylabel(label)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150, format="png")
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}; choose another place by --out") from None


def _cut(name: str) -> str:
    """So much of a name as a column has room for."""
    return name if len(name) <= TITLE else f"{name[: TITLE - 1]}…"


def _draw_pictures(
    axes: Sequence[Any], made: Pictures, scales: Sequence[tuple[float, float]], seconds: float, sample_rate: int
) -> None:
    heights = (sample_rate / 2e3, sample_rate / 2e3, MELS, COEFFICIENTS)
    for axis, picture, (low, high), height in zip(axes, made, scales, heights, strict=True):
        extent = (0, seconds, 0, height)
        axis.imshow(picture, origin="lower", aspect="auto", extent=extent, vmin=low, vmax=high, cmap="magma")


def colour_scales(made: Sequence[Pictures]) -> list[tuple[float, float]]:
    """Lowest and highest value of the colours, of each kind of picture, for all clips alike."""
    scales = []
    for kind in ("stft", "fbsp", "mel"):
        highest = max(float(getattr(picture, kind).max()) for picture in made)
        scales.append((highest - DYNAMIC_RANGE, highest))
    # Coefficient 0 is the level, far from the others, and would leave them one colour.
    shapes = np.concatenate([picture.mfcc[1:].ravel() for picture in made])
    low, high = np.percentile(shapes, (1, 99))
    return [*scales, (float(low), float(high))]


def pictures(waveform: torch.Tensor, sample_rate: int) -> Pictures:
    """STFT and FBSP spectrograms `[513, frames]`, mel spectrogram `[64, frames]`, and MFCC `[40, frames]`.

    `waveform` is `[time]`, full scale 1.
    """
    waveform = torch.nn.functional.pad(waveform, (0, max(0, WINDOW - len(waveform))))
    decibel = AmplitudeToDB(stype="power", top_db=DYNAMIC_RANGE)
    stft = decibel(Spectrogram(WINDOW, hop_length=HOP)(waveform))
    fbsp = decibel(Spectrogram(WINDOW, hop_length=HOP, window_fn=fbsp_window)(waveform))
    settings = {"n_fft": WINDOW, "hop_length": HOP, "n_mels": MELS}
    mel = decibel(MelSpectrogram(sample_rate, **settings)(waveform))
    mfcc = MFCC(sample_rate, COEFFICIENTS, melkwargs=settings)(waveform)
    return Pictures(stft.numpy(), fbsp.numpy(), mel.numpy(), mfcc.numpy())


def fbsp_window(length: int) -> torch.Tensor:
    """The envelope of a complex frequency B-spline wavelet, `[length]`: sinc(b t / m)^m of order m and bandwidth b.

    The wavelet is this times exp(2 pi i f t); so with one order and bandwidth for all f, its transform is an STFT with
    this window, whose response to a frequency is a B-spline, but for the tails that the window cuts off.
    """
    time = torch.arange(length) / length - 0.5  # in windows
    return torch.sinc(FBSP_BANDWIDTH * time / FBSP_ORDER) ** FBSP_ORDER
