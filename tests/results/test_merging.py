"""Two half studies are one whole, row for row; what can't be one study is refused, and nothing is begun."""

import shutil

import numpy as np
import pytest

from sweeper.report.tables import heading
from sweeper.results import leaderboard
from sweeper.results.attempts import attempt
from sweeper.results.floors import Floor, write_floor
from sweeper.results.gates import ask_gate
from sweeper.results.merging import merge_studies
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from tests.results.rows import FAILED, grid, plan_of, prediction

SOFTWARE = {"git_commit": "abc", "sweeper_version": "0.1"}


def make(folder, rows, **plan):
    study = Study(folder)
    study.create()
    study.write_plan(plan_of(rows) | {"design": {"a": 1}, "software": SOFTWARE, "all_folds": [1, 2, 3]} | plan)
    for row in rows:
        with attempt(study, row["trial_id"], device="cpu", cpus=1, gpus=0) as running:
            running.outcome = "complete"
        study.commit(row, [], [prediction(row["trial_id"])] * 20)
    return study


@pytest.fixture(scope="module")
def rows():
    return grid(("full", "garm", "macem-a"))


def test_two_halves_are_the_whole(tmp_path, rows):
    halves = [make(tmp_path / str(seed), [row for row in rows if row["replicate"] == seed]) for seed in (0, 1)]
    whole, merged = make(tmp_path / "whole", rows), Study(tmp_path / "merged")
    assert merge_studies(halves, merged) == len(rows)
    assert merged.trials().equals(whole.trials())
    assert heading(leaderboard.derive(merged)).startswith("merged: ")
    expected, found = leaderboard.derive(whole), leaderboard.derive(merged)
    assert found.summary == expected.summary and found.problems == expected.problems == ()
    for row in rows:
        assert merged.evidence.predictions(row) is not None
    assert len(merged.attempts.single()) == len(rows)


def test_of_a_trial_that_both_hold_the_first_ones_counts(tmp_path, rows):
    one = make(tmp_path / "1", rows)
    other = make(tmp_path / "2", [row | {"accuracy": 0.1, "evidence": "0" * 12} for row in rows])
    merged = Study(tmp_path / "merged")
    assert merge_studies([one, other], merged) == len(rows)
    assert merged.trials().equals(one.trials())


def test_failures_come_along(tmp_path, rows):
    study = make(tmp_path / "1", rows[1:])
    study.write_plan(study.read_plan() | plan_of(rows))
    study.write_table(study.failures.path(rows[0]["trial_id"]), [rows[0] | FAILED], study.trials().schema)
    merged = Study(tmp_path / "merged")
    assert merge_studies([study], merged) == len(rows) - 1
    assert merged.row(rows[0]["trial_id"])["error"] == "boom"


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"data_digest": "other"}, "other data"),
        ({"design": {"a": 2}}, "another design"),
        ({"sequential": {"arms": []}}, "goes on until its arms are decided"),
    ],
)
def test_what_cannot_be_one_study_is_refused(tmp_path, rows, plan, words):
    parts = [make(tmp_path / "1", rows[:2]), make(tmp_path / "2", rows[2:4], **plan)]
    with pytest.raises(StudyError, match=words):
        merge_studies(parts, merged := Study(tmp_path / "merged"))
    assert not merged.exists()


def test_rows_of_other_code_are_refused_whatever_a_later_command_wrote_into_the_plan(tmp_path, rows):
    new = {"software": SOFTWARE | {"git_commit": "def"}}
    trained = [make(tmp_path / "1", rows[:2]), make(tmp_path / "2", [r | {"git_commit": "def"} for r in rows[2:4]])]
    with pytest.raises(StudyError, match=r"1 and .*2 are of other code \(git_commit .* and def\)"):
        merge_studies(trained, Study(tmp_path / "merged"))
    trained[0].write_plan(trained[0].read_plan() | new)  # by a command that had nothing to train
    with pytest.raises(StudyError, match="other code"):
        merge_studies(trained, merged := Study(tmp_path / "merged"))
    assert not merged.exists()
    of_both = make(tmp_path / "both", [rows[0], rows[1] | {"git_commit": "def"}])
    with pytest.raises(StudyError, match="both is of other code"):
        merge_studies([of_both, trained[1]], merged)
    same = make(tmp_path / "same", rows[2:4], **new)
    assert merge_studies([trained[0], same], merged) == 4


def floor_of(wrong, *folds):
    return Floor("m", {fold: np.array([[8, 2], [wrong, 10 - wrong]]) for fold in folds}, dict.fromkeys(folds, 80))


def test_the_floor_of_each_fold_comes_along(tmp_path, rows):
    parts = [make(tmp_path / str(fold), [row for row in rows if row["fold"] == fold]) for fold in (3, 1, 2)]
    write_floor(parts[0], floor_of(4, 3, 2), "x")
    write_floor(parts[1], floor_of(4, 1, 2), "x")  # what a fold's floor is follows from the data: both know fold 2
    write_floor(parts[2], floor_of(0, 2), "of other data, which were there before")
    merge_studies(parts, merged := Study(tmp_path / "merged"))
    found = leaderboard.derive(merged).floor
    assert list(found.confusions) == [1, 2, 3] and found.train_clips == {1: 80, 2: 80, 3: 80}
    assert (found.method, found.accuracy()) == ("m", pytest.approx(0.7))


def test_floors_that_disagree_about_a_fold_are_refused(tmp_path, rows):
    parts = [make(tmp_path / str(seed), [row for row in rows if row["replicate"] == seed]) for seed in (0, 1)]
    for part, wrong in zip(parts, (4, 5), strict=True):
        write_floor(part, floor_of(wrong, 1), "x")
    with pytest.raises(StudyError, match=r"0 and .*1 have the same data and say different things of the floor of fold"):
        merge_studies(parts, merged := Study(tmp_path / "merged"))
    assert not merged.exists()


def test_a_study_with_itself_is_refused(tmp_path, rows):
    study = make(tmp_path / "1", rows[:2])
    (tmp_path / "link").symlink_to(tmp_path / "1")
    for other in (Study(tmp_path / "1"), Study(tmp_path / "link")):
        with pytest.raises(StudyError, match="is named twice"):
            merge_studies([study, other], merged := Study(tmp_path / "merged"))
        assert not merged.exists()


def test_a_study_at_work_or_a_name_that_is_taken_is_refused(tmp_path, rows):
    study = make(tmp_path / "1", rows[:2])
    with pytest.raises(StudyError, match="is there already"):
        merge_studies([study], study)
    running = attempt(study, rows[0]["trial_id"], device="cpu", cpus=1, gpus=0)
    with running, pytest.raises(StudyError, match="still at work"):
        merge_studies([study], Study(tmp_path / "merged"))


def test_what_gates_have_spent_in_the_parts_is_spent_in_the_whole(tmp_path, rows):
    halves = [make(tmp_path / str(seed), [row for row in rows if row["replicate"] == seed]) for seed in (0, 1)]
    for half in halves:
        ask_gate(half, "garm", None, 0.01)
    ask_gate(halves[1], "macem-a", None, 0.01)
    merge_studies(halves, merged := Study(tmp_path / "merged"))
    assert ask_gate(merged, "garm", None, 0.01)["gate"] == 4


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_studies_that_grew_the_one_that_grew_more_often_counts(tmp_path, rows, order):
    grown = [[{"blocks": n, "to": n + 1, "finished": 1} for n in range(1, 1 + times)] for times in (1, 3)]
    parts = [make(tmp_path / str(n), rows[n : n + 1], extended=grown[n]) for n in (0, 1)]
    merge_studies([parts[n] for n in order], merged := Study(tmp_path / "merged"))
    assert merged.read_plan()["extended"] == grown[1]


def test_what_a_killed_commit_left_under_its_mark_comes_along(tmp_path, rows):
    """An earlier attempt, killed before its row, has the usual name."""
    study = make(tmp_path / "1", rows)
    row = study.row(rows[0]["trial_id"])
    usual = study.folder / "predictions" / f"{row['trial_id']}.parquet"
    usual.rename(usual.with_stem(f"{row['trial_id']}-{row['evidence']}"))
    study.evidence.keep_table("predictions", row["trial_id"], "0" * 12, [prediction(row["trial_id"])] * 20)
    assert usual.exists() and study.evidence.predictions(row) is not None
    merge_studies([study], merged := Study(tmp_path / "merged"))
    assert merged.evidence.predictions(merged.row(row["trial_id"])) is not None


def test_nothing_is_made_of_studies_without_a_trial(tmp_path, rows):
    study = make(tmp_path / "1", rows)
    shutil.rmtree(study.folder / "trials")
    with pytest.raises(StudyError, match="there is no trial to take"):
        merge_studies([study], merged := Study(tmp_path / "merged"))
    assert not merged.exists()
