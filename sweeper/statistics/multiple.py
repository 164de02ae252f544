"""Holm's step-down adjustment: several arms tested, one error rate for all.

Reference: S. Holm. A simple sequentially rejective multiple test procedure. Scand. J. Statist. 6 (1979)
65–70.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values `[k]` of a family, in the order given; reject where they are at most alpha.

    Args:
        p_values: one per comparison of the *declared* family, `[k]`. A comparison that could not be made is
            NaN: it stays NaN, and still counts in k, so that a failed arm does not make the others look
            better.

    Raises:
        ValueError: not a vector, or a value outside 0..1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1:
        raise ValueError(f"p_values: expected a vector, got shape {p.shape}")
    known = p[~np.isnan(p)]
    if ((known < 0) | (known > 1)).any():
        raise ValueError(f"p_values: expected values from 0 to 1, got {known.min()} to {known.max()}")
    order = np.argsort(known, kind="stable")
    stepped = known[order] * (len(p) - np.arange(len(known)))
    adjusted = np.full(len(p), np.nan)
    # Never below the adjusted value of a smaller p, never above 1.
    adjusted[np.flatnonzero(~np.isnan(p))[order]] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return adjusted
