"""Looks that spend the error, who gets the next block, and by simulation of both: how often it errs, what it saves."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from sweeper.statistics.sequential import GIVE_UP, Look, Said, in_folds, next_step, open_arms, take_look
from sweeper.statistics.spending import FIRST, schedule
from tests.statistics import simulate_sequential
from tests.statistics.simulate_sequential import ARMS, Study, run_study, simulate

RULE = {"test_train_ratio": 0.25, "folds_in_all": 1, "resolution": 1e-9}
PLAN = schedule(8, 1, 3)


def test_looks_rise_and_go_on_after_the_planned_end():
    planned = schedule(20, 1, 11)
    assert planned.looks[0] == FIRST and 20 in planned.looks and planned.looks[-1] > 100
    assert list(planned.looks) == sorted(set(planned.looks))
    assert planned.end(20) == 20 and planned.end(29) == 20 and planned.end(30) == 30 and planned.end(3) == 0


def test_looks_of_several_folds_come_after_folds_of_the_first_round_and_then_after_whole_rounds():
    assert schedule(40, 10, 4).looks[:10] == (4, 5, 6, 7, 8, 9, 10, 20, 30, 40)
    assert all(look % 2 == 0 for look in schedule(8, 2, 4).looks)


def test_a_short_study_has_one_look_and_then_those_of_going_on():
    assert schedule(2, 1, 3).looks[:2] == (2, 3)
    assert schedule(2, 1, 3).levels[0] == pytest.approx(0.045)


@pytest.mark.parametrize(("blocks", "comparisons"), [(20, 11), (20, 1), (12, 4)])
def test_all_looks_together_spend_no_more_than_the_error(blocks, comparisons):
    planned = schedule(blocks, 1, comparisons)
    rng = np.random.default_rng(7)  # other draws than those that chose the levels
    steps = np.sqrt(np.diff((0, *planned.looks)))
    sums = np.cumsum(steps[:, None, None] * rng.normal(size=(len(steps), 20_000, comparisons + 1)), axis=0)
    largest = np.abs(sums[..., 1:] - sums[..., :1]).max(axis=2)
    critical = [np.quantile(at, 1 - level) for at, level in zip(largest, planned.levels, strict=True)]
    crossed = (largest > np.array(critical)[:, None]).any(axis=0).mean()
    assert 0.035 < crossed < 0.05 + 0.004


def test_nothing_is_planned_without_an_arm_or_whole_rounds():
    with pytest.raises(ValueError, match="whole rounds"):
        schedule(7, 2, 3)
    with pytest.raises(ValueError, match="an arm"):
        schedule(7, 1, 0)


def blank(arms=4, blocks=30):
    return np.zeros((arms, blocks), bool), np.zeros((arms, blocks), bool)


def said(outcome="undecided", chance=0.5):
    return Said(-0.1, -0.2, 0.0, outcome != "undecided", outcome, chance)


def test_until_a_look_everybody_needs_all_blocks_before_it_and_then_those_of_the_next():
    done, failed = blank()
    step = next_step(PLAN, (), 0, done, failed, 8)
    assert (step.look, step.sits) == (4, (1, 2, 3))
    assert step.now == tuple((arm, block) for block in range(4) for arm in range(4))
    assert step.ahead == tuple((arm, 4) for arm in range(4))
    done[:, :4] = True
    assert next_step(PLAN, (), 0, done, failed, 8).now == ()


def test_a_decided_arm_gets_no_further_trial_and_the_reference_goes_on_for_the_others():
    done, failed = blank()
    done[:, :4] = True
    taken = (Look(4, 8, {1: said("worse", 1.0), 2: said(), 3: said(chance=GIVE_UP / 2)}),)
    step = next_step(PLAN, taken, 0, done, failed, 8)
    assert (step.look, step.sits, step.now) == (5, (2,), ((0, 4), (2, 4)))
    everybody = Look(5, 8, {2: said("equivalent", 1.0)})
    assert next_step(PLAN, (*taken, everybody), 0, done, failed, 8).look == 0


def test_who_was_given_up_goes_on_where_the_end_moves_and_who_was_decided_does_not():
    taken = (Look(4, 8, {1: said("worse", 1.0), 2: said(chance=0.0), 3: said(chance=0.0)}),)
    assert open_arms(taken, 4, 8) == [0]
    assert open_arms(taken, 4, 12) == [0, 2, 3]


def test_an_arm_whose_trial_failed_waits_and_without_the_reference_there_is_no_look():
    done, failed = blank()
    failed[2, 1] = True
    assert next_step(PLAN, (), 0, done, failed, 8).sits == (1, 3)
    failed[0, 3] = True
    assert next_step(PLAN, (), 0, done, failed, 8).look == 0


def test_who_missed_the_last_look_gets_it_alone_when_its_trials_are_there():
    done, failed = blank()
    done[:, :8] = True
    done[2, 1] = False
    failed[2, 1] = True
    taken = (Look(5, 8, {1: said("worse", 1.0)}), Look(8, 8, {3: said(chance=0.0)}))
    assert next_step(PLAN, taken, 0, done, failed, 8).look == 0, "not while they fail"
    failed[2, 1] = False
    step = next_step(PLAN, taken, 0, done, failed, 8)
    assert (step.look, step.sits, step.now, step.ahead) == (8, (2,), ((2, 1),), ())
    assert next_step(PLAN, taken, 0, done, failed, 12).look == 12, "where the end moves, all are looked at there"
    assert next_step(PLAN, taken, 0, done, failed, 7).look == 0
    assert next_step(PLAN, (*taken, Look(8, 8, {2: said(chance=0.0)})), 0, done, failed, 8).look == 0


def test_looks_end_where_the_study_may_not_grow_further():
    done, failed = blank()
    done[:, :8] = True
    taken = (Look(8, 8, {1: said(), 2: said(), 3: said()}),)
    assert next_step(PLAN, taken, 0, done, failed, 8).look == 0
    assert next_step(PLAN, taken, 0, done, failed, 12).look == 12


def look(scores, taken=(), most=8, margin=0.0):
    done = np.isfinite(scores)
    step = next_step(PLAN, taken, 0, done, np.zeros_like(done), most)
    assert not step.now
    return take_look(scores, PLAN, taken, step, reference=0, folds=1, most=most, margin=margin, **RULE)


def test_what_a_look_says():
    scores = np.random.default_rng(0).normal(size=(4, 8))
    scores[1] -= 50
    scores[2] += 50
    found = look(scores)
    assert found.blocks == 4
    assert (found.arms[1].outcome, found.arms[2].outcome, found.arms[3].outcome) == ("worse", "better", "undecided")
    assert found.arms[1].decided and found.arms[1].high < 0
    assert look(scores, margin=1000.0).arms[1].outcome == "equivalent"


def test_what_was_said_of_a_decided_arm_does_not_depend_on_what_comes_later():
    scores = np.random.default_rng(0).normal(size=(4, 8))
    scores[1] -= 50
    scores[3] = scores[0] - 2.5 + scores[3]  # open at the second look, too
    first = look(scores)
    scores[1, 4:] = 1e6  # trials that were begun ahead and are not its
    second = look(scores, (first,))
    assert 1 not in second.arms
    scores[1, 4:] = np.nan
    assert look(np.where(np.isnan(scores), -1, scores), (first,)) == second


def test_an_arm_that_no_further_block_would_decide_has_no_chance():
    scores = np.random.default_rng(0).normal(size=(4, 8))
    scores[3] = scores[0] + 0.01
    scores[2] = scores[0] - 3 + scores[2] / 3
    found = look(scores)
    assert found.arms[3].chance < 0.1 < found.arms[2].chance


def test_blocks_are_seeds_of_folds():
    scores = np.arange(12.0).reshape(1, 12)
    assert in_folds(scores, 3).shape == (1, 3, 4)
    assert in_folds(scores, 3)[0, 1].tolist() == [1, 4, 7, 10]
    assert in_folds(scores[:, :2], 3).shape == (1, 2, 1)


def test_every_arm_stops_at_some_look_whatever_runs_at_once():
    rng = np.random.default_rng(1)
    for at_once, folds in itertools.product((1, 5, 50), (1, 5)):
        study = Study("", 20, folds=folds, at_once=at_once)
        _, trials, unused = run_study(study, schedule(20, folds, ARMS - 1), study.draw(rng))
        assert trials <= 20 * ARMS and 0 <= unused <= 0.25 * trials


def test_of_studies_in_which_nothing_differs_few_have_a_star_at_any_look():
    found = simulate(Study("", 12, null=True, then=18), 100)
    assert found.false <= 0.05 + 0.045  # two standard errors of 100 studies


def test_a_budget_that_leaves_arms_out_of_looks_makes_no_more_stars_and_is_kept():
    study = Study("", 12, null=True, budget=70)
    assert simulate(study, 100).false <= 0.05 + 0.045
    rng = np.random.default_rng(2)
    for _ in range(3):
        _, trials, _ = run_study(study, schedule(12, 1, ARMS - 1), study.draw(rng))
        assert trials <= 70


def test_arms_that_a_budget_left_out_and_more_money_brings_to_the_last_look_make_no_more_stars():
    found = simulate(Study("", 4, null=True, budget=40, then=4), 100)
    assert found.false <= 0.05 + 0.045
    assert (found.trials, found.wasted) == (4 * ARMS, 0), "the one look was taken twice, for some and for the others"


def test_it_costs_less_than_a_fixed_study_that_finds_as_much():
    study = next(simulate_sequential.scenarios())
    found = simulate(replace(study, blocks=18, against=12, paired=True), 100)
    assert found.power > found.fixed - 0.05
    assert found.saved > 0.25
