"""From trial rows to a row per arm."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from sweeper.results import schema
from sweeper.results.leaderboard import derive
from sweeper.results.store import Study
from sweeper.results.summary import summarise
from sweeper.statistics import bootstrap_difference, mcnemar_clustered, sign_flip_p
from tests.results.rows import FAILED, grid, plan_of, study_of, trial_row
from tests.studies import ARMS

NOWHERE = Study("there are no predictions")


def by_arm(trials, plan=None):
    table = pa.Table.from_pylist(trials, schema=schema.TRIAL)
    return {row["arm"]: row for row in summarise(table, plan or {}, NOWHERE)}


def test_a_row_per_arm_in_the_papers_order():
    assert list(by_arm(grid()[::-1])) == list(ARMS)


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
    error = (garm - full).std(ddof=1) * np.sqrt(1 / 6 + 0.25)
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


def test_p_values_are_adjusted_for_all_planned_arms_even_those_without_a_trial():
    everything, some = grid(), grid(("full", "garm", "macem-a"))
    rows = by_arm(some, plan_of(everything))
    assert list(rows) == list(ARMS)
    assert (rows["macem-b"]["n"], rows["macem-b"]["planned"], rows["macem-b"]["p_holm"]) == (0, 6, None)
    smallest = min(rows["garm"], rows["macem-a"], key=lambda row: row["p_value"])
    assert smallest["p_holm"] == pytest.approx(min(1.0, 11 * smallest["p_value"]))


@pytest.mark.parametrize(("folds", "unit"), [(10, "fold"), (5, "block")])
def test_whole_folds_are_flipped_where_they_are_enough(folds, unit):
    trials = grid(folds=range(1, folds + 1))
    row = by_arm(trials, plan_of(trials))["garm"]
    score = {(t["arm"], t["fold"], t["replicate"]): t["accuracy"] for t in trials}
    blocks = [(fold, seed) for fold in range(1, folds + 1) for seed in (0, 1)]
    differences = [score["garm", *block] - score["full", *block] for block in blocks]
    groups = [fold for fold, _ in blocks] if unit == "fold" else None
    assert row["p_unit"] == unit
    assert row["p_value"] == pytest.approx(sign_flip_p(differences, rng=np.random.default_rng(0), groups=groups))
    assert row["p_smallest"] == 2.0**-9, "ten units either way"


def with_differences(differences):
    """Two arms in blocks of one fold each, `garm` better by so much."""
    rows = []
    for fold, difference in enumerate(differences, start=1):
        rows += [trial_row("full", fold, accuracy=0.5), trial_row("garm", fold, accuracy=0.5 + difference)]
    return rows


@pytest.mark.parametrize(
    ("differences", "p_below", "significant"),
    [
        ([0.10, 0.11, 0.12, 0.10, 0.09, 0.11, 0.10, 0.12], True, True),
        # All of one sign, so p is small, but the spread leaves the mean uncertain.
        ([0.001, 0.001, 0.002, 0.001, 0.002, 0.001, 0.30, 0.002], True, False),
        ([0.10, -0.11, 0.12, -0.10, 0.09, -0.11, 0.10, -0.12], False, False),
    ],
)
def test_significant_needs_both_the_test_and_the_interval(differences, p_below, significant):
    trials = with_differences(differences)
    row = by_arm(trials, plan_of(trials))["garm"]
    assert (row["p_holm"] <= 0.05) is p_below
    assert row["significant"] is significant


@pytest.mark.parametrize("arm", ["full", "garm"])
def test_an_arm_with_holes_is_not_called_anything(arm):
    trials = with_differences([0.1, 0.11, 0.12, 0.1, 0.09, 0.11, 0.1, 0.12])
    rest = [row for row in trials if (row["arm"], row["fold"]) != (arm, 1)]
    rows = by_arm(rest, plan_of(trials))
    assert rows["garm"]["blocks"] == 7
    assert (rows[arm]["n"], rows[arm]["planned"]) == (7, 8)
    assert rows["garm"]["significant"] is None


def test_a_failed_trial_is_counted_and_never_a_score():
    trials = grid(("full", "garm"))
    trials[-1] |= FAILED
    garm = by_arm(trials)["garm"]
    assert (garm["n"], garm["failed"], garm["blocks"], garm["planned"]) == (5, 1, 5, 6)


def test_an_arm_that_only_failed_has_a_row_without_numbers():
    trials = grid(("full", "garm"), folds=(1,), replicates=(0,))
    trials[-1] |= FAILED
    garm = by_arm(trials)["garm"]
    assert (garm["n"], garm["failed"], garm["mean"], garm["diff"]) == (0, 1, None, None)


def test_one_block_gives_no_interval_and_no_crash():
    garm = by_arm(grid(("full", "garm"), folds=(1,), replicates=(0,)))["garm"]
    assert garm["diff"] is not None
    assert garm["diff_low"] is None
    assert garm["p_value"] == 1.0


def test_other_kinds_of_trials_follow_and_are_no_part_of_the_family():
    ablations = grid(("full", "garm"))
    peers = [row | {"kind": "peer", "arm": "eat", "trial_id": f"peer{i}"} for i, row in enumerate(grid(("garm",)))]
    search = [row | {"kind": "search", "trial_id": f"search{i}"} for i, row in enumerate(grid(("full",)))]
    trials = [*search, *peers, *ablations]
    rows = summarise(pa.Table.from_pylist(trials, schema=schema.TRIAL), plan_of(trials), NOWHERE)
    assert [(row["kind"], row["arm"]) for row in rows] == [
        ("ablation", "garm"),
        ("ablation", "full"),
        ("peer", "eat"),
        ("search", "full"),
    ]
    assert rows[0]["p_holm"] == rows[0]["p_value"]
    assert rows[2]["blocks"] == 6
    assert rows[2]["published"] is None
    assert rows[3]["mean"] is None, "a search's trials have different settings"


def predictions_of(trials, clips=40):
    """Rows of random answers: two clips per recording, and the share of right ones as the trial's accuracy says."""
    rng = np.random.default_rng(1)
    found = {}
    for trial in trials:
        right = rng.random(clips) < trial["accuracy"]
        found[trial["trial_id"]] = [
            {"trial_id": trial["trial_id"], "clip_id": f"c{i:02}", "group": f"g{i // 2}", "target": i % 2}
            | {"probabilities": [float(i % 2 != hit), float(i % 2 == hit)], "probabilities_ema": [0.5, 0.5]}
            for i, hit in enumerate(right.astype(int))
        ]
    return found


def commit_with_predictions(folder, trials):
    study = study_of(folder, [], plan_of(trials))
    for trial_id, rows in predictions_of(trials).items():
        study.commit(next(t for t in trials if t["trial_id"] == trial_id), [], rows[::-1])
    return study


def test_a_single_split_is_bootstrapped_over_recordings(tmp_path):
    trials = grid(("full", "garm"), folds=(1,))
    study = commit_with_predictions(tmp_path / "s", trials)
    row = {r["arm"]: r for r in derive(study).summary}["garm"]
    answers = predictions_of(trials)

    def right(arm, seed):
        (trial_id,) = [t["trial_id"] for t in trials if (t["arm"], t["replicate"]) == (arm, seed)]
        return np.array([float(np.argmax(a["probabilities"]) == a["target"]) for a in answers[trial_id]])

    groups = [f"g{i // 2}" for i in range(40)]
    garm, full = ((right(arm, 0) + right(arm, 1)) / 2 for arm in ("garm", "full"))
    expected = bootstrap_difference(garm, full, groups, rng=np.random.default_rng(0), resamples=1999)
    assert (row["boot_diff_low"], row["boot_diff_high"]) == pytest.approx(tuple(expected))
    assert row["boot_low"] < garm.mean() < row["boot_high"]
    assert row["mcnemar_p"] == mcnemar_clustered(right("garm", 0), right("full", 0), groups).p_value
    assert row["recordings"] == 20


def test_several_folds_are_not_bootstrapped(tmp_path):
    study = commit_with_predictions(tmp_path / "s", grid(("full", "garm"), folds=(1, 2)))
    assert all(row["boot_low"] is None and row["mcnemar_p"] is None for row in derive(study).summary)
