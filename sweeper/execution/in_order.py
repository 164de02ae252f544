"""In which order Tune runs the trials that it was given: the first first."""

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler


class InOrder(FIFOScheduler):
    """Tune's own such scheduler, but for what a choice costs: that looks through all trials that there ever were.

    Twice a trial, which takes 5 ms each when 17,000 are finished.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._unfinished: list[Any] = []

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial that is new, or comes again after it failed: then it comes last."""
        self._unfinished = [other for other in self._unfinished if other is not trial] + [trial]

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The first trial that waits; None: there is none."""
        self._unfinished = [trial for trial in self._unfinished if not trial.is_finished()]
        return next((trial for trial in self._unfinished if trial.status == Trial.PENDING), None)
