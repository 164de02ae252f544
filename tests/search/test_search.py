"""Ask and tell: the budget, what is remembered of earlier runs, and what is told of failures."""

import errno
import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from filelock import FileLock
from optuna.trial import TrialState

from sweeper.results.searching import Goal
from sweeper.results.tables import StudyError
from sweeper.search.suggest import JOURNAL, importances, open_storage
from tests.benchmarks.search_vs_random import races
from tests.search.conftest import row_of, run, searching, stopped
from tests.studies import STUDY


def trials(storage):
    (summary,) = optuna.get_all_study_summaries(storage)
    return optuna.load_study(study_name=summary.study_name, storage=storage).get_trials()


def states(storage):
    return [trial.state for trial in trials(storage)]


def test_the_recipe_is_tried_first_and_once(open_search, plan):
    search = open_search()
    search.enqueue(json.loads(plan.recipe_params))
    first, second = search.ask(), search.ask()
    assert first.params == plan.recipe_params
    assert first.training == plan.recipe.training
    assert second.params != plan.recipe_params
    again = open_search([row_of(first)])
    again.enqueue(json.loads(plan.recipe_params))
    assert again.ask().params != plan.recipe_params


def test_studies_of_one_name_that_share_a_database_know_nothing_of_each_other(open_search, plan):
    shared = optuna.storages.InMemoryStorage()
    run(open_search(storage=shared, owner="a" * 12))
    other = open_search(storage=shared, owner="b" * 12)
    other.enqueue(json.loads(plan.recipe_params))
    assert other.ask().params == plan.recipe_params, "the recipe's own values come first in each"
    assert len(run(other)) == 9, "each has its whole budget"


def test_trials_differ_in_their_configuration_alone(open_search):
    first, second = open_search().ask(), open_search(budget=99).ask()
    assert first == second, "the same search begins alike"
    rows = run(open_search())
    assert len({row["seed"] for row in rows}) == 1
    assert len({row["trial_id"] for row in rows}) == len(rows) == 10


def test_the_budget_is_the_total(open_search):
    rows = run(open_search(budget=6))
    assert len(rows) == 6
    assert open_search(rows, budget=6).ask() is None
    assert len(run(open_search(rows, budget=9))) == 3


def test_two_commands_have_the_budget_together(tmp_path, open_search):
    """Each had counted once, as it began: then both ran all of it."""
    one, other = (open_search(storage=open_storage(tmp_path, None), budget=8) for _ in range(2))
    rows = [*run(one, 3), *run(other, 3)]
    running = one.ask()
    rows += run(other)
    assert len({row["trial_id"] for row in rows}) == len(rows) == 7, "one still runs"
    assert (one.ask(), other.left) == (None, 0)
    one.tell(running.trial_id, row_of(running))
    assert states(open_storage(tmp_path, None)).count(TrialState.COMPLETE) == 8


def test_of_two_that_ask_for_the_last_trial_at_once_one_gets_it(open_search, plan):
    storage = optuna.storages.InMemoryStorage()
    other, given = open_search(storage=storage, budget=4), []

    def meanwhile(trial, base):
        found = STUDY.space(trial, base)
        given.append(other.ask())
        return found

    one = open_search(storage=storage, budget=4, plan=searching(plan, meanwhile))
    run(other, 3)
    assert one.ask() is not None
    assert set(given) == {None}
    assert TrialState.RUNNING in states(storage)


def test_a_command_that_opens_while_another_asks_does_not_end_it(open_search, plan):
    """It takes what runs and has no name yet for left behind."""
    storage = optuna.storages.InMemoryStorage()
    opened = []

    def meanwhile(trial, base):
        if not opened:
            opened.append(open_search(storage=storage))
        return STUDY.space(trial, base)

    assert open_search(storage=storage, plan=searching(plan, meanwhile)).ask() is not None


@pytest.mark.parametrize("tell", [row_of, stopped], ids=["complete", "stopped"])
def test_what_another_command_took_for_left_behind_is_learned(tmp_path, open_search, tell):
    """It waits for a worker, so nothing tells yet that somebody is at it."""
    storage = open_storage(tmp_path, None)
    one = open_search(storage=storage, budget=3)
    waiting = one.ask()
    other = open_search(storage=open_storage(tmp_path, None), budget=3)
    row = tell(waiting)
    one.tell(waiting.trial_id, row)
    state = TrialState.COMPLETE if tell is row_of else TrialState.PRUNED
    assert states(storage).count(state) == 1
    rows = [row, *run(other), *run(one)]
    assert len({row["trial_id"] for row in rows}) == len(rows) == 3
    count = len(trials(storage))
    open_search(rows, storage=open_storage(tmp_path, None), budget=3)
    assert len(trials(open_storage(tmp_path, None))) == count, "nothing is remembered twice"


def test_what_is_claimed_counts_and_is_not_asked_for(open_search):
    storage = optuna.storages.InMemoryStorage()
    running = open_search(storage=storage, budget=3).ask()
    other = open_search(storage=storage, budget=3)  # before the first one's trial has a worker
    claimed = {running.trial_id}
    specs = [other.ask(claimed) for _ in range(3)]
    assert [spec is None for spec in specs] == [False, False, True]
    assert running.trial_id not in {spec.trial_id for spec in specs[:2]}


@pytest.mark.parametrize("keep", [True, False], ids=["storage kept", "storage lost"])
def test_a_search_goes_on_with_what_it_learned(tmp_path, open_search, keep):
    rows = run(open_search(storage=open_storage(tmp_path, None), budget=30), 20)
    rows[3] = rows[3] | {"status": "failed", "accuracy": None}
    if not keep:
        (tmp_path / JOURNAL).unlink()
        storage = open_storage(tmp_path, None)
        open_search(rows, storage=storage, budget=30)
        found = trials(storage)
        assert [t.user_attrs["trial_id"] for t in found] == [row["trial_id"] for row in rows]
        assert [t.value for t in found] == [row["accuracy"] for row in rows]
        assert [json.dumps(t.params, sort_keys=True, separators=(",", ":")) for t in found] == [
            row["params"] for row in rows
        ]
    storage = open_storage(tmp_path, None)
    more = run(open_search(rows, storage=storage, budget=30))
    assert len(more) == 10
    assert not {row["trial_id"] for row in more} & {row["trial_id"] for row in rows}
    assert TrialState.RUNNING not in states(storage)
    before = len(trials(storage))
    open_search([*rows, *more], storage=open_storage(tmp_path, None), budget=30)
    assert len(trials(open_storage(tmp_path, None))) == before, "nothing is remembered twice"


@pytest.mark.parametrize("keep", [True, False], ids=["storage kept", "storage lost"])
def test_a_space_that_means_something_else_by_the_same_values_is_refused(tmp_path, open_search, plan, keep):
    def space(factor):
        return lambda trial, base: replace(base, max_lr=factor * trial.suggest_float("rate", 1e-4, 1e-2))

    rows = run(open_search(storage=open_storage(tmp_path, None), plan=searching(plan, space(1.0))), 3)
    if not keep:
        (tmp_path / JOURNAL).unlink()
    storage = open_storage(tmp_path, None)
    with pytest.raises(StudyError, match=r"values that this search does not choose .*they give another training now"):
        open_search(rows, storage=storage, plan=searching(plan, space(0.1)))
    assert open_search(rows, storage=storage, plan=searching(plan, space(1.0))).left == 7


def test_what_was_running_when_the_process_died_is_tried_again(tmp_path, open_search):
    search = open_search(storage=open_storage(tmp_path, None))
    rows = run(search, 2)
    left_behind = [search.ask(), search.ask()]
    committed = row_of(left_behind[1])  # by its worker, just before the driver died
    storage = open_storage(tmp_path, None)
    again = open_search([*rows, committed], storage=storage)
    first = again.ask()
    assert first == left_behind[0], "the same values and id, so that it continues from its own checkpoint"
    again.tell(first.trial_id, row_of(first))
    assert len(run(again)) == 10 - 4
    found = states(storage)
    assert found.count(TrialState.COMPLETE) == 10
    assert found.count(TrialState.FAIL) == 2
    assert TrialState.RUNNING not in found


def test_a_journal_torn_by_a_kill_is_set_aside_and_written_anew(tmp_path, open_search):
    rows = run(open_search(storage=open_storage(tmp_path, None)), 5)
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-20])
    storage = open_storage(tmp_path, None)
    assert len(run(open_search(rows, storage=storage))) == 5
    assert states(storage).count(TrialState.COMPLETE) == 10
    assert journal.with_suffix(".damaged").exists()


def die_writing(folder):
    storage = open_storage(Path(folder), None)
    (summary,) = optuna.get_all_study_summaries(storage)
    os.fsync = lambda _file: os.kill(os.getpid(), signal.SIGKILL)
    optuna.load_study(study_name=summary.study_name, storage=storage).ask()


def test_a_kill_in_the_midst_of_writing_stops_nobody(tmp_path, open_search):
    """Optuna's own lock would, for half a minute."""
    search = open_search(storage=open_storage(tmp_path, None))
    rows = run(search, 2)
    code = f"from tests.search.test_search import die_writing; die_writing({str(tmp_path)!r})"
    killed = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -signal.SIGKILL
    began = time.monotonic()
    assert len(run(open_search(rows, storage=open_storage(tmp_path, None)))) == 8
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_files_have_no_locks_optunas_own_is_used(tmp_path, open_search, monkeypatch, number):
    def flock(file, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    assert len(run(open_search(storage=open_storage(tmp_path, None)), 3)) == 3


def test_a_process_that_keeps_the_journal_is_named(tmp_path, open_search, monkeypatch):
    monkeypatch.setattr("sweeper.search.suggest.LOCK_SECONDS", 0.1)
    with (
        FileLock(tmp_path / f".{JOURNAL}.lock", is_singleton=False),
        pytest.raises(StudyError, match=rf"{JOURNAL} can't be used \(.*lock"),
    ):
        open_storage(tmp_path, None)


def test_reopening_does_not_repeat_the_draws(tmp_path, open_search):
    storage = open_storage(tmp_path, None)
    first = run(open_search(storage=storage), 3)
    second = run(open_search(first, storage=storage), 3)
    assert not {row["params"] for row in first} & {row["params"] for row in second}


def test_failures_and_stopped_trials_are_told_as_such(tmp_path, open_search):
    storage = open_storage(tmp_path, None)
    search = open_search(storage=storage)
    specs = [search.ask() for _ in range(4)]
    search.tell(specs[0].trial_id, None)
    search.tell(specs[1].trial_id, row_of(specs[1], status="failed", error="NonFiniteLoss: the loss became nan"))
    search.tell(specs[2].trial_id, stopped(specs[2]))
    search.tell(specs[3].trial_id, row_of(specs[3]))
    assert states(storage) == [TrialState.FAIL, TrialState.FAIL, TrialState.PRUNED, TrialState.COMPLETE]
    assert trials(storage)[2].intermediate_values == {3: 0.1}
    assert trials(storage)[2].value == 0.1
    optuna_study = optuna.load_study(study_name=None, storage=storage)
    assert optuna_study.best_trial.number == 3, "a stopped trial is never the best"


def test_a_database_serves_as_well_and_a_wrong_url_is_told(tmp_path, open_search):
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    rows = run(open_search(storage=open_storage(tmp_path, url)), 4)
    storage = open_storage(tmp_path, url)
    assert len(run(open_search(rows, storage=storage))) == 6
    assert len(trials(storage)) == 10
    with pytest.raises(StudyError, match="--storage nonsense"):
        open_storage(tmp_path, "nonsense")


def test_another_design_in_the_storage_is_refused(tmp_path, open_search):
    open_search(storage=open_storage(tmp_path, None), design="one")
    with pytest.raises(StudyError, match="another design"):
        open_search(storage=open_storage(tmp_path, None), design="two")


def test_two_objectives_keep_both_values(tmp_path, open_search):
    goal = Goal("accuracy", "gflops")
    storage = open_storage(tmp_path, None)

    def tell(spec, number):
        return row_of(spec, number=number, gflops_per_clip=0.5, train_clips=100)

    rows = run(open_search(storage=storage, goal=goal), 5, tell)
    assert [trial.values for trial in trials(storage)] == [[row["accuracy"], 3 * 0.5 * 100 * 12] for row in rows]
    (tmp_path / JOURNAL).unlink()
    again = open_storage(tmp_path, None)
    open_search(rows, storage=again, goal=goal)
    assert [t.values for t in trials(again)] == [t.values for t in trials(storage)]


def test_importance_finds_the_field_that_decides(open_search, plan):
    rows = run(open_search(budget=60))
    decided = [row | {"accuracy": json.loads(row["params"])["learning_rate"] * 50} for row in rows]
    shares = importances(decided, plan.make, Goal("accuracy"))
    assert next(iter(shares)) == "learning_rate"
    assert sum(shares.values()) == pytest.approx(1)
    assert importances(decided[:3], plan.make, Goal("accuracy")) == {}
    same = [row | {"accuracy": 0.5} for row in rows]
    assert importances(same, plan.make, Goal("accuracy")) == {}


def test_the_search_beats_random_draws_of_equal_budget():
    """Paired by seed, on a made-up surface; the benchmark prints the table."""
    scores = races(8, 40)
    difference = scores[:, 0] - scores[:, 1]
    assert difference.mean() > 0.01
    assert (difference > 0).sum() > 4


def test_the_dashboard_reads_a_search_while_it_runs(tmp_path, open_search):
    pytest.importorskip(
        "optuna_dashboard", reason="optuna-dashboard is not installed: pip install 'sweeper[dashboard]'"
    )
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna_dashboard import wsgi

    search = open_search(storage=open_storage(tmp_path, None))
    rows = run(search, 4)
    search.ask()
    application = wsgi(JournalStorage(JournalFileBackend(str(tmp_path / JOURNAL))))

    def get(path):
        answer = {}

        def start(status, _headers, _info=None):
            answer["status"] = status

        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "SERVER_NAME": "here", "SERVER_PORT": "80"}
        environ |= {"wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "QUERY_STRING": "after=0"}
        body = b"".join(application(environ, start))
        assert answer["status"].startswith("200"), body
        return json.loads(body)

    (study,) = get("/api/studies")["study_summaries"]
    assert study["study_name"] == search.name
    shown = get(f"/api/studies/{study['study_id']}")["trials"]
    assert [trial["state"] for trial in shown] == ["Complete"] * 4 + ["Running"]
    assert [trial["values"] for trial in shown[:4]] == [[row["accuracy"]] for row in rows]
