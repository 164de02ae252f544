"""A sweep on this machine's own Ray is nobody else's: who lacks its token, or is another user, runs nothing in it."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest

from tests.users import NOBODY, as_user, need_root

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

STRAY = "0123456789abcdef" * 4
INTRUDER = """
import os, socket, sys, ray
gcs, driver, room = sys.argv[1:]
try:
    print("environment:", open(f"/proc/{driver}/environ").read())
except OSError as error:
    print("no environment:", error.strerror)
try:
    print("room:", os.listdir(room))
except OSError as error:
    print("no room:", error.strerror)
try:
    ray.init(address=gcs, log_to_driver=False)
    print("inside:", ray.get(ray.remote(lambda: dict(os.environ)).options(num_cpus=0).remote(), timeout=60))
except ConnectionError as error:
    print("outside:", error.__cause__)
"""


@pytest.fixture
def home(tmp_path):
    """A home whose owner has a token for something else."""
    home = tmp_path / "home"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray/auth_token").write_text(STRAY)
    return home


@pytest.fixture
def sweep(sweeper, home):
    """A sweep that trains, in the environment of a user who knows Ray."""
    sweeper.environment |= {
        "HOME": str(home),
        "RAY_AUTH_MODE": "disabled",
        "RAY_AUTH_TOKEN_PATH": str(home / "missing"),
    }
    options = "--arm semantic-only --seeds 1 --epochs 100000 --study s"
    process = sweeper.start("run", "ablations", *options.split())
    deadline = time.monotonic() + 200
    while not list((sweeper.folder / "results/s").glob("attempts/*")):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    sweeper.give_way()
    yield process
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)


def descendants(process):
    """Ids of a process and of all that it started."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listening(processes):
    """Addresses on which some of these processes take TCP connections, and on which any other does."""
    sockets = set()
    for process in processes:
        for file in Path(f"/proc/{process}/fd").glob("*"):
            try:
                sockets.add(str(file.readlink()))
            except OSError:
                continue
    own, others = set(), set()
    for family, table in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A":
                host, port = local.split(":")
                words = [bytes.fromhex(host[i : i + 8])[::-1] for i in range(0, len(host), 8)]  # in the CPU's order
                found = own if f"socket:[{rest[5]}]" in sockets else others
                found.add((socket.inet_ntop(family, b"".join(words)), int(port, 16)))
    return own, others


def own_address():
    """This machine's address on a network; None: it is on none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as question:
        try:
            question.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            return None
        address = question.getsockname()[0]
    return None if address.startswith("127.") else address


def command_lines():
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue


def test_who_lacks_the_token_or_is_another_user_runs_nothing(sweeper, sweep, home):
    processes = descendants(sweep.pid)
    raylet = next(line for line in command_lines() if "raylet/raylet" in line and str(sweeper.ray_folder) in line)
    gcs = re.search(r"--gcs-address=(\S+)", raylet)[1]
    (room,) = sweeper.ray_folder.iterdir()

    own, others = listening(processes)
    assert {host for host, _ in own} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    ports = {port for _, port in own}
    assert len(ports) > 3, "GCS, raylet, workers, driver"
    for port in ports - {port for _, port in others}:
        if outer := own_address():
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((outer, port), 5)
    answers = {port: (push_task(port), run_time_environment(port)) for port in ports}
    assert {grpc for grpc, _ in answers.values()} <= {"UNAUTHENTICATED", "UNIMPLEMENTED", "UNAVAILABLE"}
    # 405: the metrics of Ray's dashboard agent, which can only be read.
    assert {status for _, status in answers.values()} <= {401, 404, 405, None}
    assert "UNAUTHENTICATED" in {grpc for grpc, _ in answers.values()}
    assert 401 in {status for _, status in answers.values()}

    (keeper,) = (each for each in processes if b"execution.keeper" in Path(f"/proc/{each}/cmdline").read_bytes())
    texts = [Path(f"/proc/{process}/environ").read_text(errors="replace") for process in descendants(keeper)]
    found = [dict(line.split("=", 1) for line in text.split("\0") if "=" in line) for text in texts]
    # A worker writes its title over its own.
    started = [variables for variables in found if "RAY_AUTH_TOKEN" in variables]
    (token,) = {variables["RAY_AUTH_TOKEN"] for variables in started}
    assert re.fullmatch("[0-9a-f]{64}", token)
    assert token not in (STRAY, os.environ["RAY_AUTH_TOKEN"]), "the user's are for something else"
    modes = {variables.get("RAY_AUTH_MODE", "token") for variables in started}
    assert modes == {"token"}, "one that Ray did not start has no mode"
    assert not [line for line in command_lines() if token in line], "everybody sees command lines"
    for folder in (sweeper.ray_folder, sweeper.folder):
        for path in folder.rglob("*"):
            assert not (path.is_file() and token.encode() in path.read_bytes()), path

    arguments = [sys.executable, "-c", INTRUDER, gcs, str(sweep.pid), str(room)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    # By themselves they would ask at this machine's outer address, where nobody listens.
    clean["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    intruders = {"same user": subprocess_of(arguments, clean | {"HOME": str(home)})}
    intruders["same user, own token"] = subprocess_of(
        arguments, clean | {"HOME": str(home), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": STRAY}
    )
    if os.geteuid() == 0:
        need_root()
        intruders["other user"] = subprocess_of(as_user(NOBODY, *arguments), clean | {"HOME": "/"})
    for who, intruder in intruders.items():
        output, _ = intruder.communicate(timeout=120)
        assert "inside:" not in output, who
        assert "InvalidAuthToken" in output, (who, output)
        if who == "other user":
            assert "no environment: Permission denied" in output
            assert "no room: Permission denied" in output
    assert sweep.poll() is None, sweep.stdout.read()
    assert list((home / ".ray").rglob("*")) == [home / ".ray/auth_token"]
    assert (home / ".ray/auth_token").read_text() == STRAY


def test_the_sweep_ends_well_whatever_the_user_has_set_and_leaves_nothing(sweeper, home):
    sweeper.environment |= {
        "HOME": str(home),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "short",
        "RAY_ADDRESS": "http://127.0.0.1:8265",
    }
    options = "--arm semantic-only --seeds 1 --epochs 1 --study s --address local"
    output = sweeper("run", "ablations", *options.split())
    assert "Token" not in output
    assert "oken authentication" not in output
    assert len(sweeper.finished("s")) == 1
    assert list(sweeper.ray_folder.iterdir()) == []
    assert [path.name for path in home.rglob("*")] == [".ray", "auth_token"]


def subprocess_of(arguments, environment):
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(arguments, env=environment, cwd="/", **pipe)


def push_task(port):
    """What a port says to somebody who has it run a task, as Ray's workers do."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            channel.unary_unary("/ray.rpc.CoreWorkerService/PushTask")(b"", timeout=10)
        except grpc.RpcError as error:
            return error.code().name
    return "OK"


def run_time_environment(port):
    """The status with which a port answers who has it set up an environment, as raylets do; None: it speaks no HTTP."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/get_or_create_runtime_env", data=b"", method="POST")
    try:
        return urllib.request.urlopen(request, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, http.client.HTTPException):
        return None
