"""What a worker does with several seeds of an arm, and tells Tune of each; without Ray."""

import contextlib

import pytest

from sweeper.execution import fused_worker, worker
from sweeper.execution.fused_worker import train_seeds
from sweeper.execution.worker import FoldClips, SweepContext, tune_config
from sweeper.results.attempts import read_attempts
from sweeper.results.store import Study
from sweeper.training.fit import Diverged, TrialLeft
from sweeper.training.fused import CannotFuse, Choice
from tests.training import golden
from tests.training.fusing import ROUNDING, alone, trials


@pytest.fixture
def sweep(tmp_path):
    study = Study(tmp_path / "s")
    study.create()
    fold = FoldClips((golden.clips(),), (golden.clips(),), "none")
    return SweepContext(study, {1: fold}, ("a", "b", "c"), True, "", 1, 0.0, max_failures=2, seeds=3)


@pytest.fixture
def told(monkeypatch):
    """What Tune is told."""
    reports = []
    monkeypatch.setattr(worker.tune, "report", reports.append)
    monkeypatch.setattr(worker.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(worker.ray, "get", list)
    monkeypatch.setattr(fused_worker, "REPORT_SECONDS", -1.0)
    monkeypatch.setattr(fused_worker, "_reasons", {})
    for module in (worker, fused_worker):
        monkeypatch.setattr(module, "whereabouts", lambda: {"process": 1, "node_id": "n"})
        monkeypatch.setattr(module, "watched", lambda: contextlib.nullcontext(lambda: ""))
    return reports


def run(specs, sweep):
    train_seeds(tune_config(specs[0], specs[1:]), sweep)


def outcomes(told):
    rows = [row for report in told for row in report.get("seeds", ())]
    return [(row["trial"], row["outcome"]) for row in rows if "outcome" in row]


def attempts(sweep, spec):
    return [row["outcome"] for row in read_attempts(sweep.study, spec.trial_id).to_pylist()]


def test_each_seed_has_its_own_row_attempt_and_report(told, sweep):
    specs = trials(seeds=3)
    run(specs, sweep)
    assert told[0] == {"outcome": "started", "process": 1, "node_id": "n"}
    epochs = [report for report in told if "epoch_seconds" in report]
    assert [[row["epoch"] for row in report["seeds"]] for report in epochs] == [[1, 1, 1], [2, 2, 2]]
    for report in epochs:
        assert report["epoch_seconds"] == pytest.approx(sum(row["epoch_seconds"] for row in report["seeds"]))
    assert outcomes(told) == [(spec.trial_id, "complete") for spec in specs]
    assert told[-4] == {"seeds": [], "process": 1, "node_id": "n"}, "training is over"
    assert [report.get("outcome") for report in told[-3:]] == [None, None, "complete"]
    for spec, fitted in zip(specs, alone(specs), strict=True):
        row = sweep.study.row(spec.trial_id)
        assert row["train_loss"] == pytest.approx(fitted.curve[-1].loss, rel=ROUNDING)
        assert (row["replicate"], row["attempts"]) == (spec.replicate, 1)
    held = read_attempts(sweep.study).to_pylist()
    assert sum(row["cpus"] for row in held) == pytest.approx(sweep.cpus)
    assert list((sweep.study.folder / "checkpoints").iterdir()) == []


def test_one_that_diverges_fails_alone(told, sweep, monkeypatch):
    first, wild, last = specs = trials(seeds=3)
    original = fused_worker.fit_fused

    def fit_fused(specs, *args, **options):
        return tuple(
            Diverged("wild", outcome.curve[:1]) if spec == wild else outcome
            for spec, outcome in zip(specs, original(specs, *args, **options), strict=True)
        )

    monkeypatch.setattr(fused_worker, "fit_fused", fit_fused)
    run(specs, sweep)
    assert outcomes(told) == [(first.trial_id, "complete"), (wild.trial_id, "failed"), (last.trial_id, "complete")]
    assert sweep.study.finished() == {first.trial_id, last.trial_id}
    (failed,) = [row for row in sweep.study.trials().to_pylist() if row["trial_id"] == wild.trial_id]
    assert failed["error"].startswith("Diverged: wild")
    assert [len(attempts(sweep, spec)) for spec in specs] == [1, 1, 1], "it would only happen again"
    assert attempts(sweep, wild)[0].startswith("failed: Diverged")


def test_after_an_exception_those_that_are_not_finished_are_tried_again(told, sweep, monkeypatch):
    first, second, third = specs = trials(seeds=3)
    original, tried = worker.commit_result, []

    def commit_result(sweep, result, *args):
        tried.append(result.spec)
        if tried == [first, second]:
            raise OSError("no space left")
        return original(sweep, result, *args)

    monkeypatch.setattr(fused_worker, "commit_result", commit_result)
    run(specs, sweep)
    assert tried == [first, second, second, third]
    assert outcomes(told) == [(spec.trial_id, "complete") for spec in specs]
    assert attempts(sweep, first) == ["complete"]
    assert attempts(sweep, third) == ["failed: OSError: no space left", "complete"]


def test_what_fails_too_often_is_tried_one_by_one(told, sweep, monkeypatch):
    def broken(*_args, **_options):
        raise RuntimeError("no\nmemory")

    monkeypatch.setattr(fused_worker, "fit_fused", broken)
    first, other = specs = trials(seeds=2)
    run(specs, sweep)
    assert told[1] == {"apart": "RuntimeError: no memory"}
    assert told[-1]["outcome"] == "complete" and "seeds" not in told[-1]
    assert attempts(sweep, other) == ["failed: RuntimeError: no\nmemory"] * 3
    assert sweep.study.finished() == {first.trial_id}


def test_what_fails_too_often_after_one_has_ended_fails(told, sweep, monkeypatch):
    first, *others = specs = trials(seeds=3)
    original = worker.commit_result

    def commit_result(sweep, result, *args):
        if result.spec != first:
            raise OSError("no space left")
        return original(sweep, result, *args)

    monkeypatch.setattr(fused_worker, "commit_result", commit_result)
    run(specs, sweep)
    ends = [(first.trial_id, "complete"), *((spec.trial_id, "failed") for spec in others)]
    assert outcomes(told) == ends
    assert told[-1]["outcome"] == "complete", "the program has ended"


def test_a_network_that_raises_when_it_is_tried_trains_by_itself(told, sweep, monkeypatch):
    def raises(*_args):
        raise ValueError("only batches of 16")

    monkeypatch.setattr(fused_worker, "check", raises)
    monkeypatch.setattr(fused_worker, "train_alone", lambda *_: None)
    run(trials(seeds=2), sweep)
    assert told[-1] == {"apart": "ValueError: only batches of 16"}


def test_all_leave_together_and_keep_their_states(told, sweep, monkeypatch):
    original = fused_worker.fit_fused
    monkeypatch.setattr(
        fused_worker, "fit_fused", lambda *args, **options: original(*args, **options | {"wish": lambda: "leave"})
    )
    specs = trials(seeds=2)
    run(specs, sweep)
    assert outcomes(told) == [(spec.trial_id, "left") for spec in specs]
    assert told[-1]["outcome"] == "left"
    assert attempts(sweep, specs[1]) == ["stopped"]
    assert len(list((sweep.study.folder / "checkpoints").iterdir())) == 2
    with pytest.raises(TrialLeft):
        original(specs, [golden.clips()], device=worker.device_of(sweep), wish=lambda: "leave")


@pytest.mark.parametrize("when", ["before", "while"])
def test_what_can_not_be_fused_is_told_why_and_the_first_trains_as_ever(told, sweep, monkeypatch, when):
    def refuse(*_args, **_options):
        raise CannotFuse("it can't be")

    monkeypatch.setattr(fused_worker, "check" if when == "before" else "fit_fused", refuse)
    first, other = specs = trials(seeds=2)
    run(specs, sweep)
    assert (told[0]["outcome"], told[1]) == ("started", {"apart": "it can't be"})
    assert told[-1]["outcome"] == "complete" and "seeds" not in told[-1]
    assert sweep.study.row(first.trial_id)["train_loss"] == alone([first])[0].curve[-1].loss
    assert sweep.study.finished() == {first.trial_id}
    assert attempts(sweep, other) == ([] if when == "before" else ["stopped"])


def test_a_worker_measures_an_arm_once(told, sweep, monkeypatch):
    measured = []

    def choose(specs, *_):
        measured.append([spec.replicate for spec in specs])
        return Choice(False, "slower")

    monkeypatch.setattr(fused_worker, "choose", choose)
    monkeypatch.setattr(fused_worker, "train_alone", lambda *_: None)
    specs = trials(seeds=5)
    object.__setattr__(sweep, "measured", True)
    for group in (specs[:2], specs[2:4], specs[2:]):
        run(group, sweep)
    assert measured == [[0, 1], [2, 3, 4]]
    assert told.count({"apart": "slower"}) == 3


def test_a_group_of_one_goes_the_usual_way(told, sweep, monkeypatch):
    usual = []
    monkeypatch.setattr(fused_worker, "train_trial", lambda config, _sweep: usual.append(config))
    (spec,) = trials(seeds=1)
    train_seeds(tune_config(spec), sweep)
    assert usual == [{"trial_id": spec.trial_id, "spec": spec}]
