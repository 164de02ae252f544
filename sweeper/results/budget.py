"""A study's budget: what its attempts have cost until now, what trials to come are expected to, and where it stopped.

Costs are device-hours: of a GPU where trials hold any, else of a core; killed and repeated attempts count, over all
commands on the study. `plan.json` says the budget and, once it is spent, which planned trials it left out.
"""

import contextlib
import datetime
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweeper.plan import TrialSpec
from sweeper.results.attempts import HEARTBEAT_SECONDS, LOST_SECONDS, held, possible, read_attempts
from sweeper.results.row_files import Doubts
from sweeper.results.store import Study
from sweeper.results.tables import StudyError

BUDGET = "budget"  # in the plan
Block = tuple[int, int]  # fold, seed


@dataclass(frozen=True)
class Budget:
    """What a study may cost.

    Attributes:
        device_hours: at most, but for the trials that run when they are spent.
        words: as the user said it.
    """

    device_hours: float
    words: str

    def record(self, stopped: "Stop | None" = None) -> dict[str, Any]:
        """For the plan."""
        found: dict[str, Any] = {"device_hours": self.device_hours, "words": self.words}
        return found if stopped is None else found | {"spent": stopped.spent, "left": sorted(stopped.left)}


@dataclass(frozen=True)
class Stop:
    """Where a study stopped as its budget was spent.

    Attributes:
        words: the budget's.
        spent: device-hours.
        left: ids of the planned trials that were left out.
    """

    words: str
    spent: float
    left: frozenset[str]

    def cut(self, plan: Mapping[str, Any]) -> set[Block]:
        """The blocks of which some trial was left out."""
        return {(trial["fold"], trial["replicate"]) for trial in plan["trials"] if trial["trial_id"] in self.left}


def read_stop(plan: Mapping[str, Any]) -> Stop | None:
    """Where a study stopped; None where it has no budget, or goes on within it."""
    told = plan.get(BUDGET) or {}
    if "spent" not in told:
        return None
    return Stop(told.get("words", "?"), told["spent"], frozenset(told.get("left", ())))


class Spending:
    """What is left of a budget, as far as a few seconds ago.

    Args:
        study: whose.
        budget: for all that was ever attempted there.
        trials: the planned ones.
    """

    def __init__(self, study: Study, budget: Budget, trials: Iterable[TrialSpec]) -> None:
        self.budget = budget
        self.refused = False  # whether a trial was left out
        self._study, self._trials = study, {spec.trial_id: spec for spec in trials}
        self._blocks: dict[Block, list[TrialSpec]] = {}
        for spec in self._trials.values():
            self._blocks.setdefault(_block(spec), []).append(spec)
        self._ended: dict[str, tuple[str, float]] = {}  # trial and device-seconds, by attempt
        self._running: dict[str, tuple[str, float, float, float]] = {}  # trial, begin, devices, last sign of life
        self._finished: set[str] = set()
        for row in read_attempts(study, doubts=Doubts()).to_pylist():
            if row["outcome"] != "running":
                self._ended[_name(row)] = row["trial_id"], held(row)
        self._looked = -1e9
        self.refresh()

    def spent(self) -> float:
        """Device-seconds until now."""
        self._look()
        return sum(cost for _, cost in self._ended.values()) + sum(self._held().values())

    def over(self) -> bool:
        """Whether all is spent."""
        return self.spent() >= 3600 * self.budget.device_hours

    def affords(self, next_up: TrialSpec, running: Collection[str] = ()) -> bool:
        """Whether a planned trial may begin: its block has begun, or is expected to be finished within the budget.

        Args:
            next_up: the trial.
            running: ids of trials that were given out, of which nothing may have been seen yet.
        """
        if self.over():
            return False
        begun = {trial for trial, _ in self._ended.values()} | {trial for trial, *_ in self._running.values()}
        begun |= {*running, *self._finished}
        blocks = {_block(self._trials[trial]) for trial in begun if trial in self._trials}
        if _block(next_up) in blocks:
            return True
        wanted = [spec for block in (*blocks, _block(next_up)) for spec in self._blocks[block]]
        return self.fits([spec for spec in wanted if spec.trial_id not in self._finished])

    def fits(self, trials: Sequence[TrialSpec]) -> bool:
        """Whether these trials, some of which may run already, are expected to cost no more than what is left.

        Until a trial of the study has finished, costs are unknown, and they fit as long as the budget is not spent.
        """
        spent, now = self.spent(), self._held_by_trial()
        known = self._expected()
        usual = sum(known.values()) / len(known) if known else 0.0
        wanted = {spec.trial_id: spec.arm for spec in trials}
        wanted |= {trial: self._trials[trial].arm for trial in now if trial in self._trials}
        coming = sum(max(0.0, known.get(arm, usual) - now.get(trial, 0.0)) for trial, arm in wanted.items())
        return spent + coming <= 3600 * self.budget.device_hours and not self.over()

    def expected(self, spec: TrialSpec) -> float:
        """Device-seconds that a trial is expected to cost; 0 where none has finished."""
        known = self._expected()
        return known.get(spec.arm, sum(known.values()) / max(len(known), 1))

    def refresh(self) -> None:
        """Take in what has ended and begun, here and by other commands."""
        self._looked = time.monotonic()
        attempts = self._study.attempts
        # A file that has gone since it was listed, or a network: asked again soon.
        with contextlib.suppress(OSError, StudyError):
            touched = attempts.single()
            rows = possible(attempts.read_single(touched.keys() - self._ended.keys(), Doubts())).to_pylist()
            for name in self._running.keys() - touched.keys() - self._ended.keys():  # packed meanwhile
                rows += possible(attempts.find(name)).to_pylist()
            self._running = {}
            for row in rows:
                name = _name(row)
                if row["outcome"] != "running":
                    self._ended[name] = row["trial_id"], held(row)
                    continue
                devices, began = float(row["gpus"] or row["cpus"]), row["started"].timestamp()
                self._running[name] = row["trial_id"], began, devices, max(touched[name] / 1e9, began)
            self._finished = self._study.finished()

    def stop(self) -> Stop:
        """What is left out if the study stops now."""
        self.refresh()
        failed = set(self._study.failures.single())  # they had their turn, and are holes
        left = self._trials.keys() - self._finished - failed
        return Stop(self.budget.words, self.spent() / 3600, frozenset(left))

    def _look(self) -> None:
        if time.monotonic() - self._looked > HEARTBEAT_SECONDS * self._study.storage.patience:
            self.refresh()

    def _held(self) -> dict[str, float]:
        """Device-seconds of the attempts that run; of one that shows no sign of life any more, until its last."""
        now, patience = datetime.datetime.now(datetime.UTC).timestamp(), self._study.storage.patience
        alive = {name: now - sign <= LOST_SECONDS * patience for name, (*_, sign) in self._running.items()}
        return {
            name: max(0.0, (now if alive[name] else sign) - began) * devices
            for name, (_, began, devices, sign) in self._running.items()
        }

    def _held_by_trial(self) -> dict[str, float]:
        """Likewise by trial, of those that live."""
        now, patience = datetime.datetime.now(datetime.UTC).timestamp(), self._study.storage.patience
        costs = self._held()
        return {
            trial: costs[name]
            for name, (trial, _, _, sign) in self._running.items()
            if now - sign <= LOST_SECONDS * patience
        }

    def _expected(self) -> dict[str, float]:
        """Mean device-seconds of the finished trials, with all their attempts, by arm."""
        by_trial: dict[str, float] = {}
        for trial, cost in self._ended.values():
            by_trial[trial] = by_trial.get(trial, 0.0) + cost
        by_arm: dict[str, list[float]] = {}
        for trial in self._finished & by_trial.keys() & self._trials.keys():
            by_arm.setdefault(self._trials[trial].arm, []).append(by_trial[trial])
        return {arm: sum(costs) / len(costs) for arm, costs in by_arm.items()}


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['trial_id']}-{row['attempt_id']}"


def _block(spec: TrialSpec) -> Block:
    return spec.data.fold, spec.replicate
