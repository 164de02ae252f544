"""How Tune is given several seeds of an arm as one trial, which train as one program."""

from collections.abc import Callable, Sequence
from typing import Any

from sweeper.execution.interrupt import PlannedTrials
from sweeper.execution.seeds_at_once import alike
from sweeper.execution.worker import tune_config
from sweeper.plan import TrialSpec
from sweeper.results.claims import Claims


class PlannedSeeds(PlannedTrials):
    """The planned trials, each with others of its arm and fold that nobody is at.

    Whether they can train as one program, the worker finds out; where they can't, they come one by one after all.

    Args:
        trials: the trials.
        seeds: at most so many at once.
        claims, say: see `TrialSource`.
    """

    def __init__(
        self,
        trials: Sequence[TrialSpec],
        seeds: int,
        claims: Claims | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        super().__init__(trials, claims, say)
        self._seeds = seeds
        self._order = {trial.trial_id: number for number, trial in enumerate(trials)}
        self._others: dict[str, tuple[TrialSpec, ...]] = {}  # by Tune's name of what they train with
        self._ended: set[str] = set()
        self._apart: set[str] = set()  # arms whose seeds come one by one

    def suggest(self, trial_id: str) -> Any:
        """The next trial, and what trains with it."""
        config = super().suggest(trial_id)
        first = self._running.get(trial_id)
        if first is None or first.arm in self._apart:
            return config
        claimed = self.claimed()
        like = [spec for spec in self._left.values() if alike(spec) == alike(first) and spec.trial_id not in claimed]
        if others := tuple(like[: self._seeds - 1]):
            for spec in others:
                del self._left[spec.trial_id]
            self._others[trial_id] = others
        return tune_config(first, others)

    def is_over(self) -> bool:
        """As for planned trials; while some train as one, they may still come one by one."""
        return super().is_over() and not self._others

    def members(self, name: str) -> tuple[TrialSpec, ...]:
        """The trials that train as one and have not ended."""
        together = (*super().members(name), *self._others.get(name, ()))
        return tuple(spec for spec in together if spec.trial_id not in self._ended)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Take note of seeds that ended, and take back those that can't train with the first."""
        super().on_trial_result(trial_id, result)
        if "apart" in result:
            self._apart.add(self._running[trial_id].arm)
            self._take_back(self._others.pop(trial_id, ()))
        self._ended |= {row["trial"] for row in result.get("seeds", ()) if row.get("outcome") in ("complete", "failed")}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Trials that were left to another run come again."""
        super().on_trial_complete(trial_id, result, error)
        others = self._others.pop(trial_id, ())
        if trial_id in self._yielded:
            self._take_back(others)

    def _take_back(self, specs: Sequence[TrialSpec]) -> None:
        self._left |= {spec.trial_id: spec for spec in specs if spec.trial_id not in self._ended}
        self._left = dict(sorted(self._left.items(), key=lambda item: self._order[item[0]]))
