"""Sweeps whose seeds train as one program, end to end: the same rows, however many seeds train at once."""

import signal
import time
from pathlib import Path

import pandas as pd
import pytest

import sweeper as package
from sweeper.results.attempts import read_attempts
from sweeper.results.store import Study
from sweeper.training import checkpoint

MEL = Path(__file__).parents[1] / "study_files" / "mel.py"
TRAINING_SECONDS = 1.0
ROUNDING = 0.01  # of the last epoch's loss
# An arm that does what the first does, but looks at its values, which several networks at once can't.
LOOKS = (
    ('    norm: str = "batch"\n', '    norm: str = "batch"\n    looks: bool = False\n'),
    (
        "        self.mel = ",
        "        self.looks = c.looks\n        self.mel = ",
    ),
    (
        "        return self.head(",
        "        if self.looks and x.mean() > 1e9:\n            x = -x\n        return self.head(",
    ),
    ('        Arm("full"),\n', '        Arm("full"),\n        Arm("looks", network={"looks": True}),\n'),
)


def rows(folder, study):
    return pd.read_parquet(folder / "results" / study / "leaderboard.parquet").set_index("trial_id").sort_index()


def test_seeds_at_once_give_the_rows_that_they_give_one_by_one(sweeper, monkeypatch, capsys):
    """Or are told why they can't be, and then give the same bits."""
    code = MEL.read_text()
    for old, new in LOOKS:
        assert old in code
        code = code.replace(old, new)
    monkeypatch.chdir(sweeper.folder)
    Path("looks.py").write_text(code)
    for name, value in sweeper.environment.items():
        monkeypatch.setenv(name, value)
    printed = {}
    for study, seeds in (("apart", 1), ("fused", 3)):
        package.run_ablations("looks.py", arms=["full", "looks"], seeds=3, epochs=2, study=study, seeds_per_trial=seeds)
        printed[study] = capsys.readouterr().out
    assert "looks: seeds run one by one: torch.func.vmap fails in it: vmap: It looks like" in printed["fused"]
    assert printed["fused"].count("one by one") == 1 and "one by one" not in printed["apart"]
    assert all(f"[{number}/6]" in printed["fused"] for number in range(1, 7))
    apart, fused = rows(sweeper.folder, "apart"), rows(sweeper.folder, "fused")
    assert list(fused.index) == list(apart.index) and set(fused.status) == {"complete"}
    same = ["seed", "replicate", "accuracy", "accuracy_ema", "train_loss"]
    pd.testing.assert_frame_equal(fused[fused.arm == "looks"][same], apart[apart.arm == "looks"][same])
    together = fused[fused.arm == "full"]
    assert together.train_loss.tolist() == pytest.approx(apart[apart.arm == "full"].train_loss.tolist(), rel=ROUNDING)
    assert together.accuracy.tolist() == pytest.approx(apart[apart.arm == "full"].accuracy.tolist(), abs=0.1)
    attempts = read_attempts(Study(sweeper.folder / "results" / "fused")).to_pandas().set_index("trial_id")
    assert attempts.loc[together.index].cpus.tolist() == pytest.approx([1 / 3] * 3)
    assert set(attempts.outcome) == {"complete"} and len(attempts) == 6
    for folder in ("weights", "predictions", "curves"):
        assert {path.stem for path in (sweeper.folder / "results/fused" / folder).iterdir()} == set(fused.index)


def states(study):
    """What the checkpoints say, by trial: epochs and batches that are done, and the curve until then."""
    found = {}
    for path in study.folder.glob("checkpoints/*"):
        tensors_and_header = checkpoint.load(path)
        if tensors_and_header is not None:
            header = tensors_and_header[1]
            found[header["trial"]] = ((header["epoch"], header["position"]), header["curve"])
    return found


def moved(before, study):
    """The trials that finished, or whose states are others than before."""
    now = states(study)
    return {trial for trial in now if now[trial] != before.get(trial)} | study.finished()


def kill(sweeper, study, trials, *arguments):
    """Start, let it train and keep the states of so many trials, as it does after Ctrl-C, and kill it at once."""
    before, begun = states(study), len(list(study.folder.glob("attempts/*"))) + trials
    process = sweeper.start(*arguments)
    deadline = time.monotonic() + 120
    while len(list(study.folder.glob("attempts/*"))) < begun and time.monotonic() < deadline:
        assert process.poll() is None, f"it ended before it could be killed:\n{process.stdout.read()}"
        time.sleep(0.1)
    time.sleep(TRAINING_SECONDS)
    process.send_signal(signal.SIGINT)
    while len(moved(before, study)) < trials and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    print(output)  # shown if the test fails
    sweeper.wait_until_ray_is_gone(30)
    return moved(before, study)


def test_killed_at_once_it_goes_on_one_by_one_and_the_other_way_round(sweeper):
    study = Study(sweeper.folder / "results" / "s")
    command = ("run", "ablations", "--arm", "detail-only", "--seeds", "3", "--epochs", "30", "--study", "s")
    assert len(kill(sweeper, study, 3, *command, "--seeds-per-trial", "3")) == 3, "each seed has a state of its own"
    first = states(study)
    assert len({done for done, _ in first.values()}) == 1 and study.finished() == set()
    assert len(kill(sweeper, study, 2, *command)) == 2, "there are two CPUs"
    second = states(study)
    assert study.finished() == set()
    assert all(second[trial][0] >= done for trial, (done, _) in first.items() if trial in second)
    output = sweeper(*command, "--seeds-per-trial", "3")
    assert "[3/3]" in output and "seeds run one by one" not in output
    found = rows(sweeper.folder, "s")
    assert set(found.status) == {"complete"} and (found.attempts >= 2).all()
    for trial, (_, curve) in second.items():
        kept = study.evidence.curve(study.row(trial)).to_pylist()
        assert [point["loss"] for point in kept[: len(curve)]] == [point["loss"] for point in curve]
        assert len(kept) == 30
    outcomes = read_attempts(study)["outcome"].to_pylist()
    assert outcomes.count("complete") == 3 and len(outcomes) == sum(found.attempts)
