"""Trials that fail, hang or diverge: retried from their checkpoint, then recorded, and the sweep goes on."""

import inspect
import os
import signal
import sys
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
from sweeper.execution.deaths import MOST_CHARACTERS, cause_of, record_death
from sweeper.execution.sweep import Machine, run_sweep
from sweeper.execution.worker import FoldClips, SweepContext
from sweeper.plan import build_plan
from sweeper.results.attempts import attempt, costs, new_run, read_attempts
from sweeper.results.leaderboard import derive
from sweeper.results.store import Study
from sweeper.tools.status import describe, status
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
                raise RuntimeError("boom\n  twice")
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
    assert [failure.spec.trial_id for failure in failures] == [fails_always]
    line = inspect.getsourcelines(flaky)[1] + 6
    # In one line, with the place in a user's file; ours are not named.
    assert failures[0].error == f"RuntimeError: boom twice (test_failures.py:{line})"
    assert study.finished() == {fails_once, fine}
    rows = {row["trial_id"]: row for row in study.trials().to_pylist()}
    assert rows[fails_always]["status"] == "failed"
    assert rows[fails_always]["error"] == failures[0].error
    outcomes = {}
    for row in read_attempts(study).to_pylist():
        outcomes.setdefault(row["trial_id"], []).append(row["outcome"])
    assert outcomes[fails_once] == ["failed: RuntimeError: boom", "complete"]
    assert outcomes[fails_always] == ["failed: RuntimeError: boom\n  twice"] * 3
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


@pytest.mark.parametrize("how", ["os._exit(3)", "sys.exit(3)"])
def test_a_trial_whose_worker_keeps_dying_is_recorded_and_the_sweep_goes_on(demo, study, monkeypatch, capfd, how):
    store, folds = demo
    plan = trials(2)
    dies, fine = (trial.trial_id for trial in plan)
    named = [{"trial_id": t.trial_id, "arm": t.arm, "fold": t.data.fold, "replicate": t.replicate} for t in plan]
    study.write_plan({"design": {}, "data_digest": store.digest, "trials": named})

    def dying(config, sweep):
        original = worker.run_trial

        def run_trial(spec, *args, **keywords):
            if spec.trial_id == dies:
                time.sleep(0.5)
                exec(how, {"os": os, "sys": sys})
            return original(spec, *args, **keywords)

        worker.run_trial = run_trial
        try:
            worker.train_trial(config, sweep)
        finally:
            worker.run_trial = original

    monkeypatch.setattr(sweep_module, "train_trial", dying)
    (failure,) = run_sweep(plan, folds, study, store, Machine(max_failures=1))
    assert "Traceback" not in "".join(capfd.readouterr())
    assert failure.error.startswith("its worker died 2 times: Worker ")
    rows = {row["trial_id"]: row for row in study.trials().to_pylist()}
    assert (rows[fine]["status"], rows[dies]["status"]) == ("complete", "failed")
    assert (rows[dies]["error"], rows[dies]["attempts"]) == (failure.error, 2)
    assert rows[dies]["device_seconds"] == rows[dies]["waste_device_seconds"] > 0.9
    assert costs(study)[dies].device_seconds == pytest.approx(rows[dies]["device_seconds"])
    assert describe(status(study))[0] == "1 of 2 trials finished, 0 running, 1 failed, 0 waiting"
    assert [problem.kind for problem in derive(study).problems if problem.kind in ("missing", "failed")] == ["failed"]

    monkeypatch.setattr(sweep_module, "train_trial", worker.train_trial)
    assert run_sweep(plan, folds, study, store) == ()
    assert study.finished() == {dies, fine}, "it was tried again"
    assert not study.failures.single()


def small_sweep(study):
    return SweepContext(study, {1: FoldClips((), (), "")}, ("a",), True, "x", 1, 0.0, 2, run=new_run())


def test_a_trial_whose_worker_never_began_is_a_failure(study):
    """Tune's results have no error for it."""
    (spec,) = trials(1)
    reason = record_death(small_sweep(study), spec, 3, "")
    assert reason == "its worker died 3 times, before the trial began"
    assert study.row(spec.trial_id)["error"] == reason
    result = SimpleNamespace(config={"spec": spec}, error=None, metrics=None)
    (failure,) = sweep_module._failures([result], {spec.trial_id: reason})
    assert failure.error == reason
    assert sweep_module._failures([result], {}) == ()


def test_a_trial_that_another_command_is_at_is_not_recorded_as_failed(study):
    (spec,) = trials(1)
    with attempt(study, spec.trial_id, device="cpu", cpus=1, gpus=0, run=new_run()):
        record_death(small_sweep(study), spec, 3, "why")
        assert study.row(spec.trial_id) is None
        assert [row["outcome"] for row in read_attempts(study).to_pylist()] == ["running"]


DIED = """Failure # {} (occurred at 2026-11-30_14-23-03)
The actor died unexpectedly before finishing this task.
\tclass_name: ImplicitFunc
\tip: 127.0.0.1
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: {}
"""
RAISED = """Failure # 1 (occurred at 2026-11-30_14-23-09)
ray::ImplicitFunc.train() (pid=18880, ip=127.0.0.1)
  File "function_trainable.py", line 249, in _trainable_func
    output = fn()
             ^^^^
torch.AcceleratorError: CUDA error: an illegal memory access
Search for it.
"""


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        (DIED.format(1, "First.") + DIED.format(2, "Second."), "Second."),
        (RAISED, "torch.AcceleratorError: CUDA error: an illegal memory access Search for it."),
        ("Failure # 1 (occurred at x)\nOut of memory.\nSee the logs.\n", "Out of memory. See the logs."),
        ("", ""),
    ],
)
def test_what_ray_knows_of_a_death_is_told_in_a_line(tmp_path, told, cause):
    file = tmp_path / "error.txt"
    file.write_text(told)
    assert cause_of(SimpleNamespace(error_file=str(file))) == cause


def test_a_long_cause_is_cut_and_none_is_none(tmp_path):
    file = tmp_path / "error.txt"
    file.write_text(DIED.format(1, "killed by the OOM killer, or else " * 30))
    assert len(cause_of(SimpleNamespace(error_file=str(file)))) <= MOST_CHARACTERS
    assert cause_of(SimpleNamespace(error_file=None)) == ""
