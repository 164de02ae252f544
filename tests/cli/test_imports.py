"""What commands need not, they don't import: a help text that waits for torch is read by nobody."""

import subprocess
import sys

import pytest

HEAVY = ("numpy", "pyarrow", "pandas", "scipy", "sklearn", "torch", "ray", "optuna", "fsspec", "rich", "filelock")


def imported(statement: str) -> set[str]:
    code = f"import sys\ntry:\n    {statement}\nexcept SystemExit:\n    pass\nprint('loaded', *sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return set(out[out.rindex("loaded") :].split())


@pytest.mark.parametrize(
    "words", ["--help", "run ablations --help", "run search --help", "data plot --help", "report --help"]
)
def test_help_needs_nothing_heavy(words):
    modules = imported(f"from sweeper.cli.main import main; main({words.split()})")
    assert "sweeper.cli.run" in modules
    assert not modules & set(HEAVY)


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("sweeper.tools.status", ("pandas", "scipy", "torch", "ray", "fsspec", "rich")),
        ("sweeper.report.formats", ("scipy.stats", "scipy.optimize", "torch", "ray", "fsspec", "pyarrow.dataset")),
    ],
)
def test_status_and_leaderboard_import_what_they_use(module, without):
    modules = imported(f"import {module}")
    assert module in modules
    assert not modules & set(without)
