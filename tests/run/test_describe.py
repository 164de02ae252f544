"""What a dry run says of the planned design's reach."""

import re
from dataclasses import replace

import pytest

from sweeper.audio import datasets
from sweeper.plan import Plan, build_plan, select_arms
from sweeper.results.reach import Design, Spread, spread_of
from sweeper.results.score_grid import score_grid, trial_frame
from sweeper.results.store import Study
from sweeper.results.study_arms import study_arms
from sweeper.run.describe import describe_reach
from sweeper.search_spaces.recipes import quick
from tests.results.rows import trial_row
from tests.studies import PAPER, STUDY

ARMS = ("garm", "full", "fusion-sum")


def plan_of(study: str, arms=ARMS, folds=(1,), seeds=2) -> Plan:
    return build_plan(
        study=study, source=PAPER, arms=select_arms(STUDY, names=arms), recipe=quick(), dataset="demo",
        split="official", folds=folds, classes=10, replicates=seeds,
    )  # fmt: skip


@pytest.fixture(scope="module")
def demo():
    return datasets.load("demo", None)


@pytest.fixture
def found(demo, tmp_path):
    """Sizes by line, and the line that tells the spread."""

    def describe(plan: Plan):
        study = Study(tmp_path / plan.study)
        lines = describe_reach(plan, demo, study, tmp_path)
        sizes = [float(size) for line in lines[:-1] for size in re.findall(r"from ([\d.]+) (?:SDs|points)", line)]
        return lines, sizes

    return describe


def committed(folder, plan: Plan):
    """A study in which the plan's trials are committed, with scores that spread by 3 points."""
    study = Study(folder / plan.study)
    study.create()
    study.write_plan(plan.describe())
    for number, spec in enumerate(plan.trials):
        accuracy = 0.7 + 0.03 * ((7 * number) % 5 - 2)
        row = trial_row(spec.arm, spec.data.fold, spec.replicate, accuracy, trial_id=spec.trial_id)
        study.commit(row, [], [])
    return study


def test_without_earlier_trials_sizes_are_in_sds_and_more_seeds_find_less(found):
    lines, (now, one_more_seed, one_more_fold) = found(plan_of("s"))
    assert lines[0].startswith("reach: true differences found with probability 0.8, by simulation of 3 arms × 1 fold")
    assert "on this split, over retraining: from" in lines[0]
    assert one_more_seed < now < one_more_fold
    assert "with one more fold, on other data of this kind" in lines[2]
    assert "no earlier trials tell its size" in lines[-1]
    assert now == pytest.approx(Design(3, 1, 2, 0.25, 5).detectable(Spread(1.0, None)), abs=0.05)


def test_all_folds_leave_none_to_add(found):
    lines, sizes = found(plan_of("s", folds=(1, 2, 3, 4, 5)))
    assert len(sizes) == 2
    assert "on other data of this kind" in lines[0]


def test_earlier_trials_of_the_same_design_tell_points(found, tmp_path):
    plan = plan_of("before", seeds=4)
    study = committed(tmp_path, plan)
    grid = score_grid(trial_frame(study.trials()), plan.describe(), "ablation", study_arms({}))
    lines, sizes = found(plan_of("now"))
    assert f"as in the trials of before: {100 * spread_of(grid).seed:.1f} points over seeds" in lines[-1]
    assert sizes[0] == pytest.approx(100 * Design(3, 1, 2, 0.25, 5).detectable(spread_of(grid)), abs=0.05)
    other = replace(plan_of("now"), design={**plan_of("now").design, "recipe": "other"})
    assert "no earlier trials" in found(other)[0][-1]


def test_what_the_study_holds_already_counts(found, tmp_path):
    committed(tmp_path, plan_of("s", ("macem-a", "macem-b", "full"), seeds=3))
    lines, _ = found(plan_of("s", ("garm", "full"), seeds=2))
    assert "4 arms × 1 fold × 3 seeds" in lines[0]
    assert "of this study" in lines[-1]


def test_one_block_finds_nothing_and_no_reference_compares_nothing(found):
    assert found(plan_of("s", seeds=1))[0][0].endswith("none, as one block shows no spread")
    assert found(plan_of("s", ("garm", "fusion-sum")))[0] == [
        "reach: nothing is compared, which needs full and another arm"
    ]
