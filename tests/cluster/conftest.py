"""A laptop from which `ray up` is run, on a network of hosts."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml

from tests.cluster import hosts

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [path for path in sys.path if path.endswith("site-packages")]
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
# Instead of the README's install, which needs the internet: the project, and the packages that run the tests.
SETUP = (
    f"cd ~/sweeper && {sys.executable} -m venv --without-pip .venv"
    f" && printf '%s\\n' ~/sweeper {' '.join(PACKAGES)} > .venv/lib/{VERSION}/site-packages/packages.pth"
    f" && sed 1c\\#!$HOME/sweeper/.venv/bin/python {shutil.which('ray')} > .venv/bin/ray && chmod +x .venv/bin/ray"
)


def wait_for(condition, what, seconds=120):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.5)
    return value


class Laptop:
    """Where a user types `ray up`."""

    def __init__(self, network, folder):
        self.network = network
        self.folder = folder
        self.results = folder / "shared"
        self.results.mkdir()
        self.began = time.monotonic()
        (folder / "tmp").mkdir()
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "OMP_"))}
        # Ray keeps what it made of a cluster's file in TMPDIR.
        self.environment = keep | {"TMPDIR": str(folder / "tmp"), "HOME": str(folder), "RAY_USAGE_STATS_ENABLED": "0"}

    def start(self, *command):
        return subprocess.Popen(
            self.network.on_laptop(*command),
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ray(self, *arguments, code=0, seconds=900):
        """Run a command of Ray's to its end; returns what was printed."""
        process = self.start(sys.executable, "-m", "ray.scripts.scripts", *arguments)
        output, _ = process.communicate(timeout=seconds)
        assert process.returncode == code, output
        return output

    def write(self, name, config):
        path = self.folder / name
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return path

    def say(self, what):
        print(f"{time.monotonic() - self.began:6.1f} s  {what}", flush=True)


@pytest.fixture
def laptop():
    if reason := hosts.missing():
        pytest.skip(reason)
    # Sockets' paths must be short; Python, packages and results are what the hosts share.
    with tempfile.TemporaryDirectory(prefix="sw", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "laptop").mkdir()
        shared = {sys.prefix, sys.base_prefix, folder / "laptop/shared", *PACKAGES}
        network = hosts.Network(folder / "hosts", shared)
        laptop = Laptop(network, folder / "laptop")
        with network:
            laptop.ray("get-auth-token", "--generate")  # as the header of each file says
            yield laptop
