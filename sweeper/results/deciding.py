"""A sequential study while it runs: what is there, what comes next, and the looks, each taken when nothing lacks.

All that decides lies in the study's folder, so any number of commands can be at it, and any of them may die: whoever is
first to see that a look lacks nothing takes it, from the same rows as everybody else would.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sweeper.results.attempts import HEARTBEAT_SECONDS
from sweeper.results.looks import LOOKS, Sequential, look_record, read_sequential
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.statistics.sequential import GIVE_UP, Cell, Look, Step, next_step, open_arms, take_look


class Deciding:
    """Takes a sequential study from look to look.

    Args:
        study: with a plan that says its looks.
        trial_ids: of each arm and block up to the end, `[arms][blocks]`.
        most: the end, in blocks.
        margin: largest difference that doesn't matter, as a fraction of 1.
        say: tells of each look.
    """

    def __init__(
        self,
        study: Study,
        trial_ids: Sequence[Sequence[str]],
        *,
        most: int,
        margin: float,
        say: Callable[[str], None],
    ) -> None:
        self._study, self._most, self._margin, self._say = study, most, margin, say
        self._plan, self._state = self._read()
        self._ids = np.array([list(of_arm) for of_arm in trial_ids])
        self._place = {str(name): place for place, name in np.ndenumerate(self._ids)}
        self._done, self._failed = np.zeros(self._ids.shape, bool), np.zeros(self._ids.shape, bool)
        self._step: Step | None = None
        self._refreshed = 0.0
        self._refresh()

    @property
    def state(self) -> Sequential:
        """The study's looks."""
        return self._state

    def note(self, trial_id: str, failed: bool) -> None:
        """Take in that a trial ended here; it may also have been stopped, and then is as before."""
        if trial_id in self._place:
            self._failed[self._place[trial_id]] |= failed
            self._done[self._place[trial_id]] |= not failed and self._study.is_finished(trial_id)
            self._step = None

    def withhold(self, arm: int) -> None:
        """Give this arm no further trial in this command. As after a failure, looks leave it out and don't judge it.

        That spends nothing of the error, for whatever reason: looking at fewer arms makes fewer errors.
        """
        self._failed[arm] |= ~self._done[arm]
        self._step = None

    def chance(self, arm: int) -> float:
        """Of being decided by the end, as the last look at the arm said; 1 before the first."""
        said = self._state.said().get(self._state.arms[arm])
        return 1.0 if said is None else said[1].chance

    def is_open(self, arm: str) -> bool:
        """Whether the arm is neither decided nor given up; the reference is open while any other arm is."""
        state = self._state
        going = open_arms(state.taken, len(state.arms), state.schedule.end(self._most))
        return len(going) > 1 and state.arms.index(arm) in going

    def step(self) -> Step:
        """What comes next, after all looks that can be taken."""
        if self._step is None or (self._step.look and time.monotonic() - self._refreshed > self._patience):
            if self._step is not None:
                self._refresh()
            self._step = self._next()
            while self._step.look and not self._step.now:
                self._take(self._step)
                self._step = self._next()
        return self._step

    def left(self) -> list[Cell]:
        """The trials that are left if no further arm is decided."""
        step, end = self.step(), self._state.schedule.end(self._most)
        arms = [self._state.reference, *step.sits] if step.look else []
        return [(arm, block) for block in range(end) for arm in arms if not self._done[arm, block]]

    def _next(self) -> Step:
        state = self._state
        return next_step(state.schedule, state.taken, state.reference, self._done, self._failed, self._most)

    @property
    def _patience(self) -> float:
        return HEARTBEAT_SECONDS * self._study.storage.patience

    def _refresh(self) -> None:
        """Take in what other commands have done."""
        self._refreshed = time.monotonic()
        self._plan, self._state = self._read()
        for trial_id in self._study.finished() & self._place.keys():
            self._done[self._place[trial_id]] = not self._failed[self._place[trial_id]]

    def _read(self) -> tuple[dict[str, Any], Sequential]:
        plan = self._study.read_plan() or {}
        if (state := read_sequential(plan)) is None:
            raise StudyError(f"{self._study}/plan.json says no looks; restore it from a copy")
        return plan, state

    def _take(self, step: Step) -> None:
        rows = {row["trial_id"]: row for row in self._study.trials().to_pylist() if row["status"] == "complete"}
        state = self._state
        counts = {state.arms.index(arm): blocks for arm, (blocks, said) in state.said().items() if said.decided}
        counts |= dict.fromkeys((state.reference, *step.sits), step.look)
        used = {(arm, block): str(self._ids[arm, block]) for arm, blocks in counts.items() for block in range(blocks)}
        if gone := [place for place, name in used.items() if name not in rows]:
            for place in gone:  # what is there can't be true, and is left out of every table
                self._done[place], self._failed[place] = False, True
            return
        scores = np.full(self._ids.shape, np.nan)
        for place, name in used.items():
            scores[place] = rows[name]["accuracy"]
        clips = [(rows[name]["test_clips"], rows[name]["train_clips"]) for name in used.values()]
        look = take_look(
            scores,
            state.schedule,
            state.taken,
            step,
            reference=state.reference,
            folds=len(state.folds),
            most=self._most,
            margin=self._margin,
            test_train_ratio=float(np.mean([test / train for test, train in clips])),
            folds_in_all=max(len(self._plan.get("all_folds", ())), len(state.folds)),
            resolution=1 / float(np.mean([test for test, _ in clips])),
        )
        self._study.write_plan(self._plan | {LOOKS: [look_record(look, state, self._margin)]})
        self._plan, self._state = self._read()  # as recorded, which may be another command's
        self._say(describe_look(self._state.taken[-1], self._state))


def describe_look(look: Look, state: Sequential) -> str:
    """A look in a line."""
    words = []
    for arm, said in look.arms.items():
        if said.decided:
            size = f"{100 * said.diff:+.1f} [{100 * said.low:+.1f}, {100 * said.high:+.1f}]"
            words.append(f"{state.arms[arm]} is {said.outcome}, {size} points")
    given_up = [state.arms[arm] for arm, said in look.arms.items() if not said.decided and said.chance < GIVE_UP]
    if given_up and look.blocks < look.end:
        words.append(f"given up, hardly to be decided by the end: {', '.join(given_up)}")
    going = [state.arms[arm] for arm, said in look.arms.items() if not said.decided and said.chance >= GIVE_UP]
    words.append(f"{len(going)} go on" if going and look.blocks < look.end else "that was the last one")
    return f"look after {look.blocks} {state.unit}s: {'; '.join(words)}"
