"""Trials that fail, hang or diverge: retried from their checkpoint, then recorded, and the sweep goes on."""

import os
import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from sweeper.audio import datasets
from sweeper.audio.fold_data import cut
from sweeper.audio.store import prepare
from sweeper.execution import sweep as sweep_module
from sweeper.execution import watchdog, worker
from sweeper.execution.cluster import cluster
from sweeper.execution.sweep import Machine, run_sweep
from sweeper.plan import build_plan
from sweeper.results.attempts import read_attempts
from sweeper.results.store import Study
from tests.execution.conftest import cpus
from tests.studies import ARMS, PAPER, RECIPES


@pytest.fixture(scope="module")
def demo(shared_cache):
    """Clips, and a Ray of one CPU for all tests that train."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"SWEEPER_CACHE": str(shared_cache), **cpus(1)}.items():
            patch.setenv(name, value)
        store = prepare(datasets.load("demo", None), 8000)
        with cluster(None, 10 * 2**20):
            yield store, cut(store, "official", (1,))


@pytest.fixture
def study(tmp_path):
    study = Study(tmp_path / "s")
    study.create()
    return study


def trials(count=2, epochs=2):
    recipe = RECIPES["quick"]()
    recipe = replace(recipe, training=replace(recipe.training, epochs=epochs))
    plan = build_plan(
        study="s",
        source=PAPER,
        arms=[ARMS["detail-only"]],
        recipe=recipe,
        dataset="demo",
        split="official",
        folds=(1,),
        classes=10,
        replicates=count,
    )
    return plan.trials


def test_exceptions_are_retried_then_recorded_and_the_sweep_goes_on(demo, study, monkeypatch):
    store, folds = demo
    plan = trials(3)
    fails_once, fails_always, fine = (trial.trial_id for trial in plan)
    marker = study.folder / "failed-once"

    def flaky(config, sweep):
        worker.BACKOFF_SECONDS = 0.01
        original = worker.run_trial

        def run_trial(spec, *args, **keywords):
            if spec.trial_id == fails_always:
                raise RuntimeError("boom")
            if spec.trial_id == fails_once and not marker.exists():
                marker.touch()
                raise RuntimeError("boom")
            return original(spec, *args, **keywords)

        worker.run_trial = run_trial
        try:
            worker.train_trial(config, sweep)
        finally:
            worker.run_trial = original

    monkeypatch.setattr(sweep_module, "train_trial", flaky)
    failures = run_sweep(plan, folds, study, store, Machine(max_failures=2))
    assert [(failure.spec.trial_id, failure.error) for failure in failures] == [(fails_always, "RuntimeError: boom")]
    assert study.finished() == {fails_once, fine}
    rows = {row["trial_id"]: row for row in study.trials().to_pylist()}
    assert rows[fails_always]["status"] == "failed"
    assert rows[fails_always]["error"] == "RuntimeError: boom"
    outcomes = {}
    for row in read_attempts(study).to_pylist():
        outcomes.setdefault(row["trial_id"], []).append(row["outcome"])
    assert outcomes[fails_once] == ["failed: RuntimeError: boom", "complete"]
    assert outcomes[fails_always] == ["failed: RuntimeError: boom"] * 3
    assert outcomes[fine] == ["complete"]


def test_a_hung_worker_is_killed_and_its_trial_retried(demo, study, monkeypatch):
    store, folds = demo
    plan = trials(1, epochs=6)
    marker = study.folder / "hung-once"

    def hangs(config, sweep):
        worker.REPORT_SECONDS = -1.0
        original = worker.epoch_reporter

        def epoch_reporter(send, epochs):
            report = original(send, epochs)

            def stop_after_two(point):
                report(point)
                if point.epoch == 1 and not marker.exists():
                    marker.touch()
                    time.sleep(1.0)  # the report must have left
                    os.kill(os.getpid(), signal.SIGSTOP)

            return stop_after_two

        worker.epoch_reporter = epoch_reporter
        worker.train_trial(config, sweep)

    monkeypatch.setattr(sweep_module, "train_trial", hangs)
    monkeypatch.setattr(watchdog, "LEAST_SECONDS", 3.0)
    monkeypatch.setattr(watchdog, "FACTOR", 5.0)
    failures = run_sweep(plan, folds, study, store)
    assert failures == ()
    assert marker.exists(), "it never hung"
    assert study.finished() == {plan[0].trial_id}
    outcomes = [row["outcome"] for row in read_attempts(study).to_pylist()]
    assert outcomes[-1] == "complete"
    assert len(outcomes) == 2


def test_divergence_is_recorded_with_its_curve_and_not_retried(demo, study):
    store, folds = demo
    (trial,) = trials(1, epochs=3)
    wild = replace(trial, training=replace(trial.training, max_lr=1e30, clip_norm=1e30))
    failures = run_sweep([wild], folds, study, store)
    assert len(failures) == 1
    assert "NonFiniteLoss" in failures[0].error
    (row,) = study.trials().to_pylist()
    assert row["status"] == "failed"
    assert row["accuracy"] is None
    assert len(read_attempts(study)) == 1
    curve = study.evidence.curve(row)
    assert curve is None or len(curve) < 3, "there is none where not one epoch ended"


def test_a_trial_whose_worker_never_began_is_a_failure():
    """Tune's results have no error for it."""
    result = SimpleNamespace(config={"spec": SimpleNamespace(trial_id="a")}, error=None, metrics=None)
    (failure,) = sweep_module._failures([result], {"a": "it could not begin"}, 2)
    assert failure.error == "its worker died 3 times: it could not begin"
    assert sweep_module._failures([result], {}, 2) == ()
