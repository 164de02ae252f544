"""When a sequential study is looked at, and what each look may spend of the 5 %.

The looks and their levels follow from the number of blocks and arms alone, never from a score, so the error holds
whoever stops when and why:

- Up to the planned end they spend `PLANNED` of the whole, cumulatively as (blocks / end)² (Kim and DeMets' family, near
  O'Brien and Fleming's boundary): little early, when few blocks tell little, and most of it at the end.
- The rest is kept for whoever goes on after the end: looks at 1.5, 2.25, … times as many blocks, each of which spends
  half of what is left. So a study may grow for ever.

A look's level is that at which `compare_arms` is called there. Looks share their data, so that levels may sum to more
than what is spent: how much more is found by simulation of `STUDIES` studies of Gaussian scores in which no arm differs
(always the same ones). Where information grows more slowly than blocks, as over folds whose training clips overlap,
looks have more in common than that, and less is spent.

References: K. Lan, D. DeMets. Biometrika 70 (1983) 659–663; K. Kim, D. DeMets. Biometrika 74 (1987) 149–154;
C. Jennison, B. Turnbull. Group sequential methods (2000), ch. 9 (intervals that hold at every look).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FIRST = 4  # blocks: with fewer, a look could find next to nothing
GROWTH = 1.1  # of blocks from look to look; each block up to 10
BEYOND = 1.5
PLANNED = 0.9  # of the whole error, up to the planned end
POWER = 2
STUDIES = 40_000
_LONGEST = 10  # times the planned end; past that, what is left to spend finds nothing


@dataclass(frozen=True)
class Schedule:
    """Numbers of blocks after which a study is looked at, and the level of each look.

    Attributes:
        looks: rising.
        levels: for `compare_arms`, whose confidence is 1 minus it.
    """

    looks: tuple[int, ...]
    levels: tuple[float, ...]

    def end(self, most: int) -> int:
        """The last look with at most so many blocks; 0 if there is none."""
        return max((look for look in self.looks if look <= most), default=0)

    def level(self, look: int) -> float:
        """The level of a look that was planned."""
        return self.levels[self.looks.index(look)]


def schedule(blocks: int, folds: int, comparisons: int, error: float = 0.05) -> Schedule:
    """The looks of a study that is planned to end after so many blocks (folds × seeds).

    Args:
        blocks: at the planned end.
        folds: blocks per round. In the first round a look may come after any fold, later only after whole rounds.
        comparisons: arms that are compared with the reference.
        error: probability of a false star at any look of any arm, if the study is looked at for ever.

    Raises:
        ValueError: there is nothing to look at.
    """
    if blocks < 1 or folds < 1 or comparisons < 1 or blocks % folds:
        raise ValueError(f"expected whole rounds of folds, and an arm, got {blocks}, {folds} and {comparisons}")
    looks = list(_looks(blocks, folds))
    spent = [PLANNED * error * (look / blocks) ** POWER for look in looks]
    look, left = blocks, (1 - PLANNED) * error
    while look < _LONGEST * blocks:
        look, left = -(-int(np.ceil(BEYOND * look)) // folds) * folds, left / 2
        looks.append(look)
        spent.append(error - left)
    return Schedule(tuple(looks), _levels(np.array(looks, float), np.array(spent), comparisons))


def _looks(blocks: int, folds: int) -> Iterator[int]:
    last = 0
    for number in range(FIRST, int(blocks / GROWTH) + 1):
        if (number <= folds or number % folds == 0) and number >= GROWTH * last:
            last = number
            yield number
    yield blocks


def _levels(looks: NDArray[np.float64], spent: NDArray[np.float64], comparisons: int) -> tuple[float, ...]:
    """Levels at which looks spend so much in all: each critical value is chosen among studies not stopped before."""
    rng = np.random.default_rng(0)
    sums, going = np.zeros((STUDIES, comparisons + 1)), np.ones(STUDIES, bool)
    before, spent_before, levels = 0.0, 0.0, []
    for look, whole in zip(looks, spent, strict=True):
        sums += np.sqrt(look - before) * rng.standard_normal(sums.shape)
        largest = np.abs(sums[:, 1:] - sums[:, :1]).max(axis=1)
        share = whole - spent_before
        ranked = np.sort(largest[going])
        critical = ranked[-1 - round(share * STUDIES)]
        # At least the share itself, which is never too much.
        levels.append(float(max(share, (largest > critical).mean())))
        going &= largest <= critical
        before, spent_before = look, whole
    return tuple(levels)
