"""Lenth's method: which effects of a factorial stand out where nothing was run twice?

Most effects of a design are assumed to be noise, so that their median size tells the noise ("effect sparsity").

Reference: R. Lenth. Quick and easy analysis of unreplicated factorials. Technometrics 31 (1989) 469–473.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from sweeper.statistics._arrays import fraction, scores_vector


@dataclass(frozen=True)
class Lenth:
    """Outcome of `lenth`, in the unit of the effects.

    Attributes:
        pse: pseudo standard error of an effect.
        margin: half-width of an effect's interval, for that effect alone.
        simultaneous_margin: half-width for all effects together.
        active: whether an effect exceeds `simultaneous_margin`; `[effects]`.
        possibly_active: whether an effect exceeds `margin`; `[effects]`. Of 20 effects that are nothing, one does.
    """

    pse: float
    margin: float
    simultaneous_margin: float
    active: NDArray[np.bool_]
    possibly_active: NDArray[np.bool_]


def lenth(estimates: ArrayLike, *, confidence: float = 0.95, floor: float = 0.0) -> Lenth:
    """Judge the estimated effects of an unreplicated two-level design.

    Args:
        estimates: all effects, main and interactions, mean left out; `[effects]`, at least 3.
        confidence: of both margins.
        floor: smallest standard error of an effect that can be told from 0.

    Raises:
        ValueError: fewer than 3 effects, a NaN or infinity, or a confidence outside of 0 to 1.
    """
    sizes = np.abs(scores_vector("estimates", estimates))
    m = len(sizes)
    if m < 3:
        raise ValueError(f"estimates: expected at least 3 effects, got {m}")
    fraction("confidence", confidence)
    first = 1.5 * float(np.median(sizes))
    small = sizes[sizes < 2.5 * first]
    pse = max(1.5 * float(np.median(small)) if len(small) else 0.0, floor)
    margin = pse * float(special.stdtrit(m / 3, (1 + confidence) / 2))
    simultaneous = pse * float(special.stdtrit(m / 3, (1 + confidence ** (1 / m)) / 2))
    return Lenth(pse, margin, simultaneous, sizes > simultaneous, sizes > margin)
