"""What a bug report is asked for."""

import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import sweeper
from sweeper.cli import version as shown

ROOT = Path(__file__).parents[2]


def test_all_that_decides_results_is_named():
    lines = shown.describe()
    assert lines[0] == f"sweeper {sweeper.__version__}"
    for name in ("torch", "torchaudio", "ray", "optuna"):
        assert f"{name} {version(name)}" in lines
    assert any(line.startswith("CPUs: ") and line[6].isdecimal() for line in lines)
    assert lines[-1].startswith("GPUs: ")


def test_nothing_heavy_is_imported():
    code = "import sys; from sweeper.cli.main import main\ntry: main(['--version'])\nexcept SystemExit: pass\n"
    code += "print([name for name in ('torch', 'ray', 'optuna', 'scipy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"


def test_gpus_are_those_that_the_driver_names(tmp_path, monkeypatch):
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho 'NVIDIA A100, 550.1'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert shown.describe()[-1] == "GPUs: NVIDIA A100 with driver 550.1"
    fake.write_text("#!/bin/sh\nexit 9\n")
    assert shown.describe()[-1].startswith("GPUs: unknown (nvidia-smi: ")


def test_the_version_is_the_same_everywhere():
    number = sweeper.__version__
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == number
    assert f"\nversion: {number}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## [{number}]" in (ROOT / "CHANGELOG.md").read_text()
