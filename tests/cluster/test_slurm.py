"""cluster/slurm.sh on two hosts, with an `srun` and an `scontrol` that do what Slurm's do here."""

import shutil

import pandas as pd
import pytest

from tests.cluster.conftest import ROOT, SETUP, wait_for

pytestmark = pytest.mark.cluster
HOSTS = {"n1": "172.31.0.21", "n2": "172.31.0.22"}
SRUN = """#!/bin/bash
# Runs a command on all nodes, in this folder and with this environment, and ends as the first node does.
export -p > environment
for node in {nodes}; do
    ssh -i key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR root@$node \\
        "cd $PWD && . ./environment && $(printf '%q ' "$@")" &
    first=${{first:-$!}}
done
wait $first
"""
# Slowly: who only reads the first line is gone when the second comes.
SCONTROL = """#!/bin/bash
for node in {nodes}; do echo $node; sleep 0.2; done
"""


@pytest.fixture
def project(laptop):
    """A copy of the project that both nodes see, with the environment and the two commands of Slurm's."""
    project = laptop.results / "sweeper"
    for name in ("sweeper", "cluster"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for host, address in HOSTS.items():
        laptop.network.boot(host, address)
    made = laptop.network.ssh(
        "n1", f"ln -s {project} ~/sweeper && {SETUP} && sed -i s#$HOME/sweeper#{project}# .venv/bin/*"
    )
    assert made.returncode == 0, made.stderr
    shutil.copy(laptop.network.key, project / "key")
    nodes = " ".join(HOSTS.values())
    for name, text in {"srun": SRUN.format(nodes=nodes), "scontrol": SCONTROL.format(nodes=nodes)}.items():
        (project / ".venv/bin" / name).write_text(text)
        (project / ".venv/bin" / name).chmod(0o755)
    return project


def test_a_batch_job_runs_on_both_nodes_and_stops_ray(laptop, project):
    slurm = "SLURM_JOB_ID=4711 SLURM_JOB_NUM_NODES=2 SLURM_CPUS_PER_TASK=1 SLURM_JOB_NODELIST=n[1-2] OMP_NUM_THREADS=7"
    options = "--arm full semantic-only --seeds 2 --epochs 2 --results results --study s"
    job = laptop.network.ssh("n1", f"cd {project} && {slurm} cluster/slurm.sh {options}")
    laptop.say("the job has ended")
    assert job.returncode == 0, job.stdout + job.stderr
    rows = pd.read_parquet(project / "results/s/trials")
    assert len(rows) == 4
    assert set(rows.node) == set(HOSTS)
    for host in HOSTS:
        wait_for(lambda host=host: not laptop.network.ssh(host, "pgrep -f '[r]aylet|[g]cs_server'").stdout, host)
