"""Addresses of clusters, right and wrong, against servers that behave like a Ray head and like anything else."""

import http.server
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from sweeper.execution import address as address_module
from sweeper.execution import cluster as cluster_module
from sweeper.execution.address import FIRST_QUESTION, asks_for_token, find_cluster, find_token
from sweeper.plan import PlanError

TOKEN = "5ec2e7" * 10


@pytest.fixture(autouse=True)
def a_clean_environment(monkeypatch, tmp_path):
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(address_module, "_is_node", lambda: True)


@pytest.fixture
def serve():
    """Starts a gRPC server that knows one method, and tells nothing without its token; returns its address."""
    servers = []

    class Handler(grpc.GenericRpcHandler):
        def __init__(self, method, token):
            self.method, self.token = method, token

        def service(self, call):
            sent = dict(call.invocation_metadata).get("authorization")

            def answer(_request, context):
                if self.token and sent != f"Bearer {self.token}":
                    context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")
                return b""

            return grpc.unary_unary_rpc_method_handler(answer) if call.method == self.method else None

    def start(token="", method=FIRST_QUESTION):
        server = grpc.server(ThreadPoolExecutor(1), (Handler(method, token),))
        servers.append(server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(None)


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def name(server):
    return f"127.0.0.1:{server.getsockname()[1]}"


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return name(server)


def refused(address=None, seconds=3.0):
    """What is said of an address, in time."""
    begin = time.monotonic()
    with pytest.raises(PlanError) as error:
        find_cluster(address)
    assert time.monotonic() - begin < seconds
    assert "\n" not in str(error.value)
    return str(error.value)


def test_without_an_address_there_is_no_cluster(monkeypatch):
    assert find_cluster(None) is None
    monkeypatch.setenv("RAY_ADDRESS", "")
    assert find_cluster(None) is None
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    assert find_cluster("local") is None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("http://10.0.0.5:8265", ["dashboard", "ray job submit --address http://10.0.0.5:8265 -- ", "HOST:6379"]),
        ("https://ray.example.org", ["dashboard", "ray job submit --address https://ray.example.org -- "]),
        ("ray://10.0.0.5:10001", ["Ray Client", "HOST:6379", "ray job submit"]),
        ("redis://10.0.0.5:6379", ["expected host:port"]),
        ("10.0.0.5", ["expected host:port, such as 10.0.0.5:6379"]),
        ("10.0.0.5:", ["expected host:port"]),
        (":6379", ["expected host:port"]),
        ("10.0.0.5:gcs", ["expected host:port"]),
        ("10.0.0.5:99999", ["there is no port 99999"]),
        ("fd00::5", ["in brackets", "[fd00::5]:6379"]),
        ("fd00::5:6379", ["in brackets"]),
    ],
)
def test_what_is_no_address_of_a_cluster(wrong, words, monkeypatch):
    said = refused(wrong, seconds=0.5)
    assert said.startswith(f"--address {wrong}: ")
    assert all(word in said for word in words)
    monkeypatch.setenv("RAY_ADDRESS", wrong)
    assert refused(None, seconds=0.5) == said.replace(f"--address {wrong}: ", f"RAY_ADDRESS={wrong}: ", 1)


@pytest.mark.parametrize("wrong", ["ray://u:pw@10.0.0.5:10001", "http://u:pw@10.0.0.5:8265", "redis://:pw@10.0.0.5"])
def test_a_password_in_an_address_is_not_shown(wrong, monkeypatch):
    assert "pw" not in refused(wrong, seconds=0.5)
    monkeypatch.setenv("RAY_ADDRESS", wrong)
    assert "pw" not in refused(None, seconds=0.5)


def test_nobody_answers():
    address = closed_port()
    said = refused(address)
    assert f"no Ray cluster answers at {address} (Connection refused)" in said
    assert "unset RAY_ADDRESS to run on this machine" in said


def test_a_name_that_nobody_has():
    said = refused("nowhere.invalid:6379", seconds=6)
    assert "no Ray cluster answers at nowhere.invalid:6379" in said


def test_an_ipv6_address():
    assert "no Ray cluster answers at [::1]:" in refused(f"[::1]:{closed_port().rpartition(':')[2]}")


def test_a_port_that_is_open_and_silent(listening):
    assert "no Ray cluster answers" in refused(name(listening))


def test_a_port_that_greets(listening):
    """As ssh does."""

    def greet():
        connection, _ = listening.accept()
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        connection.recv(1000)
        connection.close()

    threading.Thread(target=greet, daemon=True).start()
    assert "is not Ray's GCS" in refused(name(listening))


def test_a_web_server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        said = refused(name(server.socket))
        server.shutdown()
    assert "is not Ray's GCS; write its HOST:PORT (6379" in said


def test_a_port_of_ray_that_is_not_the_right_one(serve):
    assert "is not Ray's GCS" in refused(serve(method="/ray.rpc.NodeManagerService/GetNodeStats"))


def test_a_cluster_without_a_token_is_joined_whatever_we_have(serve, monkeypatch):
    address = serve()
    assert find_cluster(address) == address
    assert not asks_for_token(address)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert find_cluster(None) == address


def test_a_cluster_whose_token_we_have_or_lack(serve, monkeypatch, tmp_path):
    address = serve(TOKEN)
    assert asks_for_token(address)
    said = refused(address)
    assert "asks for its token, and none is sent, as RAY_AUTH_MODE is not set; set RAY_AUTH_MODE=token" in said
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert "RAY_AUTH_MODE=token, and no token in" in refused(address)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    assert f"RAY_AUTH_TOKEN_PATH={tmp_path / 'token'}: no token can be read there" in refused(address)
    (tmp_path / "token").write_text(f" {TOKEN}\n")
    assert find_cluster(address) == address
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
    said = refused(address)
    assert "asks for its token, not the one in RAY_AUTH_TOKEN; " in said
    assert TOKEN not in said
    assert "another" not in said


def test_this_machine_is_not_a_node(serve, monkeypatch):
    monkeypatch.setattr(address_module, "_is_node", lambda: False)
    assert "this machine is not a node of that cluster; start the sweep on one" in refused(serve())


@pytest.mark.skipif(sys.platform != "linux", reason="only there it is looked for")
def test_a_node_is_known_by_its_process(monkeypatch):
    monkeypatch.undo()
    process = subprocess.Popen(["/somewhere/raylet/raylet", "60"], executable="/bin/sleep")
    try:
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes():  # a program that has just begun shows none yet
            time.sleep(0.01)
        assert address_module._is_node()
    finally:
        process.kill()
        process.wait()


class TestAuto:
    """`ray start` writes an address down, and a machine that crashed keeps it."""

    @pytest.fixture
    def record(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setenv("RAY_ADDRESS", "auto")
        (tmp_path / "ray").mkdir()
        return tmp_path / "ray/ray_current_cluster"

    @pytest.mark.skipif(sys.platform != "linux", reason="only there Ray looks into TMPDIR")
    def test_a_stale_record(self, record):
        record.write_text(closed_port())
        said = refused()
        assert said.startswith(f"RAY_ADDRESS=auto: {record} names {record.read_text()}: no Ray cluster answers")
        assert "`ray stop`, or removing that file" in said

    def test_a_record_of_a_living_cluster(self, record, serve):
        record.write_text(serve())
        assert find_cluster(None) == "auto"
        assert find_cluster("auto") == "auto"

    def test_a_record_of_another_server(self, record, listening):
        record.write_text(name(listening))
        assert "no Ray cluster answers" in refused()

    def test_a_broken_record(self, record):
        record.write_text("")
        assert "expected host:port" in refused()

    def test_what_ray_finds_by_itself_gets_the_users_token(self, record, serve, tmp_path):
        record.write_text(serve(TOKEN))
        assert "asks for its token, and none is sent" in refused()
        (tmp_path / "home/.ray").mkdir(parents=True)
        (tmp_path / "home/.ray/auth_token").write_text(TOKEN)
        assert find_cluster(None) == "auto"
        assert find_token(automatic=False).value == ""

    def test_another_address_goes_before(self, record, serve, monkeypatch):
        record.write_text(closed_port())
        monkeypatch.setenv("RAY_ADDRESS", address := serve())
        assert find_cluster("auto") == address


def test_a_process_that_swept_on_its_own_joins_no_cluster_with_another_token(monkeypatch, tmp_path):
    """Ray would let it in, and every worker would die before it begins."""
    monkeypatch.setattr(cluster_module, "_own", [str(tmp_path)])
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    with pytest.raises(PlanError, match=r"can't join the Ray cluster at 192.0.2.1:6379: .* use another process"):
        cluster_module._join("192.0.2.1:6379")
