"""A cluster whose head runs nothing, so that nodes are to come; here they are started by hand."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
import ray
from ray.cluster_utils import Cluster

from sweeper.execution import cluster as module
from sweeper.execution.cluster import TrialResources, trial_resources
from sweeper.plan import PlanError
from tests.execution.conftest import interrupt_twice


@pytest.fixture
def head(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as `ray up` exports it to every node, and Ray to every process
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_waits_for_a_node_that_a_trial_fits_on(head, monkeypatch, capsys):
    ray.init(address=head.address, log_to_driver=False, logging_level="ERROR")
    monkeypatch.setattr(module, "NODE_SECONDS", 2.0)
    with pytest.raises(PlanError, match=r"did not start nodes with room for 1 × CPU 2"):
        trial_resources(2, None, 3)
    monkeypatch.setattr(module, "NODE_SECONDS", 60.0)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(trial_resources, 2, None, 3)
        head.add_node(num_cpus=2)
        assert waiting.result(60) == TrialResources(2, 0.0)
    assert "waiting for nodes with room for 1 × CPU 2" in capsys.readouterr().err
    time.sleep(1.0)
    assert ray.available_resources()["CPU"] == 2, "what was asked for is given back"


def test_ctrl_c_stops_trials_that_wait_for_a_node(head, sweeper):
    """All wait in Tune at once, where the autoscaler sees them; the one that runs is finished, none is begun."""
    head.add_node(num_cpus=2)
    study = "ablations-demo-quick-1epochs"
    many = ("run", "ablations", "--epochs", "1", "--arm", "full", "--seeds", "9", "--address", head.address)
    many += ("--cpus-per-trial", "2")
    code, output = sweeper.stop_after(1, study, [signal.SIGINT], *many)
    assert code == 130, output
    folder = sweeper.folder / "results" / study
    assert len(sweeper.finished(study)) == len(list((folder / "attempts").glob("*.parquet"))) < 4
    assert (pd.read_parquet(folder / "trials").threads == 2).all(), "threads follow --cpus-per-trial"


def pending():
    """How many bundles each placement group has that waits for nodes: what an autoscaler sees."""
    groups = ray.util.placement_group_table().values()
    return [len(group["bundles"]) for group in groups if group["state"] == "PENDING"]


def wait_for(condition, process):
    deadline = time.monotonic() + 200
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def start_with_two_workers(head, sweeper, trials, epochs):
    """Some trials in a cluster that has no room yet, and the folder of their attempts."""
    command = ("run", "ablations", "--epochs", epochs, "--arm", "detail-only", "--seeds", str(trials), "--study", "s")
    sweep = sweeper.start(*command, "--workers-per-trial", "2", "--address", head.address)
    ray.init(address=head.address, log_to_driver=False, logging_level="ERROR")
    wait_for(lambda: pending() == [1] * 2 * trials, sweep)
    return sweep, sweeper.folder / "results" / "s" / "attempts"


def test_trials_of_several_workers_ask_for_nodes_and_use_those_that_come_later(head, sweeper):
    sweep, attempts = start_with_two_workers(head, sweeper, 3, "5000")
    for nodes in (1, 2):
        head.add_node(num_cpus=2)
        wait_for(lambda nodes=nodes: len(list(attempts.glob("*.parquet"))) == nodes, sweep)
        wait_for(lambda nodes=nodes: pending() == [2] * (3 - nodes), sweep)
    output = interrupt_twice(sweep, 120)
    assert sweep.returncode == 130, output
    assert "waiting for nodes with room for 1 × CPU 1" in output
    assert {group["state"] for group in ray.util.placement_group_table().values()} == {"REMOVED"}


def test_ctrl_c_stops_trials_of_several_workers_that_wait_for_nodes(head, sweeper):
    sweep, attempts = start_with_two_workers(head, sweeper, 2, "2")
    head.add_node(num_cpus=2)
    wait_for(lambda: list(attempts.glob("*.parquet")), sweep)
    time.sleep(2)  # until the driver has heard of it; before, Ctrl-C stops a trial as it begins
    sweep.send_signal(signal.SIGINT)
    output, _ = sweep.communicate(timeout=200)
    assert sweep.returncode == 130, output
    assert len(sweeper.finished("s")) == 1, output
    assert "worker 2 of 2 has started" not in output, "nobody waits for nodes of trials that are not to begin"
    assert "Traceback" not in output
