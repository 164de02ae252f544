"""Ray that is started ahead of the sweep: nothing is left of it where no sweep comes, and none starts unasked."""

import os
import signal
import time

import pytest

from sweeper.execution import ahead
from sweeper.execution.cluster import cluster
from sweeper.plan import PlanError


class Instance:
    """Stands for `cluster.own_instance`: notes when one lives."""

    def __init__(self, error=None):
        self.rooms, self.alive, self.error = [], 0, error

    def __call__(self, shared_bytes):
        self.rooms.append(shared_bytes)
        return self

    def __enter__(self):
        if self.error:
            raise self.error
        self.alive += 1

    def __exit__(self, *_):
        self.alive -= 1


@pytest.fixture
def instance(monkeypatch):
    made = Instance()
    monkeypatch.setattr("sweeper.execution.cluster.own_instance", made)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return made


def test_a_sweep_takes_what_was_started_ahead_and_ends_it(instance):
    with ahead.allowed():
        ahead.begin(None)
        ahead.begin(None)  # another design of the same command
        with cluster(None, 1000):
            assert (instance.rooms, instance.alive) == ([ahead.ROOM], 1)
        assert instance.alive == 0


def test_more_clips_than_there_is_room_for_get_an_instance_of_their_own(instance):
    with ahead.allowed():
        ahead.begin(None)
        with cluster(None, ahead.ROOM + 1):
            assert (instance.rooms, instance.alive) == ([ahead.ROOM, ahead.ROOM + 1], 1)
    assert instance.alive == 0


def test_what_no_sweep_takes_is_ended_with_the_command(instance):
    with pytest.raises(PlanError), ahead.allowed():
        ahead.begin(None)
        raise PlanError("a trial does not fit")
    assert instance.rooms and not instance.alive


def test_where_it_does_not_start_the_sweep_says_why(instance):
    instance.error = PlanError("Ray did not start: no room")
    with ahead.allowed(), pytest.raises(PlanError, match="no room"):
        ahead.begin(None)
        with cluster(None, 0):
            pass
    assert instance.rooms == [ahead.ROOM, 0]


def test_nothing_starts_outside_of_a_command_or_for_another_cluster(instance, monkeypatch):
    ahead.begin(None)
    with ahead.allowed():
        monkeypatch.setenv("RAY_ADDRESS", "256.256.256.256:1")
        ahead.begin(None)
        monkeypatch.setattr("ray.is_initialized", lambda: True)
        monkeypatch.delenv("RAY_ADDRESS")
        ahead.begin(None)
    assert not instance.rooms


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_ray_starts_leaves_no_process(sweeper, number):
    process = sweeper.start("run", "ablations", "--arm", "full")
    deadline = time.monotonic() + 60
    while not sweeper.ray_processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, output
    sweeper.wait_until_ray_is_gone(5)


def test_a_refused_run_leaves_no_process(sweeper):
    sweeper.environment["RAY_OVERRIDE_RESOURCES"] = '{"CPU": 2, "memory": 1000}'
    output = sweeper("run", "ablations", "--arm", "full", code=2)
    assert "of memory and Ray has 0.0 GB" in output
    sweeper.wait_until_ray_is_gone(5)
