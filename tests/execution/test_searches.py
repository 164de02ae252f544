"""Searches as a user runs them; and what Tune, ASHA and the workers are given."""

import json
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState
from ray.tune.schedulers import TrialScheduler

from sweeper.audio import datasets
from sweeper.audio.fold_data import cut
from sweeper.audio.splits import split
from sweeper.audio.store import prepare
from sweeper.execution.searches import Halving, SearchSource
from sweeper.execution.worker import FoldClips, SweepContext
from sweeper.results.attempts import attempt
from sweeper.results.claims import Claim
from sweeper.results.searching import Goal, read_searches
from sweeper.results.store import Study
from sweeper.search.suggest import Search, open_storage
from sweeper.search_spaces.recipes import quick
from tests.benchmarks.search_vs_random import arm_search
from tests.execution.conftest import cpus
from tests.search.conftest import row_of, searching

STUDY = "search-demo-quick-4epochs"
SMALL = ("run", "search", "--arm", "detail-only", "--epochs", "4", "--trials", "6", "--top", "1", "--replicates", "1")


def test_a_search_is_killed_and_goes_on_and_is_then_finished(sweeper):
    code, _ = sweeper.stop_after(2, STUDY, [signal.SIGKILL], *SMALL)
    assert code == -signal.SIGKILL
    study = Study(sweeper.folder / "results" / STUDY)
    kept = study.finished()
    assert 2 <= len(kept) < 6
    # Without an id: the kill came while Optuna was still being asked, so nothing ran yet.
    running = {t.user_attrs.get("trial_id") for t in trials(study) if t.state is TrialState.RUNNING} - kept - {None}
    assert running
    output = sweeper(*SMALL)
    (found,) = read_searches(study)
    assert len(found.explored) == 6
    assert kept | running <= {row["trial_id"] for row in found.explored}, "what ran was taken up again"
    assert TrialState.RUNNING not in {t.state for t in trials(study)}
    assert "Winners" in output
    assert "Search · detail-only, fold 1: 6 trials" in output
    rows = pd.read_parquet(study.folder / "leaderboard.parquet")
    assert set(rows.kind) == {"search"}
    assert set(rows[rows.stage != "test"].scored_on) == {"validation"}
    assert set(rows[rows.stage == "test"].scored_on) == {"test"}
    assert rows.groupby("stage").seed.nunique().sum() == rows.seed.nunique() == 4, "each stage has seeds of its own"
    assert rows[rows.status == "stopped"].accuracy.isna().all()
    (winner,) = json.loads((study.folder / "winners.json").read_text())
    assert len(winner["test"]["winner"]) == len(winner["confirm"]["recipe"]) == 1
    assert len(pd.read_parquet(study.folder / "search.parquet")) == 6
    before = study.finished()
    again = sweeper(*SMALL)
    assert again.count("No training was done") == 4
    assert study.finished() == before


def trials(study):
    storage = open_storage(study.folder, None)
    (summary,) = optuna.get_all_study_summaries(storage)
    return optuna.load_study(study_name=summary.study_name, storage=storage).get_trials()


def test_dry_run_shows_what_is_searched_what_is_fixed_and_the_cost(sweeper):
    output = sweeper("run", "search", "--dry-run")
    for expected in (
        "learning_rate           3e-05 to 0.01, log [0.002]",
        "noise_snr_db",
        "batch_size",
        "expected cost",
    ):
        assert expected in output, expected
    tuned = sweeper("run", "tuned-ablations", "--dry-run", "--arm", "full", "garm")
    for expected in ("2 arms × 1 fold, 30 trials each", "fixed:", "then the grid", "expected cost", "reach:"):
        assert expected in tuned, expected
    assert "ema_forgetting" not in tuned, "the grid compares the last epoch's weights, which it does not touch"
    assert not (sweeper.folder / "results").exists()


def test_every_arm_runs_the_grid_with_its_own_winner(sweeper):
    sweeper.environment |= cpus(1)
    command = ("run", "tuned-ablations", "--arm", "full", "semantic-only", "--epochs", "1", "--trials", "2")
    output = sweeper(*command, "--top", "1", "--replicates", "1", "--seeds", "1")
    study = Study(sweeper.folder / "results" / "tuned-ablations-demo-quick-1epochs")
    rows = pd.read_parquet(study.folder / "leaderboard.parquet")
    grid = rows[rows.kind == "ablation"].set_index("arm")
    assert set(grid.index) == {"full", "semantic-only"}
    assert grid.seed.nunique() == 1, "pairing is as ever"
    for found in read_searches(study):
        assert grid.loc[found.arm, "params"] == found.winner.params
        assert len(found.explored) == 2
    assert "Table 6" in output
    assert "grid: 2 trials with each arm's winner, 2 to run" in output
    changed = sweeper(*command, "--top", "2", "--replicates", "1", "--seeds", "1", code=2)
    assert "budget.top: 1 → 2" in changed


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWEEPER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield prepare(datasets.load("demo", None), quick().sample_rate, progress=False)


@pytest.mark.parametrize("name", ["official", "grouped", "paper"])
def test_a_search_is_not_even_given_the_test_clips(store, name):
    found = split(store, name, 1)
    (sides,) = cut(store, name, (1,), selecting=True).values()
    ids = {side: np.concatenate([part.ids for part in getattr(sides, side)]) for side in ("train", "scored")}
    assert set(ids["train"]) == set(store.clips.ids[found.train])
    assert set(ids["scored"]) == set(store.clips.ids[found.validation])
    assert not set(store.clips.ids[found.test]) & {*ids["train"], *ids["scored"]}
    given = [part.samples.tobytes() for part in (*sides.train, *sides.scored)]

    def is_given(row):
        clip = store.part(np.array([row]))
        middle = clip.samples[clip.offsets[0] + 3000 :][:500].tobytes()
        return any(middle in samples for samples in given)

    assert all(map(is_given, found.validation))
    assert not any(map(is_given, found.test)), "nor their samples, behind the clips that are given"


@pytest.fixture
def study(tmp_path):
    study = Study(tmp_path / "s")
    study.create()
    return study


@pytest.fixture
def halving(study):
    sweep = SweepContext(study, {1: FoldClips((), (), "")}, ("a",), True, "x", 1, 0.0, 0, True)
    return Halving({("full", 1): 12, ("garm", 1): 12}, sweep)


def open_search(budget, plan=None):
    storage = optuna.storages.InMemoryStorage()
    return Search(
        "s", (plan or arm_search()).make, Goal("accuracy"), budget=budget, storage=storage, rows=(), design=""
    )


def specs(count):
    search = open_search(count)
    return [search.ask() for _ in range(count)]


def tune_trial(spec):
    return SimpleNamespace(trial_id=f"tune-{spec.trial_id}", config={"trial_id": spec.trial_id, "spec": spec})


def report(halving, trial, epoch, score):
    point = {"epoch": epoch, "validation_accuracy": score, "loss": 1.0, "train_accuracy": 0.5, "learning_rate": 1e-3}
    return halving.on_trial_result(None, trial, point | {"epoch_seconds": 2.0, "clips_per_second": 9.0})


def test_a_trial_that_falls_behind_is_stopped_and_committed_as_such(halving, study):
    good, bad = map(tune_trial, specs(2))
    for trial in (good, bad):
        halving.on_trial_add(None, trial)
    with attempt(study, bad.config["trial_id"], device="cpu", cpus=1, gpus=0):
        for epoch in (1, 2):
            assert report(halving, good, epoch, 0.5) == TrialScheduler.CONTINUE
        assert report(halving, bad, 1, 0.1) == TrialScheduler.CONTINUE, "not in the first epochs"
        assert report(halving, bad, 2, 0.1) == TrialScheduler.STOP
    row = study.row(bad.config["trial_id"])
    assert (row["status"], row["stopped_epoch"], row["stopped_score"]) == ("stopped", 2, 0.1)
    assert row["accuracy"] is None
    assert row["seconds"] == 4.0
    assert row["params"] == bad.config["spec"].params
    curve = study.evidence.curve(row)
    assert [point["validation_accuracy"] for point in curve.to_pylist()] == [0.1, 0.1]
    assert study.row(good.config["trial_id"]) is None


def test_a_resumed_trial_is_compared_at_each_epoch_as_any_other(halving, study):
    """Its first report was of the epoch after the resume, whose accuracy then stood for that of all before."""
    whole, resumed, rival = map(tune_trial, specs(3))
    for trial in (whole, resumed, rival):
        halving.on_trial_add(None, trial)
    for epoch in range(1, 9):
        assert report(halving, whole, epoch, epoch / 10) == TrialScheduler.CONTINUE
    for epoch in (*range(1, 5), *range(1, 9)):  # its worker died at epoch 4, and it began anew
        assert report(halving, resumed, epoch, epoch / 10) == TrialScheduler.CONTINUE
    with attempt(study, rival.config["trial_id"], device="cpu", cpus=1, gpus=0):
        for epoch in (*range(1, 5), *range(2, 6)):
            assert report(halving, rival, epoch, epoch / 10) == TrialScheduler.CONTINUE
        assert report(halving, rival, 6, 0.59) == TrialScheduler.STOP
    row = study.row(rival.config["trial_id"])
    assert (row["stopped_epoch"], row["seconds"]) == (6, 12.0)
    assert study.evidence.curve(row)["epoch"].to_pylist() == list(range(6))


def test_a_trial_that_was_not_followed_from_its_beginning_is_not_compared(halving, study):
    whole, later = map(tune_trial, specs(2))
    for trial in (whole, later):
        halving.on_trial_add(None, trial)
    for epoch in (5, 6, 7, 8, 9, 5, 6, 7):
        assert report(halving, later, epoch, 0.9) == TrialScheduler.CONTINUE
    for epoch in range(1, 8):
        assert report(halving, whole, epoch, epoch / 10) == TrialScheduler.CONTINUE


@pytest.mark.parametrize(
    "gap", [[{"epoch": 4, "validation_accuracy": 0.8}], [{"epoch": 0, "validation_accuracy": None}]]
)
def test_earlier_curves_with_gaps_are_not_compared_with(halving, study, gap):
    halving.remember({("full", 1): {"earlier": gap}})
    trial = tune_trial(specs(1)[0])
    halving.on_trial_add(None, trial)
    for epoch in (1, 2, 3):
        assert report(halving, trial, epoch, 0.1) == TrialScheduler.CONTINUE


def test_each_search_halves_for_itself_and_no_trial_is_stopped_after_its_last_epoch(halving, study):
    (spec,) = specs(1)
    full = tune_trial(spec)
    other = tune_trial(arm_search().trials("explore", [spec.params], 1)[0])
    object.__setattr__(other.config["spec"], "arm", "garm")
    for trial in (full, other):
        halving.on_trial_add(None, trial)
    for epoch in range(1, 12):
        assert report(halving, full, epoch, 0.9) == TrialScheduler.CONTINUE
        assert report(halving, other, epoch, 0.1) == TrialScheduler.CONTINUE, "another arm is no rival"
    assert report(halving, full, 12, 0.0) == TrialScheduler.CONTINUE
    assert study.finished() == set()


def test_earlier_trials_count_when_a_search_goes_on(halving, study):
    curve = [{"epoch": epoch, "validation_accuracy": 0.8} for epoch in range(12)]
    halving.remember({("full", 1): {"earlier": curve}})
    trial = tune_trial(specs(1)[0])
    halving.on_trial_add(None, trial)
    with attempt(study, trial.config["trial_id"], device="cpu", cpus=1, gpus=0):
        assert report(halving, trial, 1, 0.3) == TrialScheduler.CONTINUE
        assert report(halving, trial, 2, 0.3) == TrialScheduler.STOP


def test_trials_are_given_out_until_told_to_stop_and_interrupted_ones_stay_open(study):
    search = open_search(3)
    source = SearchSource({("full", 1): search}, study)
    first, second = (source.suggest(name)["spec"] for name in ("tune-1", "tune-2"))
    study.commit(row_of(first), [], [])
    source.on_trial_complete("tune-1", {"outcome": "complete"})
    source.on_trial_complete("tune-2", {"epoch": 1})
    source.drain()
    assert source.suggest("tune-3") == source.FINISHED
    assert second.trial_id not in study.finished()
    assert search.left == 1


def test_a_search_whose_space_has_no_more_points_does_not_end_the_others(study):
    def rounded(trial, base):
        return replace(base, max_lr=round(trial.suggest_float("max_lr", 0.1, 0.14), 1))

    small, large = open_search(9, searching(arm_search(), rounded)), open_search(3)
    source = SearchSource({("full", 1): small, ("garm", 1): large}, study)
    given = [source.suggest(f"tune-{number}") for number in range(5)]
    assert [isinstance(found, dict) for found in given] == [True] * 4 + [False]
    assert given[-1] == source.FINISHED
    assert (small.left, small.budget, large.left) == (0, 1, 0)


def test_what_another_command_committed_counts_also_where_optunas_storage_is_its_own(study):
    """As in an object store."""
    mine, theirs = open_search(4), open_search(4)
    claims = SimpleNamespace(now=lambda: {"0" * 16: Claim("host", alive=True, yields=False)})
    source = SearchSource({("full", 1): mine}, study, claims)
    for _ in range(2):
        spec = theirs.ask()
        study.commit(row_of(spec), [], [])
    study.commit(row_of(spec) | {"trial_id": "f" * 16, "arm": "garm"}, [], [])
    study.commit(row_of(spec) | {"trial_id": "e" * 16, "stage": "replicate"}, [], [])
    given = [source.suggest(f"tune-{number}") for number in range(3)]
    assert given[-1] == source.FINISHED
    assert len({found["trial_id"] for found in given[:-1]} | study.finished()) == 6
    assert mine.left == 0
