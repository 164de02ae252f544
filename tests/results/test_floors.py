"""`floor.json`: written whole, read back, of the plan's data only, and refused where it is damaged."""

import numpy as np
import pytest

from sweeper.results import leaderboard
from sweeper.results.floors import Floor, read_floor, write_floor
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from tests.results.rows import grid, plan_of, study_of

FLOOR = Floor("m", {1: np.array([[8, 2], [4, 6]]), 3: np.array([[10, 0], [0, 10]])}, {1: 80, 3: 80})


def test_it_is_read_back_and_is_the_mean_of_its_folds(tmp_path):
    study = Study(tmp_path / "s")
    assert read_floor(study, {"data_digest": "d"}) is None
    write_floor(study, FLOOR, "d")
    found = read_floor(study, {"data_digest": "d"})
    assert list(found.confusions) == [1, 3] and found.train_clips == {1: 80, 3: 80}
    assert found.accuracy() == pytest.approx((0.7 + 1.0) / 2)
    assert read_floor(study, {"data_digest": "other"}) is None, "of other data"


def test_it_lies_in_object_stores_too(s3):
    study = Study(f"{s3.url}/s")
    write_floor(study, FLOOR, "d")
    assert read_floor(study, {"data_digest": "d"}).accuracy() == FLOOR.accuracy()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"method": "m", "data_digest": "x", "folds": {}}',
        b'{"method": 3, "data_digest": "x", "folds": {"1": {"confusion": [[1]], "train_clips": 1}}}',
        b'{"method": "m", "data_digest": "x", "folds": {"one": {"confusion": [[1]], "train_clips": 1}}}',
        b'{"method": "m", "data_digest": "x", "folds": {"1": {"confusion": [[1, 2]], "train_clips": 1}}}',
        b'{"method": "m", "data_digest": "x", "folds": {"1": {"confusion": [[0]], "train_clips": 1}}}',
        b'{"method": "m", "data_digest": "x", "folds": {"1": {"confusion": [[-1]], "train_clips": 1}}}',
        b'{"method": "m", "data_digest": "x", "folds": {"1": {"confusion": [[true]], "train_clips": 1}}}',
        b'{"method": "m", "data_digest": "x", "folds": {"1": {"confusion": [["1"]], "train_clips": 1}}}',
    ],
)
def test_a_damaged_one_is_told_and_the_arms_are_compared_without(tmp_path, content):
    rows = grid(("full", "garm"))
    study = study_of(tmp_path / "s", rows, plan_of(rows))
    (tmp_path / "s" / "floor.json").write_bytes(content)
    with pytest.raises(StudyError, match=r"floor\.json is damaged .* delete it and run the study's command again"):
        read_floor(study, {"data_digest": "x"})
    board = leaderboard.derive(study)
    assert board.floor is None
    assert [problem.kind for problem in board.problems if problem.kind == "floor"] == ["floor"]
