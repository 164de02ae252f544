"""Checks shared by this package: an error repeats what it could not take and says what was expected."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def scores_vector(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """`values` as a float vector `[n]`, n >= 1, all finite.

    Raises:
        ValueError: another shape, an empty vector, or a NaN or infinity: a hole in the design must be dealt
            with by the caller, in all arms at once, never averaged over here.
    """
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or vector.size == 0:
        raise ValueError(f"{name}: expected a vector of at least one value, got shape {vector.shape}")
    if not np.isfinite(vector).all():
        index = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise ValueError(f"{name}: expected finite values, got {vector[index]} at index {index}")
    return vector


def same_length(**vectors: NDArray[np.generic]) -> None:
    """Raise ValueError, naming the shapes, unless all vectors have one length."""
    shapes = {name: vector.shape for name, vector in vectors.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"expected vectors of one length, got {listed}")


def labels_vector(name: str, labels: ArrayLike) -> NDArray[np.intp]:
    """Labels of any sortable type `[n]` as indices 0..K-1 `[n]`.

    Raises:
        ValueError: not a vector.
    """
    vector = np.asarray(labels)
    if vector.ndim != 1:
        raise ValueError(f"{name}: expected a vector of labels, got shape {vector.shape}")
    return np.unique(vector, return_inverse=True)[1]


def fraction(name: str, value: float) -> float:
    """`value` if it lies strictly between 0 and 1, else ValueError."""
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name}: expected a value between 0 and 1, got {value}")
    return value
