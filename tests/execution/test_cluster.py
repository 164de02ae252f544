"""Where Ray does not start or answer, and the environment that it is started in."""

import contextlib
import os
import tempfile
import time
from pathlib import Path

import pytest
import ray

from sweeper import signals
from sweeper.execution import cluster as module
from sweeper.execution import own_ray
from sweeper.execution.cluster import cluster
from sweeper.execution.family import below
from sweeper.execution.fits import Machine
from sweeper.execution.preflight import check_machine
from sweeper.plan import PlanError, build_plan
from tests.studies import ARMS, PAPER, RECIPES

NO_INODES = """
import errno, os, tempfile
from sweeper.execution import keeper
def full(**_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
tempfile.mkdtemp = full
keeper.main()
"""
BROKEN = 90  # room of an instance that does not start
FULL = """
import shutil
from sweeper.execution import keeper
usage = shutil.disk_usage
keeper._shared_memory = lambda: 64 * 2**20
shutil.disk_usage = lambda place: usage(place)._replace(free=10 if place.name == "ray" else 10**9)
keeper.main()
"""
REFUSED = "RPC error: InvalidAuthToken: Authentication token is missing or incorrect. Ensure that …"


def test_a_process_that_keeps_another_token_is_told(monkeypatch):
    """Ray's own answer speaks of files in ~/.ray, which have nothing to do with it."""
    asked = []

    def init(**_settings):
        asked.append(1)
        raise ConnectionError("Failed to connect to Ray cluster at 127.0.0.1:1") from RuntimeError(REFUSED)

    @contextlib.contextmanager
    def running(_shared_bytes):
        yield "/nowhere"

    monkeypatch.setattr(module.ray, "init", init)
    monkeypatch.setattr(module.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(module.ray, "shutdown", lambda: None)
    monkeypatch.setattr(module, "find_cluster", lambda _address: None)
    monkeypatch.setattr(own_ray, "running", running)
    with (
        pytest.raises(PlanError, match=r"this Python process has used Ray before.*restart the notebook's kernel"),
        cluster(None, 0),
    ):
        pass
    assert asked == [1], "a second attempt would be refused as the first was"


def test_memory_is_the_users_business_where_they_chose_an_allocator(monkeypatch):
    for name in ("LD_PRELOAD", *own_ray.ALLOCATOR):
        monkeypatch.delenv(name, raising=False)
    assert own_ray._environment().items() >= own_ray.ALLOCATOR.items()
    monkeypatch.setenv("MALLOC_CONF", "stats_print:true")
    made = own_ray._environment()
    assert (made["RAY_LD_PRELOAD_ON_WORKERS"], made["MALLOC_CONF"]) == ("1", "stats_print:true")
    monkeypatch.setenv("LD_PRELOAD", "libmimalloc.so")
    assert "RAY_LD_PRELOAD_ON_WORKERS" not in own_ray._environment()
    monkeypatch.delenv("LD_PRELOAD")
    monkeypatch.delenv("MALLOC_CONF")
    monkeypatch.setenv("RAY_LD_PRELOAD_ON_WORKERS", "0")
    made = own_ray._environment()
    assert made["RAY_LD_PRELOAD_ON_WORKERS"] == "0" and "MALLOC_CONF" not in made


def test_warnings_that_are_errors_are_not_for_rays_own_processes(monkeypatch):
    for given, there in (("error", False), ("error::DeprecationWarning", False), ("ignore", True)):
        monkeypatch.setenv("PYTHONWARNINGS", given)
        assert ("PYTHONWARNINGS" in own_ray._environment()) is there


@pytest.fixture
def instances(monkeypatch):
    """Room of the instances that are begun, and of those that are ended."""
    begun, ended = [], []

    class Instance:
        def __init__(self, shared_bytes):
            self.shared_bytes = shared_bytes
            begun.append(shared_bytes)

        def folder(self):
            if self.shared_bytes == BROKEN:
                raise PlanError("no room")
            return f"room of {self.shared_bytes}"

        def end(self):
            ended.append(self.shared_bytes)

        let_go = end

    monkeypatch.setattr(own_ray, "OwnRay", Instance)
    monkeypatch.setattr(module.ray, "is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return begun, ended


def test_an_instance_is_begun_ahead_where_that_is_allowed_and_its_size_known(instances, monkeypatch):
    begun, ended = instances
    own_ray.expect(100)
    own_ray.begin(None)
    assert not begun, "nobody would end it"
    with own_ray.ahead():
        own_ray.begin(None)
        own_ray.expect(own_ray.MOST_BYTES + 1)
        own_ray.begin(None)
        own_ray.expect(100)
        own_ray.begin("127.0.0.1:6379")
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
        own_ray.begin(None)
        assert not begun
        own_ray.begin("local")
        own_ray.begin("local")
        assert (begun, ended) == ([100], [])
    assert begun == ended == [100], "nobody took it"
    monkeypatch.setattr(module.ray, "is_initialized", lambda: True)
    with own_ray.ahead():
        own_ray.expect(100)
        own_ray.begin("local")
    assert begun == [100], "a sweep runs on what this process is connected to"


@pytest.mark.parametrize(("expected", "rooms"), [(100, [100]), (60, [60, 80]), (BROKEN, [BROKEN, 80])])
def test_one_that_is_too_small_or_does_not_start_is_replaced(instances, expected, rooms):
    begun, ended = instances
    with own_ray.ahead(), own_ray.ahead():
        own_ray.expect(expected)
        own_ray.begin(None)
        with pytest.raises(KeyError), own_ray.running(80) as folder:
            assert folder == f"room of {rooms[-1]}"
            assert (begun, ended) == (rooms, rooms[:-1])
            raise KeyError
        assert ended == rooms
        with own_ray.running(80):
            assert begun == [*rooms, 80]
    assert ended == [*rooms, 80]


def test_only_a_run_that_goes_on_begins_an_instance(monkeypatch):
    """Not a dry run, and none on a cluster that is there."""
    begun = []
    monkeypatch.setattr(own_ray, "begin", begun.append)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    trials = build_plan(
        study="s",
        source=PAPER,
        arms=[ARMS["semantic-only"]],
        recipe=RECIPES["quick"](),
        dataset="demo",
        split="official",
        folds=(1,),
        classes=10,
        replicates=1,
    ).trials
    check_machine(Machine(), trials)
    assert not begun
    check_machine(Machine(), trials, going_on=True)
    assert begun == [None]
    with pytest.raises(PlanError, match="no Ray cluster answers"):
        check_machine(Machine(address="127.0.0.1:1"), trials, going_on=True)
    assert begun == [None]


@pytest.mark.parametrize("seconds", [0.0, 0.2, 0.3, 0.5, 0.8, 1.2, 1.7, 2.3, None])
def test_an_own_ray_ends_with_the_pipe_even_while_it_starts(monkeypatch, seconds):
    """As with a sweep that is killed; nobody hears of it, and nothing stays. None: when it is up."""
    place = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    monkeypatch.setenv("RAY_TMPDIR", str(place))
    instance = own_ray.OwnRay(2**20)
    keeper = instance._keeper
    if seconds is None:
        instance.folder()
        assert len(below(keeper.pid)) > 5
    else:
        time.sleep(seconds)
    for number in signals.SIGNALS:
        keeper.send_signal(number)
    time.sleep(0.1)
    assert keeper.poll() is None, "signals are for the sweep's process alone"
    family = below(keeper.pid)
    keeper.stdin.close()
    assert keeper.wait(8) == 0
    keeper.stdout.close()
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{process}").exists() for process, _ in family):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert list(place.iterdir()) == []
    place.rmdir()


def test_why_an_own_ray_does_not_start(monkeypatch):
    monkeypatch.setattr(own_ray, "_PROGRAM", f"import sys; sys.path[:] = sys.argv[2:]\n{FULL}")
    with pytest.raises(PlanError, match=r"the clips need .* and .* has 0.0 GB; enlarge /dev/shm"), cluster(None, 10**9):
        pass
    monkeypatch.setattr(own_ray, "_PROGRAM", f"import sys; sys.path[:] = sys.argv[2:]\n{NO_INODES}")
    with pytest.raises(PlanError, match=r"No space left on device"), cluster(None, 0):
        pass
    monkeypatch.setattr(own_ray, "_PROGRAM", "import sys; sys.exit(3)")
    with pytest.raises(PlanError, match="Ray did not start: its keeper ended with code 3"), cluster(None, 0):
        pass


def test_an_address_where_nobody_answers_is_refused_at_once():
    began = time.monotonic()
    with pytest.raises(PlanError, match=r"no Ray cluster answers at 127\.0\.0\.1:1 "), cluster("127.0.0.1:1", 0):
        pass
    assert time.monotonic() - began < 5
    with pytest.raises(PlanError, match="expected host:port"), cluster("somewhere", 0):
        pass


def test_a_small_shared_memory_still_works(monkeypatch):
    small = "from sweeper.execution import keeper; keeper._shared_memory = lambda: 64 * 2**20; keeper.main()"
    monkeypatch.setattr(own_ray, "_PROGRAM", f"import sys; sys.path[:] = sys.argv[2:]; {small}")
    for name in ("RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE", "RAY_LD_PRELOAD_ON_WORKERS", "LD_PRELOAD"):
        monkeypatch.delenv(name, raising=False)
    with cluster(None, 10 * 2**20):
        assert ray.get(ray.put(b"x")) == b"x"
        variables = ray.remote(lambda: dict(os.environ))
        assert ray.get(variables.remote())["RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE"] == "1"
        # Another thing of an own instance, asked here as Ray takes seconds to start: which allocator its workers use.
        if (Path(ray.__file__).parent / "core/libjemalloc.so").exists():
            maps = ray.remote(lambda: Path("/proc/self/maps").read_text())
            assert "libjemalloc" in ray.get(maps.remote())
