"""A budget: what attempts have cost counts, whoever made them; blocks stay whole; tables say where it ended a study."""

import datetime
from types import SimpleNamespace

import numpy as np
import pytest

from sweeper.execution.interrupt import WithinBudget
from sweeper.report.formats import FORMATS
from sweeper.results import leaderboard, schema
from sweeper.results.budget import BUDGET, Budget, Spending, read_stop
from sweeper.results.looks import needed_trials
from sweeper.results.plans import merge, parse_plan, plan_bytes
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.run.ablations import extensions
from sweeper.tools.status import describe, status
from tests.results.rows import grid, plan_of, study_of, trial_row

ARMS, SEEDS, HOUR = ("full", "garm", "macem-a"), range(6), 3600.0
COST = {"full": 2.0, "garm": 1.0, "macem-a": 1.0}  # device-hours of a trial


def spec(arm, seed):
    name = trial_row(arm, 1, seed)["trial_id"]
    return SimpleNamespace(trial_id=name, arm=arm, replicate=seed, data=SimpleNamespace(fold=1))


SPECS = [spec(arm, seed) for seed in SEEDS for arm in ARMS]


@pytest.fixture
def study(tmp_path):
    found = Study(tmp_path / "study")
    found.create()
    found.write_plan(plan_of(trial_row(arm, 1, seed) for seed in SEEDS for arm in ARMS) | {"design": {}})
    return found


def attempt(study, trial, hours, outcome="complete", number=0, cpus=2.0, gpus=0.0):
    ended = datetime.datetime.now(datetime.UTC)
    seconds = hours * HOUR / (gpus or cpus)
    row = {
        **{"attempt_id": f"{number:012x}", "trial_id": trial.trial_id, "outcome": outcome, "device": "cpu"},
        **{"started": ended - datetime.timedelta(seconds=seconds), "ended": ended, "process": 2**22, "node": "there"},
        **{"cpus": cpus, "gpus": gpus},
    }
    study.write_table(study.attempts.path(f"{trial.trial_id}-{row['attempt_id']}"), [row], schema.ATTEMPT)


def train(study, trial, hours=None):
    attempt(study, trial, COST[trial.arm] if hours is None else hours)
    seed = trial.replicate
    noise = np.random.default_rng([seed, ARMS.index(trial.arm)]).normal()
    accuracy = 0.6 + 0.01 * float(noise) - 0.3 * (trial.arm == "garm")
    study.commit(trial_row(trial.arm, 1, seed, accuracy, data_digest="x"), [], [])


def spending(study, hours):
    return Spending(study, Budget(hours, f"{hours:g} device-hours"), SPECS)


def run(study, hours, **costs):
    """As a sweep of one trial at a time would; returns what is left of the budget."""
    left = spending(study, hours)
    done = study.finished()
    source = WithinBudget([trial for trial in SPECS if trial.trial_id not in done], left, say=lambda _: None)
    number = 0
    while isinstance(config := source.suggest(str(number)), dict):
        trial = config["spec"]
        train(study, trial, costs.get(trial.arm))
        source.on_trial_complete(str(number), {"outcome": "complete"})
        number += 1
    assert config == source.FINISHED
    return left


def test_every_attempt_counts_over_all_devices_and_commands(study):
    attempt(study, SPECS[0], 1.0, outcome="lost")
    attempt(study, SPECS[0], 2.0, number=1, gpus=0.5)
    attempt(study, SPECS[1], 0.5, outcome="running")
    left = spending(study, 4.0)
    assert left.spent() == pytest.approx(3.5 * HOUR, rel=1e-3)
    assert not left.over() and spending(study, 3.4).over()
    attempt(study, SPECS[1], 1.0)
    left.refresh()
    assert left.over()


@pytest.mark.parametrize("hours", [4.0, 9.9, 12.0, 23.9, 100.0])
def test_whole_blocks_in_order_and_never_more_than_the_budget(study, hours):
    left = run(study, hours)
    blocks = min(int(hours // 4), len(SEEDS)) or 1
    done = {trial.trial_id for trial in SPECS if trial.replicate < blocks}
    assert study.finished() == done
    assert left.spent() <= hours * HOUR * 1.001 and left.refused == (blocks < len(SEEDS))


def test_costs_that_nobody_could_know_overrun_by_the_running_trial_only(study):
    left = run(study, 5.0, garm=30.0)
    assert len(study.finished()) == 2
    assert left.spent() < (5.0 + 30.0) * HOUR


def test_trials_that_were_given_out_and_those_of_others_are_reckoned_with(study):
    for trial in SPECS[:3]:
        train(study, trial)
    assert spending(study, 8.5).affords(SPECS[3])
    assert not spending(study, 11.5).affords(SPECS[6], running=[SPECS[3].trial_id])
    assert spending(study, 12.5).affords(SPECS[6], running=[SPECS[3].trial_id])
    attempt(study, SPECS[3], 1.0, outcome="running")
    left = spending(study, 7.5)
    assert left.affords(SPECS[4]), "its block has begun"
    assert not left.fits(SPECS[3:6]) and spending(study, 8.5).fits(SPECS[3:6])


def stopped(study, hours):
    stop = run(study, hours).stop()
    study.write_plan(study.read_plan() | {BUDGET: Budget(hours, f"{hours:g} device-hours").record(stop)})
    return stop


def test_a_stopped_study_is_a_whole_one_of_the_blocks_that_it_has_and_says_so(study):
    stop = stopped(study, 17.0)
    assert len(stop.left) == 6 and read_stop(study.read_plan()) == stop
    board = leaderboard.derive(study)
    rows = {row["arm"]: row for row in board.ablation}
    assert (rows["garm"]["n"], rows["garm"]["planned"], rows["garm"]["outcome"]) == (4, 4, "worse")
    assert board.problems == () and len(board.grid.seeds) == 4
    printed = " ".join(FORMATS["markdown"](board).split())
    assert (
        "the study stopped at its budget of 17 device-hours: 16 device-hours were spent, and 2 planned blocks"
        in printed
    )
    assert "intervals hold as if no more had been planned" in printed
    assert describe(status(study))[-1].startswith("stopped at its budget of 17 device-hours")


def test_a_block_that_was_cut_is_not_compared(study):
    for trial in SPECS[:10]:
        train(study, trial)
    stop = Spending(study, Budget(5.0, "5 h"), SPECS).stop()
    study.write_plan(study.read_plan() | {BUDGET: Budget(5.0, "5 h").record(stop)})
    assert {row["n"] for row in leaderboard.derive(study).ablation} == {3}
    assert len(list(needed_trials(study.read_plan()))) == 9


def test_without_a_whole_block_nothing_is_said(study):
    train(study, SPECS[0])
    study.write_plan(study.read_plan() | {BUDGET: Budget(1.0, "1 h").record(spending(study, 1.0).stop())})
    board = leaderboard.derive(study)
    assert board.summary == () and "Nothing was found yet" in FORMATS["table"](board)


def test_a_failed_trial_stays_a_hole(study):
    for trial in SPECS[:6]:
        train(study, trial)
    study.storage.delete(f"trials/{SPECS[4].trial_id}.parquet")
    study.record_failure(trial_row("garm", 1, 1, status="failed", accuracy=None, accuracy_ema=None, seconds=None), [])
    stop = Spending(study, Budget(5.0, "5 h"), SPECS).stop()
    assert SPECS[4].trial_id not in stop.left and len(stop.left) == 12


def test_going_on_is_another_look_and_no_budget_is_none(study):
    stopped(study, 9.0)
    done = study.finished()
    plan = SimpleNamespace(trials=SPECS)
    assert extensions(study, plan, done) == {"extended": [{"blocks": 2, "to": 6, "finished": 6}]}
    study.write_plan(study.read_plan() | {BUDGET: {}})
    assert extensions(study, plan, done) == {} and read_stop(study.read_plan()) is None
    assert any("missing: 12" in str(problem) for problem in leaderboard.derive(study).problems)


def test_the_newer_budget_counts_and_a_garbled_one_is_refused(study):
    old = study.read_plan() | {BUDGET: {"device_hours": 1.0, "words": "1 h", "spent": 1.0, "left": []}}
    assert read_stop(merge(old, old | {BUDGET: {"device_hours": 2.0, "words": "2 h"}}, "s")) is None
    with pytest.raises(StudyError, match="is damaged"):
        parse_plan(plan_bytes(old | {BUDGET: {"spent": "much"}}), "plan.json")


def test_a_study_without_a_budget_is_as_it_was(tmp_path):
    rows = grid(ARMS)
    board = leaderboard.derive(study_of(tmp_path / "s", rows, plan_of(rows)))
    assert {row["n"] for row in board.ablation} == {6} and "budget" not in FORMATS["markdown"](board)
