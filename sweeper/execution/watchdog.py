"""A worker that hangs (a deadlocked collective, a stuck file system) is noticed and killed, so that Tune retries it.

Every report is a sign of life, and while a trial trains there is one each minute, however long an epoch takes. Amid its
epochs it may be silent ten times as long as the longest took so far, and never less than ten minutes: it may have a
state of hundreds of MB to upload. Before its first epoch, when it fetches clips and compiles, and after its last one,
when it is scored and committed, it has half an hour at least: how long that takes, no epoch tells.

Where its process is, a trial says with its first report, before anything that can hang; until then there is nobody to
kill.
"""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from typing import Any

import ray
from ray.tune import Callback
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

BESIDE_SECONDS = 1800.0  # before the first epoch and after the last
LEAST_SECONDS = 600.0
FACTOR = 10.0


@dataclass
class _Pulse:
    heard: float
    longest: float = 0.0  # epoch
    training: bool = False  # the latest report was of an epoch, and not of the last
    process: int = 0
    node_id: str = ""

    def limit(self) -> float:
        """How long this trial may be silent, in s."""
        return max(LEAST_SECONDS if self.training else BESIDE_SECONDS, FACTOR * self.longest)


class Watchdog(Callback):
    """Kills the process of a running trial that has been silent for too long."""

    def __init__(self) -> None:
        self._pulses: dict[str, _Pulse] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Start listening."""
        self._pulses[trial.trial_id] = _Pulse(time.monotonic())

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Take the pulse."""
        # A trial of several workers is retried without Tune starting it anew: its first report brings it back.
        pulse = self._pulses.setdefault(trial.trial_id, _Pulse(time.monotonic()))
        pulse.heard = time.monotonic()
        pulse.longest = max(pulse.longest, result.get("epoch_seconds", 0.0))
        epochs = [row["epoch"] for row in result.get("seeds", (result,)) if "epoch" in row]
        pulse.training = 0 < max(epochs, default=0) < trial.config["spec"].training.epochs
        if "process" in result:
            pulse.process, pulse.node_id = result["process"], result["node_id"]

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Stop listening."""
        self._pulses.pop(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Stop listening."""
        self._pulses.pop(trial.trial_id, None)

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look for trials that have been silent for too long."""
        for trial_id, pulse in list(self._pulses.items()):
            if pulse.process and time.monotonic() - pulse.heard > pulse.limit():
                del self._pulses[trial_id]  # Tune starts it anew, and then it is listened to again
                _kill(pulse.process, pulse.node_id)


def _kill(process: int, node_id: str) -> None:
    """Kill a process where it runs. Fire and forget: waiting for a sick node would hang the sweep as well."""
    there = NodeAffinitySchedulingStrategy(node_id=node_id, soft=False)
    ray.remote(_kill_here).options(num_cpus=0, scheduling_strategy=there).remote(process)


def _kill_here(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
