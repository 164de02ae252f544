"""Dunnett's distribution: the largest |t| of several arms that are compared with one reference.

The arms' statistics are (e_i − e_0) / s with one reference error e_0 in all of them, so they correlate by
l_i · l_j, where l_i² is the reference's share of the variance of comparison i. Given e_0 and s they are independent,
and the probability that none exceeds t is an integral over these two, done here by quadrature: no random numbers.

Reference: C. Dunnett. A multiple comparison procedure for comparing several treatments with a control. JASA 50 (1955)
1096–1121; unequal shares: C. Dunnett, M. Sobel. Biometrika 42 (1955) 258–260.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

Vector = NDArray[np.float64]

_Z = np.linspace(-7.5, 7.5, 101)
_Z_WEIGHTS = np.exp(-(_Z**2) / 2) / np.exp(-(_Z**2) / 2).sum()
_U, _U_WEIGHTS = np.polynomial.legendre.leggauss(40)


@lru_cache(maxsize=4096)
def _scales(df: float) -> tuple[Vector, Vector]:
    """Nodes and weights for s = √(χ²/df), `[40]` each, dense where s is small."""
    u = (1 + _U) / 2
    return np.sqrt(special.chdtri(df, 1 - u**2) / df), _U_WEIGHTS * u


def largest_t_p(t: float, df: float, loadings: Vector) -> float:
    """P(the largest |t| of `len(loadings)` comparisons > t).

    Args:
        t: at least 0.
        df: degrees of freedom of the variance that all share.
        loadings: root of the reference's share of each comparison's variance, each in [0, 1); `[comparisons]`.
    """
    values, counts = np.unique(np.minimum(np.round(loadings, 6), 0.999), return_counts=True)
    scales, weights = _scales(round(df, 2))
    inside: NDArray[np.float64] = np.ones((len(scales), len(_Z)))
    for loading, count in zip(values, counts, strict=True):
        own = np.sqrt(1 - loading**2)
        upper = special.ndtr((t * scales[:, None] + loading * _Z) / own)
        # By symmetry in z the lower tail is the upper one mirrored.
        inside *= np.maximum(upper + upper[:, ::-1] - 1, 0) ** count
    return float(np.clip(1 - weights @ inside @ _Z_WEIGHTS, 0, 1))
