"""Where an own Ray keeps its files, on machines that make it hard; and that nothing of it stays."""

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from sweeper.execution import room as room_module
from sweeper.execution.room import MOST_BYTES, RAY_BYTES, check_ray, find_room, room
from sweeper.plan import PlanError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def short():
    """A folder with a short path."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def in_a_short_folder(monkeypatch, short):
    for name in ("RAY_ADDRESS", "RAY_TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    temporary_is(monkeypatch, short)


def temporary_is(monkeypatch, folder):
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)  # Python looks again


def test_the_longest_socket_path_that_ray_makes_there_can_be_bound(monkeypatch, short):
    """Ray's own name of a session: its time to the microsecond, and a process id of at most seven digits."""
    place = short / ("x" * (MOST_BYTES - len(str(short)) - 1))
    place.mkdir()
    temporary_is(monkeypatch, place)
    assert len(str(find_room())) == MOST_BYTES
    with room() as folder:
        path = folder / f"session_2026-11-28_22-02-18_259137_{2**22}" / "sockets" / "plasma_store"
        assert len(str(path)) == len(str(folder)) + RAY_BYTES
        path.parent.mkdir(parents=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))


def test_a_long_path_is_left_for_a_short_one(monkeypatch, short):
    long = short / ("x" * MOST_BYTES)
    long.mkdir()
    temporary_is(monkeypatch, long)
    assert find_room() == Path("/tmp")
    monkeypatch.setenv("RAY_TMPDIR", str(short))
    assert find_room() == short
    monkeypatch.setenv("RAY_TMPDIR", str(short / "missing"))
    assert find_room() == Path("/tmp")
    assert check_ray(None) is None


def test_only_its_owner_can_enter_it_and_nothing_stays(short):
    with room() as folder:
        folder.chmod(0o777)  # as Ray does
        (outer,) = short.iterdir()
        assert outer in folder.parents
        assert stat.S_IMODE(outer.stat().st_mode) == 0o700
        assert outer.stat().st_uid == os.geteuid()
        (folder / "session/logs").mkdir(parents=True)
        (folder / "session/logs/gcs.out").write_text("started")
    assert list(short.iterdir()) == []


def test_nothing_stays_after_an_error_and_of_processes_that_write_on(short):
    stop = threading.Event()

    def write(folder):
        number = 0
        while not stop.is_set():
            number += 1
            try:
                (folder / f"{number}").mkdir()
            except OSError:
                stop.wait(0.001)

    with pytest.raises(KeyboardInterrupt), room() as folder:
        thread = threading.Thread(target=write, args=(folder,))
        thread.start()
        threading.Timer(0.5, stop.set).start()
        raise KeyboardInterrupt
    thread.join()
    assert list(short.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_another_uses_is_not(short, monkeypatch):
    monkeypatch.setattr(room_module, "YOUNG_SECONDS", -1.0)
    code = (
        "import time; from sweeper.execution.room import room\nwith room() as it: print(it, flush=True); time.sleep(99)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    killed, living = (
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    left, kept = Path(killed.stdout.readline().strip()), Path(living.stdout.readline().strip())
    killed.kill()
    killed.wait()
    assert left.exists()
    with room():
        assert not left.parent.exists()
        assert kept.exists()
    living.kill()
    living.wait()


def test_a_folder_of_another_user_is_let_alone(short, monkeypatch):
    monkeypatch.setattr(room_module, "YOUNG_SECONDS", -1.0)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    (short / "sw-abcdefgh").mkdir()
    with room():
        pass
    assert [path.name for path in short.iterdir()] == ["sw-abcdefgh"]


def test_no_folder_will_do(monkeypatch, short):
    long = short / ("x" * MOST_BYTES)
    long.mkdir()
    temporary_is(monkeypatch, long)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PlanError) as error:
        find_room()
    assert f"{long} (its path has {len(str(long))} bytes, and sockets leave it {MOST_BYTES})" in str(error.value)
    assert "/tmp (can't be written)" in str(error.value)
    assert "; set TMPDIR to a folder" in str(error.value)


def test_a_full_disk_is_left_for_another(monkeypatch, short):
    usage = shutil.disk_usage
    free = {str(short): 1_000_000}

    def told(path):
        return usage(path)._replace(free=free.get(str(path), 10**12))

    monkeypatch.setattr(shutil, "disk_usage", told)
    assert find_room() == Path("/tmp")


def test_no_folder_for_temporary_files_at_all(monkeypatch):
    def none():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(PlanError, match="set TMPDIR"):
        check_ray(None)


def test_a_machine_that_can_not_connect_to_itself():
    """A new network namespace, whose loopback interface is down."""
    code = "from sweeper.execution.room import check_ray; check_ray(None)"
    command = ["unshare", "--map-root-user", "--net", sys.executable, "-c", code]
    if subprocess.run([*command[:3], "true"], check=False, capture_output=True).returncode:
        pytest.skip("no network namespace can be made here")
    begin = time.monotonic()
    found = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert "PlanError: Ray can't run on a machine that can't connect to itself (Network is unreachable)" in found.stderr
    assert "ip link set lo up" in found.stderr
    assert time.monotonic() - begin < 60
