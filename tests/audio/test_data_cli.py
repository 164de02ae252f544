"""`sweeper data …` as a user types it."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sweeper.audio import plots
from sweeper.audio.check import check
from sweeper.audio.datasets import NAMES, load
from sweeper.audio.datasets.base import Clip, Dataset
from sweeper.cli import data as data_cli
from sweeper.cli import main as cli


@pytest.fixture
def run(capsys):
    def call(*words: str) -> tuple[int, str, str]:
        code = cli.main(["data", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def zoo(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for animal in ("cat", "dog"):
        for i in range(10):
            path = tmp_path / "zoo" / animal / f"{i}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, rng.uniform(-0.5, 0.5, 2000 + 100 * i), 8000)
    return tmp_path / "zoo"


def test_list_names_every_data_set_with_its_licence(run):
    code, out, _err = run("list")
    assert code == 0
    for name in NAMES:
        assert name in out
    assert "CC BY-NC-SA 4.0" in out
    assert "metadata/UrbanSound8K.csv" in out


def test_prepare_reports_digest_and_leaks(run, zoo):
    code, out, _err = run("prepare", "folder", "--data", str(zoo), "--sample-rate", "8000")
    assert code == 0
    assert "folder: 20 clips at 8000 Hz" in out
    assert "data digest " in out
    assert "official 5: 12 train, 4 validation, 4 test; no recording on both sides" in out
    assert "paper 1: 12 train, 4 validation, 4 test" in out


def test_prepare_stops_at_a_bad_file_or_skips_it(run, zoo):
    (zoo / "cat" / "3.wav").write_text("not audio")
    code, _out, err = run("prepare", "folder", "--data", str(zoo), "--sample-rate", "8000")
    assert code == 2
    assert err.startswith("sweeper: error: ")
    assert "3.wav: neither WAV nor FLAC" in err
    assert "--bad-clips skip" in err
    assert err.count("\n") == 1
    code, out, _err = run("prepare", "folder", "--data", str(zoo), "--sample-rate", "8000", "--bad-clips", "skip")
    assert code == 0
    assert "19 clips" in out
    assert "skipped cat/3: " in out


def test_check_prints_counts_and_faults(run, zoo):
    soundfile.write(zoo / "cat" / "0.wav", np.zeros(800), 8000)
    soundfile.write(zoo / "cat" / "1.wav", np.r_[np.ones(10), np.random.default_rng(0).uniform(-1, 1, 800)], 16000)
    (zoo / "dog" / "4.wav").write_bytes((zoo / "dog" / "5.wav").read_bytes())
    (zoo / "dog" / "9.wav").write_bytes(b"")
    code, out, _err = run("check", "folder", "--data", str(zoo))
    assert code == 1
    assert "all    4       4       4       4       4       20" in out
    assert "format: 18 clips at 8000 Hz, 1 channel, PCM_16" in out
    assert "format: 1 clips at 16000 Hz, 1 channel, PCM_16" in out
    assert "clipped (full scale for 4 samples or more): 1: cat/1" in out
    assert "silent (peak below -60 dB): 1: cat/0" in out
    assert "identical audio: 1: dog/4 = dog/5" in out
    assert "unreadable: 1: " in out
    assert "9.wav: an empty file" in out


def test_check_is_content_with_the_demo(run):
    code, out, _err = run("check", "demo")
    assert code == 0
    assert "synthetic" in out
    assert "durations: 1.00 to 1.00 s" in out
    assert "unreadable: 0" in out


def test_check_measures_what_a_plain_look_measures(tmp_path):
    lengths, clips = (400, 1600, 800), []
    for i, length in enumerate(lengths):
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, np.random.default_rng(i).uniform(-0.9, 0.9, (length, 2)), 8000, subtype="PCM_24")
        clips.append(Clip(str(i), path, i % 2, "one", 1))
    report = check(Dataset("three", ("a", "b"), tuple(clips), (1,), True, "", ()), progress=False)
    assert report.seconds == (0.05, 0.1, 0.2)
    assert report.formats == {(8000, 2, "PCM_24"): 3}
    assert report.counts == {(0, 1): 2, (1, 1): 1}
    assert report.groups == {"one": 3}
    assert not report.clipped
    assert not report.duplicates


def test_plot_draws_a_column_of_five_pictures_for_each_class(run, zoo, tmp_path):
    picture = tmp_path / "new folder" / "fig5.png"
    code, out, _err = run("plot", "folder", "--data", str(zoo), "--sample-rate", "8000", "--out", str(picture))
    assert code == 0
    assert out.strip() == str(picture)
    header = picture.read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    width, height = (int.from_bytes(header[i : i + 4], "big") for i in (16, 20))
    assert (width, height) == (150 * (2 * 2 + 0.8), 150 * 8), "two classes"
    code, _out, err = run("plot", "folder", "--data", str(zoo), "--clip", "cow/1", "--out", str(picture))
    assert code == 2
    assert "has no clip 'cow/1'; its clips are cat/" in err


def test_a_picture_is_called_as_what_it_is(run, zoo, tmp_path):
    code, _out, err = run("plot", "folder", "--data", str(zoo), "--out", str(tmp_path / "p.txt"))
    assert code == 2 and "a picture is written as PNG; name it" in err and not list(tmp_path.glob("p.*"))


def test_plot_without_matplotlib_says_what_to_install(run, zoo, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, _out, err = run("plot", "folder", "--data", str(zoo))
    assert code == 2
    assert "pip install matplotlib" in err


def test_plots_show_what_is_there():
    """A tone is where the STFT and the mel spectrogram say it is; shapes are as documented, however short."""
    import torch

    from sweeper.audio import plots

    rate, pitch = 16000, 2000.0
    tone = torch.sin(2 * torch.pi * pitch * torch.arange(rate) / rate)
    made = plots.pictures(tone, rate)
    assert [picture.shape[0] for picture in made] == [513, 513, 64, 40]
    assert len({picture.shape[1] for picture in made}) == 1
    for picture in (made.stft, made.fbsp):
        assert abs(picture.mean(axis=1).argmax() * rate / 1024 - pitch) < rate / 1024
        assert picture.max() - picture.min() <= plots.DYNAMIC_RANGE + 1e-3
    assert not np.allclose(made.stft, made.fbsp, atol=1)
    assert plots.pictures(tone[:10], rate).stft.shape[0] == 513


def test_the_fbsp_window_answers_a_frequency_with_a_b_spline():
    """Of order 2 a triangle, as wide as the bandwidth: half of it at a quarter of that from the middle."""
    import torch

    from sweeper.audio import plots

    window = plots.fbsp_window(plots.WINDOW)
    answer = torch.fft.rfft(torch.nn.functional.pad(window, (0, 15 * plots.WINDOW))).abs()  # 16 values to a bin
    share = (answer / answer[0])[: int(16 * plots.FBSP_BANDWIDTH)]
    assert share[round(16 * plots.FBSP_BANDWIDTH / 4)] == pytest.approx(0.5, abs=0.03)
    assert share[round(16 * plots.FBSP_BANDWIDTH / 2) :].max() < 0.06, "the window cuts the wavelet's tails off"
    assert window.argmax() == plots.WINDOW // 2 and window[0] == pytest.approx(0, abs=1e-6)


def test_clips_share_their_scales_and_mfcc_leaves_the_level_out():
    import torch

    from sweeper.audio import plots

    rate = 16000
    tone = torch.sin(2 * torch.pi * 2000 * torch.arange(rate) / rate)
    made = [plots.pictures(tone, rate), plots.pictures(0.001 * tone, rate)]
    scales = plots.colour_scales(made)
    for kind, (low, high) in zip(("stft", "fbsp", "mel"), scales, strict=False):
        assert high == pytest.approx(getattr(made[0], kind).max()) and low == high - plots.DYNAMIC_RANGE
    low, high = scales[-1]
    assert made[1].mfcc[0].max() < low, "coefficient 0, the level, is off the scale that the others use"
    shapes = np.concatenate([picture.mfcc[1:].ravel() for picture in made])
    assert shapes.min() <= low < high <= shapes.max()


def test_without_names_every_class_has_a_clip():
    from sweeper.audio import plots

    clips = tuple(Clip(f"c{i}", Path("x"), i % 50, f"g{i}", 1) for i in range(150))
    dataset = Dataset("many", tuple(f"k{i}" for i in range(50)), clips, (1,), False, "none", ())
    assert [clip.clip_id for clip in plots.choose(dataset, ())] == [f"c{i}" for i in range(50)]


def test_fetch_wants_the_licence_accepted(run, monkeypatch):
    monkeypatch.setattr("sweeper.audio.fetch.fetch", lambda *_args: pytest.fail("fetched"))
    code, out, err = run("fetch", "ravdess")
    assert code == 2
    assert "licence: CC BY-NC-SA 4.0, see https://zenodo.org/records/1188976" in out
    assert "not accepted" in err


def test_fetch_with_the_licence_accepted(run, monkeypatch, zoo):
    fetched = []
    monkeypatch.setattr("sweeper.audio.fetch.fetch", lambda name, folder: fetched.append((name, folder)))
    monkeypatch.setattr(data_cli, "load", lambda _name, _folder: load("folder", zoo))
    code, out, _err = run("fetch", "ravdess", "--accept-licence", "--data", str(zoo))
    assert code == 0
    assert fetched == [("ravdess", zoo)]
    assert f"ravdess: 20 clips in {zoo}" in out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("check", "esc51"), "unknown data set 'esc51'; the data sets are: demo, "),
        (("check", "esc50"), "pass --data DIR"),
        (("check", "esc50", "--data", "nowhere"), "nowhere: no such folder"),
        (("fetch", "demo"), "nothing to download"),
    ],
)
def test_errors_are_one_line(run, words, reason):
    code, _out, err = run(*words)
    assert code == 2
    assert err.startswith("sweeper: error: ")
    assert reason in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("rate", ["0", "-1", "22k", "1e9"])
def test_a_sample_rate_that_is_none(run, capsys, rate):
    with pytest.raises(SystemExit):
        run("prepare", "demo", f"--sample-rate={rate}")
    assert "is not a sample rate; expected 1000 to 192000 Hz" in capsys.readouterr().err


def test_help_is_fast_and_loads_no_heavy_library():
    code = (
        "import argparse, sys; from sweeper.cli import data as data_cli; p = argparse.ArgumentParser();"
        "data_cli.add_parser(p.add_subparsers()); data_cli.definition('esc50');"
        "print(sorted({'torch', 'sklearn', 'matplotlib', 'soundfile', 'pooch', 'rich'} & set(sys.modules)))"
    )
    start = time.perf_counter()
    root = Path(data_cli.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert run.stdout.strip() == "[]"
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize(
    ("command", "way"), [("check", "begins again"), ("prepare", "begins again"), ("fetch", "continues")]
)
def test_an_interruption_says_what_the_same_command_does(run, monkeypatch, command, way):
    def interrupted(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(data_cli, "load", interrupted)
    monkeypatch.setattr("sweeper.audio.fetch.fetch", interrupted)
    options = ("--accept-licence",) if command == "fetch" else ()
    code, _out, err = run(command, "esc50", *options)
    assert code == 130
    assert err == f"sweeper: error: interrupted; the same command {way}\n"  # and nothing of trials: none were trained


def test_check_says_that_an_official_split_cannot_be_run(run, tmp_path):
    for i in range(3):
        path = tmp_path / "recordings" / f"{i}_george_7.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, np.random.default_rng(i).uniform(-0.5, 0.5, 2000), 8000)
    soundfile.write(tmp_path / "recordings" / "0_george_1.wav", np.random.default_rng(9).uniform(-1, 1, 2000), 8000)
    code, out, _err = run("check", "fsdd", "--data", str(tmp_path))
    assert code == 1
    assert "official split: fsdd: 3 clips of 3 classes, 1 in the smallest, are too few to draw 20%" in out


@pytest.mark.parametrize(
    "command", [("data", "check", "folder"), ("run", "ablations", "--dry-run", "--dataset", "folder")]
)
def test_one_clip_in_each_class_is_one_line(capsys, tmp_path, command):
    for name in "abc":
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "0.wav", np.zeros(100), 8000)
    assert cli.main([*command, "--data", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"sweeper: error: {tmp_path}: 3 clips in 3 classes, one in each")
    assert err.count("\n") == 1


@pytest.mark.filterwarnings("error")
def test_names_are_drawn_as_they_are(tmp_path):
    """A dollar begins no formula, letters that the font lacks make no warning, and long names are cut."""
    for name in ("$^$ under", "$x_1^2$ 100% #1", "狗" * 40):
        (tmp_path / "clips" / name).mkdir(parents=True)
        for clip in "ab":
            noise = np.random.default_rng(ord(clip)).uniform(-0.1, 0.1, 2000)
            soundfile.write(tmp_path / "clips" / name / f"{clip}.wav", noise, 8000)
    dataset = load("folder", tmp_path / "clips")
    plots.draw(dataset, plots.choose(dataset, ()), 8000, tmp_path / "out.png")
    assert (tmp_path / "out.png").stat().st_size > 10_000
