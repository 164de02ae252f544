"""`--budget`: what it may say, and what the dry run makes of it and of earlier trials."""

import re
import time

import pytest

from sweeper.audio import datasets
from sweeper.plan import PlanError
from sweeper.results.attempts import attempt
from sweeper.results.budget import BUDGET, read_stop
from sweeper.results.store import Study
from sweeper.run.ablations import plan_grid, run_ablations
from sweeper.run.budget import budget_facts, read_budget
from sweeper.run.conclusion import describe_conclusion
from sweeper.run.options import AblationOptions
from tests.run.test_describe import committed, plan_of


@pytest.mark.parametrize(
    ("text", "price", "hours"),
    [("12h", None, 12), (".5h", 2.0, 0.5), ("30$", 2.5, 12), ("$30", 2.5, 12), (None, 1, None)],
)
def test_hours_or_money(text, price, hours):
    found = read_budget(AblationOptions(budget=text, price_per_hour=price))
    assert (found and found.device_hours) == hours


@pytest.mark.parametrize(
    ("text", "price", "words"),
    [
        ("12", None, "--budget 12: device-hours such as 12h"),
        ("0h", None, "--budget 0h: device-hours"),
        ("-3h", None, "--budget -3h: device-hours"),
        ("$3h", 1.0, "--budget"),
        ("nanh", None, "--budget nanh"),
        ("30$", None, r"--budget 30\$: what is an hour .* Add --price-per-hour"),
        ("3h", 0.0, "--price-per-hour 0: a number above 0"),
        (None, float("nan"), "--price-per-hour nan"),
    ],
)
def test_anything_else_is_refused(text, price, words):
    with pytest.raises(PlanError, match=words):
        read_budget(AblationOptions(budget=text, price_per_hour=price))


def test_a_former_budget_is_none_any_more(tmp_path):
    study = Study(tmp_path / "s")
    assert budget_facts(study, None, ()) == {}
    study.create()
    study.write_plan({"trials": [], "design": {}, "data_digest": "x", BUDGET: {"device_hours": 1.0}})
    assert budget_facts(study, None, ()) == {BUDGET: {}}
    assert budget_facts(study, read_budget(AblationOptions(budget="2h")), ())[BUDGET]["device_hours"] == 2


def test_what_a_former_budget_cut_stays_cut_until_it_is_asked_for(tmp_path):
    study, larger = Study(tmp_path / "s"), read_budget(AblationOptions(budget="2h"))
    study.create()
    stopped = {"device_hours": 1.0, "words": "1 device-hours", "spent": 0.9, "left": ["a", "b"]}
    study.write_plan({"trials": [], "design": {}, "data_digest": "x", BUDGET: stopped})
    for budget in (None, larger):
        assert budget_facts(study, budget, {"c"}) == {BUDGET: stopped}, "another arm, fewer seeds"
        assert budget_facts(study, budget, {"a", "c"}) == {BUDGET: stopped | {"left": ["b"]}}
    assert budget_facts(study, None, {"a", "b"}) == {BUDGET: {}}
    assert budget_facts(study, larger, {"a", "b"}) == {BUDGET: larger.record()}


@pytest.fixture(scope="module")
def demo():
    return datasets.load("demo", None)


def lines(demo, folder, plan, **options):
    given = AblationOptions(results=str(folder), **options)
    return describe_conclusion(plan, demo, Study(folder / plan.study), given, read_budget(given))


def test_without_earlier_trials_a_pilot_is_asked_for(demo, tmp_path):
    (line,) = lines(demo, tmp_path, plan_of("s"))
    assert "not known before a pilot of two blocks" in line
    (line,) = lines(demo, tmp_path, plan_of("s"), budget="12h")
    assert "not known, nor what the budget of 12 device-hours buys, before a pilot of two blocks" in line


def test_blocks_hours_and_money_follow_from_an_earlier_study(demo, tmp_path):
    committed(tmp_path, plan_of("before", seeds=4))
    told = lines(demo, tmp_path, plan_of("now"), margin=8.0, price_per_hour=2.0, budget="30$")
    per_block = 3 * 0.5 / 3600  # device-seconds of made-up rows
    assert f"a block takes {per_block:,.3g} GPU-hours" in told[0] and "of the trials of before" in told[0]
    assert re.search(r"this plan: ±[\d.]+ points \[[\d.]+ to [\d.]+\] for 2 arms: 2 blocks", told[1])
    assert told[2].startswith("  the budget of 30 $, 15 device-hours at 2:")
    form = r"±8 points for 2 arms: (\d+) blocks? \[(\d+) to (\d+)\], ([\d.e-]+) GPU-hours \[.*\], [\d.e-]+ at 2 \["
    blocks, least, most, hours = map(float, re.search(form, "\n".join(told)).groups())
    assert hours == pytest.approx(blocks * per_block, rel=0.01) and least <= blocks <= most
    assert "next: one more seed: ±" in told[-1] and "then on other data of this kind" in told[-1]


def test_a_factorial_says_the_width_of_its_effects(demo, tmp_path):
    arms = ("full", "garm", "macem-a", "macem-b", "fusion-sum")
    assert not any("factorial" in line for line in lines(demo, tmp_path, plan_of("s", arms)))


def test_a_stop_that_an_interrupted_command_did_not_write_is_written_by_the_next(tmp_path, monkeypatch):
    """Or the trials that the budget left out would be missing for ever, and nothing called."""
    monkeypatch.setenv("SWEEPER_CACHE", str(tmp_path / "cache"))
    said, spent = [], "0.000001h"
    options = AblationOptions(results=str(tmp_path), study="s", arms=("full", "detail-only"), budget=spent)
    grid = plan_grid(options, said.append)
    study, trials = grid.run.results, {spec.trial_id for spec in grid.plan.trials}
    study.create()
    study.write_plan(grid.plan.describe() | {"data_digest": "x"})
    with attempt(study, min(trials), device="cpu", cpus=1, gpus=0):
        time.sleep(0.05)
    assert read_stop(study.read_plan()) is None
    assert run_ablations(options, said.append).code == 0
    assert said[-1].startswith("Nothing to do: stopped at the budget")
    assert read_stop(study.read_plan()).left == trials and study.read_plan()["data_digest"] == "x"
