"""Table 5's metrics from a confusion matrix, so that several workers' counts add up exactly."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

# What a search goes by: the accuracy of the last epoch's weights, or of their moving average.
Objective = Literal["accuracy", "accuracy_ema"]


@dataclass(frozen=True)
class Metrics:
    """Fractions of 1; precision, recall and F1 are averages over the classes.

    Raises:
        ValueError: a value is NaN or not in 0…1.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:  # nor NaN
                raise ValueError(f"{name} is {value}, which is not between 0 and 1")


def confusion_matrix(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts `[classes, classes]`: row = true class, column = predicted class."""
    counts = np.bincount(targets * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes)


Average = Literal["macro", "weighted"]


def metrics(confusion: np.ndarray, average: Average = "macro") -> Metrics:
    """Accuracy, precision, recall and F1 of a confusion matrix `[classes, classes]`.

    The last three are averaged over the classes: unweighted (`macro`), or weighted by each class's share of the clips
    (`weighted`; recall then equals accuracy). A class that is never predicted has precision 0, one without clips recall
    0; a class with neither is left out, as in scikit-learn (`zero_division=0` over the labels that occur).

    Raises:
        ValueError: the confusion matrix is empty.
    """
    hits = np.diag(confusion).astype(float)
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    occurs = (true + predicted) > 0
    precision = np.divide(hits, predicted, out=np.zeros_like(hits), where=predicted > 0)[occurs]
    recall = np.divide(hits, true, out=np.zeros_like(hits), where=true > 0)[occurs]
    f1 = (2 * hits[occurs]) / (true + predicted)[occurs]
    total = confusion.sum()
    if not total:
        raise ValueError("no clips were evaluated: the confusion matrix is empty")
    if average == "macro":
        return Metrics(hits.sum() / total, precision.mean(), recall.mean(), f1.mean())
    shares = true[occurs] / total
    # A sum of products may exceed 1 by a rounding.
    return Metrics(hits.sum() / total, *(min(1.0, float(shares @ values)) for values in (precision, recall, f1)))
