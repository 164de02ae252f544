"""The stages of a search, without training: what one of them left undone the next one waits for."""

from contextlib import ExitStack

import pytest

from sweeper.results.store import Study
from sweeper.run import search
from sweeper.run.options import FAILED, OK, SearchOptions
from tests.benchmarks.search_vs_random import arm_search
from tests.search.conftest import row_of

FAILURE = {"status": "failed", "accuracy": None, "accuracy_ema": None, "error": "boom"}


@pytest.fixture
def stages(tmp_path, monkeypatch):
    """A search that has explored two configurations, and is to run both of them again."""
    plan, study = arm_search("s"), Study(tmp_path / "s")
    study.create()
    options = SearchOptions(trials=2, top=2, replicates=1)
    described = {"goal": {"objective": "accuracy_ema", "cost": None}, "trials": 2, "top": 2, "replicates": 1}
    searches = [{"arm": "full", "fold": 1, "recipe_params": plan.recipe_params}]
    study.write_plan(
        {"design": {}, "data_digest": "d", "trials": [], "search": described | {"halving": True}, "searches": searches}
    )
    other = plan.recipe_params.replace("0.002", "0.003")
    assert other != plan.recipe_params
    for number, spec in enumerate(plan.trials("explore", [plan.recipe_params, other], 1)):
        study.commit(row_of(spec, 0.5, number), [], [])
    monkeypatch.setattr(search.SearchStages, "start", lambda _self: None)
    return search.SearchStages(options, [plan], study, None, lambda _line: None, ExitStack(), list)


def replicate(stages, monkeypatch, sweep):
    monkeypatch.setattr(search, "sweep", lambda _options, missing, *_: sweep(stages.study, missing))
    return stages._run("replicate", lambda found: found.leading)


def test_a_winner_is_named_once_nothing_is_left_to_another_command(stages, monkeypatch):
    def left_to_another_command(study, missing):
        study.record_failure(row_of(missing[1]) | FAILURE, [])  # of an earlier attempt, which the other one tries again
        study.commit(row_of(missing[0], 0.5), [], [])
        return OK, {missing[1].trial_id}

    assert replicate(stages, monkeypatch, left_to_another_command) == OK
    assert not stages.named(), "the other command's trial may win"

    def goes_on(study, missing):
        assert len(missing) == 1
        study.commit(row_of(missing[0], 0.9), [], [])
        return OK, set()

    assert replicate(stages, monkeypatch, goes_on) == OK
    assert stages.named()


def test_a_replicate_that_fails_is_no_reason_to_wait(stages, monkeypatch):
    def fails(study, missing):
        study.commit(row_of(missing[0], 0.5), [], [])
        study.record_failure(row_of(missing[1]) | FAILURE, [])
        return FAILED, set()

    assert replicate(stages, monkeypatch, fails) == FAILED
    assert stages.named()
