"""What each part is worth: the factorial among a study's arms, ours and as published."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.results.score_grid import ScoreGrid
from sweeper.results.study_arms import LONGEST_LABEL, StudyArms
from sweeper.statistics import Effects, effects, find_factorial, lenth

Row = dict[str, Any]
ZERO = 1e-12  # of an effect: less is rounding


def effect_rows(grid: ScoreGrid, arms: StudyArms, planned: Mapping[str, int]) -> list[Row]:
    """Rows of `schema.EFFECTS`: of the study, then as published; none where the arms hold no factorial.

    Args:
        grid: the ablation's.
        arms: the study's.
        planned: trials by arm; an effect whose arms have holes is called neither significant nor not.
    """
    names = [arm for arm in grid.arms if arm in arms.switches]
    found = find_factorial([arms.switches[arm] for arm in names], arms.values, arms.labels)
    if found is None:
        return []
    design = [names[index] for index in found.arms]
    factors = [
        _factor(factor.split("+"), arms.labels, low, high)
        for factor, low, high in zip(found.factors, found.low, found.high, strict=True)
    ]
    scores = grid.scores[[grid.arms.index(arm) for arm in design]]
    ours = effects(
        scores,
        found.levels,
        test_train_ratio=grid.test_train_ratio,
        folds_in_all=grid.folds_in_all,
        names=factors,
        resolution=grid.resolution,
    )
    whole = all(int(np.isfinite(cells).sum()) == planned[arm] for arm, cells in zip(design, scores, strict=True))
    rows = _rows("study", design, ours, whole, grid.resolution or 0.0) if ours.units else []
    if set(design) <= arms.published.keys():
        scores = np.array([arms.published[arm] for arm in design])[:, None, None]
        published = effects(scores, found.levels, test_train_ratio=0.0, folds_in_all=1, names=factors)
        rows += _rows("published", design, published, whole=True)
    return rows


def _factor(switches: Sequence[str], labels: Mapping[str, str], low: str, high: str) -> str:
    """A factor in words: the part that arms lack, or its switch, with the two values unless they are off and on."""
    name = " + ".join(labels.get(switch, switch) for switch in switches)
    plain = switches[0] in labels or low in ("False", "None") or high == "unchanged" or len(low + high) > LONGEST_LABEL
    return name if plain else f"{name} {low} → {high}"


def _rows(source: str, design: Sequence[str], found: Effects, whole: bool, resolution: float = 0.0) -> list[Row]:
    """Where nothing was run twice, Lenth's method tells the noise from the effects themselves.

    That is at least what rounding of scores to steps of `resolution` makes.
    """
    low, high, significant, df = found.low, found.high, found.significant, found.df
    method, claim, unit = "modulus", found.claim, str(found.unit)
    if found.units == 1:
        method, claim, unit, df = "Lenth", "", "run", len(found.names) / 3
        # Where most effects are exactly 0, scores are copies or coarse, and tell nothing of the noise.
        if len(found.names) >= 3 and np.median(np.abs(found.estimate)) > ZERO:
            noise = lenth(found.estimate, floor=resolution / math.sqrt(12) * 2 / math.sqrt(len(design)))
            half = noise.simultaneous_margin
            low, high, significant = found.estimate - half, found.estimate + half, noise.active
    low, high = np.maximum(low, -1), np.minimum(high, 1)
    return [
        {
            "source": source,
            "effect": name,
            "order": int(found.order[i]),
            "aliases": ", ".join(found.aliases[i]),
            "arms": ", ".join(design),
            "method": method,
            "estimate": float(found.estimate[i]),
            "low": _finite(low, i),
            "high": _finite(high, i),
            "p": _finite(found.p, i),
            "significant": bool(significant[i]) if whole and np.isfinite(low[i]) else None,
            "unit": unit,
            "units": found.units,
            "df": df,
            "claim": claim,
        }
        for i, name in enumerate(found.names)
    ]


def _finite(values: NDArray[np.float64], index: int) -> float | None:
    return float(values[index]) if np.isfinite(values[index]) else None
