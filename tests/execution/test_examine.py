"""`doctor` on a Ray cluster, which is this machine's."""

import subprocess
import sys

import pytest

from sweeper.execution.examine import look

HEAD = """
import ray, sys
context = ray.init(address="local", include_dashboard=False, log_to_driver=False)
print(context.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def address(sweeper):
    """A cluster's address, for as long as the test runs."""
    sweeper.environment["RAY_AUTH_MODE"] = "disabled"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    head = subprocess.Popen([sys.executable, "-c", HEAD], env=sweeper.environment, stderr=subprocess.DEVNULL, **pipes)
    yield head.stdout.readline().strip()
    head.communicate(timeout=60)


def test_every_node_speaks_for_itself(sweeper, address, s3):
    """The nodes were started without the credentials that this machine has."""
    sweeper.environment |= s3.environment
    found = sweeper("doctor", "--address", address, "--results", f"{s3.url}/x", code=1).splitlines()
    start = next(index for index, line in enumerate(found) if line.startswith("ok      cluster: "))
    assert f"{address}: ray 2.60.0, 1 node, 2 CPUs" in found[start]
    assert any(line.startswith(f"ok      results: {s3.url}/x") for line in found[:start])
    there = [line.split(": ")[1] for line in found[start + 1 : -1] if ": " in line]
    assert {"packages", "gpus", "shared memory", "cache", "results", "clock"} <= set(there)
    (line,) = [line for line in found if line.startswith("FAILED") and "results" in line]
    assert "NoCredentialsError" in line


def test_a_folder_that_the_nodes_do_not_share(tmp_path):
    (tmp_path / "seen").touch()
    assert all(check.name != "shared results" for check in look(str(tmp_path), "seen"))
    (check,) = [check for check in look(str(tmp_path), "written elsewhere") if check.name == "shared results"]
    assert "a folder that all nodes mount" in check.remedy
