"""What the command line says to wrong input: one clear line, exit code 2, no traceback."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile

from sweeper.cli.main import main


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
        (["--folds", "9"], "--folds 9: the official split of demo has the folds 1,2,3,4,5"),
        (["--seeds", "0"], "--seeds 0: at least 1"),
        (["--table", "8"], "unknown table '8'; the tables are: 6, 7, or all"),
        (["nowhere.py"], "nowhere.py does not exist; expected a study's file"),
        (["papr"], "unknown study 'papr'; the studies are: paper, recipe, readings, or a file, such as mel.py"),
        (["--epochs", "0"], "--epochs 0: at least 1"),
        (["--results", "memory://x"], "a process's memory, which ends with it; use --results DIR"),
        (
            ["--results", "s3://key:secret@bucket/x"],
            "s3://key:***@bucket/x: no bucket is called so",
        ),
        (["--results", "s3://b u/x"], "no bucket is called so; write s3://BUCKET/PREFIX"),
        (["--results", "x" * 300], "File name too long; use --results DIR"),
        (["--results", "a\0b"], "embedded null byte; use --results DIR"),
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


@pytest.mark.parametrize("dry", [["--dry-run"], []])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--seeds", "-1"], "--seeds -1: at least 1"),
        (["--seeds", "1000000000"], "--seeds 1000000000: at most 1000"),
        (["--epochs", "99999999"], "--epochs 99999999: at most 1000000"),
        (["--folds", "1,1"], "--folds 1,1: fold 1 is named twice"),
        (["--folds", ""], "--folds '': name at least one"),
        (["--gpus-per-trial", "nan"], "--gpus-per-trial nan: at least 0"),
        (["--gpus-per-trial", "-1"], "--gpus-per-trial -1.0: at least 0"),
        (["--max-failures", "-1"], "--max-failures -1: at least 0"),
        (["--grace", "nan"], "--grace nan: at least 0"),
        (["--grace", "1e9"], "--grace 1000000000.0: at most 86400"),
        (["--workers-per-trial", "0"], "--workers-per-trial 0: at least 1"),
        (["--seeds-per-trial", "0"], "--seeds-per-trial 0: at least 1"),
        (["--seeds-per-trial", "65"], "--seeds-per-trial 65: at most 64"),
        (["--seeds-per-trial", "2", "--workers-per-trial", "2"], "2: not together with --workers-per-trial 2"),
        (["--seeds-per-trial", "2", "--until", "decided"], "2: not together with --until decided"),
        (["--seeds-per-trial", "auto", "--budget", "1h"], "auto: not together with --budget 1h"),
        (["--seeds-per-trial", "2", "--code", "main", "."], "2: not together with --code main ."),
        (["--seeds-per-trial", "2", "--log", "tensorboard"], "2: not together with --log tensorboard; its curves"),
    ],
)
def test_numbers_that_nobody_means_are_told_at_once(capsys, tmp_path, dry, arguments, expected):
    assert expected in complaint(capsys, *dry, *arguments)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("dry", [["--dry-run"], []], ids=["dry", "real"])
@pytest.mark.parametrize("design", ["ablations", "search", "tuned-ablations"])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--gpus-per-trial", "64000"], "--gpus-per-trial 64000: this machine has"),
        (["--cpus-per-trial", "64000"], "--cpus-per-trial 64000: this machine has 2"),
        (["--workers-per-trial", "17"], "--workers-per-trial 17: a batch has 16 clips"),
        (["--workers-per-trial", "3"], "--workers-per-trial 3: there is room for 2"),
        (["--recipe", "small", "--cpus-per-trial", "2"], "GB of memory and Ray has 0.5 GB for it here"),
        (["--log", "aim"], "unknown logger 'aim'"),
        (["--results", "file"], "Not a directory; use --results DIR"),
    ],
)
def test_a_dry_run_refuses_what_the_run_refuses_and_nothing_is_left(
    capsys, tmp_path, cache, monkeypatch, design, dry, arguments, expected
):
    decoded = list(cache.glob("clips/*"))
    memory = 0.5e9 if "--recipe" in arguments else 1e12
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", f'{{"CPU": 2, "GPU": 0, "memory": {memory}}}')
    assert main(["run", design, *dry, *arguments]) == 2
    printed = capsys.readouterr()
    (line,) = [line for line in printed.err.splitlines() if line.startswith("sweeper: error: ")]
    assert expected in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"], "not even an empty folder"
    assert list(cache.glob("clips/*")) == decoded, "nothing was decoded"


@pytest.mark.parametrize("dry", [["--dry-run"], []], ids=["dry", "real"])
def test_a_study_of_another_design_is_refused_before_anything_is_decoded(capsys, tmp_path, cache, dry):
    decoded = list(cache.glob("clips/*"))
    folder = tmp_path / "results" / "s"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text('{"data_digest": "x", "design": {"training": {"epochs": 3}}, "trials": []}')
    line = complaint(capsys, *dry, "--epochs", "2", "--study", "s", "--arm", "full")
    assert "holds trials of another design" in line
    assert "--study" in line
    assert [path.name for path in folder.iterdir()] == ["plan.json"]
    assert list(cache.glob("clips/*")) == decoded


@pytest.mark.parametrize("dry", [["--dry-run"], []], ids=["dry", "real"])
def test_an_object_store_that_cannot_be_written_is_refused(capsys, s3, dry):
    line = complaint(capsys, *dry, "--results", "s3://no-such-bucket/results", "--arm", "full")
    assert "there is no such bucket" in line


@pytest.mark.parametrize("dry", [["--dry-run"], []], ids=["dry", "real"])
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////nowhere/optuna.db", "/nowhere is missing, or can't be written"),
        ("nonsense", "expected a URL such as sqlite:///optuna.db"),
    ],
)
def test_a_database_that_cannot_be_used_is_refused(capsys, tmp_path, dry, url, expected):
    assert main(["run", "search", *dry, "--storage", url]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_a_dry_run_makes_no_database(tmp_path):
    words = ["--epochs", "1", "--trials", "1", "--storage", f"sqlite:///{tmp_path}/optuna.db"]
    assert main(["run", "search", "--dry-run", *words]) == 0
    assert not (tmp_path / "optuna.db").exists()


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
        (["--help"], ["examples:", "run ablations", "exit codes:", "130, 143, 129"]),
        (
            ["run", "ablations", "--help"],
            ["--dataset", "--folds", "--table", "--arm", "--dry-run", "--results", "--grace"],
        ),
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
        "import sys\nfrom sweeper.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'ray', 'sklearn', 'scipy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["leaderboard", "a", "--format", "csv", "b"],
            "arguments: b; names stand before options, as in: sweeper leaderb",
        ),
        (["leaderboard", "a", "--colour"], "arguments: --colour\n"),
    ],
)
def test_a_name_after_an_option_is_told_its_place(capsys, words, told):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2 and told in capsys.readouterr().err
