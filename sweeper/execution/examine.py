"""What `sweeper doctor` looks at on a Ray cluster: who answers, and what each node says of itself."""

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeper.execution.address import asks_for_token
from sweeper.execution.cluster import cluster
from sweeper.plan import PlanError
from sweeper.results.storage import locate
from sweeper.tools.doctor import Check, clock, examine_machine, examine_results

ANSWER_SECONDS = 60.0  # a node that is asked first has to start a process and import torch


def examine_cluster(address: str, results: str) -> Iterator[Check]:
    """Look at a cluster and at every living node of it, from the node itself; `results` as in `examine_results`."""
    try:
        with cluster(address, 0), _probe(results) as (place, probe):
            known: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
            nodes = [node for node in known if node["Alive"]]
            totals = {name: sum(node["Resources"].get(name, 0) for node in nodes) for name in ("CPU", "GPU")}
            words = ", ".join(f"{total:g} {name}s" for name, total in totals.items())
            count = "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"
            yield Check("cluster", f"{address}: ray {ray.__version__}, {count}, {words}")
            yield _authentication()
            for node in nodes:
                for check in _examine_node(node["NodeID"], place, probe):
                    yield replace(check, name=f"{node['NodeManagerHostname']}: {check.name}")
    except PlanError as error:
        found, _, remedy = str(error).partition("; ")
        yield Check("cluster", found, remedy or "write --address HOST:PORT")


@contextlib.contextmanager
def _probe(results: str) -> Iterator[tuple[str, str]]:
    """A file among the results that every node should see; their place, and its name, '' where it can't be written."""
    name = f".probe-{uuid.uuid4().hex}"
    try:
        there = locate(results)
        there.write(name, b"1")
    except OSError:
        yield results, ""  # which `examine_results` says
        return
    try:
        yield str(there), name
    finally:
        there.delete(name)


def _examine_node(node_id: str, results: str, probe: str) -> Iterator[Check]:
    options = {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id=node_id, soft=False)}
    try:
        checks = ray.get(ray.remote(look).options(**options).remote(results, probe), timeout=ANSWER_SECONDS)
        begin = time.time()
        now = ray.get(ray.remote(_now).options(**options).remote(), timeout=ANSWER_SECONDS)
    except ray.exceptions.GetTimeoutError:
        yield Check("node", f"no answer in {ANSWER_SECONDS:.0f} s", "see /tmp/ray/session_latest/logs/raylet.out there")
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        yield Check("node", reason, "install the project there as here: pip install -c constraints.txt '.[s3]'")
    else:
        yield from checks
        end = time.time()
        yield clock("clock", max(0.0, now - end) + min(0.0, now - begin))


def _authentication() -> Check:
    address = ray.get_runtime_context().gcs_address
    if asks_for_token(address):
        return Check("authentication", "callers need the cluster's token")
    return Check(
        "authentication",
        f"none: whoever reaches {address} can run programs on its nodes",
        "start Ray on every node with RAY_AUTH_MODE=token and the same token, as the files in cluster/ do",
    )


def look(results: str, probe: str) -> list[Check]:
    """What a node says of itself, and whether it sees the file `probe` among the results."""
    if not os.environ.get("CUDA_VISIBLE_DEVICES", "all"):
        del os.environ["CUDA_VISIBLE_DEVICES"]  # Ray hides the GPUs from a task that asks for none
    checks = [*examine_machine(), *examine_results(results)]
    if probe and all(check.ok for check in checks if check.name == "results") and not locate(results).exists(probe):
        remedy = "use --results s3://BUCKET/PREFIX, or a folder that all nodes mount"
        checks.append(Check("shared results", f"{results} is another folder here than where the run starts", remedy))
    return checks


def _now() -> float:
    return time.time()
