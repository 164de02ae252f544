"""The floor: what statistics of log-mel spectrograms and logistic regression make of the same split.

Of each clip, whole and at its own length, the mean and the standard deviation over time of each log-mel band; these are
brought to mean 0 and variance 1 over the training clips, and classified by scikit-learn's logistic regression with its
own settings. No augmentation, no search, nothing random: seconds of a core. A network that scores less has not earned
its cost on these data.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from sweeper.audio.clips import Clips
from sweeper.audio.fold_data import FoldData
from sweeper.model.spectra import LogMel
from sweeper.training.batches import normalise
from sweeper.training.metrics import confusion_matrix

# What is computed, in words; other words are another floor, and computed afresh.
METHOD = "logistic regression on mean and spread over time of 64 log-mel bands, whole clips"
BANDS = 64
WINDOW, HOP = 0.04, 0.02  # s
STEPS = 2000  # of the solver, at most


@dataclass(frozen=True, eq=False)
class FoldFloor:
    """One fold's floor.

    Attributes:
        confusion: int64 `[classes, classes]`, of the test clips; row = true class, column = predicted class.
        train_clips: how many it was fitted on.
    """

    confusion: NDArray[np.int64]
    train_clips: int


def floors(folds: dict[int, FoldData], classes: int) -> dict[int, FoldFloor]:
    """The floor of each fold; a clip's statistics are computed once, however many folds it is in.

    Args:
        folds: training and test clips of each.
        classes: how many there are.
    """
    parts = {id(part): part for sides in folds.values() for part in (*sides.train, *sides.scored)}
    torch.get_num_threads()  # or torch, asked for the first time in this thread, would forget the limit
    with threadpool_limits(1):  # work this small takes longer on several threads, on a busy machine fifty times as long
        features = {key: statistics(part) for key, part in parts.items()}

        def side(clips: Sequence[Clips]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
            # In the data set's order, however the clips are parted: rounding must not tell one command from another.
            order = np.argsort(np.concatenate([p.rows for p in clips]), kind="stable")
            known, labels = [features[id(p)] for p in clips], [p.targets for p in clips]
            return np.concatenate(known)[order], np.concatenate(labels)[order]

        return {fold: _floor(*side(sides.train), *side(sides.scored), classes) for fold, sides in folds.items()}


def _floor(
    known: NDArray[np.float64],
    labels: NDArray[np.int64],
    asked: NDArray[np.float64],
    targets: NDArray[np.int64],
    classes: int,
) -> FoldFloor:
    from sklearn.exceptions import ConvergenceWarning  # scikit-learn takes a second to import
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=STEPS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what it has by then is a floor, too
        model.fit(known, labels)
    predicted = np.asarray(model.predict(asked), dtype=np.int64)
    return FoldFloor(confusion_matrix(targets, predicted, classes), len(labels))


@torch.no_grad()
def statistics(clips: Clips) -> NDArray[np.float64]:
    """Mean and standard deviation over time of each clip's log-mel bands: `[clips, 2 · BANDS]`.

    Each clip is brought to the networks' level; one that is shorter than a window is padded with zeros.
    """
    window, hop = (max(1, round(seconds * clips.sample_rate)) for seconds in (WINDOW, HOP))
    spectrogram = LogMel(clips.sample_rate, BANDS, window, hop)
    found = np.empty((len(clips), 2 * BANDS))
    for row in range(len(clips)):
        samples = torch.from_numpy(clips.waveform(row).astype(np.int16))
        samples = torch.nn.functional.pad(samples, (0, max(0, window - len(samples))))
        bands = spectrogram(normalise(samples[None])[None])[0].double()
        found[row] = torch.cat([bands.mean(1), bands.std(1, correction=0)]).numpy()
    return found
