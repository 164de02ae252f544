"""Running the command line for real, in processes that can be interrupted and killed."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from sweeper.execution.own_ray import TOKEN
from sweeper.signals import ECHO_SECONDS

ROOT = Path(__file__).resolve().parents[2]


def cpus(count: int) -> dict[str, str]:
    """The environment in which Ray believes to have so many, so that as many trials run at once on every machine.

    With many cores a sweep this small would be over before it is interrupted; and a process costs more than its trials.
    """
    return {"RAY_OVERRIDE_RESOURCES": f'{{"CPU": {count}}}'}


def interrupt_twice(process: subprocess.Popen[str], seconds: float) -> str:
    """Ctrl-C, and again once the sweep has said that it heard the first: what follows that at once is its echo.

    Returns:
        what it printed until its end, for which it has so many seconds.
    """
    process.send_signal(signal.SIGINT)
    heard = ""
    while "Ctrl-C again stops now" not in heard:
        line = process.stdout.readline()
        assert line, f"it ended without a word about Ctrl-C:\n{heard}"
        heard += line
    time.sleep(ECHO_SECONDS + 0.1)
    process.send_signal(signal.SIGINT)
    return heard + process.communicate(timeout=seconds)[0]


class Command:
    """`python -m sweeper …` in a folder of its own."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        # Ray keeps its sockets below: their paths must be short.
        self.ray_folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
        self.environment = os.environ | {
            "SWEEPER_CACHE": str(cache),
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
            "RAY_TMPDIR": str(self.ray_folder),
            **cpus(2),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "sweeper", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a group of its own, which can be signalled
        )

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Run to the end; returns what was printed."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=400)
        assert process.returncode == code, f"exit code {process.returncode}, expected {code}:\n{output}"
        return output

    def ray_processes(self) -> dict[int, str]:
        """The living Ray processes that these commands started, by id: each keeps a log open in Ray's folder."""
        names = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                files = [str(file.readlink()) for file in (process / "fd").iterdir()]
                name = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except OSError:
                continue
            if any(file.startswith(str(self.ray_folder)) for file in files):
                names[int(process.name)] = name[:80]
        return names

    def give_way(self) -> None:
        """From now on, its workers train when nobody else wants the cores: for tests that need some that train on."""
        for process, name in self.ray_processes().items():
            if name.startswith("ray::ImplicitFunc"):
                for thread in Path(f"/proc/{process}/task").iterdir():
                    os.setpriority(os.PRIO_PROCESS, int(thread.name), 19)

    def wait_until_ray_is_gone(self, seconds: float) -> None:
        """Fails if a Ray process of these commands is alive after so long."""
        deadline = time.monotonic() + seconds
        while self.ray_processes() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert self.ray_processes() == {}

    def finished(self, study: str) -> set[str]:
        return {path.stem for path in (self.folder / "results" / study / "trials").glob("*.parquet")}

    def stop_after(self, trials: int, study: str, stops: list[signal.Signals], *arguments: str) -> tuple[int, str]:
        """Start, wait until so many trials are committed, and send signals; returns exit code and output."""
        process = self.start(*arguments)
        deadline = time.monotonic() + 300
        while len(self.finished(study)) < trials:
            assert process.poll() is None, f"it ended before it could be stopped:\n{process.stdout.read()}"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for stop in stops:
            process.send_signal(stop)
        output, _ = process.communicate(timeout=120)
        return process.returncode, output


@pytest.fixture(scope="session", autouse=True)
def no_niceness():
    """Ray's workers give way to all else, which on a busy machine means that they get next to nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        yield


@pytest.fixture(scope="session", autouse=True)
def one_token():
    """Tests that start Ray in this process do so with a sweep's token: a process keeps the first that it reads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", TOKEN)
        yield


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def sweeper(tmp_path, shared_cache):
    command = Command(tmp_path, shared_cache)
    yield command
    command.wait_until_ray_is_gone(30)  # every test leaves nothing, also where the command was killed
    deadline = time.monotonic() + 5
    while (rooms := list(command.ray_folder.glob("sw-*"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert rooms == []
    shutil.rmtree(command.ray_folder, ignore_errors=True)


@pytest.fixture
def tidy(monkeypatch, tmp_path):
    """Temporary files go to a folder of this test's own, short enough for Ray's sockets; it is empty afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    left = [path.relative_to(folder) for path in folder.rglob("*")]
    shutil.rmtree(folder, ignore_errors=True)
    assert left == []
