"""What a worker process does with a trial that fails, without Ray."""

import weakref
from types import SimpleNamespace

import pytest
import torch

from sweeper.execution import worker
from sweeper.results.attempts import Cost


@pytest.fixture
def told(monkeypatch):
    """What Tune is told; rows are not looked at."""
    reports = []
    monkeypatch.setattr(worker.tune, "report", reports.append)
    monkeypatch.setattr(worker.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(worker, "circumstances", lambda *_: None)
    monkeypatch.setattr(worker, "failed_row", lambda _spec, _circumstances, reason: {"error": reason})
    monkeypatch.setattr(worker, "cost_of_running", lambda *_, **__: Cost(0, 0.0, 0.0))
    return reports


class Network:
    """Something that takes room on a GPU."""


def test_a_retry_finds_the_memory_of_the_try_before_free(told):
    held, alive = [], []

    def run():
        alive.append([network for network in held if network()])
        network = Network()
        held.append(weakref.ref(network))
        try:
            raise ValueError("first")
        except ValueError as error:
            raise torch.OutOfMemoryError("CUDA out of memory.") from error

    study = SimpleNamespace(is_finished=lambda _trial: False, record_failure=lambda *_: None)
    worker.run_with_retries(SimpleNamespace(study=study, max_failures=2), SimpleNamespace(trial_id="t"), run)
    assert alive == [[], [], []]
    assert told[-1]["outcome"] == "failed"
    assert told[-1]["error"] == (
        "OutOfMemoryError: CUDA out of memory. Give each trial more of a GPU (--gpus-per-trial), or choose a smaller "
        "recipe."
    )
