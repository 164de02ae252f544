"""Searches in tables and on the page: made-up scores, real files."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from sweeper.cli.main import main
from sweeper.definition import definition
from sweeper.plan import Tuning, build_plan
from sweeper.report.designs import designs_table, sibling
from sweeper.report.page import write_page
from sweeper.report.rerun import rerun_command
from sweeper.report.search_tables import changes
from sweeper.results import leaderboard
from sweeper.results.checks import find_problems
from sweeper.results.searching import Goal, read_searches, search_table, write_searches
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.results.verdict import protocol_differences
from sweeper.run.options import SearchOptions
from sweeper.run.search import search_design
from sweeper.search.plan import plan_searches
from sweeper.search.suggest import Search
from sweeper.space import SearchScope
from tests.benchmarks.search_vs_random import surface
from tests.report.test_page import browser, drawn, opened  # noqa: F401
from tests.results.test_verdict import PROTOCOL
from tests.search.conftest import row_of, stopped
from tests.studies import ARMS, PAPER, RECIPES

ARM_NAMES = ("full", "garm")


@pytest.fixture(scope="module")
def page_path():
    """No page of its own for `opened`: each test names one."""


def make_study(folder, *, cost=None, tuned=False):
    """Searches of 12 trials, two of them stopped, unless cost counts, and one failed; a grid if `tuned`."""
    recipe = RECIPES["quick"]()
    arms = [ARMS[name] for name in (ARM_NAMES if tuned else ("full",))]
    objective = "accuracy" if tuned else "accuracy_ema"
    goal, scope = Goal(objective, cost), SearchScope(objective, cost)
    plans = plan_searches(
        study=folder.name, source=PAPER, arms=arms, recipe=recipe, dataset="demo", split="official", folds=(1,),
        classes=10, scope=scope,
    )  # fmt: skip
    study = Study(folder)
    study.create()
    shared = {"data_digest": "x", "synthetic": True, "notes": [], "classes": []}
    searches = [{"arm": s.arm.name, "fold": 1, "recipe_params": s.recipe_params} for s in plans]
    described = {"goal": {"objective": objective, "cost": cost}, "trials": 12, "top": 2, "replicates": 2}
    options = SearchOptions(objective=objective, cost=cost)
    common = search_design(plans[0], options) | ({"budget": {"trials": 12, "top": 2, "replicates": 2}} if tuned else {})
    plan = {"study": folder.name, "design": common, "search": described | {"halving": True}, "trials": []}
    plan |= {"reference": "full", "definition": definition(PAPER, recipe)}
    study.write_plan(plan | shared | {"searches": searches} | ({"fixed_study": "fixed"} if tuned else {}))
    number = 0
    for arm_search in plans:
        search = Search(arm_search.name, arm_search.make, goal, budget=12, storage=optuna.storages.InMemoryStorage(),
                        rows=(), design="")  # fmt: skip
        search.enqueue(json.loads(arm_search.recipe_params))
        while (spec := search.ask()) is not None:
            number += 1
            score = surface(spec.training)
            row = row_of(spec, score, number, accuracy_ema=score + 0.01, gflops_per_clip=0.02, study=study.name)
            if number in (5, 6) and cost is None:
                row = stopped(spec, number)
            elif number == 7:
                row |= {"status": "failed", "accuracy": None, "accuracy_ema": None, "error": "NonFiniteLoss"}
            search.tell(spec.trial_id, row)
            (study.record_failure if row["status"] == "failed" else study.commit)(row, *([[]] * (1 + (number != 7))))
        (found,) = [f for f in read_searches(study) if f.arm == arm_search.arm.name]
        for stage, params in (("replicate", found.leading), ("confirm", (found.leading[0], found.recipe_params))):
            for spec in arm_search.trials(stage, list(dict.fromkeys(params)), 2):
                study.commit(row_of(spec, surface(spec.training) + 0.01 * spec.replicate), [], [])
    if tuned:
        winners = {(f.arm, f.fold): f.winner.params for f in read_searches(study)}
        trainings = {s.key: s.training(winners[s.key]) for s in plans}
        grid(study, arms, recipe, Tuning(scope, winners, trainings), gain=0.02)
    write_searches(study, read_searches(study))
    return study


def grid(study, arms, recipe, tuning=None, gain=0.0):
    plan = build_plan(
        study=study.name, source=PAPER, arms=arms, recipe=recipe, dataset="demo", split="official", folds=(1,),
        classes=10, replicates=3, tuning=tuning,
    )  # fmt: skip
    old = study.read_plan() or {"data_digest": "x", "synthetic": True, "notes": [], "classes": []}
    study.write_plan(plan.describe() | old | {"trials": plan.describe()["trials"]})
    for spec in plan.trials:
        score = 0.6 + 0.03 * spec.replicate**2 + (0.0 if spec.arm == "full" else gain - 0.05)
        row = row_of(replace(spec, stage=""), score) | {"kind": "ablation", "scored_on": "test"}
        study.commit(row, [], [])


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("results") / "searched")


@pytest.fixture(scope="module")
def costed(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("results") / "costed", cost="gflops")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    fixed = Study(folder / "fixed")
    fixed.create()
    grid(fixed, [ARMS[name] for name in ARM_NAMES], RECIPES["quick"]())
    return make_study(folder / "tuned", tuned=True)


def test_stopped_and_failed_trials_are_never_candidates(searched):
    (found,) = read_searches(searched)
    states = [row["status"] for row in found.explored]
    assert (states.count("stopped"), states.count("failed")) == (2, 1)
    complete = {row["params"] for row in found.explored if row["status"] == "complete"}
    assert set(found.leading) <= complete
    table = search_table(found)
    assert {row["status"] for row in table if row["pareto"]} == {"complete"}
    assert [row["stopped_epoch"] for row in table if row["status"] == "stopped"] == [3, 3]
    assert found.winner.scores == found.scores("replicate", found.winner.params)
    assert len(found.winner.scores) == 2


def test_nothing_beats_the_front_on_both(costed, capsys):
    (found,) = read_searches(costed)
    rows = [row for row in search_table(found) if row["status"] == "complete"]
    front = [row for row in rows if row["pareto"]]
    assert 1 < len(front) < len(rows)
    for row in rows:
        assert any(other["score"] >= row["score"] and other["cost"] <= row["cost"] for other in front)
    assert main(["leaderboard", str(costed.folder)]) == 0
    out = capsys.readouterr().out
    assert "gflops" in out
    assert "★" in out


def test_the_leaderboard_of_a_search_shows_it(searched, capsys):
    assert main(["leaderboard", str(searched.folder)]) == 0
    out = capsys.readouterr().out
    expected = ("Search · full, fold 1: 12 trials, of which 9 complete, 2 stopped, 1 failed", "Winners")
    for words in expected:
        assert words in out, words
    assert "Table 6" not in out
    assert "unplanned" not in out
    for form in ("markdown", "latex", "csv", "json"):
        assert main(["leaderboard", str(searched.folder), "--format", form]) == 0
        capsys.readouterr()


def test_a_searchs_trials_enter_no_ablation(tuned):
    board = leaderboard.derive(tuned)
    rows = {row["arm"]: row for row in board.summary if row["kind"] == "ablation"}
    assert {arm: row["n"] for arm, row in rows.items()} == {"full": 3, "garm": 3}
    assert rows["garm"]["diff"] == pytest.approx(-0.03)
    assert all(row["mean"] is None for row in board.summary if row["kind"] == "search")
    ablated = [row for row in board.trials.to_pylist() if row["kind"] == "ablation"]
    assert all("hyperparameters of each arm's own" in protocol_differences(row, PROTOCOL) for row in ablated)
    assert not [p for p in find_problems(board.trials, board.plan) if p.kind in ("unplanned", "double", "missing")]


def test_both_designs_stand_side_by_side(tuned, tmp_path):
    board = leaderboard.derive(tuned)
    table = designs_table(board, sibling(board))
    garm = dict(zip(table.header, table.rows[0], strict=True))
    assert garm["arm"] == "garm"
    assert garm["difference [95 %]"].startswith("-5.0")
    assert garm["its difference [95 %]"].startswith("-3.0")
    assert garm["moved by [95 %]"].startswith("+2.0 [")
    other = Study(tmp_path / "other")
    other.create()
    other.write_plan({"data_digest": "y", "trials": [], "design": {}})
    other.commit(row_of(make_spec()), [], [])
    with pytest.raises(StudyError, match="other data"):
        sibling(board, other)
    assert sibling(leaderboard.derive(Study(tuned.folder.parent / "fixed"))) is None


def make_spec():
    plan = build_plan(
        study="o", source=PAPER, arms=[ARMS["full"]], recipe=RECIPES["quick"](), dataset="demo", split="official",
        folds=(1,), classes=10, replicates=1,
    )  # fmt: skip
    return plan.trials[0]


def test_the_page_of_a_search(costed, opened, tmp_path):  # noqa: F811
    page = opened(Path(write_page(costed, tmp_path / "report.html")))
    assert page.heard == []
    assert drawn(page) == {"history-full-1", "importance-full-1", "front-full-1"}
    assert page.locator("section#differences").count() == 0
    assert "winner against the recipe" in page.locator("#answer").inner_text()
    assert "NaN" not in page.inner_text("body")
    for link in page.locator("nav a").all():
        assert page.locator(link.get_attribute("href")).count() == 1


def test_the_page_of_tuned_ablations_has_both_designs(tuned, opened, tmp_path):  # noqa: F811
    page = opened(Path(write_page(tuned, tmp_path / "report.html")), viewport={"width": 390, "height": 844})
    assert page.heard == []
    assert {"designs-figure", "forest", "history-full-1", "history-garm-1"} <= drawn(page)
    assert "+2.0" in page.locator("#designs").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize("which", ["searched", "costed", "tuned"])
def test_the_command_to_run_again_is_understood(which, request, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEPER_CACHE", str(tmp_path))
    study = request.getfixturevalue(which)
    words = shlex.split(rerun_command(study.read_plan()))
    assert main([*words[3:], "--results", str(study.folder.parent), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert f"study {study.name}: " in out
    assert "12 trials each" in out


def test_changes_are_said_in_words():
    recipe = '{"learning_rate":0.002,"noise":false,"gain":true,"signal_strength":1.0}'
    assert changes(recipe, recipe) == "the recipe"
    other = '{"learning_rate":0.0004321,"noise":true,"noise_snr_db":12.34,"gain":false}'
    assert changes(other, recipe) == "learning_rate 0.000432, noise on, gain off, noise_snr_db 12.3"
