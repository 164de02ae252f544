"""From trial rows to a row per arm."""

import io
import math

import numpy as np
import pytest
from scipy import stats

from search_spaces.ablations import ARMS
from sweeper.report.tables import render
from sweeper.results.leaderboard import rebuild, summarise
from sweeper.results.store import Study, StudyError
from tests.results.rows import trial_row


def grid(arms=tuple(ARMS), folds=(1, 2, 3), replicates=(0, 1)):
    rng = np.random.default_rng(0)
    return [
        trial_row(arm, fold, replicate, accuracy=float(rng.uniform(0.4, 0.9)))
        for arm in arms
        for fold in folds
        for replicate in replicates
    ]


def by_arm(trials):
    return {row["arm"]: row for row in summarise(trials)}


def test_a_row_per_arm_in_the_papers_order():
    assert [row["arm"] for row in summarise(grid()[::-1])] == list(ARMS)


def test_means_and_paired_differences():
    trials = grid()
    rows = by_arm(trials)
    full = np.array([row["accuracy"] for row in trials if row["arm"] == "full"])
    garm = np.array([row["accuracy"] for row in trials if row["arm"] == "garm"])
    assert rows["garm"]["n"] == rows["garm"]["blocks"] == 6
    assert rows["garm"]["mean"] == pytest.approx(garm.mean())
    assert rows["garm"]["diff"] == pytest.approx((garm - full).mean())
    assert rows["full"]["diff"] is None
    # Nadeau-Bengio by hand: 20 test clips on 80 training clips.
    error = (garm - full).std(ddof=1) * math.sqrt(1 / 6 + 0.25)
    half = stats.t.ppf(0.975, 5) * error
    assert rows["garm"]["diff_high"] - rows["garm"]["diff"] == pytest.approx(half)


def test_only_blocks_that_both_arms_finished_are_compared():
    trials = [row for row in grid(("full", "garm")) if (row["arm"], row["fold"]) != ("full", 3)]
    garm = by_arm(trials)["garm"]
    assert (garm["n"], garm["blocks"]) == (6, 4)
    paired = {}
    for row in trials:
        paired.setdefault((row["fold"], row["replicate"]), {})[row["arm"]] = row["accuracy"]
    differences = [block["garm"] - block["full"] for block in paired.values() if len(block) == 2]
    assert garm["diff"] == pytest.approx(np.mean(differences))


def test_p_values_are_adjusted_for_the_arms_compared():
    rows = by_arm(grid())
    compared = [row for row in rows.values() if row["p_value"] is not None]
    assert len(compared) == 11
    smallest = min(compared, key=lambda row: row["p_value"])
    assert smallest["p_holm"] == pytest.approx(min(1.0, 11 * smallest["p_value"]))
    assert all(row["p_holm"] >= row["p_value"] for row in compared)


def test_a_failed_trial_is_counted_and_never_a_score():
    trials = grid(("full", "garm"))
    trials[-1] |= {"status": "failed", "accuracy": None, "accuracy_ema": None, "seconds": None, "error": "boom"}
    garm = by_arm(trials)["garm"]
    assert (garm["n"], garm["failed"], garm["blocks"]) == (5, 1, 5)


def test_an_arm_that_only_failed_has_a_row_without_numbers():
    trials = grid(("full", "garm"), folds=(1,), replicates=(0,))
    trials[-1] |= {"status": "failed", "accuracy": None, "accuracy_ema": None, "seconds": None, "error": "boom"}
    garm = by_arm(trials)["garm"]
    assert (garm["n"], garm["failed"], garm["mean"], garm["diff"]) == (0, 1, None, None)


def test_one_block_gives_no_interval_and_no_crash():
    garm = by_arm(grid(("full", "garm"), folds=(1,), replicates=(0,)))["garm"]
    assert garm["diff"] is not None
    assert garm["diff_low"] is None
    assert garm["p_value"] == 1.0


def test_published_values_are_marked_as_another_protocol():
    rows = by_arm(grid())
    assert rows["full"]["published"] == pytest.approx(0.9091)
    assert rows["fusion-sum"]["published"] == pytest.approx(0.8879)
    assert rows["full"]["verdict"] == "not comparable: dataset demo, split official, recipe x"
    same = [row | {"dataset": "urbansound8k", "split": "paper", "recipe": "paper"} for row in grid(("full",))]
    assert summarise(same)[0]["verdict"].startswith("same protocol")


def test_rebuild_writes_both_tables(tmp_path):
    study = Study(tmp_path / "s")
    study.create()
    with pytest.raises(StudyError, match="no trial yet"):
        rebuild(study)
    for row in grid(("full", "garm")):
        study.commit(row, [], [])
    trials, summary = rebuild(study)
    assert (len(trials), len(summary)) == (12, 2)
    first = [(study.folder / name).read_bytes() for name in ("leaderboard.parquet", "summary.parquet")]
    rebuild(study)
    assert first == [(study.folder / name).read_bytes() for name in ("leaderboard.parquet", "summary.parquet")]


def text_of(trials):
    from rich.console import Console

    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render(trials, summarise(trials)))
    return console.export_text()


def test_tables_show_what_a_reader_must_know():
    trials = grid()
    trials[0] |= {"synthetic": True, "leak": "not leakage-safe: 3 of 9 test clips share a recording with training"}
    text = text_of(trials)
    for expected in (
        "Table 6",
        "Table 7",
        "90.91",
        "88.79",
        "synthetic",
        "not leakage-safe: 3 of 9",
        "one random 80:20",
    ):
        assert expected in text, expected
    assert text.count("semantic-only") == 1
    assert text.count("full") >= 2


def test_a_failed_trial_is_named_below_the_tables():
    trials = grid(("full", "garm"))
    trials[-1] |= {
        "status": "failed",
        "accuracy": None,
        "accuracy_ema": None,
        "seconds": None,
        "error": "NonFiniteLoss: boom",
    }
    assert "failed: garm, fold 3, seed 1: NonFiniteLoss: boom" in text_of(trials)
