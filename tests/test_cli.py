"""What the command line says to wrong input: one clear line, exit code 2, no traceback."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile

from sweeper.cli import main


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path, cache, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWEEPER_CACHE", str(cache))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")


def complaint(capsys, *arguments):
    """Run, expect failure, return the one line that says why."""
    assert main(["run", "ablations", *arguments]) == 2
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    (line,) = [line for line in printed.err.splitlines() if line.startswith("sweeper: error: ")]
    return line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--arm", "grm"], "unknown arm 'grm'; the arms are: semantic-only"),
        (["--dataset", "urbansound8k", "--data", "nowhere"], "nowhere"),
        (["--dataset", "urbansoun"], "unknown data set 'urbansoun'; the data sets are: demo"),
        (["--dataset", "fsdd", "--data", "empty"], "empty"),
        (["--dataset", "folder", "--data", "empty"], "empty"),
        (["--recipe", "slow"], "unknown recipe 'slow'; the recipes are: quick"),
        (["--split", "random"], "unknown split 'random'; the splits are: official"),
        (["--folds", "9"], "--folds 9: the official split of demo has here the folds 1,2,3,4,5"),
        (["--seeds", "0"], "--seeds 0: at least 1"),
        (["--table", "8"], "unknown table '8'; the tables are: 6, 7, or all"),
        (["nowhere.py"], "nowhere.py does not exist; expected a study's file"),
        (["papr"], "unknown study 'papr'; the studies are: paper, recipe, readings, or a file, such as mel.py"),
        (["--epochs", "0"], "--epochs 0: at least 1"),
        (["--results", "file"], "file/ablations-demo-quick: Not a directory; use --results DIR"),
    ],
)
def test_wrong_input_is_one_clear_line(capsys, arguments, expected):
    assert expected in complaint(capsys, *arguments)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["search", "--arm", "grm"], "unknown arm 'grm'"),
        (["search", "--trials", "0"], "--trials 0: at least 1"),
        (["search", "--top", "0"], "--top 0: at least 1"),
        (["search", "--folds", "9"], "--folds 9: the official split of demo"),
        (["tuned-ablations", "--replicates", "0"], "--replicates 0: at least 1"),
        (["tuned-ablations", "--epochs", "0"], "--epochs 0: at least 1"),
    ],
)
def test_a_wrong_search_is_one_clear_line(capsys, arguments, expected):
    assert main(["run", *arguments]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sweeper: error: ")]
    assert expected in line


def fsdd(folder, count=40):
    (folder / "recordings").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        for digit in range(10):
            name = f"{digit}_george_{index}.wav"
            soundfile.write(folder / "recordings" / name, rng.normal(0, 0.1, 2000), 8000)


def test_a_corrupt_wav_is_named_and_can_be_skipped(tmp_path, capsys):
    fsdd(tmp_path / "fsdd", count=8)
    (tmp_path / "fsdd" / "recordings" / "3_george_2.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVEnonsense")
    line = complaint(capsys, "--dataset", "fsdd", "--data", "fsdd", "--recipe", "quick", "--arm", "full")
    assert "3_george_2.wav" in line
    assert "--bad-clips skip" in line


def test_listing_a_study_that_is_not_there(capsys):
    assert main(["leaderboard", "nosuch"]) == 2
    assert "no study 'nosuch'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["run"], ["run", "ablations", "--folds", "one"]])
def test_unparsable_words_exit_with_2(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--help"], ["examples:", "run ablations"]),
        (["run", "ablations", "--help"], ["--dataset", "--folds", "--table", "--arm", "--dry-run", "--results"]),
        (["leaderboard", "--help"], ["STUDY"]),
        (["--version"], ["sweeper 0."]),
    ],
)
def test_help_teaches(words, expected, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    for text in expected:
        assert text in printed


def test_help_is_quick_because_it_imports_neither_torch_nor_ray():
    code = (
        "import sys\nfrom sweeper.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'ray', 'sklearn', 'scipy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
