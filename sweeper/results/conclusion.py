"""What a conclusion costs: how many blocks (fold × seed) until intervals are so narrow, by simulating the rule.

Half-widths are in proportion to the spread, so one simulation of a design serves every target, and both ends of the
spread's own interval: a pooled variance of so many degrees of freedom is known up to a factor that is chi-square.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sweeper.results.reach import Design, Spread
from sweeper.statistics import find_factorial, half_widths

LIKELY = 0.95  # of the intervals of the spread, and so of blocks and costs
MOST_SEEDS = 10_000  # more than that is out of reach
_SIMULATED = 10  # seeds up to which half-widths are simulated; from there on they follow from the spread's two parts


@dataclass(frozen=True)
class Needed:
    """How many blocks, `folds` × `seeds`, a half-width needs if the spread is as observed.

    `least` and `most` are the blocks needed if the spread is at the lower or upper end of its interval. Where no number
    of seeds is enough, `seeds` is None, or that end infinite.
    """

    folds: int
    seeds: int | None
    least: float
    most: float

    @property
    def blocks(self) -> float:
        """Folds × seeds."""
        return math.inf if self.seeds is None else float(self.folds * self.seeds)


@dataclass
class Widths:
    """Half-widths of a comparison's intervals, by its number of folds and seeds.

    Attributes:
        design: as planned; its arms stay.
        spread: as earlier trials have shown it.
        levels: of the factorial among the arms, `[runs, factors]`; None where they hold none.
    """

    design: Design
    spread: Spread
    levels: NDArray[np.int8] | None = None
    _known: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict, repr=False)

    def of(self, folds: int, seeds: int) -> tuple[float, float]:
        """Of an arm's difference, and of an effect of the factorial; infinite where there is none."""
        if seeds <= _SIMULATED:
            return self._simulated(folds, seeds)
        # Seeds shrink their part of the variance, and leave the folds'.
        at, limit = self._simulated(folds, _SIMULATED), self._limit(folds)
        parts = [math.sqrt(a**2 + (w**2 - a**2) * _SIMULATED / seeds) for w, a in zip(at, limit, strict=True)]
        return parts[0], parts[1]

    def scales(self) -> tuple[float, float]:
        """Factors of the spread at the ends of its interval."""
        of_folds = self.spread.fold_df if self.design.folds > 1 else 0
        df = of_folds or self.spread.df - self.spread.fold_df or self.spread.df
        tail = (1 - LIKELY) / 2
        return tuple(math.sqrt(df / float(special.chdtri(df, p))) for p in (tail, 1 - tail))  # type: ignore[return-value]

    def needed(self, target: float) -> Needed:
        """What intervals of ±`target` take: on one fold more seeds, on several these or all there are."""
        low, high = self.scales()
        found = self._fewest(target)
        ends = [self._fewest(target / scale) for scale in (low, high)]
        return replace(found, least=ends[0].blocks, most=ends[1].blocks)

    def _fewest(self, target: float) -> Needed:
        several = {self.design.folds, max(self.design.folds, self.design.folds_in_all)}
        options = [
            Needed(folds, self._seeds(folds, target), math.inf, math.inf)
            for folds in (sorted(several) if self.design.folds > 1 else [1])
        ]
        return min(options, key=lambda needed: needed.blocks)

    def _seeds(self, folds: int, target: float) -> int | None:
        """The fewest seeds whose intervals are no wider; None where `MOST_SEEDS` are too few."""
        if self.of(folds, MOST_SEEDS)[0] > target:
            return None
        few, enough = 0, MOST_SEEDS
        if self.of(folds, _SIMULATED)[0] <= target:
            enough = _SIMULATED
        while enough - few > 1:
            middle = (few + enough) // 2
            few, enough = (few, middle) if self.of(folds, middle)[0] <= target else (middle, enough)
        return enough

    def _simulated(self, folds: int, seeds: int) -> tuple[float, float]:
        if (folds, seeds) not in self._known:
            self._known[folds, seeds] = self._simulate(folds, seeds, *self._sds(folds))
        return self._known[folds, seeds]

    def _limit(self, folds: int) -> tuple[float, float]:
        """What is left however many seeds there are."""
        fold_sd, _ = self._sds(folds)
        if folds == 1 or not fold_sd:
            return 0.0, 0.0
        if (folds, 0) not in self._known:
            self._known[folds, 0] = self._simulate(folds, 1, fold_sd, 0.0)
        return self._known[folds, 0]

    def _sds(self, folds: int) -> tuple[float, float]:
        """Of folds and of seeds. Arms are taken to suit folds as differently as seeds where nothing tells it."""
        seed, fold = self.spread.seed, self.spread.fold
        if folds == 1:  # what was seen over folds with one seed each is the seeds' at most
            return 0.0, (fold or 0.0) if seed is None else seed
        return (seed or 0.0) if fold is None else fold, seed or 0.0

    def _simulate(self, folds: int, seeds: int, fold_sd: float, seed_sd: float) -> tuple[float, float]:
        return half_widths(
            self.design.arms,
            folds,
            seeds,
            test_train_ratio=self.design.test_train_ratio,
            folds_in_all=self.design.folds_in_all,
            fold_sd=fold_sd,
            seed_sd=seed_sd,
            levels=self.levels,
            rng=np.random.default_rng(0),
        )


def factorial_levels(switches: Mapping[str, Mapping[str, Any]], arms: Sequence[str]) -> NDArray[np.int8] | None:
    """Levels of the factorial among the arms, `[runs, factors]`; None where they hold none.

    Args:
        switches: what each arm switches.
        arms: those that are run.
    """
    found = find_factorial([switches[arm] for arm in arms if arm in switches])
    return None if found is None else found.levels


def block_seconds(seconds: Mapping[str, float], arms: Sequence[str]) -> float:
    """Device-seconds of a block of these arms; one that was never run is taken to cost what the others do.

    Args:
        seconds: of a trial, by arm; of one at least.
        arms: of the block.
    """
    usual = sum(seconds.values()) / len(seconds)
    return sum(seconds.get(arm, usual) for arm in arms)
