"""What Tune is given and told when a sweep is asked to end, or shares its study: without Ray."""

import signal
import time
import weakref
from types import SimpleNamespace

import pytest

from sweeper import signals
from sweeper.execution import interrupt
from sweeper.execution.interrupt import Beginnings, Ending, PlannedTrials, WithinBudget
from sweeper.execution.searches import SearchSource
from sweeper.execution.until_decided import UntilDecided
from sweeper.results.claims import Claim


class Others:
    """Claims of other runs, as the test sets them."""

    def __init__(self, **claims):
        self.claims = claims

    def now(self):
        return self.claims


def trials(*ids):
    return [
        SimpleNamespace(trial_id=trial_id, arm=trial_id, replicate=0, data=SimpleNamespace(fold=1)) for trial_id in ids
    ]


class Learning(PlannedTrials):
    learns = True


def given(source, name):
    found = source.suggest(name)
    return found if found is None or found == source.FINISHED else found["trial_id"]


@pytest.fixture
def said():
    return []


@pytest.fixture
def asked(monkeypatch):
    """Set what was asked of the process: `asked(number, times, seconds ago)`."""

    def ask(number, times=1, ago=0.0):
        first = time.monotonic() - ago
        monkeypatch.setattr(signals, "asked", lambda: signals.Asked(number, times, first, first))

    return ask


AWAY = Claim("host", alive=True, yields=False)
UNSEEN = Claim("host", alive=False, yields=False)


def test_trials_come_in_their_order(said):
    source = PlannedTrials(trials("a", "b"), Others(), said.append)
    assert [given(source, name) for name in "123"] == ["a", "b", source.FINISHED]
    assert said == []


def test_what_others_run_comes_last_and_is_left_to_them_if_they_live(said):
    others = Others(a=AWAY)
    source = PlannedTrials(trials("a", "b", "c"), others, said.append)
    assert said == ["1 of these trials are run by another command on this study; others come first"]
    assert [given(source, name) for name in "12"] == ["b", "c"]
    assert given(source, "3") is None, "it may still be lost while ours run"
    source.on_trial_complete("1")
    source.on_trial_complete("2")
    assert given(source, "4") == source.FINISHED


def test_what_others_have_lost_is_run_after_all(said):
    others = Others(a=UNSEEN)
    source = PlannedTrials(trials("a", "b"), others, said.append)
    assert given(source, "1") == "b"
    source.on_trial_complete("1")
    assert given(source, "2") is None, "nothing was heard of it yet: it may be lost"
    others.claims = {}
    assert [given(source, name) for name in "34"] == ["a", source.FINISHED]


def test_a_trial_that_another_run_began_first_is_stopped_and_comes_again(said):
    others = Others()
    source = PlannedTrials(trials("a", "b"), others, said.append)
    stopper = Ending(source, 20.0, tell=lambda _wish: None)
    assert given(source, "1") == "a"
    assert not stopper("1", {"epoch": 1})
    others.claims = {"a": Claim("host", alive=True, yields=True)}
    assert not stopper("1", {"epoch": 2}), "the other one is to yield"
    others.claims = {"a": AWAY}
    assert stopper("1", {"epoch": 3})
    assert said == ["a, fold 1, seed 0: another command began it first"]
    source.on_trial_complete("1")
    assert given(source, "2") == "b"
    others.claims = {}
    assert given(source, "3") == "a"


def test_ctrl_c_waits_for_what_runs_and_twice_tells_it_to_leave(asked):
    told = []
    source = PlannedTrials(trials("a"), Others(), print)
    stopper = Ending(source, 20.0, tell=told.append)
    given(source, "1")
    source.begun("1")
    stopper("1", {"outcome": "started"})
    assert not stopper.stop_all()
    asked(signal.SIGINT, ago=1000.0)
    assert not stopper.stop_all()
    assert told == ["keep"]
    assert stopper("2", {"outcome": "started"}), "what begins now is stopped"
    asked(signal.SIGINT, times=2)
    assert not stopper.stop_all(), "it leaves by itself"
    assert told == ["keep", "leave"]
    stopper("1", {"outcome": "left"})
    assert stopper.stop_all()


def test_sigterm_leaves_so_many_seconds_and_then_some_for_leaving(asked, monkeypatch):
    told = []
    source = PlannedTrials(trials("a"), Others(), print)
    stopper = Ending(source, 20.0, tell=told.append)
    given(source, "1")
    source.begun("1")
    stopper("1", {"epoch": 1})
    asked(signal.SIGTERM, ago=19.0)
    assert not stopper.stop_all()
    asked(signal.SIGTERM, ago=21.0)
    assert not stopper.stop_all()
    assert told == ["keep", "leave"]
    monkeypatch.setattr(interrupt, "LEAVE_SECONDS", 0.0)
    time.sleep(0.01)
    assert stopper.stop_all(), "one that does not leave is stopped"


def test_when_nothing_runs_there_is_nothing_to_wait_for(asked):
    stopper = Ending(PlannedTrials((), Others(), print), 0.0, tell=lambda _wish: None)
    stopper("1", {"outcome": "started"})
    stopper("1", {"outcome": "complete"})
    asked(signal.SIGTERM, ago=1.0)
    assert stopper.stop_all()


def test_after_ctrl_c_nobody_waits_for_nodes_of_trials_that_have_none(asked):
    source = PlannedTrials(trials("a", "b"), Others(), print)
    stopper = Ending(source, 20.0, tell=lambda _wish: None)
    assert [given(source, name) for name in "12"] == ["a", "b"]
    assert not stopper.stop_all(), "nobody asked"
    source.begun("1")
    asked(signal.SIGINT)
    assert not stopper.stop_all(), "it may be about to train"
    source.on_trial_complete("1", {"outcome": "complete"})
    assert stopper.stop_all(), "the other one waits"


def test_after_ctrl_c_nobody_waits_for_the_node_of_a_trial_whose_own_died(asked):
    source = PlannedTrials(trials("a"), Others(), print)
    stopper, beginnings, trial = (
        Ending(source, 20.0, lambda _wish: None),
        Beginnings(source),
        SimpleNamespace(trial_id="1"),
    )
    given(source, "1")
    beginnings.on_trial_start(1, [trial], trial)
    stopper("1", {"outcome": "started"})
    asked(signal.SIGINT)
    assert not stopper.stop_all()
    beginnings.on_trial_recover(2, [trial], trial)
    assert stopper.stop_all()


def test_trials_that_have_ended_are_not_waited_for_when_the_others_are_told_to_leave(asked):
    """As those that ASHA stopped, which told the sweep nothing of their end."""
    source = PlannedTrials(trials("a", "b"), Others(), print)
    stopper = Ending(source, 20.0, tell=lambda _wish: None)
    for name in "12":
        given(source, name)
        source.begun(name)
        stopper(name, {"epoch": 1})
    source.on_trial_complete("1")
    asked(signal.SIGINT, times=2)
    assert not stopper.stop_all(), "the other one is still to leave"
    assert stopper("2", {"outcome": "left"})
    assert stopper.stop_all()


def test_a_sweep_takes_back_what_it_told(asked):
    """Or the next one of this process would hear it."""
    kept = []

    def tell(wish):
        kept.append(weakref.ref(notice := Others()))
        return notice

    source = PlannedTrials(trials("a"), Others(), print)
    stopper = Ending(source, 20.0, tell)
    asked(signal.SIGINT)
    stopper.stop_all()
    assert kept[0]() is not None
    stopper.end()
    assert kept[0]() is None


def test_where_results_decide_what_comes_next_one_trial_waits_once_the_first_began(said):
    """As many as there are workers come at first, so that these start side by side."""
    source = Learning(trials(*"abcdef"), Others(), said.append)
    assert [given(source, name) for name in "123"] == ["a", "b", "c"]
    source.begun("1")
    assert given(source, "4") is None, "two wait for a worker"
    source.begun("2")
    source.begun("3")
    assert given(source, "4") == "d"
    assert given(source, "5") is None
    source.on_trial_complete("1", {"outcome": "complete"})
    assert given(source, "5") is None, "the fourth still waits"
    source.waiting = 2  # as where nodes start on demand
    assert given(source, "5") == "e"


def test_where_results_decide_nothing_as_many_wait_as_tune_asks_for(said):
    source = PlannedTrials(trials(*"abc"), Others(), said.append)
    assert given(source, "1") == "a"
    source.begun("1")
    assert [given(source, name) for name in "23"] == ["b", "c"]


@pytest.mark.parametrize("kind", [WithinBudget, SearchSource, UntilDecided])
def test_results_decide_what_comes_next(kind):
    assert kind.learns


def test_a_trial_that_another_run_began_while_it_waited_stops_as_it_begins(said):
    others = Others()
    source = PlannedTrials(trials("a", "b"), others, said.append)
    ending = Ending(source, 20.0)
    assert given(source, "1") == "a"
    others.claims = {"a": AWAY}
    assert ending("1", {"outcome": "started"})
    source.on_trial_complete("1")
    assert [given(source, name) for name in "23"] == ["b", None]


@pytest.mark.parametrize("outcome", ["complete", "failed", "left"])
def test_a_trial_that_says_how_it_ended_is_stopped_without_being_asked_again(outcome):
    ending = Ending(PlannedTrials(trials("a"), Others()), 20.0)
    assert not ending("1", {"outcome": "started"})
    assert not ending("1", {"epoch": 1})
    assert ending("1", {"outcome": outcome})
