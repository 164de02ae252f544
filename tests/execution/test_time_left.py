"""How long a sweep has still to go: without Ray and without waiting."""

import itertools
import random
from types import SimpleNamespace

import pytest

from sweeper.execution.time_left import TimeLeft, in_words


def spec(arm, *, stage="", epochs=10, fold=1):
    return SimpleNamespace(
        arm=arm, stage=stage, training=SimpleNamespace(epochs=epochs), data=SimpleNamespace(fold=fold)
    )


def sweep(costs, gflops, seeds, *, at_once=2, noise=0.0, seed=0):
    """Run trials of known cost (seconds of an epoch, by arm) on a made-up clock; the time, and what was said, at each
    epoch's end."""
    rng = random.Random(seed)
    time_left = TimeLeft()
    trials = [spec(arm) for _ in range(seeds) for arm in costs]
    time_left.expect(trials, at_once)
    for arm, amount in gflops.items():
        time_left.cost(arm, amount)
    now, said, running, waiting = 0.0, [], {}, list(enumerate(trials))
    while waiting or running:
        while waiting and len(running) < at_once:
            name, trial = waiting.pop(0)
            time_left.start(str(name), trial, now)
            running[name] = [trial, 0, now + costs[trial.arm]]
        name = min(running, key=lambda name: running[name][2])
        trial, epochs, now = running[name]
        took = costs[trial.arm] * (1 + noise * rng.uniform(-1, 1))
        running[name] = [trial, epochs + 1, now + took]
        time_left.epoch(str(name), epochs + 1, took, now)
        if epochs + 1 == trial.training.epochs:
            del running[name]
            time_left.end(str(name), now, complete=True)
        said.append((now, time_left.left(now)))
    return now, said


ARMS = {"small": 1.0, "middle": 2.0, "large": 8.0}


def test_arms_that_were_not_measured_cost_what_their_operations_say():
    end, said = sweep(ARMS, {"small": 1.0, "middle": 2.0, "large": 8.0}, seeds=4)
    for now, left in said:
        assert left == pytest.approx(end - now, abs=0.15 * end), now


def test_what_was_measured_counts_more_than_operations():
    end, said = sweep(ARMS, {"small": 1.0, "middle": 1.0, "large": 1.0}, seeds=8)
    for now, left in said:
        if now > end / 4:
            assert left == pytest.approx(end - now, abs=0.15 * end), now


def test_a_network_without_a_count_is_taken_for_a_usual_one():
    end, said = sweep(ARMS, {"small": 1.0, "middle": None, "large": 8.0}, seeds=6)
    assert all(left == pytest.approx(end - now, abs=0.2 * end) for now, left in said if now > 0.1 * end)
    assert sweep(ARMS, dict.fromkeys(ARMS), seeds=6)[1][-1][1] == pytest.approx(0, abs=1)


def test_it_is_steady_where_the_machine_is_not():
    """The end that is shown moves by little: by less than 12 % of the whole."""
    for seed in range(5):
        end, said = sweep(ARMS, ARMS, seeds=6, noise=0.8, seed=seed)
        ends = [now + left for now, left in said if now > 0.1 * end]
        jumps = [abs(later - earlier) for earlier, later in itertools.pairwise(ends)]
        assert max(jumps) < 0.12 * end
        assert all(shown == pytest.approx(end, rel=0.45) for shown in ends)


def test_before_the_first_epoch_nothing_is_said():
    time_left = TimeLeft()
    time_left.expect([spec("a")], 1)
    assert time_left.left(0.0) is None
    time_left.start("1", spec("a"), 0.0)
    assert time_left.left(1.0) is None


def test_a_search_that_stops_trials_early_and_its_later_stages_are_counted():
    time_left = TimeLeft()
    explore, test = spec("a", stage="explore"), spec("a", stage="test")
    time_left.expect([explore] * 9 + [test] * 2, 1)
    time_left.cost("a", 1.0)
    now = 0.0
    for name in range(8):
        time_left.start(str(name), explore, now)
        for epoch in range(2):
            now += 1.0
            time_left.epoch(str(name), epoch + 1, 1.0, now)
        time_left.end(str(name), now, complete=False)
    # One more of which a fifth is run, or a little more, and two whole ones.
    assert 20 < time_left.left(now) < 26


def test_a_trial_that_is_left_to_another_run_is_still_to_come():
    time_left = TimeLeft()
    time_left.expect([spec("a")] * 2, 1)
    time_left.start("1", spec("a"), 0.0)
    time_left.epoch("1", 1, 1.0, 1.0)
    time_left.give_back("1")
    assert time_left.left(1.0) == pytest.approx(20.0)


def test_of_an_interrupted_sweep_only_what_runs_is_waited_for():
    time_left = TimeLeft()
    time_left.expect([spec("a")] * 5, 2)
    for name in "12":
        time_left.start(name, spec("a"), 0.0)
    time_left.epoch("1", 4, 1.0, 4.0)
    time_left.epoch("2", 7, 1.0, 4.0)
    assert time_left.left(4.0, running_only=True) == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "not yet known"),
        (0.0, "0 s"),
        (41.0, "45 s"),
        (99.0, "100 s"),
        (130.0, "2 min"),
        (5400.0, "1 h 30 min"),
        (9000.0, "2 h 30 min"),
        (400_000.0, "5 days"),
    ],
)
def test_in_words(seconds, words):
    assert in_words(seconds) == words


def test_trials_that_train_as_one_share_its_time():
    """Four trials of ten epochs, two and two as one program, of which an epoch takes 2 s: 40 s for all of them."""
    time_left, first, second = TimeLeft(), [spec("a"), spec("a")], [spec("a"), spec("a")]
    time_left.expect(first + second, at_once=1)
    for start, (names, trials) in ((0.0, ("01", first)), (20.0, ("23", second))):
        for name, trial in zip(names, trials, strict=True):
            time_left.start(name, trial, start, beside=2)
        for epoch in range(1, 11):
            now = start + 2.0 * epoch
            for name in names:
                time_left.epoch(name, epoch, 1.0, now)
            assert time_left.left(now) == pytest.approx(40.0 - now)
            assert time_left.left(now, running_only=True) == pytest.approx(start + 20.0 - now)
        for name in names:
            time_left.end(name, start + 20.0, complete=True)
