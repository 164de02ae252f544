"""What Tune is given while looks decide, without Ray: the next look's trials, then those of the one after it."""

from types import SimpleNamespace

import pytest

from sweeper.execution.until_decided import UntilDecided
from sweeper.statistics.sequential import Step


class Deciding:
    """A study whose next step the test sets."""

    def __init__(self):
        self.now, self.ahead, self.look, self.ended = [], [], 4, {}

    def step(self):
        return Step(self.look, (1,), tuple(self.now), tuple(self.ahead))

    def note(self, trial_id, failed):
        self.ended[trial_id] = failed


class Others:
    def __init__(self, **claims):
        self.claims = claims

    def now(self):
        return self.claims


@pytest.fixture
def deciding():
    return Deciding()


SPECS = [
    [
        SimpleNamespace(trial_id=f"{arm}{block}", arm=arm, replicate=block, data=SimpleNamespace(fold=1))
        for block in range(3)
    ]
    for arm in "ab"
]


def make(deciding, claims=None, spending=None):
    planned, said = [], []
    source = UntilDecided(
        SPECS, deciding, lambda specs: planned.append([spec.trial_id for spec in specs]), claims, said.append, spending
    )
    return source, planned, said


class Spending:
    """So many trials are left to be paid for."""

    def __init__(self, left):
        self.left, self.refused = left, False

    def over(self):
        return self.left <= 0

    def fits(self, specs):
        return len({spec.trial_id for spec in specs}) <= self.left

    def expected(self, spec):
        return 1.0

    def refresh(self):
        self.left -= 1


def given(source, name):
    found = source.suggest(name)
    return found if found is None or found == source.FINISHED else found["trial_id"]


def test_what_the_look_needs_comes_first_then_what_the_next_one_may_need_then_nothing_for_now(deciding):
    deciding.now, deciding.ahead = [(0, 0), (1, 0)], [(0, 1)]
    source, planned, _ = make(deciding)
    assert [given(source, name) for name in "123"] == ["a0", "b0", "a1"]
    assert given(source, "4") is None, "the look waits for these"
    assert planned == [["a0", "b0"], ["a1"]]


def test_without_a_look_it_is_over(deciding):
    deciding.look = 0
    source, _, _ = make(deciding)
    assert given(source, "1") == source.FINISHED


def test_what_another_command_is_at_is_left_to_it_and_waited_for(deciding):
    deciding.now = [(0, 0), (1, 0)]
    source, _, _ = make(deciding, Others(a0=SimpleNamespace(yields=False)))
    assert given(source, "1") == "b0"
    assert given(source, "2") is None


def test_a_running_trial_whose_arm_is_decided_is_stopped_and_said_once(deciding):
    deciding.now, deciding.ahead = [(0, 0)], [(1, 1)]
    source, _, said = make(deciding)
    assert [given(source, name) for name in "12"] == ["a0", "b1"]
    assert not source.yields("2")
    deciding.ahead = []
    assert source.yields("2") and source.yields("2") and not source.yields("1")
    assert said == ["b, fold 1, seed 1: stopped, the look has decided"]
    source.on_trial_complete("2", {})
    assert deciding.ended == {"b1": False}


def test_failures_are_told(deciding):
    deciding.now = [(0, 0), (1, 0)]
    source, _, _ = make(deciding)
    assert [given(source, name) for name in "12"] == ["a0", "b0"]
    source.on_trial_complete("1", {"outcome": "failed"})
    source.on_trial_complete("2", None, error=True)
    source.on_trial_complete("3", {})
    assert deciding.ended == {"a0": True, "b0": True}


def test_a_trial_that_was_stopped_may_come_again(deciding):
    deciding.now = [(0, 0)]
    source, _, _ = make(deciding)
    assert given(source, "1") == "a0"
    source.on_trial_complete("1", {})
    assert given(source, "2") == "a0"


def test_an_interrupted_sweep_gives_out_nothing(deciding):
    deciding.now = [(0, 0)]
    source, _, _ = make(deciding)
    source.drain()
    assert given(source, "1") == source.FINISHED


class ThreeArms(Deciding):
    """The reference and arms 1 and 2, of which some are withheld; a look lacks what was not noted."""

    def __init__(self, chances):
        super().__init__()
        self.chances, self.withheld = chances, []

    def step(self):
        sits = tuple(arm for arm in (1, 2) if arm not in self.withheld)
        lacks = [(arm, 0) for arm in (0, *sits) if MORE[arm][0].trial_id not in self.ended]
        return Step(4 if sits else 0, sits, tuple(lacks), ((0, 1),) if sits else ())

    def withhold(self, arm):
        self.withheld.append(arm)

    def chance(self, arm):
        return self.chances[arm]

    def is_open(self, arm):
        return arm != "b"


MORE = [
    *SPECS,
    [SimpleNamespace(trial_id=f"c{b}", arm="c", replicate=b, data=SimpleNamespace(fold=1)) for b in range(3)],
]


def budgeted(chances, trials):
    deciding, spending = ThreeArms(chances), Spending(trials)
    return UntilDecided(MORE, deciding, lambda _: None, None, print, spending), deciding, spending


def test_what_is_left_of_a_budget_goes_to_the_arm_that_it_decides_most_of():
    source, deciding, spending = budgeted({1: 0.3, 2: 0.9}, 2)
    assert [given(source, name) for name in "12"] == ["a0", "c0"]
    assert deciding.withheld == [1] and spending.refused
    assert given(source, "3") is None, "nothing ahead of the look, which the budget would not pay"
    for name in "12":
        source.on_trial_complete(name, {})
    assert given(source, "4") == source.FINISHED and not source.yields("1")


def test_a_whole_look_that_is_affordable_is_begun_whole():
    source, deciding, spending = budgeted({1: 0.3, 2: 0.9}, 3)
    assert [given(source, name) for name in "123"] == ["a0", "b0", "c0"]
    assert not deciding.withheld and not spending.refused


def test_a_budget_that_is_spent_begins_nothing_and_waits_for_what_runs():
    source, deciding, spending = budgeted({1: 0.3, 2: 0.9}, 3)
    assert given(source, "1") == "a0"
    spending.left = 0
    assert given(source, "2") is None and not deciding.withheld
    source.on_trial_complete("1", {})
    assert given(source, "3") == source.FINISHED and spending.refused and sorted(deciding.withheld) == [1, 2]


def test_what_runs_when_the_rest_buys_no_look_is_finished_unless_its_arm_is_decided():
    source, deciding, spending = budgeted({1: 0.9, 2: 0.3}, 3)
    assert [given(source, name) for name in "123"] == ["a0", "b0", "c0"]
    spending.left = 1
    deciding.withheld, spending.refused = [1, 2], True
    assert not source.yields("1") and not source.yields("3") and source.yields("2")
