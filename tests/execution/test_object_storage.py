"""A sweep whose results lie in an object store: killed, continued, read; by the real command line and a real server."""

import json
import signal
from pathlib import Path

import duckdb
import fsspec
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

from sweeper.results import attempts
from sweeper.results.attempts import read_attempts
from sweeper.results.searching import read_searches
from sweeper.results.store import Study
from tests.execution.conftest import cpus

TRIALS = 6
SMALL = ("run", "ablations", "--epochs", "1", "--seeds", "3", "--arm", "full", "detail-only", "--study", "s")
TIMES = ["seconds", "evaluation_seconds", "finished", "device_seconds", "waste_device_seconds", "attempts", "evidence"]

# Of a trial shorter than a heartbeat. Each half minute adds an upload, each five minutes that of a checkpoint.
REQUESTS_OF_A_TRIAL = {
    ("HEAD", "trials"): 1,  # has another cluster finished it?
    ("PUT", "attempts"): 2,  # it starts, it ends
    ("LIST", "attempts"): 1,  # what did earlier attempts cost?
    ("GET", "attempts"): 1,
    ("GET", "checkpoints"): 1,
    ("PUT", "weights"): 1,
    ("PUT", "predictions"): 1,
    ("PUT", "curves"): 1,
    ("PUT", "trials"): 1,
    ("DELETE", "failures"): 1,
    ("DELETE", "checkpoints"): 1,
}
# And of the tables that are made of it: the second because there is a single test fold.
REQUESTS_OF_A_TRIAL |= {("GET", "trials"): 1, ("GET", "predictions"): 1}


def lasted(attempt):
    return (attempt["ended"] - attempt["started"]).total_seconds()


def test_a_sweep_is_killed_continued_and_read_as_in_a_folder(sweeper, s3):
    sweeper.environment |= cpus(1)
    sweeper(*SMALL)
    in_folder = pd.read_parquet(sweeper.folder / "results" / "s" / "leaderboard.parquet")

    sweeper.environment |= s3.environment
    place = ("--results", f"{s3.url}/results")
    study = Study(f"{s3.url}/results/s")
    sweeper.finished = lambda _name: study.finished()
    sweeper.stop_after(1, "s", [signal.SIGKILL], *SMALL, *place)
    before = study.finished()
    assert 1 <= len(before) < TRIALS

    s3.requests.clear()
    output = sweeper(*SMALL, *place, "--log", "tensorboard")
    assert "0 of them already committed" not in output
    assert f"{study}/leaderboard.parquet: {TRIALS} trials" in output
    requests = {trial_id: s3.counts(trial_id) for trial_id in study.finished() - before}
    heartbeat = attempts.HEARTBEAT_SECONDS * study.storage.patience
    short = {row["trial_id"] for row in read_attempts(study).to_pylist() if lasted(row) < 0.9 * heartbeat}
    once = {row["trial_id"] for row in study.trials().to_pylist() if row["attempts"] == 1} & requests.keys() & short
    assert once, "trials that the kill did not touch"
    for trial_id in once:
        assert requests[trial_id].pop(("PUT", trial_id)) == 1, "TensorBoard's file"
        # Is there an object below that of the row, which was not there?
        assert requests[trial_id].pop(("LIST", f"{trial_id}.parquet")) == 1
        assert requests[trial_id] == REQUESTS_OF_A_TRIAL

    leaderboard = f"{study}/leaderboard.parquet"
    in_store = pd.read_parquet(leaderboard)
    assert_frame_equal(in_store.drop(columns=TIMES), in_folder.drop(columns=TIMES), check_exact=True)
    assert pq.read_table(leaderboard).num_rows == TRIALS
    duckdb.register_filesystem(fsspec.filesystem("s3"))
    means = duckdb.sql(f"select arm, avg(accuracy) from '{leaderboard}' group by arm").fetchall()
    # Two libraries may add the same numbers in another order.
    assert dict(means) == pytest.approx(in_folder.groupby("arm")["accuracy"].mean().to_dict())

    (table,) = study.storage.read("leaderboard.parquet")
    study.storage.write("leaderboard.parquet", b"")
    sweeper("leaderboard", "s", *place, "--rebuild")
    assert study.storage.read("leaderboard.parquet") == [table]
    assert f"{TRIALS} of {TRIALS} trials finished, 0 running" in sweeper("status", str(study))
    assert f"{study}/report.html" in sweeper("report", "s", *place)
    assert b"<html" in study.storage.read("report.html")[0]
    assert "the same" in sweeper("compare", str(study), "results/s")
    assert "no study 't'" in (error := sweeper("leaderboard", "t", *place, code=2))
    assert "there: s" in error
    clip = next(Path(sweeper.environment["SWEEPER_CACHE"]).rglob("*.wav"))
    weights = f"{study}/weights/{in_store['trial_id'][0]}.safetensors"
    assert sweeper("predict", weights, str(clip), "--format", "csv").splitlines()[0].startswith("file,start_s")


def test_a_search_is_killed_and_goes_on_with_what_was_committed(sweeper, s3):
    """Optuna keeps nothing in an object store: the rows are all that the second command has of the first."""
    sweeper.environment |= s3.environment | cpus(1)
    options = ("--epochs", "1", "--trials", "3", "--top", "1", "--replicates", "1", "--study", "q")
    search = ("run", "search", "--arm", "detail-only", *options, "--results", f"{s3.url}/results")
    study = Study(f"{s3.url}/results/q")
    sweeper.finished = lambda _name: study.finished()
    sweeper.stop_after(1, "q", [signal.SIGKILL], *search)
    (found,) = read_searches(study)
    before = {row["trial_id"]: row for row in found.explored}
    assert before

    s3.requests.clear()
    assert "Winners" in sweeper(*search)
    (found,) = read_searches(study)
    assert len({row["params"] for row in found.explored}) == len(found.explored) == 3
    assert {row["trial_id"]: row for row in found.explored if row["trial_id"] in before} == before
    assert not [key for method, key in s3.requests if method == "PUT" and any(name in key for name in before)]
    stages = pd.read_parquet(f"{study}/leaderboard.parquet").groupby("stage").size()
    assert stages["explore"] == len(pd.read_parquet(f"{study}/search.parquet")) == 3
    (winner,) = json.loads(study.storage.read("winners.json")[0])
    assert len(winner["test"]["winner"]) == 1
