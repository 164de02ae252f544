"""Which silent workers are taken for hung, by what they told before; without Ray and without waiting."""

from types import SimpleNamespace

import pytest

from sweeper.execution import fused_worker, watchdog, worker
from sweeper.execution.watchdog import Watchdog
from sweeper.execution.worker import epoch_reporter, with_signs
from sweeper.training.fit import Epoch

HERE = {"process": 7, "node_id": "n"}
STARTED = {"outcome": "started"} | HERE
HOUR = 3600.0


class Driver:
    """Tells a watchdog what a trial of so many epochs reports, and when."""

    def __init__(self, epochs):
        self.now, self.killed = 0.0, []
        self._watchdog = Watchdog()
        self._trial = SimpleNamespace(
            trial_id="t", config={"spec": SimpleNamespace(training=SimpleNamespace(epochs=epochs))}
        )
        self._watchdog.on_trial_start(0, [], self._trial)

    def wait(self, seconds):
        """So long nothing is told, and Tune calls all the time."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(self.now + 30.0, until)
            self._watchdog.on_step_begin(0, [])
        return self.killed

    def tell(self, report, after=0.0):
        self.wait(after)
        self._watchdog.on_trial_result(0, [], self._trial, report)

    def epoch(self, number, seconds):
        self.tell({"epoch": number, "epoch_seconds": seconds} | HERE, after=seconds)

    def end(self):
        self._watchdog.on_trial_complete(0, [], self._trial)


@pytest.fixture
def driver(monkeypatch):
    def begin(epochs=3):
        driver = Driver(epochs)
        monkeypatch.setattr(watchdog, "time", SimpleNamespace(monotonic=lambda: driver.now))
        monkeypatch.setattr(watchdog, "_kill", lambda process, node: driver.killed.append((process, node)))
        return driver

    return begin


def test_amid_its_epochs_a_trial_is_measured_against_them(driver):
    trial = driver()
    trial.tell(STARTED)
    trial.epoch(1, 5.0)
    assert trial.wait(590.0) == [], "it may upload its state"
    assert trial.wait(60.0) == [(7, "n")]
    trial = driver()
    trial.tell(STARTED)
    trial.epoch(1, 100.0)
    assert trial.wait(990.0) == []
    assert trial.wait(60.0) == [(7, "n")]


def test_after_its_last_epoch_a_trial_has_time_to_be_scored_and_committed(driver):
    trial = driver()
    trial.tell(STARTED)
    for epoch in (1, 2, 3):
        trial.epoch(epoch, 5.0)
    assert trial.wait(0.4 * HOUR) == []
    trial.tell({"outcome": "complete"})
    trial.end()
    assert trial.wait(HOUR) == []
    trial = driver(epochs=1)
    trial.tell(STARTED)
    trial.epoch(1, 5.0)
    assert trial.wait(0.6 * HOUR) == [(7, "n")], "but it may hang then, too"


def test_many_seeds_that_are_committed_one_after_another_are_alive(driver):
    trial, names = driver(epochs=2), [f"s{number}" for number in range(64)]
    trial.tell(STARTED)
    for epoch in (1, 2):
        seeds = [{"trial": name, "epoch": epoch} for name in names]
        trial.tell({"seeds": seeds, "epoch_seconds": 5.0} | HERE, after=5.0)
    trial.tell({"seeds": []} | HERE)
    for name in names:
        trial.tell({"seeds": [{"trial": name, "outcome": "complete"}]}, after=0.3 * HOUR)
    assert trial.killed == []
    assert trial.wait(0.6 * HOUR) == [(7, "n")]


def test_seeds_whose_last_epoch_was_not_told_have_as_much_time(driver):
    trial = driver()
    trial.tell(STARTED)
    trial.tell({"seeds": [{"trial": "a", "epoch": 1}], "epoch_seconds": 5.0} | HERE, after=5.0)
    trial.tell({"seeds": []} | HERE)
    assert trial.wait(0.4 * HOUR) == []


def test_a_worker_that_hangs_in_its_first_epoch_is_killed(driver):
    trial = driver()
    assert trial.wait(2 * HOUR) == [], "it may wait for a node"
    trial.tell(STARTED)
    assert trial.wait(0.4 * HOUR) == []
    assert trial.wait(0.2 * HOUR) == [(7, "n")]


def test_an_epoch_may_take_hours(driver):
    trial = driver()
    trial.tell(STARTED)
    for _ in range(5 * 60):
        trial.tell(HERE, after=60.0)
    trial.tell({"epoch": 1, "epoch_seconds": 5 * HOUR} | HERE)
    assert trial.killed == []


def test_a_trial_of_several_workers_that_is_begun_anew_is_listened_to_again(driver):
    trial = driver()
    trial.tell(STARTED)
    trial.epoch(1, 5.0)
    assert trial.wait(0.2 * HOUR) == [(7, "n")]
    trial.tell({"outcome": "started", "process": 8, "node_id": "n"}, after=HOUR)
    assert trial.wait(0.6 * HOUR) == [(7, "n"), (8, "n")]


@pytest.fixture
def told(monkeypatch):
    monkeypatch.setattr(worker, "whereabouts", lambda: HERE)
    return []


@pytest.mark.parametrize("train", [worker.train_trial, fused_worker.train_seeds])
def test_a_trial_says_where_it_is_before_it_reads_anything(told, monkeypatch, train):
    def stuck(*_args):
        raise TimeoutError

    monkeypatch.setattr(worker.tune, "report", told.append)
    for module in (worker, fused_worker):
        monkeypatch.setattr(module, "opened", stuck)
    with pytest.raises(TimeoutError):
        train({"spec": "a", "others": ["b"]}, None)
    assert told == [STARTED]


def test_the_last_epoch_is_always_told(told):
    report = epoch_reporter(told.append, 4)
    for number in range(4):
        report(Epoch(number, 1.0, 0.5, 0.1, 0.01, 100.0))
    assert [row["epoch"] for row in told] == [1, 4], "short ones in between are not"


def test_training_gives_a_sign_each_minute(told, monkeypatch):
    now = 0.0
    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: now))
    wish = with_signs(lambda: "keep", told.append)
    for now in (10.0, 59.0, 61.0, 70.0, 120.0, 122.0):  # noqa: B007  # the clock reads it
        assert wish() == "keep"
    assert told == [HERE, HERE]
