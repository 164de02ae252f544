"""Output that can't take what is printed: other encodings, closed, full, or left by its reader."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.results.rows import grid, study_of, trial_row

C_LOCALE = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where a study `s` lies, one of its failures with words in its error that no ASCII has."""
    folder = tmp_path_factory.mktemp("streams")
    rows = grid(folds=(1,))
    rows[0] |= {"status": "failed", "accuracy": None, "accuracy_ema": None, "error": "größer › 3 × é"}
    study_of(folder / "results" / "s", rows)
    return folder


def sweeper(folder, *words, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    environment = os.environ | {"COLUMNS": "160"} | options.pop("env", {})
    return subprocess.run(
        [sys.executable, "-m", "sweeper", *words], cwd=folder, env=environment, timeout=120, check=False, **options
    )


@pytest.mark.parametrize(
    ("environment", "encoding"),
    [
        ({"PYTHONIOENCODING": "ascii"}, "ascii"),
        ({"PYTHONIOENCODING": "cp1252"}, "cp1252"),
        ({"PYTHONIOENCODING": "utf-8"}, "utf-8"),
        (C_LOCALE, "ascii"),
    ],
)
def test_tables_in_every_encoding(folder, environment, encoding):
    done = sweeper(folder, "leaderboard", "s", env=environment)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode(encoding)
    assert "Table 6" in text
    assert ("‡" in text or "†" in text) == (encoding != "ascii")
    lines = [line for line in text.splitlines() if re.search(r"\bdetail-only\b|\bgarm\b", line)]
    assert len({len(line) for line in lines[:2]}) == 1, "columns stay columns"
    assert "~1 point" not in text, "a limit is not about a point"


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "latin-1"}, C_LOCALE])
def test_what_programs_read_is_utf_8_and_whole(folder, environment):
    """A quotation mark in the place of “ would end a text in JSON."""
    done = sweeper(folder, "leaderboard", "s", "--format", "json", env=environment)
    assert any("“no difference”" in sentence for sentence in json.loads(done.stdout.decode("utf-8"))["answer"])
    table = sweeper(folder, "leaderboard", "s", "--format", "csv", env=environment).stdout
    assert table == sweeper(folder, "leaderboard", "s", "--format", "csv", env={"PYTHONIOENCODING": "utf-8"}).stdout


@pytest.mark.parametrize("words", [["--help"], ["run", "ablations", "--help"], ["run", "ablations", "--arm", "é"]])
def test_help_and_errors_in_ascii(folder, words):
    done = sweeper(folder, *words, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == (0 if "--help" in words else 2)
    assert b"Traceback" not in done.stderr
    assert (done.stdout + done.stderr).isascii()


def test_the_lines_of_a_dry_run_in_ascii(folder, tmp_path):
    words = ("run", "ablations", "--dry-run", "--seeds", "1", "--arm", "detail-only", "--results", str(tmp_path))
    done = sweeper(folder, *words, env=C_LOCALE | {"SWEEPER_CACHE": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert b"1 arm x 1 fold x 1 seed = 1 trial" in done.stdout


def test_a_full_disk_is_told(folder):
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = sweeper(folder, "leaderboard", "s", stdout=full)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[-1] == "sweeper: error: can't write to stdout: No space left on device"


def test_a_gate_answers_by_its_exit_code_also_where_its_words_are_lost(tmp_path):
    rows = [
        trial_row(arm, 1, seed, accuracy=accuracy + 0.001 * (seed * ord(arm[0]) % 5), train_clips=8000, test_clips=2000)
        for arm, accuracy in (("full", 0.6), ("garm", 0.8), ("macem-a", 0.4))
        for seed in range(5)
    ]
    study_of(tmp_path / "results" / "s", rows)
    for arm, code in (("garm", 0), ("macem-a", 1)):
        for asked in (["gate", "s", arm], ["gate", "s", arm, "--against", "full"]):
            with open("/dev/full", "wb") as full:  # noqa: PTH123
                assert sweeper(tmp_path, *asked, stdout=full).returncode == code


def test_a_reader_that_has_seen_enough_is_no_error(folder):
    read, write = os.pipe()
    os.close(read)
    done = sweeper(folder, "leaderboard", "s", stdout=write)
    os.close(write)
    assert done.returncode == 0
    assert b"Error" not in done.stderr
    assert b"BrokenPipe" not in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_closed_streams(folder, closed):
    line = f"exec {sys.executable} -m sweeper status s {closed}"
    assert subprocess.run(["/bin/sh", "-c", line], cwd=folder, check=False, capture_output=True).returncode == 0
    line = f"exec {sys.executable} -m sweeper status nosuch {closed}"
    assert subprocess.run(["/bin/sh", "-c", line], cwd=folder, check=False, capture_output=True).returncode == 2


def test_what_runs_goes_on_without_its_output():
    code = (
        "import os, sys\nfrom sweeper.cli import streams\nstreams.prepare()\nstreams.keep_on()\n"
        "print('lost', flush=True)\nprint('too', flush=True)\nos.write(3, b'done')"
    )
    line = f'exec {sys.executable} -c "{code}" 3>&1 >/dev/full'
    done = subprocess.run(["/bin/sh", "-c", line], check=False, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"done", b"")


def test_a_thread_that_was_left_running_does_not_keep_the_command():
    program = (
        "import sys, threading, time; from sweeper.cli import main; main.THREAD_SECONDS = 0.1; "
        "threading.Thread(target=time.sleep, args=(600,), name='prefetch').start(); "
        "sys.argv = ['sweeper', 'data', 'list']; sys.exit(main.main())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "esc50" in done.stdout) == (0, True)
    assert done.stderr == "sweeper: ended beside threads that the study's code started and left: prefetch\n"


def test_python_without_docstrings_is_told_at_once(folder):
    words = [sys.executable, "-OO", "-m", "sweeper", "run", "ablations", "--results", str(folder / "r")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "PYTHONOPTIMIZE=2: go without it" in done.stderr.splitlines()[-1]
    assert not (folder / "r").exists()
