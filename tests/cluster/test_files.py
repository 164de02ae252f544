"""Every file of cluster/ is what Ray, EC2 or bash takes it for: checked here without any of these."""

import copy
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from ray.autoscaler._private.resource_demand_scheduler import get_nodes_for
from ray.autoscaler._private.util import prepare_config, validate_config

from sweeper.cluster.spot_first import score

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "cluster"
RAY_UP = ("gcp.yaml", "gpu.yaml", "local.yaml")


def read(name):
    return yaml.safe_load((FOLDER / name).read_text())


@pytest.mark.parametrize("name", RAY_UP)
def test_ray_accepts_it(name):
    config = prepare_config(read(name))
    for kind in config["available_node_types"].values():
        kind.setdefault("resources", {})  # filled in from the instance type by AWS
    validate_config(config)


@pytest.mark.parametrize("name", RAY_UP)
def test_the_head_runs_no_trials_and_nothing_is_open_or_leaks(name):
    config = read(name)
    (head,) = [line for line in config["head_start_ray_commands"] if "--head" in line]
    if config["provider"]["type"] == "local":
        assert "--num-cpus=0 --num-gpus=0" in head
    else:
        assert config["available_node_types"]["head"]["resources"] == {"CPU": 0, "GPU": 0}
    assert "--dashboard-host=127.0.0.1" in head
    assert "RAY_enable_autoscaler_v2=0" in head
    for line in (head, config["worker_start_ray_commands"][-1]):
        assert "unset OMP_NUM_THREADS PYTHONWARNINGS" in line
    text = (FOLDER / name).read_text()
    assert "RAY_AUTH_MODE=token" in text
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "(umask 077; ray get-auth-token --generate >/dev/null)" in text
    assert all(command in text for command in (f"ray up -y cluster/{name}", "ray exec ", f"ray down -y cluster/{name}"))


@pytest.mark.parametrize("name", RAY_UP)
def test_its_commands_are_bash(name):
    config = read(name)
    for key in config:
        for command in config[key] if key.endswith("_commands") else ():
            subprocess.run(["bash", "-n", "-c", command], check=True)


@pytest.mark.skipif(not shutil.which("cfn-lint"), reason="needs cfn-lint, of pip install '.[cluster-test]'")
def test_aws_accepts_the_account_template():
    subprocess.run(["cfn-lint", FOLDER / "aws_account.yaml"], check=True)
    # CloudFormation knows no anchors, and cfn-lint does not mind them.
    events = yaml.parse((FOLDER / "aws_account.yaml").read_text())
    assert not any(isinstance(event, yaml.AliasEvent) for event in events)


def test_slurm_script_is_bash():
    subprocess.run(["bash", "-n", FOLDER / "slurm.sh"], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "-e", "SC1091", FOLDER / "slurm.sh"], check=True)


def launched(kinds, refused, demands):
    def available(kind):
        return SimpleNamespace(is_available=kind not in refused)

    summary = SimpleNamespace(node_availabilities={kind: available(kind) for kind in refused})

    def scorer(node, demands, kind):
        return score(node, demands, kind, node_availability_summary=summary)

    to_add, _ = get_nodes_for(kinds, {"head": 1}, "head", 8, demands, scorer)
    return dict(to_add)


@pytest.mark.parametrize("name", ["gcp.yaml", "gpu.yaml"])
def test_on_demand_only_where_spot_was_refused_or_is_used_up(name):
    kinds = copy.deepcopy(read(name)["available_node_types"])
    for kind in kinds.values():
        kind.setdefault("resources", {"CPU": 8, "GPU": 1})
    trial = {"CPU": 4, "GPU": 1}
    assert launched(kinds, (), [trial] * 3) == {"gpu-spot": 3}
    assert launched(kinds, ("gpu-spot",), [trial] * 3) == {"gpu-on-demand": 3}
    assert launched(kinds, (), [trial] * 20) == {"gpu-spot": 8}
    kinds["gpu-spot"]["max_workers"] = 2
    assert launched(kinds, (), [trial] * 3) == {"gpu-spot": 2, "gpu-on-demand": 1}
    assert launched(kinds, (), [{"CPU": 4}] * 4) == {"gpu-spot": 2}
    assert launched(kinds, (), [{"CPU": 4, "GPU": 2}]) == {}
