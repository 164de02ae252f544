"""A sequential study in its `plan.json`: looks that were planned once, by its first command, and those that were taken.

`sequential` holds the arms, the folds and the schedule, and never changes; `looks` grows by one entry at each look,
whoever takes it, and never loses or changes one; arms that come to the last look late have an entry of their own. What
was said of a decided arm is read from there, not derived again.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sweeper.results.budget import read_stop
from sweeper.results.tables import StudyError
from sweeper.statistics.sequential import Look, Said, open_arms
from sweeper.statistics.spending import Schedule, schedule

if TYPE_CHECKING:
    import pandas as pd

SEQUENTIAL, LOOKS = "sequential", "looks"


@dataclass(frozen=True)
class Sequential:
    """A sequential study, as far as it has come.

    Attributes:
        arms: names; they are the family.
        reference: index of the reference.
        folds: in the order of a round of blocks: block b is seed b // len(folds) on fold b % len(folds).
        seeds: at the end that was planned first.
        schedule: of the looks.
        taken: looks, in order.
    """

    arms: tuple[str, ...]
    reference: int
    folds: tuple[int, ...]
    seeds: int
    schedule: Schedule
    taken: tuple[Look, ...] = ()

    def block(self, trial: Mapping[str, Any]) -> int:
        """The block of a planned trial."""
        return int(trial["replicate"]) * len(self.folds) + self.folds.index(trial["fold"])

    def said(self) -> dict[str, tuple[int, Said]]:
        """What the last look at each arm said, and after how many blocks it was."""
        return {self.arms[arm]: (look.blocks, said) for look in self.taken for arm, said in look.arms.items()}

    def settled(self) -> dict[str, int]:
        """The arms that get no further trial, and how many blocks the look had that settled it."""
        going = open_arms(self.taken, len(self.arms), self.end)
        until = {arm: blocks for arm, (blocks, _) in self.said().items() if self.arms.index(arm) not in going}
        if going == [self.reference] and self.taken:
            until[self.arms[self.reference]] = self.taken[-1].blocks
        return until

    def is_beyond(self, trial: Mapping[str, Any], settled: Mapping[str, int]) -> bool:
        """Whether the trial is of a block after the look that settled its arm."""
        until = settled.get(trial["arm"])
        return until is not None and trial["fold"] in self.folds and self.block(trial) >= until

    @property
    def end(self) -> int:
        """The end, in blocks: as it was planned, or raised since."""
        return max([self.seeds * len(self.folds), *(look.end for look in self.taken)])

    @property
    def unit(self) -> str:
        """What a block is: a seed, or a fold of a seed."""
        return "block" if len(self.folds) > 1 else "seed"

    def most(self, seeds: int) -> int:
        """The blocks of so many seeds, after which there is a look.

        Raises:
            StudyError: none was planned there, and none may be added now that scores are known.
        """
        blocks = seeds * len(self.folds)
        if blocks in self.schedule.looks:
            return blocks
        whole = sorted({look // len(self.folds) for look in self.schedule.looks if look % len(self.folds) == 0})
        raise StudyError(
            f"--max-seeds {seeds}: no look was planned there by this study's first command; choose one of "
            f"{', '.join(map(str, whole))}"
        )


def plan_sequential(arms: Sequence[str], reference: str, folds: Sequence[int], seeds: int) -> dict[str, Any]:
    """What the plan of a new study says of its looks."""
    planned = schedule(seeds * len(folds), len(folds), len(arms) - 1)
    return {
        "arms": list(arms),
        "reference": reference,
        "folds": list(folds),
        "seeds": seeds,
        "looks": list(planned.looks),
        "levels": list(planned.levels),
    }


def read_sequential(plan: Mapping[str, Any]) -> Sequential | None:
    """The sequential study of a plan; None where it is none.

    Raises:
        StudyError: the plan garbles it.
    """
    if not plan.get(SEQUENTIAL):
        return None
    try:
        told = plan[SEQUENTIAL]
        arms = tuple(map(str, told["arms"]))
        looks, levels = tuple(map(int, told["looks"])), tuple(map(float, told["levels"]))
        if len(looks) != len(levels) or sum(levels) > 1 or any(level <= 0 for level in levels):
            raise ValueError("looks and levels")
        taken = tuple(_look(look, arms) for look in plan.get(LOOKS, ()))
        order = [looks.index(look.blocks) for look in taken]
        seen = [(look.blocks, arm) for look in taken for arm in look.arms]
        if order != sorted(order) or len(seen) > len(set(seen)):
            raise ValueError("looks that were not planned, or out of order, or at an arm twice")
        folds = tuple(map(int, told["folds"]))
        planned = Schedule(looks, levels)
        return Sequential(arms, arms.index(told["reference"]), folds, int(told["seeds"]), planned, taken)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StudyError(f"plan.json garbles the study's looks ({error!r}); restore it from a copy") from None


def look_record(look: Look, study: Sequential, margin: float) -> dict[str, Any]:
    """A look that was taken, for the plan."""
    said = {study.arms[arm]: _finite(vars(found)) for arm, found in look.arms.items()}
    level = study.schedule.level(look.blocks)
    return {"blocks": look.blocks, "end": look.end, "level": level, "margin": margin, "arms": said}


def needed_trials(plan: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The planned trials that count: without those a budget cut, and an arm's beyond the look that settled it."""
    study, stop = read_sequential(plan), read_stop(plan)
    if study is None:
        cut = set() if stop is None else stop.cut(plan)
        yield from (
            trial for trial in plan.get("trials", ()) if not cut or (trial["fold"], trial["replicate"]) not in cut
        )
        return
    left, settled = frozenset[str]() if stop is None else stop.left, study.settled()
    for trial in plan.get("trials", ()):
        if trial["trial_id"] not in left and not study.is_beyond(trial, settled):
            yield trial


def counted(trials: "pd.DataFrame", plan: Mapping[str, Any]) -> "pd.DataFrame":
    """The trials that are compared, so that it stays paired, and does not depend on who was faster.

    Without the blocks that a budget cut; of a sequential study without what ran ahead of the look that settled its arm
    and was not stopped in time.

    Args:
        trials: with their kind, arm, fold and replicate.
        plan: the study's.
    """
    study, stop = read_sequential(plan), read_stop(plan)
    if study is not None:
        settled = study.settled()
        columns = (trials[name] for name in ("kind", "arm", "fold", "replicate"))
        rows = (dict(zip(("kind", "arm", "fold", "replicate"), row, strict=True)) for row in zip(*columns, strict=True))
        kept = [row["kind"] != "ablation" or not study.is_beyond(row, settled) for row in rows]
    elif stop is not None:
        cut = stop.cut(plan)
        kept = [(int(f), int(r)) not in cut for f, r in zip(trials["fold"], trials["replicate"], strict=True)]
    else:
        return trials
    return trials.loc[np.array(kept, dtype=bool)]


def _look(told: Mapping[str, Any], arms: tuple[str, ...]) -> Look:
    said = {arms.index(arm): Said(**_NOTHING | _finite(found)) for arm, found in told["arms"].items()}
    return Look(int(told["blocks"]), int(told["end"]), said)


_NOTHING = {"diff": math.nan, "low": math.nan, "high": math.nan}


def _finite(said: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is not known, which JSON has no number for."""
    unknown = {name for name, value in said.items() if isinstance(value, float) and not math.isfinite(value)}
    return {name: value for name, value in said.items() if name not in unknown}
