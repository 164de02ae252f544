"""What README and CONTRIBUTING promise of studies, done."""

import re
import shlex
from pathlib import Path

import pytest

from sweeper.cli.main import main
from sweeper.plan import build_plan
from sweeper.results.study_arms import study_arms
from sweeper.run.ablations import plan_grid
from sweeper.run.options import AblationOptions
from sweeper.run.prepare import prepare_run
from sweeper.study_file import load

ROOT = Path(__file__).parents[1]
MOST_LINES = 30


@pytest.fixture
def study():
    """The shortest complete study, as README prints it."""
    (found,) = re.findall(
        r"<!-- tests/test_readme.py runs it -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    return found


def plan_of(file, results):
    run = prepare_run(AblationOptions(source=str(file), results=str(results), dry_run=True))
    return build_plan(
        study="s",
        source=run.source,
        arms=run.arms,
        recipe=run.recipe,
        dataset="demo",
        split="official",
        folds=run.folds,
        classes=len(run.dataset.classes),
        replicates=1,
    )


def test_the_shortest_study_is_whole_and_short(study, tmp_path):
    assert sum(bool(line.strip()) for line in study.splitlines()) <= MOST_LINES
    file = tmp_path / "frames.py"
    file.write_text(study)
    plan = plan_of(file, tmp_path)
    assert [trial.arm for trial in plan.trials] == ["full", "no-norm", "no-ema"]


def test_to_add_an_arm_a_table_or_a_recipe_is_a_line_in_the_study(study, tmp_path):
    file = tmp_path / "frames.py"
    file.write_text(study)
    before = plan_of(file, tmp_path)
    more = study.replace('Arm("full"),', 'Arm("full"),\n        Arm("wide", network={"width": 64}),')
    more = more.replace("    recipes=(", '    tables=(Table("norm", ("full", "no-norm")),),\n    recipes=(').replace(
        "Study, T", "Study, Table, T"
    )
    file.write_text(more)
    after = plan_of(file, tmp_path)
    old = {trial.arm: trial.trial_id for trial in before.trials}
    new = {trial.arm: trial.trial_id for trial in after.trials}
    assert {arm: new[arm] for arm in old} == old and new.keys() - old == {"wide"}
    tables = study_arms(after.describe()).tables
    assert {name: table.arms for name, table in tables.items()} == {
        "norm": ("full", "no-norm"),
        "others": ("wide", "no-ema"),
    }


def test_what_is_decided_within_a_budget_follows_the_main_job(tmp_path, capsys):
    """In README's order, where the main job has planned a fixed study by then."""
    options = AblationOptions(results=str(tmp_path), dry_run=True)
    grid = plan_grid(options, print)
    grid.run.results.write_plan({**grid.plan.describe(), "data_digest": "d"})
    lines = re.findall(r"^python -m sweeper (run ablations --until .*)$", (ROOT / "README.md").read_text(), re.M)
    assert len(lines) == 2
    for line in lines:
        words = shlex.split(line, comments=True)
        assert main([*words, "--results", str(tmp_path), "--dry-run"]) == 0, capsys.readouterr().err


def test_contributing_names_what_there_is():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for name in re.findall(r"`((?:search_spaces|model|sweeper|tests)/[\w/.]+\.py)`", text):
        assert (ROOT / name).exists(), name
    assert load(ROOT / "tests/study_files/mel.py").study.arms
