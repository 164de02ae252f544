"""A sweep of many trials over many nodes: `python -m tests.benchmarks.scale [--trials 10000] [--nodes 50]`.

The nodes are simulated (`ray.cluster_utils`): processes of this machine, which share its cores; so it tells what a
driver does for its trials, not how fast fifty nodes train. A node takes 0.13 GB and a worker 0.4, so on a machine of 24
GB only `--taking` nodes have the memory for a trial. Trials are empty, see `trial_overhead`. Prints the
cost per trial over the second and the last tenth, and the driver's memory as the sweep goes on. `--nodes 0` takes an
instance of this machine's own, as `run ablations` does.
"""

import argparse
import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.benchmarks.trial_overhead import ours


@contextlib.contextmanager
def simulated(nodes: int, taking: int) -> Iterator[None]:
    """A cluster of so many nodes, of which some take trials, to which this process is connected."""

    import ray
    from ray.cluster_utils import Cluster

    began = time.monotonic()
    size = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=size)
    try:
        for node in range(1, nodes):
            cluster.add_node(wait=False, memory=(4000 if node < taking else 1) * 2**20, **size)
        cluster.wait_for_nodes(timeout=600)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        print(f"{nodes} nodes up after {time.monotonic() - began:.0f} s", flush=True)
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


class Memory(threading.Thread):
    """Notes every second how much of it this process holds, in MB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.seen: list[float] = []

    def run(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while not self.over.wait(1.0):
            self.seen.append(int(Path("/proc/self/statm").read_text("ascii").split()[1]) * page / 1e6)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--taking", type=int, default=12, help="nodes that take trials")
    arguments = parser.parse_args()
    with simulated(arguments.nodes, arguments.taking) if arguments.nodes else contextlib.nullcontext():
        memory = Memory()
        memory.start()
        times = ours(arguments.trials)
        memory.over.set()
    tenth = len(times) // 10
    first, last = (float(np.ptp(part)) / (len(part) - 1) for part in (times[tenth : 2 * tenth], times[-tenth:]))
    print(f"{len(times)} trials: {float(times[-1]) / len(times):.4f} s each")
    print(f"second tenth {first:.4f} s per trial, last {last:.4f} s, ratio {last / first:.2f}")
    shares = [memory.seen[int(share * (len(memory.seen) - 1))] for share in (0.1, 0.5, 1.0)]
    print(
        f"driver: {shares[0]:.0f} MB after a tenth of the time, {shares[1]:.0f} after half, {shares[2]:.0f} at the end"
    )


if __name__ == "__main__":
    main()
