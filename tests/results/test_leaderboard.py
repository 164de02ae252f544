"""From trial rows to a row per arm, and the files that both are kept in."""

import json

import duckdb
import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from search_spaces.ablations import ARMS
from sweeper.results import schema
from sweeper.results.leaderboard import derive
from sweeper.results.store import Study
from sweeper.results.summary import summarise
from sweeper.results.tables import StudyError
from sweeper.statistics import bootstrap_difference, mcnemar_clustered, sign_flip_p
from tests.results.golden import FOLDER as GOLDEN
from tests.results.rows import trial_row

NOWHERE = Study("there are no predictions")
FAILED = {"status": "failed", "accuracy": None, "accuracy_ema": None, "seconds": None, "error": "boom"}


def grid(arms=tuple(ARMS), folds=(1, 2, 3), replicates=(0, 1)):
    rng = np.random.default_rng(0)
    return [
        trial_row(arm, fold, replicate, accuracy=float(rng.uniform(0.4, 0.9)))
        for arm in arms
        for fold in folds
        for replicate in replicates
    ]


def plan_of(rows):
    names = ("trial_id", "kind", "arm", "fold", "replicate")
    return {"data_digest": "x", "trials": [{name: row[name] for name in names} for row in rows]}


def by_arm(trials, plan=None):
    table = pa.Table.from_pylist(trials, schema=schema.TRIAL)
    return {row["arm"]: row for row in summarise(table, plan or {}, NOWHERE)}


def study_of(folder, trials, plan=None):
    study = Study(folder)
    study.create()
    for row in trials:
        if row["status"] == "complete":
            study.commit(row, [], [])
        else:
            study.record_failure(row, [])
    (folder / "plan.json").write_text(json.dumps(plan or plan_of(trials)))
    return study


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


# The files.


def tables(study):
    return [(study.folder / name).read_bytes() for name in ("leaderboard.parquet", "summary.parquet")]


def test_both_tables_are_written_and_byte_stable(tmp_path):
    empty = study_of(tmp_path / "empty", [])
    with pytest.raises(StudyError, match="no trial yet"):
        derive(empty)
    study = study_of(tmp_path / "s", grid(("full", "garm")))
    board = derive(study)
    assert (len(board.trials), len(board.summary)) == (12, 2)
    assert pq.read_schema(study.folder / "summary.parquet").equals(schema.SUMMARY, check_metadata=True)
    first = tables(study)
    derive(study)
    assert tables(study) == first


def test_a_damaged_trial_is_named(tmp_path):
    study = study_of(tmp_path / "s", grid(("full", "garm")))
    path = next((study.folder / "trials").iterdir())
    path.write_bytes(b"unreadable")
    with pytest.raises(StudyError, match=f"{path.name} is damaged .*; delete it and run"):
        derive(study)


def test_a_trial_that_was_deleted_or_trained_again_is_noticed(tmp_path):
    trials = grid(("full", "garm"))
    study = study_of(tmp_path / "s", trials)
    derive(study)
    for row in trials[:2]:
        (study.folder / "trials" / f"{row['trial_id']}.parquet").unlink()
    study.commit(trials[0] | {"accuracy": 0.125}, [], [])
    rows = {row["trial_id"]: row["accuracy"] for row in derive(study).trials.to_pylist()}
    assert len(rows) == len(trials) - 1
    assert rows[trials[0]["trial_id"]] == 0.125


def test_a_damaged_leaderboard_is_replaced(tmp_path):
    study = study_of(tmp_path / "s", grid(("full", "garm")))
    derive(study)
    good = tables(study)
    (study.folder / "leaderboard.parquet").write_bytes(b"PAR1")
    derive(study)
    assert tables(study) == good


def test_a_failure_that_was_mended_leaves_no_trace(tmp_path):
    trials = grid(("full", "garm"))
    study = study_of(tmp_path / "s", [*trials[:-1], trials[-1] | FAILED])
    board = derive(study)
    assert board.trials["status"].to_pylist().count("failed") == 1
    study.commit(trials[-1], [], [])
    assert derive(study).problems == ()


def test_a_file_of_an_older_version_is_read_without_the_newer_columns(tmp_path):
    trials = grid(("full", "garm"))
    study = study_of(tmp_path / "s", trials)
    path = study.folder / "trials" / f"{trials[0]['trial_id']}.parquet"
    row = pq.read_table(path)
    pq.write_table(row.drop_columns(["train_loss"]), path)
    assert derive(study).trials["train_loss"].null_count == 1
    pq.write_table(row.drop_columns(["threads"]), path)
    with pytest.raises(StudyError, match=f"{path.name} has no threads: .*delete it"):
        derive(study)


def test_a_study_from_before_there_were_searches_has_the_same_summary(tmp_path):
    study = study_of(tmp_path / "s", grid(("full", "garm")))
    before = derive(study).summary
    for path in (study.folder / "trials").iterdir():
        pq.write_table(pq.read_table(path).drop_columns(["params", "stage", "scored_on"]), path)
    assert derive(study).summary == before


# What was written once stays readable.

READERS = {
    # The README shows these lines.
    "pandas": 'pd.read_parquet("leaderboard.parquet").groupby("arm").accuracy.mean()',
    "Polars": 'polars.read_parquet("leaderboard.parquet").group_by("arm").agg(polars.mean("accuracy"))',
    "DuckDB": "duckdb.sql(\"SELECT arm, avg(accuracy) FROM 'leaderboard.parquet' GROUP BY arm\").fetchall()",
}


@pytest.mark.parametrize("reader", READERS)
def test_one_line_reads_a_leaderboard(tmp_path, monkeypatch, reader):
    trials = grid(("full", "garm"))
    derive(study_of(tmp_path, trials))
    monkeypatch.chdir(tmp_path)
    found = eval(READERS[reader], {"pd": pd, "polars": polars, "duckdb": duckdb})
    pairs = found.items() if reader == "pandas" else found.rows() if reader == "Polars" else found
    expected = {arm: np.mean([t["accuracy"] for t in trials if t["arm"] == arm]) for arm in ("full", "garm")}
    assert dict(pairs) == pytest.approx(expected)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.parquet")), ids=lambda path: path.stem)
def test_tables_of_every_released_schema_stay_readable(path):
    table = pq.read_table(path)
    kind, version = (table.schema.metadata[f"sweeper.{key}".encode()].decode() for key in ("schema", "schema_version"))
    today = {"trial": schema.TRIAL, "summary": schema.SUMMARY}[kind]
    assert path.stem.endswith(f"-v{version}")
    for field in table.schema:
        assert field.name in today.names, f"{field.name} is gone: raise SCHEMA_VERSION, and read version {version} here"
        assert today.field(field.name).type == field.type, field.name
    for name in set(today.names) - set(table.schema.names):
        assert today.field(name).nullable, f"{name} came later: old files don't have it, so it must be nullable"
    if kind == "trial":
        rows = [dict.fromkeys(schema.TRIAL.names) | row for row in table.to_pylist()]
        summary = by_arm(rows)
        assert summary["garm"]["mean"] == pytest.approx(0.5 + 0.01 * 2)
        assert summary["garm"]["diff"] == pytest.approx(0.02)


def test_the_current_schema_has_a_golden_file():
    assert (GOLDEN / f"leaderboard-v{schema.SCHEMA_VERSION}.parquet").exists()
    assert (GOLDEN / f"summary-v{schema.SCHEMA_VERSION}.parquet").exists()
