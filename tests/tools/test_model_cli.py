"""`predict`, `export` and `profile` as a user meets them."""

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sweeper.plan import PlanError
from sweeper.tools import profile as profiling
from sweeper.tools.profile import Profile, ProfileError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def long_file(tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 7000), 8000)
    return path


def test_csv_has_a_row_per_file_with_all_probabilities(trained, command):
    files = list(trained.files.values())[:3]
    code, out, _ = command("predict", trained.weights, *files, "--format", "csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["file"] for row in rows] == [str(path) for path in files]
    for row in rows:
        probabilities = {name: float(row[name]) for name in ("low", "middle", "high")}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert row["class"] == max(probabilities, key=probabilities.get)


def test_windows_are_rows_of_their_own(trained, command, long_file):
    code, out, _ = command("predict", trained.weights, long_file, "--format", "csv", "--windows")
    assert code == 0
    spans = [(float(row["start_s"]), float(row["end_s"])) for row in csv.DictReader(io.StringIO(out))]
    assert spans == [(0, 0.25), (0.125, 0.375), (0.25, 0.5), (0.375, 0.625), (0.5, 0.75), (0.625, 0.875)]


def test_json_holds_files_and_windows(trained, command, long_file):
    code, out, _ = command("predict", trained.weights, long_file, "--format", "json", "--windows", "--ema")
    assert code == 0
    (row,) = json.loads(out)
    assert row["seconds"] == 0.875
    assert row["class"] == max(row["probabilities"], key=row["probabilities"].get)
    means = np.mean([list(window["probabilities"].values()) for window in row["windows"]], axis=0)
    np.testing.assert_allclose(list(row["probabilities"].values()), means, atol=1e-6)


def test_the_two_sets_of_weights_differ(trained, command, long_file):
    raw, averaged = (
        command("predict", trained.weights, long_file, "--format", "json", *more)[1] for more in ([], ["--ema"])
    )
    assert raw != averaged


def test_the_table_names_the_best_class(trained, command, long_file):
    code, out, _ = command("predict", trained.weights, long_file)
    assert code == 0
    assert any(name in out for name in ("low", "middle", "high"))
    assert "0.88" in out


def test_one_bad_file_is_named_and_the_others_are_predicted(trained, command, long_file, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF\x00\x00\x00\x00WAVEnonsense")
    code, out, err = command("predict", trained.weights, bad, tmp_path / "none.wav", long_file, "--format", "json")
    assert code == 2
    assert [row["file"] for row in json.loads(out)] == [str(long_file)]
    first, second = err.splitlines()
    assert first.startswith(f"sweeper: error: {bad}: ")
    assert second == f"sweeper: error: {tmp_path / 'none.wav'}: no such file or directory"


@pytest.mark.parametrize("words", [["predict", "CHECKPOINT", "x.wav"], ["export", "CHECKPOINT", "x.pt2"]])
@pytest.mark.parametrize("content", [b"", b"\x00" * 64])
def test_what_holds_no_weights_is_refused(command, tmp_path, words, content):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    code, out, err = command(*(path if word == "CHECKPOINT" else word for word in words))
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"sweeper: error: {path} holds no weights")


@pytest.mark.parametrize("words", [["predict", "CHECKPOINT", "x.wav"], ["export", "CHECKPOINT", "x.pt2"]])
def test_weights_that_are_not_there_are_told_without_torch(tmp_path, words):
    folder, missing = tmp_path / "weights", tmp_path / "none.safetensors"
    folder.mkdir()
    for path, expected in ((missing, "does not exist"), (folder, "is a folder, and weights are a file")):
        line = [str(path) if word == "CHECKPOINT" else word for word in words]
        code = f"import sys; from sweeper.cli.main import main; print(main({line}), 'torch' in sys.modules)"
        ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
        assert ended.stdout == "2 False\n"
        assert ended.stderr == f"sweeper: error: {path} {expected}; weights lie in a study's folder weights/\n"


def test_csv_cells_that_would_be_formulas_are_text(trained, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("=1+1.wav", "@x.wav"):
        shutil.copy(next(iter(trained.files.values())), tmp_path / name)
    code, out, _ = command("predict", trained.weights, "=1+1.wav", "@x.wav", "--format", "csv")
    assert code == 0
    assert [row[0] for row in csv.reader(io.StringIO(out))] == ["file", "'=1+1.wav", "'@x.wav"]


def test_an_unknown_arm_or_recipe_is_told_before_anything_runs(command):
    with pytest.raises(PlanError, match="unknown arm 'grm'; the arms are: semantic-only"):
        command("profile", "grm")
    with pytest.raises(PlanError, match="unknown recipe 'slow'; the recipes are: quick"):
        command("profile", "full", "--recipe", "slow")


def made_up(arm):
    return Profile(arm.name, 1_234_567, 94.04, 0.0123, 0.0456, 2_340_000_000, 64, 321.0, 34_560_000_000)


def test_profile_prints_a_row_per_arm_beside_the_paper(command, monkeypatch):
    monkeypatch.setattr(profiling, "profile", lambda _source, arms, *_args, **_options: map(made_up, arms))
    code, out, _ = command("profile")
    assert code == 0
    for text in ("semantic-only", "fusion-concat", "1.23", "94", "12.3", "45.6", "2.34", "64", "321", "34.56"):
        assert text in out
    assert "The paper, on an NVIDIA RTX 3090 Ti: 26.0 ms in the mean, 2.30 GB." in out
    assert max(map(len, out.splitlines())) <= 80 or "recipe" in max(out.splitlines(), key=len)


def test_profile_keeps_what_was_measured_when_an_arm_dies(command, monkeypatch):
    def dying(_source, arms, *_args, **_options):
        yield made_up(arms[0])
        raise ProfileError("full: killed")

    monkeypatch.setattr(profiling, "profile", dying)
    code, out, err = command("profile", "garm", "full")
    assert code == 1
    assert "garm" in out
    assert err == "measuring garm full …\nsweeper: error: full: killed\n"
