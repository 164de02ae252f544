"""Studies of several data sets on one page: what may be claimed, and what may not."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from sweeper.cli.main import main
from sweeper.report.data_sets import gather, verdict, write_data_sets
from sweeper.results.leaderboard import derive
from sweeper.results.store import Study
from sweeper.statistics.data_sets import ENOUGH
from tests.report.test_answer import study as made_up_study
from tests.report.test_page import browser, drawn, opened  # noqa: F401
from tests.results.rows import study_of

FEW, MANY = ENOUGH - 1, ENOUGH + 2


@pytest.fixture(scope="module")
def page_path():
    """No page of its own for `opened`: each test names one."""


def studies(folder, sets, effects, *, between=0.01, sd=0.01, seeds=3):
    """Studies of the same arms, each of a data set of its own, on which effects differ by `between`."""
    rng = np.random.default_rng(4)
    made = []
    for number in range(sets):
        here = {arm: effect + between * rng.normal() for arm, effect in effects.items()}
        study = made_up_study(folder / "made" / str(number), here, seeds=seeds, sd=sd)
        rows = [
            row | {"dataset": f"set{number}", "data_digest": f"digest{number}"} for row in study.trials().to_pylist()
        ]
        plan = study.read_plan() | {"data_digest": f"digest{number}"}
        made.append(study_of(folder / f"study{number}", rows, plan))
    return made


def boards(*args, **kwargs):
    return [derive(study) for study in studies(*args, **kwargs)]


def test_too_few_data_sets_forbid_a_claim(tmp_path):
    found = gather(boards(tmp_path, FEW, {"garm": -0.3, "macem-a": 0.0}))
    first, *others = verdict(found)
    assert first.startswith(f"{FEW} data sets are too few for a claim about others: even an arm that loses on all")
    assert f"p = {stats.binomtest(FEW, FEW).pvalue:.2g} (sign test)" in first
    assert f"From {ENOUGH} on" in first
    assert "Worse on each data set: garm." in others


def test_enough_data_sets_allow_one(tmp_path):
    found = gather(boards(tmp_path, MANY, {"garm": -0.3, "macem-a": 0.0}))
    first, *_ = verdict(found)
    assert re.match(
        rf"On data sets of this kind, told from {MANY}: 2 arms against full at ±1 point: 1 worse \(garm\)", first
    )


def test_the_claim_over_data_sets_has_the_data_set_as_its_unit(tmp_path):
    few, many = (
        gather(boards(tmp_path / str(seeds), MANY, {"garm": -0.1}, between=0.1, seeds=seeds)) for seeds in (2, 8)
    )
    for found in (few, many):
        place = found.arms.index("garm")
        each = found.scores[place] - found.scores[found.arms.index("full")]
        interval = stats.ttest_1samp(each, 0).confidence_interval()
        assert found.over_sets.diff[place] == pytest.approx(each.mean())
        assert found.over_sets.units[place] == MANY
        assert (found.over_sets.low[place], found.over_sets.high[place]) == pytest.approx(interval, abs=2e-3)
    widths = [(found.over_sets.high - found.over_sets.low)[found.arms.index("garm")] for found in (few, many)]
    assert widths[1] > 0.7 * widths[0], "more seeds tell nothing about other data sets"


def test_heterogeneity_is_of_each_arm(tmp_path):
    same = gather(boards(tmp_path / "same", 4, {"garm": -0.1, "macem-a": 0.0}, between=0.0))
    apart = gather(boards(tmp_path / "apart", 4, {"garm": -0.1, "macem-a": 0.0}, between=0.2))
    assert (same.between.p > 0.01).all()
    assert (apart.between.p < 0.001).all()
    assert "Not the same on all data sets, beyond chance: " in " ".join(verdict(apart))
    assert (apart.between.sd > 0.1).any()


def test_contradictions_are_named(tmp_path):
    made = [made_up_study(tmp_path / str(i), {"garm": effect}, sd=0.001) for i, effect in enumerate((-0.2, 0.2))]
    for number, study in enumerate(made):
        plan = study.read_plan() | {"data_digest": str(number)}
        (study.folder / "plan.json").write_text(json.dumps(plan))
    said = verdict(gather([derive(study) for study in made]))
    assert "Worse on one data set and better on another: garm." in said


def test_the_page(opened, tmp_path):  # noqa: F811
    effects = {"garm": -0.2, "macem-a": 0.0, "macem-b": 0.05}
    page = opened(Path(write_data_sets(studies(tmp_path, MANY, effects), tmp_path / "page.html")))
    assert page.heard == []
    assert drawn(page) == {"data-sets", "ranks"}
    assert page.locator(".lead").inner_text().startswith("On data sets of this kind")
    table = page.locator("#tables table").first
    assert [cell.inner_text() for cell in table.locator("thead th").all()][-3:] == ["τ", "I² %", "p (Q)"]
    assert table.locator("tbody tr").count() == 3
    assert "Critical-difference diagram" in page.inner_text("#ranking")
    assert page.locator("#each dt").count() == MANY
    assert "NaN" not in page.inner_text("body")
    assert len(page.requested) == 1
    for link in page.locator("nav a").all():
        assert page.locator(link.get_attribute("href")).count() == 1


def test_the_page_of_few_draws_no_bars_and_fits_a_phone(opened, tmp_path):  # noqa: F811
    made = studies(tmp_path, 2, {"garm": -0.2, "macem-a": 0.0})
    page = opened(Path(write_data_sets(made, tmp_path / "page.html")), viewport={"width": 390, "height": 844})
    assert page.heard == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert "so no bars are drawn" in page.inner_text("#ranking")
    assert "over data sets" not in page.locator("#tables table").first.inner_text()


def test_the_parts_of_a_factorial_stand_side_by_side(tmp_path):
    parts = ("dual-branch", "macem-a", "macem-b", "garm", "macem-a+b", "macem-b+garm", "macem-a+garm")
    text = Path(write_data_sets(studies(tmp_path, 2, dict.fromkeys(parts, 0.0)), tmp_path / "p.html")).read_text(
        "utf-8"
    )
    assert "What each part is worth on each data set" in text
    assert "MACEM-A × MACEM-B × GARM" in text


def call(capsys, *words):
    code = main(["report", *map(str, words)])
    return code, capsys.readouterr()


def test_as_a_user_calls_it(tmp_path, capsys):
    made = [study.folder for study in studies(tmp_path, 2, {"garm": -0.2})]
    code, said = call(capsys, *made, "--output", tmp_path / "both.html")
    assert (code, said.out) == (0, f"{tmp_path}/both.html: one file, opens in any browser, without a network\n")
    code, said = call(capsys, made[0], made[0], "--output", tmp_path / "both.html")
    assert code == 2
    assert "are of the same data, which count once; compare them with: python -m sweeper compare" in said.err
    code, said = call(capsys, *made, "--data", tmp_path)
    assert (code, said.err) == (2, "sweeper: error: --data is for the report of one study, and here are 2\n")


def test_studies_that_have_nothing_in_common_are_refused(tmp_path, capsys):
    one = studies(tmp_path / "one", 1, {"garm": -0.2})[0]
    other = studies(tmp_path / "other", 2, {"macem-a": -0.2})[1]
    code, said = call(capsys, one.folder, other.folder)
    assert (code, said.err) == (2, "sweeper: error: these studies have no arm in common to compare with full\n")
    plan = other.read_plan() | {"reference": "macem-a"}
    (other.folder / "plan.json").write_text(json.dumps(plan))
    code, said = call(capsys, one.folder, other.folder)
    assert code == 2
    assert "these studies compare with different arms: full, macem-a" in said.err


def test_what_else_differs_is_said(tmp_path):
    made = studies(tmp_path, 2, {"garm": -0.2})
    plan = made[1].read_plan()
    plan["design"]["training"]["epochs"] = 99
    (made[1].folder / "plan.json").write_text(json.dumps(plan))
    text = Path(write_data_sets([Study(s.folder) for s in made], tmp_path / "page.html")).read_text("utf-8")
    assert "the studies differ in more than their data: training.epochs" in text


def test_studies_of_different_margins_need_one(tmp_path, capsys):
    made = studies(tmp_path, 2, {"garm": -0.2})
    plan = made[0].read_plan() | {"margin": 0.2}
    (made[0].folder / "plan.json").write_text(json.dumps(plan))
    folders = [study.folder for study in made]
    code, said = call(capsys, *folders, "--output", tmp_path / "both.html")
    assert code == 2
    assert f"run with different margins, in points: {folders[0]} 20, {folders[1]} 1; give --margin POINTS" in said.err
    assert call(capsys, *folders, "--margin", "1", "--output", tmp_path / "both.html")[0] == 0
