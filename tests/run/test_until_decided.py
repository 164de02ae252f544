"""`run ablations --until decided` before anything runs: what it plans once, and what it refuses."""

import pytest

from sweeper.plan import PlanError
from sweeper.results.looks import SEQUENTIAL, plan_sequential
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.run.ablations import extensions, run_ablations
from sweeper.run.options import AblationOptions
from sweeper.run.until_decided import _planned
from tests.results.rows import plan_of, trial_row

ARMS = ("full", "garm", "macem-a")


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path / "study")


def planned(old, study, arms=ARMS, folds=(1,), seeds=8):
    return _planned(old, arms, "full", folds, seeds, study)


def test_looks_are_planned_by_the_first_command_and_stay(study):
    first = planned(None, study)
    assert first[SEQUENTIAL] == plan_sequential(ARMS, "full", (1,), 8)
    old = {"trials": [], **first}
    assert planned(old, study, seeds=12)[SEQUENTIAL] == first[SEQUENTIAL]
    assert planned({"trials": []}, study) == first


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arms": (*ARMS, "macem-b")}, "its arms can't change"),
        ({"folds": (1, 2)}, "has the folds 1, which can't change"),
    ],
)
def test_arms_and_folds_stay(study, change, words):
    old = {"trials": [], **planned(None, study)}
    with pytest.raises(StudyError, match=words):
        planned(old, study, **change)


def test_a_fixed_study_that_may_have_been_looked_at_is_refused(study):
    old = plan_of([trial_row("full")])
    with pytest.raises(StudyError, match="planned as a fixed study, and may have been looked at"):
        planned(old, study)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seeds": 5}, "--seeds 5: with --until decided"),
        ({"peers": ("acdnet",)}, "peers are compared with no arm"),
        ({"arms": ("full",)}, "nothing to decide"),
        ({"max_seeds": 0}, "--max-seeds 0: at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, options, words):
    with pytest.raises(PlanError, match=words):
        run_ablations(AblationOptions(until="decided", results=str(tmp_path), **options), print)


def test_a_dry_run_tells_the_looks(tmp_path):
    said = []
    options = AblationOptions(until="decided", max_seeds=8, arms=("full", "garm"), results=str(tmp_path), dry_run=True)
    run_ablations(options, said.append)
    assert said[0].endswith("2 arms × 1 fold, seeds until each arm is decided at ±1 points, at most 8")
    assert "looks after 4, 5, 6, 7, 8 blocks" in said
    assert not list(tmp_path.iterdir())


class Planned:
    """As much of a plan as is asked for."""

    def __init__(self, *cells):
        self.trials = [Trial(fold, seed) for fold, seed in cells]


class Trial:
    def __init__(self, fold, seed):
        self.data, self.replicate = self, seed
        self.fold = fold


def test_extensions_after_results_could_be_seen_are_written_down(study):
    rows = [trial_row("full", 1, 0), trial_row("garm", 1, 0)]
    study.create()
    study.write_plan(plan_of(rows) | {"design": {}})
    done = {row["trial_id"] for row in rows}
    more = Planned((1, 0), (1, 1), (1, 2))
    assert extensions(study, more, set()) == {}
    assert extensions(study, Planned((1, 0)), done) == {}
    once = extensions(study, more, done)
    assert once == {"extended": [{"blocks": 1, "to": 3, "finished": 2}]}
    study.write_plan(study.read_plan() | once)
    assert len(extensions(study, Planned((1, 5)), done)["extended"]) == 2


def test_fixed_seeds_pass_by_no_planned_look(study):
    study.create()
    study.write_plan({"trials": [], "design": {}, "data_digest": "x", **planned(None, study)})
    with pytest.raises(StudyError, match="use --until decided"):
        extensions(study, Planned((1, 0)), set())
