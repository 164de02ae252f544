"""Who gets the next block? A study that goes on until each arm is decided, a pure function of what has happened.

Blocks (fold × seed) are numbered; every look (`spending`) comes after some of them. Until the look, the reference and
each arm that is still open need all blocks before it. At the look, the rule of `compare_arms` is asked at its level,
and an arm that is worse, better or equivalent is decided: it gets no further trial, and what was said of it stays. One
that would hardly be decided by the end either is given up, which spends nothing: if the end moves, it goes on.

An arm whose trial failed is not looked at, and not decided, until that trial is there. If that is after the last look,
the look is taken for this arm alone: no arm is looked at twice after as many blocks, so nothing more is spent.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sweeper.statistics.arms import Verdict, differences, spread_of_arms, verdict
from sweeper.statistics.dunnett import coarse, critical_t
from sweeper.statistics.spending import Schedule
from sweeper.statistics.units import Units

GIVE_UP = 0.2  # a smaller chance than this of being decided by the end is not worth a trial
_LOADING = math.sqrt(0.5)  # the reference's share of a difference's variance where all arms are equally noisy

Flags = NDArray[np.bool_]
Cell = tuple[int, int]  # arm, block


@dataclass(frozen=True)
class Said:
    """What a look says of an arm.

    Attributes:
        diff, low, high: difference to the reference, and its interval, which holds with those of all arms at all looks.
        significant: whether it excludes 0.
        outcome: in a word; '' where there is no interval yet.
        chance: of being decided by the end, as it looks now; 1 for an arm that is decided.
    """

    diff: float
    low: float
    high: float
    significant: bool
    outcome: Verdict
    chance: float

    @property
    def decided(self) -> bool:
        """Whether the arm needs no further trial."""
        return self.outcome in ("worse", "better", "equivalent")


@dataclass(frozen=True)
class Look:
    """A look that was taken.

    Attributes:
        blocks: how many there were.
        end: the last look that was to be taken, in blocks, as it was then.
        arms: what it says, by arm; arms that were decided or given up before, or lack a trial, are not there, nor are
            those that it was taken for at another time.
    """

    blocks: int
    end: int
    arms: Mapping[int, Said]


@dataclass(frozen=True)
class Step:
    """What comes next.

    Attributes:
        look: the look, in blocks; 0 where none is left to take, or the reference lacks a trial that failed.
        sits: arms that are looked at, without the reference.
        now: trials that the look needs and that are not there, block by block; when there are none, it can be taken.
        ahead: trials that the following look needs if this one decides no arm: work for idle machines.
    """

    look: int
    sits: tuple[int, ...]
    now: tuple[Cell, ...]
    ahead: tuple[Cell, ...]


def next_step(schedule: Schedule, taken: Sequence[Look], reference: int, done: Flags, failed: Flags, most: int) -> Step:
    """What a study needs next.

    Args:
        schedule: its looks.
        taken: those that were taken, in order; the last one more than once, if arms came to it late.
        reference: index of the reference.
        done, failed: trials that are there, and that failed lately; `[arms, blocks]`, at least as many as the end has.
        most: no look with more blocks is taken.
    """
    last, end = taken[-1].blocks if taken else 0, schedule.end(most)
    look, after = [*(look for look in schedule.looks if last < look <= most), 0, 0][:2]
    still = [arm for arm in open_arms(taken, len(done), end) if arm != reference]
    if not look and last == end:  # those that lacked a trial then
        look, still = end, [arm for arm in still if not any(seen.blocks == end and arm in seen.arms for seen in taken)]
    if not look or not still or failed[reference, :look].any():
        return Step(0, (), (), ())
    sits = tuple(arm for arm in still if not failed[arm, :look].any())
    everybody = (reference, *sits) if sits else ()
    now = tuple(_missing(everybody, range(look), done))
    ahead = tuple(_missing(everybody, range(look, after), done | failed))
    return Step(look if sits else 0, sits, now, ahead)


def open_arms(taken: Sequence[Look], arms: int, end: int) -> list[int]:
    """Arms that are neither decided nor given up for this end; the reference is among them."""
    latest = {arm: (said, look.end) for look in taken for arm, said in look.arms.items()}

    def goes_on(arm: int) -> bool:
        if arm not in latest:
            return True
        said, was = latest[arm]
        return not said.decided and (said.chance >= GIVE_UP or end > was)

    return [arm for arm in range(arms) if goes_on(arm)]


def _missing(arms: Sequence[int], blocks: range, there: Flags) -> Iterator[Cell]:
    order = sorted(arms)
    return ((arm, block) for block in blocks for arm in order if not there[arm, block])


def take_look(
    scores: NDArray[np.float64],
    schedule: Schedule,
    taken: Sequence[Look],
    step: Step,
    *,
    reference: int,
    folds: int,
    most: int,
    margin: float,
    test_train_ratio: float,
    folds_in_all: int,
    resolution: float | None = None,
) -> Look:
    """Take the look of a step that lacks nothing.

    All arms count as the family. Those that are not looked at lend their spread: the decided ones with the blocks that
    they were decided on.

    Args:
        scores: `[arms, blocks]`, block b being seed b // folds on fold b % folds.
        schedule, taken, reference, most: as for `next_step`, which gave the `step`.
        folds: of the study.
        margin: largest difference that doesn't matter.
        test_train_ratio, folds_in_all, resolution: as in `compare_arms`.
    """
    level, end = schedule.level(step.look), schedule.end(most)
    decided_on = {arm: look.blocks for look in taken for arm, said in look.arms.items() if said.decided}
    counts = {arm: step.look for arm in (reference, *step.sits)}
    seen = np.full((len(scores), step.look), np.nan)
    for arm, blocks in {**decided_on, **counts}.items():
        seen[arm, :blocks] = scores[arm, :blocks]
    layout = Units(in_folds(seen, folds), test_train_ratio, folds_in_all, resolution)
    y = in_folds(seen, folds)
    found = differences(y, reference, layout, spread_of_arms(y, reference, layout), level)
    error = _error(layout)
    said = {}
    for arm in step.sits:
        diff, half = float(found.diff[arm]), float(found.half[arm])
        low, high, star = diff - half, diff + half, abs(diff) > half
        outcome = verdict(low, high, star, margin)
        chance = 1.0
        if outcome == "undecided":
            chance = _chance(
                diff, float(found.df[arm]), error, end / step.look, schedule.level(end), len(scores), margin
            )
        said[arm] = Said(diff, low, high, star, outcome, chance)
    return Look(step.look, end, said)


def in_folds(scores: NDArray[np.float64], folds: int) -> NDArray[np.float64]:
    """Scores `[arms, blocks]` as `[arms, folds, seeds]`; of a first round, the folds that there are."""
    arms, blocks = scores.shape
    inside = min(folds, blocks)
    return scores.reshape(arms, blocks // inside, inside).transpose(0, 2, 1)


def _error(layout: Units) -> float:
    """Standard error of a difference, if all arms are equally noisy; NaN where nothing tells it.

    The rule's own intervals are wider wherever an arm's noise may be larger than the others'. To give an arm up because
    of that, when a few more blocks will tell, would be rash.
    """
    known = np.isfinite(layout.residual)
    units = int(known.any(axis=0).sum())
    df = int(known.sum()) - int(known.any(axis=1).sum()) - units + 1
    if df < 1:
        return math.nan
    variance = max(float(np.nansum(layout.residual**2)) / df, layout.floor)
    return math.sqrt(2 * variance * (1 / units + layout.overlap))


def _chance(diff: float, df: float, error: float, ahead: float, level: float, arms: int, margin: float) -> float:
    """Probability that an arm is decided at the end, given what is known of it and nothing else.

    The difference at the end is the one now, but for what the blocks to come change of it; the interval's width shrinks
    with the root of the blocks. That is too hopeful where folds overlap, and gives up too seldom there.

    Args:
        diff, df: the difference now, and the degrees of freedom of its variance.
        error: its standard error.
        ahead: blocks at the end per block now.
        level: of the end's look.
        arms: of the study.
        margin: largest difference that doesn't matter.
    """
    if ahead <= 1:
        return 0.0
    if not (math.isfinite(df) and error > 0):
        return 1.0
    at_end = critical_t(level, coarse(df * ahead), _LOADING, arms - 1) * error / math.sqrt(ahead)
    moves = error * math.sqrt(1 - 1 / ahead)
    chance = float(special.ndtr((diff - at_end) / moves) + special.ndtr((-diff - at_end) / moves))
    if margin > at_end:
        room = margin - at_end
        chance += float(special.ndtr((room - diff) / moves) - special.ndtr((-room - diff) / moves))
    return min(chance, 1.0)
