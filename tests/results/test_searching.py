"""A search read back from its rows: goals, the leading configurations, and who wins."""

from dataclasses import replace

import pytest

from sweeper.results.searching import Found, Goal, read_searches, search_table
from sweeper.results.store import Study
from tests.results.rows import trial_row


def row(params, accuracy, replicate=0, **changes):
    described = {"kind": "search", "stage": "explore", "params": params, "trial_id": f"{params}{replicate}"}
    return trial_row("full", 1, replicate, accuracy, **(described | changes))


def found(explored=(), replicated=(), leading=("a", "b")):
    stages = {"explore": explored, "replicate": replicated, "confirm": (), "test": ()}
    return Found("full", 1, Goal("accuracy"), "recipe", stages, leading)


def test_the_winner_is_decided_on_seeds_other_than_those_that_found_it():
    explored = [row("a", 0.9), row("b", 0.8)]
    replicated = [row("a", 0.5, 0), row("a", 0.6, 1), row("b", 0.7, 0), row("b", 0.6, 1)]
    assert found(explored).winner is None
    winner = found(explored, replicated).winner
    assert (winner.params, winner.scores) == ("b", (0.7, 0.6))


def test_a_configuration_that_failed_on_some_seed_does_not_win_by_luck():
    replicated = [row("a", 0.99, 0), row("a", None, 1, status="failed"), row("b", 0.5, 0), row("b", 0.5, 1)]
    assert found((), replicated).winner.params == "b"


def test_what_leads_no_longer_does_not_win():
    assert found((), [row("old", 0.99), row("a", 0.5)]).winner.params == "a"


def test_the_winner_that_a_grid_was_begun_with_stays():
    replicated = [row("a", 0.9), row("b", 0.5)]
    assert replace(found((), replicated), named="b").winner.params == "b"
    assert found((), replicated).winner.params == "a"


def test_goals():
    one = row("a", 0.5, accuracy_ema=0.6, gflops_per_clip=2.0, train_clips=10, epochs=3, seconds=7.0)
    assert Goal("accuracy").values(one) == (0.5,)
    assert Goal("accuracy_ema").values(one) == (0.6,)
    assert Goal("accuracy", "gflops").values(one) == (0.5, pytest.approx(180.0))
    assert Goal("accuracy_ema", "seconds").values(one) == (0.6, 7.0)


def test_without_a_cost_the_front_is_the_best_trial():
    rows = [row("a", 0.5), row("b", 0.7), row("c", None, status="stopped", stopped_score=0.9, stopped_epoch=2)]
    table = search_table(found(rows))
    assert [line["pareto"] for line in table] == [False, True, False]
    assert [line["score"] for line in table] == [0.5, 0.7, 0.9]


def test_a_study_without_searches_has_none(tmp_path):
    study = Study(tmp_path / "s")
    study.create()
    assert read_searches(study) == ()
    study.write_plan({"design": {}, "data_digest": "d", "trials": []})
    assert read_searches(study) == ()


def test_the_recipe_is_compared_on_the_seeds_that_both_finished():
    confirm = [row("a", None, 1, status="failed"), row("a", 0.7, 2), row("a", 0.5, 3)]
    confirm += [row("recipe", 0.9, 1), row("recipe", 0.6, 2), row("recipe", None, 3, status="failed")]
    searched = found((), [row("a", 0.9)])
    searched.stages["confirm"] = confirm
    assert searched.paired("confirm", "a") == ((0.7, 0.6),)
    assert searched.paired("test", "a") == ()
