"""Several seeds of an arm as one of Tune's trials: how many, which, and what becomes of them. Without Ray."""

from types import SimpleNamespace

import pytest

from sweeper.execution.fits import host_memory, judge_gpu
from sweeper.execution.interrupt import Ending
from sweeper.execution.seed_groups import PlannedSeeds
from sweeper.execution.seeds_at_once import most_alike, programs, that_keep_busy
from sweeper.execution.sweep import _Deaths, _failures
from sweeper.execution.worker import FoldClips, SweepContext, tune_config
from sweeper.plan import PlanError
from sweeper.results.attempts import new_run
from sweeper.results.claims import Claim
from sweeper.results.store import Study
from tests.training.fusing import trials as real_trials


class Others:
    """Claims of other runs, as the test sets them."""

    def __init__(self, **claims):
        self.claims = claims

    def now(self):
        return self.claims


def trial(name):
    """Such as `a0`: arm and seed."""
    return SimpleNamespace(trial_id=name, arm=name[0], replicate=int(name[1:]), data=SimpleNamespace(fold=1))


def plan(arms, seeds):
    return [trial(f"{arm}{seed}") for seed in range(seeds) for arm in arms]


def given(source, name):
    found = source.suggest(name)
    if found is None or found == source.FINISHED:
        return found
    return " ".join(spec.trial_id for spec in (found["spec"], *found.get("others", ())))


def ended(*names):
    return {"seeds": [{"trial": name, "outcome": "complete"} for name in names]}


AWAY = Claim("host", alive=True, yields=False)
YOUNGER = Claim("host", alive=True, yields=True)


@pytest.fixture
def said():
    return []


def test_seeds_come_in_groups_and_arms_take_turns(said):
    source = PlannedSeeds(plan("ab", 5), 2, Others(), said.append)
    names = [given(source, str(number)) for number in range(6)]
    assert names == ["a0 a1", "b0 b1", "a2 a3", "b2 b3", "a4", "b4"]
    assert given(source, "6") is None, "while groups run, they may still come one by one"
    for number in range(6):
        source.on_trial_complete(str(number))
    assert given(source, "7") == source.FINISHED
    assert said == []


def test_a_group_of_one_is_given_as_ever():
    (only,) = plan("a", 1)
    assert PlannedSeeds([only], 4, Others()).suggest("1") == tune_config(only) == {"trial_id": "a0", "spec": only}


def test_seeds_that_others_are_at_are_left_to_them(said):
    source = PlannedSeeds(plan("a", 4), 4, Others(a1=AWAY), said.append)
    assert given(source, "1") == "a0 a2 a3"
    source.on_trial_complete("1")
    assert given(source, "2") == source.FINISHED
    assert said == ["1 of these trials are run by another command on this study; others come first"]


def test_of_seeds_that_two_commands_began_the_first_decides_for_all(said):
    others = Others()
    source = PlannedSeeds(plan("a", 3), 3, others, said.append)
    stopper = Ending(source, 20.0, tell=lambda _wish: None)
    assert given(source, "1") == "a0 a1 a2"
    others.claims = {"a1": YOUNGER, "a2": AWAY}
    assert not stopper("1", {"seeds": []}), "the other command yields the first, so that only one of both does"
    source.on_trial_result("1", ended("a0", "a1"))
    assert stopper("1", {"seeds": []})
    assert said == ["a, fold 1, seed 2: another command began it first"]
    source.on_trial_complete("1")
    others.claims = {}
    assert given(source, "2") == "a0 a2", "what has ended is told so by its worker"


def test_seeds_that_can_not_train_as_one_come_one_by_one_in_their_order():
    source = PlannedSeeds(plan("ab", 4), 3, Others())
    assert [given(source, name) for name in "12"] == ["a0 a1 a2", "b0 b1 b2"]
    source.on_trial_result("1", {"apart": "why"})
    assert source.members("1") == (source._running["1"],)
    assert [given(source, name) for name in "345"] == ["a1", "a2", "a3"]
    source.on_trial_result("2", {"apart": "why"})
    assert [given(source, name) for name in "6789"] == ["b1", "b2", "b3", source.FINISHED]


def test_the_end_of_a_seed_does_not_stop_the_others():
    stopper = Ending(PlannedSeeds(plan("a", 2), 2, Others()), 20.0)
    assert not stopper("1", {"outcome": "started"})
    assert not stopper("1", ended("a0"))
    assert stopper("1", ended("a1") | {"outcome": "complete"})


@pytest.fixture
def sweep(tmp_path):
    study = Study(tmp_path / "s")
    study.create()
    return SweepContext(study, {1: FoldClips((), (), "")}, ("a",), True, "x", 1, 0.0, 0, run=new_run(), seeds=3)


def test_failures_are_told_of_each_seed(sweep):
    notes, specs = _Deaths(sweep), real_trials(seeds=3)
    tuned = SimpleNamespace(config=tune_config(specs[0], specs[1:]), num_failures=1, error_file=None)
    notes.on_trial_result(0, [], tuned, ended(specs[0].trial_id))
    failed = {"trial": specs[1].trial_id, "outcome": "failed", "error": "why"}
    notes.on_trial_result(0, [], tuned, {"seeds": [failed]})
    assert [(failure.spec, failure.error) for failure in notes.of_seeds] == [(specs[1], "why")]
    notes.on_trial_error(0, [], tuned)
    (failure,) = _failures([SimpleNamespace(config=tuned.config, metrics=None)], notes.reasons)
    assert (failure.spec, failure.error) == (specs[2], "its worker died 1 time, before the trial began")
    assert sweep.study.failures.single().keys() == {specs[2].trial_id}, "the others' own workers saw to theirs"


def test_seeds_that_train_apart_are_not_begun_again_together(sweep):
    first, *others = plan("a", 3)
    tuned = SimpleNamespace(config=tune_config(first, others))
    _Deaths(sweep).on_trial_result(0, [], tuned, {"apart": "why"})
    assert tuned.config == tune_config(first)


def test_as_many_at_once_as_leave_no_worker_idle():
    assert that_keep_busy(plan("ab", 8), 2) == 8
    assert that_keep_busy(plan("a", 8), 2) == 4
    assert that_keep_busy(plan("a", 8), 8) == 1
    assert that_keep_busy(plan("a", 3), 1) == 3
    assert that_keep_busy(plan("a", 20), 1) == 8, "no more than that"
    assert that_keep_busy(plan("abc", 2), 2) == 1, "three groups on two workers would end later than six trials"
    assert that_keep_busy(plan("a", 4), 0) == 4, "nodes are still to come"


def test_groups_are_counted():
    trials = plan("ab", 5)
    assert (programs(trials, 2), programs(trials, 8)) == (6, 2)
    assert (most_alike(trials, 2), most_alike(trials, 8)) == (2, 5)


def test_more_seeds_than_fit_are_refused_and_the_option_is_named():
    (spec,) = real_trials(seeds=1)
    node = {"CPU": 1.0, "memory": 8e9}
    assert host_memory(spec, [node]) < host_memory(spec, [node], 8)
    with pytest.raises(PlanError, match=r"--seeds-per-trial: 64 seeds of full at once need about .* train fewer"):
        host_memory(spec, [node | {"memory": 0.7e9}], 64)
    judge_gpu(spec, 1.0, 4 * 10**9, 10 * 10**9, 2)
    with pytest.raises(PlanError, match=r"--seeds-per-trial: 3 seeds of full at once need 12\.0 GB .* train fewer"):
        judge_gpu(spec, 1.0, 4 * 10**9, 10 * 10**9, 3)
