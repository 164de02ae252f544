"""What `pip install .` carries, as the installed distribution lists it."""

import os
import subprocess
import sys
from importlib.metadata import distributions, entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def installed():
    for distribution in distributions(name="sweeper"):
        if distribution.read_text("RECORD"):  # a build leaves a list of sources in the checkout, which is not this
            return {str(path) for path in distribution.files}
    pytest.skip("sweeper is not installed here, only on the path")


@pytest.mark.parametrize("package", ["sweeper", "sweeper/model", "sweeper/search_spaces", "sweeper/cluster"])
def test_every_file_of_the_package_is_carried(package, installed):
    suffixes = {".py", ".html", ".css", ".js", ".yaml"}
    there = {str(p.relative_to(ROOT)) for p in (ROOT / package).rglob("*") if p.suffix in suffixes}
    assert there
    assert there <= installed


def test_nothing_but_sweeper_is_importable_by_what_is_installed(installed):
    tops = {path.split("/")[0] for path in installed if not path.startswith("..")}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"sweeper"}


def test_files_of_the_user_do_not_shadow_ours(tmp_path):
    for name in ("model", "search_spaces", "cluster", "plan", "study"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken for a file of sweeper')")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "sweeper", "run", "ablations", "--help"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_there_is_a_console_command(installed):
    commands = {command.value for command in entry_points(group="console_scripts", name="sweeper")}
    assert commands == {"sweeper.cli.main:main"}


def test_constraints_pin_everything_without_addresses():
    lines = (ROOT / "constraints.txt").read_text("utf-8").split()
    assert all("==" in line and "/" not in line for line in lines)
    assert {"torch==2.11.0", "torchaudio==2.11.0", "ray==2.60.0", "optuna==5.0.0"} <= set(lines)
