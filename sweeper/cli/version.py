"""`sweeper --version`: what matters for a bug report, read from package metadata; nothing heavy is imported."""

import argparse
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sweeper import __version__

PACKAGES = ("torch", "torchaudio", "ray", "optuna")
GPU_SECONDS = 5.0  # for the driver to answer


class Version(argparse.Action):
    """An option that prints the versions and ends the program."""

    def __init__(self, option_strings: Sequence[str], dest: str = argparse.SUPPRESS, **_: Any) -> None:
        words = "versions of sweeper and of what it needs, for a bug report"
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=words)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print and end."""
        print("\n".join(describe()))
        parser.exit()


def describe() -> list[str]:
    """A line each on the program, Python, the packages that decide results, the system, its CPUs and its GPUs."""
    lines = [f"sweeper {__version__}", f"Python {platform.python_version()}"]
    lines += [f"{name} {_installed(name)}" for name in PACKAGES]
    return [*lines, platform.platform(), f"CPUs: {_cpus()}", f"GPUs: {_gpus()}"]


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "is not installed"


def _cpus() -> str:
    there = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    return f"{there}" if usable == there else f"{there}, of which this process may use {usable}"


def _gpus() -> str:
    """As NVIDIA's driver names them."""
    if (command := shutil.which("nvidia-smi")) is None:
        return "none found (no nvidia-smi)"
    query = [command, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=GPU_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return f"unknown (nvidia-smi: {error})"
    names = [" with driver ".join(part.strip() for part in line.split(",")) for line in found.splitlines()]
    return "; ".join(names) or "none found"
