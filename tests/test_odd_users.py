"""Users that containers have: a user id without a name, and without a home that can be written."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.users import NAMELESS, ROOT, as_user, need_root


@pytest.fixture
def folder():
    """A folder of such a user."""
    need_root()
    with tempfile.TemporaryDirectory(prefix="u", dir="/tmp") as name:
        os.chown(name, NAMELESS, NAMELESS)
        yield Path(name)


def run(folder, *arguments, code, **environment):
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "200", **environment}
    command = as_user(NAMELESS, sys.executable, "-m", "sweeper", *arguments)
    done = subprocess.run(
        command, cwd=folder, env=clean, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == code, done.stdout
    assert "Traceback" not in done.stdout
    return done.stdout


@pytest.mark.parametrize("home", [{}, {"HOME": ""}, {"HOME": "/"}])
def test_without_a_place_for_the_cache_it_is_asked_for(folder, home):
    said = run(folder, "run", "ablations", "--dry-run", code=2, **home).splitlines()
    assert said == ["sweeper: error: /.cache: Permission denied; set SWEEPER_CACHE to a folder with room"]


def test_doctor_asks_for_it_too(folder):
    said = run(folder, "doctor", code=1)
    assert "FAILED  cache: can't write to /.cache/sweeper: Permission denied" in said
    assert "set SWEEPER_CACHE to a folder that can be written" in said


def test_a_sweep_with_a_cache_runs_and_leaves_nothing_else(folder):
    (folder / "tmp").mkdir(mode=0o777)
    (folder / "tmp").chmod(0o777)
    variables = {"SWEEPER_CACHE": str(folder / "cache"), "TMPDIR": str(folder / "tmp")}
    options = "--arm semantic-only --seeds 1 --epochs 1 --study s"
    assert "1 trial," in run(folder, "run", "ablations", *options.split(), code=0, **variables)
    assert len(list((folder / "results/s/trials").glob("*.parquet"))) == 1
    assert list((folder / "tmp").iterdir()) == []
    assert {path.name for path in folder.iterdir()} == {"cache", "results", "tmp"}
