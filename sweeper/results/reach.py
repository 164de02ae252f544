"""What a design can find, and what would find more: by simulating the rule, with the spread that trials have shown."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sweeper.results.folder import StorageError
from sweeper.results.score_grid import REFERENCE_KIND, ScoreGrid, score_grid, trial_frame
from sweeper.results.storage import under
from sweeper.results.store import Study, studies_under
from sweeper.results.study_arms import study_arms
from sweeper.results.tables import StudyError
from sweeper.statistics import detectable_difference
from sweeper.statistics.units import ON_OTHER_DATA, ON_THIS_SPLIT

POWER = 0.8
_COSTS = ["kind", "status", "arm", "seconds", "device_seconds", "device"]
_LINEAR = 10  # seeds from which on a detectable difference falls with the root of their number


@dataclass(frozen=True)
class Spread:
    """Standard deviations, in the unit of the scores, of what the arms of a block don't share.

    Attributes:
        seed: over retrainings of an arm on a fold; None where it can't be separated from `fold`, as with one seed.
        fold: of the arm × fold interaction; None where it isn't known, as on one fold.
        df: degrees of freedom of both estimates together.
        fold_df: those of the estimate of `fold`.
    """

    seed: float | None
    fold: float | None
    df: int = 0
    fold_df: int = 0


@dataclass(frozen=True)
class Design:
    """How many arms (the reference included), folds and seeds a comparison has, and what matters of the data set."""

    arms: int
    folds: int
    seeds: int
    test_train_ratio: float
    folds_in_all: int

    @property
    def claim(self) -> str:
        """What a difference is a statement about."""
        return ON_OTHER_DATA if self.folds > 1 else ON_THIS_SPLIT

    def detectable(self, spread: Spread) -> float:
        """The smallest true difference of an arm that is found with probability `POWER`; infinite if none is.

        Where it isn't known how arms suit folds, these are taken to differ as much as seeds do.
        """
        seed = spread.seed or 0.0
        fold = (seed if spread.fold is None else spread.fold) if self.folds > 1 else 0.0
        larger = max(seed, fold) or 1.0
        return larger * _detectable(self, fold / larger, seed / larger)


@functools.lru_cache(maxsize=256)
def _detectable(design: Design, fold_sd: float, seed_sd: float) -> float:
    """For spreads up to 1, as others are those times a number: so a page that is renewed simulates a design once."""
    return detectable_difference(
        design.arms,
        design.folds,
        design.seeds,
        test_train_ratio=design.test_train_ratio,
        folds_in_all=design.folds_in_all,
        fold_sd=fold_sd,
        seed_sd=seed_sd,
        power=POWER,
        rng=np.random.default_rng(0),
    )


def design_of(grid: ScoreGrid) -> Design:
    """The design that was planned."""
    return Design(len(grid.arms), len(grid.folds), len(grid.seeds), grid.test_train_ratio, grid.folds_in_all)


def spread_of(grid: ScoreGrid) -> Spread | None:
    """The spread in the blocks that all arms have finished, but for arms with few trials; None where these show none.

    That of seeds is at least what rounding to whole test clips makes.
    """
    scores = _well_known(grid.scores[np.isfinite(grid.scores).any(axis=(1, 2)) & ~np.isin(grid.arms, grid.copied)])
    whole = np.asarray(np.isfinite(scores).all(axis=0))
    folds = [scores[:, fold, whole[fold]] for fold in range(scores.shape[1]) if whole[fold].any()]
    if len(scores) < 2 or not folds:
        return None
    within = [_interaction(cells) for cells in folds]
    seed_squares, seed_df = (sum(part) for part in zip(*within, strict=True))
    rounding = (grid.resolution or 0.0) / math.sqrt(12)
    seed = max(math.sqrt(seed_squares / seed_df), rounding) if seed_df else None
    squares, fold_df = _interaction(np.stack([cells.mean(axis=1) for cells in folds], axis=1))
    seen = max(seed_squares, squares) > (1e-9 * float(np.nanmax(np.abs(scores)))) ** 2  # and not rounding
    if not seed_df + fold_df or not (seen or rounding):
        return None
    fold = None
    if fold_df:
        of_seeds = (seed or 0.0) ** 2 * float(np.mean([1 / cells.shape[1] for cells in folds]))
        apart = 1 - 1 / max(grid.folds_in_all, 2)  # the rest is common to all folds, as their training sets overlap
        fold = math.sqrt(max(squares / fold_df - of_seeds, 0.0) / apart)
    return Spread(seed, fold, int(seed_df + fold_df), int(fold_df))


def _well_known(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without arms that have half as many trials as the most, or fewer: their few blocks would be all that counts."""
    trials = np.isfinite(scores).sum(axis=(1, 2))
    often = trials > trials.max(initial=0) / 2
    return scores[often] if often.sum() > 1 else scores


@dataclass(frozen=True)
class Earlier:
    """What earlier trials of a design have shown.

    Attributes:
        study: whose they are, in words.
        spread: of their scores.
        seconds: device-seconds of a trial with all its attempts, by arm.
        device: what they ran on: "cpu", where device-seconds are of a core, or the GPUs' names.
    """

    study: str
    spread: Spread
    seconds: Mapping[str, float]
    device: str


def earlier_trials(study: Study, results: Path | str, design: Mapping[str, Any]) -> Earlier | None:
    """What earlier trials of a design (`plan.json`'s) have shown of its spread and its cost.

    Of the study itself, or else of the one under `results` that tells the spread best; None where none tells it.
    Studies that can't be read are passed over: they are none of this one's business.
    """
    found = []
    for other in [study, *(Study(under(results, name)) for name in studies_under(results) if name != study.name)]:
        try:
            plan = other.read_plan()
            if plan is None or _without_switches(plan.get("design", {})) != _without_switches(design):
                continue
            trials = other.trials()
        except (StudyError, StorageError):
            continue
        spread = spread_of(score_grid(trial_frame(trials), plan, REFERENCE_KIND, study_arms(plan)))
        if spread is None:
            continue
        told = Earlier("this study" if other is study else other.name, spread, *_costs(trials))
        if other is study:
            return told
        found.append(told)
    return max(found, key=lambda told: told.spread.df, default=None)


def _costs(trials: pa.Table) -> tuple[dict[str, float], str]:
    """Mean device-seconds of the finished trials by arm, and what they ran on."""
    rows = [row for row in trials.select(_COSTS).to_pylist() if row["status"] == "complete"]
    rows = [row for row in rows if row["kind"] == REFERENCE_KIND]
    by_arm: dict[str, list[float]] = {}
    for row in rows:
        held = row["device_seconds"]  # not said by an older version, or impossible
        by_arm.setdefault(row["arm"], []).append(row["seconds"] if held is None else held)
    return {arm: float(np.mean(held)) for arm, held in by_arm.items()}, ", ".join(sorted({r["device"] for r in rows}))


def _without_switches(design: Mapping[str, Any]) -> dict[str, Any]:
    """What arms switch is theirs; an older plan does not say it."""
    return {name: part for name, part in design.items() if name != "switches"}


def _interaction(cells: NDArray[np.float64]) -> tuple[float, int]:
    """Sum of squares and degrees of freedom of arms × columns, `[arms, columns]`."""
    residual = cells - cells.mean(axis=1, keepdims=True) - cells.mean(axis=0) + cells.mean()
    return float((residual**2).sum()), (cells.shape[0] - 1) * (cells.shape[1] - 1)


def steps_to(design: Design, spread: Spread, target: float) -> list[tuple[Design, float]]:
    """What the design finds, and larger ones on the way to one that finds differences of `target`.

    One fold stays one fold (the claim is about that split) and grows by seeds. Several folds first grow to all there
    are, then by seeds. Where more seeds can't reach `target`, as training sets overlap, or the spread over seeds isn't
    known, the last design is the one with all folds. Each design comes with its detectable difference.
    """
    steps = [(design, design.detectable(spread))]

    def step(larger: Design) -> float:
        if larger != steps[-1][0]:
            steps.append((larger, larger.detectable(spread)))
        return steps[-1][1]

    if steps[0][1] <= target:
        return steps
    if design.folds > 1:
        design = replace(design, folds=max(design.folds, design.folds_in_all))
    if step(design) <= target or not spread.seed:
        return steps
    limit = 0.0
    if design.folds > 1 and spread.fold:
        limit = replace(design, seeds=1).detectable(replace(spread, seed=0.0))
    if limit >= target:
        return steps
    design = replace(design, seeds=max(design.seeds, _LINEAR))
    reached = step(design)
    if reached > target:
        seeds = math.ceil(design.seeds * (reached**2 - limit**2) / (target**2 - limit**2))
        step(replace(design, seeds=max(seeds, design.seeds + 1)))
    return steps
