"""The floor beside the arms: in every table of theirs, never starred, and said where a network does not reach it."""

import numpy as np
import pytest

from sweeper.report.floor import FLOOR
from sweeper.report.formats import FORMATS
from sweeper.report.tables import document
from sweeper.results import leaderboard
from sweeper.results.floors import Floor, write_floor
from tests.results.rows import plan_of, study_of, trial_row


def board(tmp_path, floor, full=0.8, garm=0.7):
    rows = [
        trial_row(arm, 1, seed, mean + seed / 100) for arm, mean in (("full", full), ("garm", garm)) for seed in (0, 1)
    ]
    study = study_of(tmp_path / "s", rows, plan_of(rows))
    if floor is not None:
        hits = round(100 * floor)
        write_floor(study, Floor("m", {1: np.array([[hits, 100 - hits], [0, 0]])}, {1: 80}), "x")
    return leaderboard.derive(study)


def test_its_row_stands_last_under_the_arms_and_has_no_difference(tmp_path):
    shown = document(board(tmp_path, 0.75))
    tables = [table for table in shown.tables if "Table" in table.title]
    assert tables
    for table in tables:
        *arms, last = table.rows
        assert last[0] == FLOOR and all(row[0] != FLOOR for row in arms)
        assert dict(zip(table.header, last, strict=True))["acc %"] == "75.0"
        assert {last[-1], last[-2]} <= {"", "–"} and len(last) == len(table.header)
    assert any(note.startswith(f"{FLOOR}: m; fitted on the training clips") for note in shown.notes)


@pytest.mark.parametrize(
    ("floor", "said"),
    [
        (0.9, "All 2 arms score less than the floor of 90.0 %"),
        (0.75, "garm scores less than the floor of 75.0 %"),
        (0.3, ""),
    ],
)
def test_a_network_that_does_not_reach_it_is_told(tmp_path, floor, said):
    sentences = [sentence for sentence in document(board(tmp_path, floor)).answer if "floor" in sentence]
    assert [sentence.startswith(said) for sentence in sentences] == ([True] if said else [])


def test_an_arm_whose_trials_are_not_all_there_is_held_against_no_floor(tmp_path):
    rows = [trial_row(arm, 1, seed, 0.7) for arm in ("full", "garm") for seed in (0, 1)]
    study = study_of(tmp_path / "s", rows[:-1], plan_of(rows))
    write_floor(study, Floor("m", {1: np.array([[90, 10], [0, 0]])}, {1: 80}), "x")
    (said,) = [s for s in document(leaderboard.derive(study)).answer if "floor" in s]
    assert said.startswith("full scores less than the floor of 90.0 %")


@pytest.mark.parametrize("form", ["table", "markdown", "latex", "json"])
def test_it_is_in_every_format_and_studies_without_one_stay(tmp_path, form):
    assert "floor" in FORMATS[form](board(tmp_path / "a", 0.75)).replace('"floor": null', "")
    assert "floor" not in FORMATS[form](board(tmp_path / "b", None)).replace('"floor": null', "")
