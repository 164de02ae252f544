"""The factorial among a study's arms, found from their switches, and the same of the published table."""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweeper.results import schema
from sweeper.results.leaderboard import derive
from sweeper.statistics import lenth
from tests.results.rows import FAILED, grid, plan_of, study_of
from tests.studies import ARMS, TABLES

PARTS = {"MACEM-A": "macem_a", "MACEM-B": "macem_b", "GARM": "garm"}
# As evidence for how the paper's Table 6 reads as a design, in points; worked out by hand from the printed accuracies.
PUBLISHED = {"MACEM-A": 0.59, "MACEM-B": 1.15, "GARM": 0.84, "MACEM-A × MACEM-B × GARM": 0.78}


def effects_of(folder, trials, plan=None):
    board = derive(study_of(folder, trials, plan))
    return {
        source: {row["effect"]: row for row in board.effects if row["source"] == source}
        for source in ("study", "published")
    }


def level(arm, part):
    return 1 if ARMS[arm].network.get(PARTS[part], True) else -1


def test_effects_are_those_of_the_eight_arms_by_hand(tmp_path):
    trials = grid()
    found = effects_of(tmp_path / "s", trials)["study"]
    arms = [arm for arm in TABLES["6"].arms if "only" not in arm]
    assert next(iter(found.values()))["arms"].split(", ") == arms
    means = {arm: np.mean([t["accuracy"] for t in trials if t["arm"] == arm]) for arm in arms}
    names = [" × ".join(chosen) for n in (1, 2, 3) for chosen in itertools.combinations(PARTS, n)]
    assert list(found) == names
    for name, row in found.items():
        sign = {arm: np.prod([level(arm, part) for part in name.split(" × ")]) for arm in arms}
        assert row["estimate"] == pytest.approx(sum(sign[arm] * means[arm] for arm in arms) / 4)
        assert row["low"] < row["estimate"] < row["high"]
        assert row["order"] == name.count("×") + 1
        assert (row["unit"], row["units"], row["method"]) == ("fold", 3, "modulus")


def test_the_published_table_reads_as_a_design_by_lenths_method(tmp_path):
    found = effects_of(tmp_path / "s", grid(dataset="urbansound8k"))["published"]
    for name, points in PUBLISHED.items():
        assert 100 * found[name]["estimate"] == pytest.approx(points, abs=0.006)
    noise = lenth([row["estimate"] for row in found.values()])
    for row in found.values():
        assert row["high"] - row["estimate"] == pytest.approx(noise.simultaneous_margin)
        assert row["significant"] is (abs(row["estimate"]) > noise.simultaneous_margin) is False
        assert (row["method"], row["p"], row["unit"]) == ("Lenth", None, "run")


def test_published_effects_are_of_the_data_set_that_they_were_published_on(tmp_path):
    for dataset in ("demo", "esc50"):
        assert effects_of(tmp_path / dataset, grid(dataset=dataset))["published"] == {}


def test_a_smaller_design_is_found_in_fewer_arms(tmp_path):
    arms = ("dual-branch", "macem-a", "garm", "macem-a+garm", "full")
    found = effects_of(tmp_path / "s", grid(arms, dataset="urbansound8k"))
    assert list(found["study"]) == ["MACEM-A", "GARM", "MACEM-A × GARM"]
    assert list(found["published"]) == list(found["study"])


def test_without_a_factorial_there_is_no_table(tmp_path):
    board = derive(study_of(tmp_path / "s", grid(TABLES["7"].arms)))
    assert board.effects == ()
    assert not (tmp_path / "s" / "effects.parquet").exists()


def test_one_run_of_each_arm_goes_by_lenths_method_and_holes_are_called_nothing(tmp_path):
    once = effects_of(tmp_path / "once", grid(folds=(1,), replicates=(0,)))["study"]
    assert {row["method"] for row in once.values()} == {"Lenth"}
    assert all(row["low"] < row["estimate"] < row["high"] for row in once.values())
    trials = grid()
    plan = plan_of(trials)
    (index,) = [i for i, t in enumerate(trials) if (t["arm"], t["fold"], t["replicate"]) == ("macem-a", 1, 0)]
    trials[index] |= FAILED
    holed = effects_of(tmp_path / "holed", trials, plan)["study"]
    assert {row["significant"] for row in holed.values()} == {None}
    assert {row["units"] for row in holed.values()} == {3}, "the fold's other seed is there"


def test_the_file_has_units_and_descriptions(tmp_path):
    derive(study_of(tmp_path / "s", grid(dataset="urbansound8k")))
    table = pq.read_table(tmp_path / "s" / "effects.parquet")
    assert table.schema.equals(schema.EFFECTS, check_metadata=True)
    assert table.num_rows == 14
    assert all(b"description" in field.metadata for field in table.schema)
    assert isinstance(table, pa.Table)
