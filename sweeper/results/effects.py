"""What each part is worth: the factorial among a study's arms, ours and as published."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.results.score_grid import ScoreGrid
from sweeper.results.study_arms import StudyArms
from sweeper.statistics import Effects, effects, find_factorial, lenth

Row = dict[str, Any]


def effect_rows(grid: ScoreGrid, arms: StudyArms, planned: Mapping[str, int]) -> list[Row]:
    """Rows of `schema.EFFECTS`: of the study, then as published; none where the arms hold no factorial.

    Args:
        grid: the ablation's.
        arms: the study's.
        planned: trials by arm; an effect whose arms have holes is called neither significant nor not.
    """
    names = [arm for arm in grid.arms if arm in arms.switches]
    found = find_factorial([arms.switches[arm] for arm in names])
    if found is None:
        return []
    design = [names[index] for index in found.arms]
    factors = [" + ".join(arms.labels.get(name, name) for name in factor.split("+")) for factor in found.factors]
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
    rows = _rows("study", design, ours, whole) if ours.units else []
    if set(design) <= arms.published.keys():
        scores = np.array([arms.published[arm] for arm in design])[:, None, None]
        published = effects(scores, found.levels, test_train_ratio=0.0, folds_in_all=1, names=factors)
        rows += _rows("published", design, published, whole=True)
    return rows


def _rows(source: str, design: Sequence[str], found: Effects, whole: bool) -> list[Row]:
    """Where nothing was run twice, Lenth's method tells the noise from the effects themselves."""
    low, high, significant, df = found.low, found.high, found.significant, found.df
    method, claim, unit = "modulus", found.claim, str(found.unit)
    if found.units == 1:
        method, claim, unit, df = "Lenth", "", "run", len(found.names) / 3
        if len(found.names) >= 3:
            noise = lenth(found.estimate)
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
