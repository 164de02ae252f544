"""Class probabilities of audio files, heard as the classifier heard its training clips.

A file is decoded, resampled and brought to the training level by the code that did so for training. One that is shorter
than a clip is padded with zeros. A longer one is cut into windows of the clip's length that overlap by half, each at a
level of its own like a training crop, and their probabilities are averaged. Files are streamed: memory doesn't grow
with them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sweeper.audio import reader
from sweeper.model.output import as_output
from sweeper.training.batches import normalise
from sweeper.training.weights import Classifier

WINDOWS_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a classifier says of one file.

    Attributes:
        path: the file.
        seconds: its length.
        classes: names, in the order of the probabilities.
        probabilities: float32 `[classes]`, the mean over the windows.
        starts, ends: float64 `[windows]`, where each window begins and ends in the file, in s.
        windows: float32 `[windows, classes]`, the probabilities of each.
    """

    path: Path
    seconds: float
    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    windows: NDArray[np.float32]


@torch.no_grad()
def predict(classifier: Classifier, path: Path) -> Prediction:
    """Classify one file, on the device that holds the classifier's network.

    Args:
        classifier: from `sweeper.training.weights.load`.
        path: a file of any length, rate and number of channels, in any format that `sweeper.audio.reader` reads.

    Raises:
        AudioError: the file can't be used, or the network's answers to it are no numbers.
    """
    device = next(classifier.network.parameters()).device
    length = round(classifier.sample_rate * classifier.seconds)
    pieces = _Counted(reader.stream(path, classifier.sample_rate))
    windows_of_file = _windows(pieces, length)
    outputs = []
    while group := list(islice(windows_of_file, WINDOWS_AT_ONCE)):
        waveforms = normalise(torch.from_numpy(np.stack(group)).to(device)).unsqueeze(1)
        logits = as_output(classifier.network(waveforms)).logits
        outputs.append(logits.softmax(dim=1).float().cpu())
    windows = torch.cat(outputs)
    if not torch.isfinite(windows).all():
        raise reader.AudioError(f"{path}: the network's answers are no numbers; use weights of another trial")
    seconds = pieces.samples / classifier.sample_rate
    starts = np.arange(len(windows), dtype=np.float64) * (_hop(length) / classifier.sample_rate)
    return Prediction(
        path=path,
        seconds=seconds,
        classes=classifier.classes,
        probabilities=windows.mean(dim=0).numpy(),
        starts=starts,
        ends=np.minimum(starts + length / classifier.sample_rate, seconds),
        windows=windows.numpy(),
    )


class _Counted:
    """The pieces of a stream, and how many samples have gone by."""

    def __init__(self, pieces: Iterable[NDArray[np.int16]]) -> None:
        self._pieces = pieces
        self.samples = 0

    def __iter__(self) -> Iterator[NDArray[np.int16]]:
        for piece in self._pieces:
            self.samples += len(piece)
            yield piece


def _windows(pieces: Iterable[NDArray[np.int16]], length: int) -> Iterator[NDArray[np.int16]]:
    """Windows `[length]`, half of one apart, until the last sample is in one; that last one ends in zeros."""
    hop = _hop(length)
    pending = np.empty(0, dtype=np.int16)
    for piece in pieces:
        pending = np.concatenate([pending, piece])
        # Only when more follows: a file of exactly one clip is one window, not two.
        while len(pending) > length:
            yield pending[:length]
            pending = pending[hop:]
    yield np.pad(pending, (0, length - len(pending)))


def _hop(length: int) -> int:
    return max(1, length // 2)
