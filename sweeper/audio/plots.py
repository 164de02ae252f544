"""The paper's Fig. 5 for clips of one's choice: waveform, STFT, mel and MFCC, a column per clip."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torchaudio.transforms import MFCC, AmplitudeToDB, MelSpectrogram, Spectrogram

from sweeper.audio.datasets.base import Clip, Dataset, DatasetError, shorten
from sweeper.audio.reader import read

WINDOW, HOP, MELS, COEFFICIENTS = 1024, 256, 64, 40  # samples, samples, bands, numbers
DYNAMIC_RANGE = 80.0  # dB shown
SHOWN = 8  # clips, as in the paper's figure


def choose(dataset: Dataset, ids: Sequence[str]) -> list[Clip]:
    """The clips named, or without names the first of each class, eight at most.

    Raises:
        DatasetError: a name that isn't there.
    """
    if not ids:
        first = {clip.target: clip for clip in reversed(dataset.clips)}
        return [first[target] for target in sorted(first)][:SHOWN]
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
    figure = Figure(figsize=(2.2 * len(clips) + 0.8, 7.5), layout="constrained")
    axes = figure.subplots(4, len(clips), squeeze=False, sharex="col")
    for column, clip in zip(axes.T, clips, strict=True):
        waveform = torch.from_numpy(read(clip.path, sample_rate).astype(np.float32) / 32768)
        seconds = len(waveform) / sample_rate
        column[0].plot(np.arange(len(waveform)) / sample_rate, waveform, linewidth=0.4)
        loudest = max(float(waveform.abs().max()), 1e-3)  # each its own scale, or quiet speech is a line
        column[0].set(xlim=(0, seconds), ylim=(-loudest, loudest))
        column[0].set_title(f"{dataset.classes[clip.target]}\n{clip.clip_id}", fontsize=8)
        heights = (sample_rate / 2e3, MELS, COEFFICIENTS)
        for axis, picture, height in zip(column[1:], pictures(waveform, sample_rate), heights, strict=True):
            low, high = np.percentile(picture, (1, 99))  # MFCC 0, the level, would leave no colours to others
            extent = (0, seconds, 0, height)
            axis.imshow(picture, origin="lower", aspect="auto", extent=extent, vmin=low, vmax=high, cmap="magma")
        column[-1].set_xlabel("time / s")
    for axis, label in zip(axes[:, 0], ("waveform", "STFT / kHz", "mel band", "MFCC"), strict=True):
        axis.set_ylabel(label)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150, format="png")
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}; choose another place by --out") from None


def pictures(waveform: torch.Tensor, sample_rate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """STFT `[513, frames]` and mel spectrogram `[64, frames]` in dB, and MFCC `[40, frames]`.

    `waveform` is `[time]`, full scale 1.
    """
    waveform = torch.nn.functional.pad(waveform, (0, max(0, WINDOW - len(waveform))))
    decibel = AmplitudeToDB(stype="power", top_db=DYNAMIC_RANGE)
    stft = decibel(Spectrogram(WINDOW, hop_length=HOP)(waveform))
    settings = {"n_fft": WINDOW, "hop_length": HOP, "n_mels": MELS}
    mel = decibel(MelSpectrogram(sample_rate, **settings)(waveform))
    mfcc = MFCC(sample_rate, COEFFICIENTS, melkwargs=settings)(waveform)
    return stft.numpy(), mel.numpy(), mfcc.numpy()
