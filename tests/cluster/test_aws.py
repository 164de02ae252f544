"""cluster/gpu.yaml launched against a mock of EC2, where each instance that starts is a host."""

import contextlib
import io
import json
import subprocess
import sys
import threading
from importlib.util import find_spec
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

from tests.cluster import hosts
from tests.cluster.conftest import ROOT, SETUP, wait_for
from tests.cluster.ec2 import REGION

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not find_spec("moto") or not find_spec("boto3"), reason="needs pip install '.[cluster-test]'"),
]
PORT = 5000
CREDENTIALS = {
    "AWS_ENDPOINT_URL": f"http://{hosts.LAPTOP}:{PORT}",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
}
MY_ADDRESS = "203.0.113.7/32"
CALL = """
import boto3, json, sys
service, operation, options = sys.argv[1:]
print(json.dumps(getattr(boto3.client(service), operation)(**json.loads(options)), default=str))
"""


class Aws:
    """An account whose instances are hosts on the laptop's network."""

    def __init__(self, laptop):
        self.laptop = laptop
        self.folder = laptop.folder / "ec2"
        self.folder.mkdir()
        self.server = laptop.start(sys.executable, "-m", "tests.cluster.ec2", self.folder, hosts.LAPTOP, PORT)
        wait_for(lambda: self.server.poll() is not None or (self.folder / "instances.json").exists(), "moto")
        self.on = set()
        self.closed = threading.Event()
        self.power = threading.Thread(target=self._switch_on_and_off)
        self.power.start()

    def close(self):
        self.closed.set()
        self.power.join()
        self.server.kill()

    def instances(self):
        """Those that run."""
        return [one for one in self.ever() if one.state in ("pending", "running")]

    def ever(self):
        """Those that run, and those that did."""
        return [SimpleNamespace(**one) for one in json.loads((self.folder / "instances.json").read_text())]

    def launches(self):
        lines = (self.folder / "launches.jsonl").read_text().splitlines()
        return [tuple(json.loads(line).values()) for line in lines]

    def call(self, service, operation, **options):
        process = self.laptop.start(sys.executable, "-c", CALL, service, operation, json.dumps(options))
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        return json.loads(output)

    def _switch_on_and_off(self):
        exports = "".join(f"export {name}={value}\n" for name, value in CREDENTIALS.items())
        while not self.closed.wait(0.3):
            running = {f"i{one.id[-7:]}": one for one in self.instances()}
            for name in running.keys() - self.on:
                key = self.laptop.folder / f".ssh/ray-autoscaler_{REGION}.pem"
                public = subprocess.run(["ssh-keygen", "-y", "-f", key], capture_output=True, text=True, check=True)
                one = running[name]
                self.laptop.network.boot(name, one.address, public=one.public, key=public.stdout, bashrc=exports)
                self.on.add(name)
            for name in self.on - running.keys():
                self.laptop.network.kill(name)
                self.on.remove(name)


@pytest.fixture
def aws(laptop):
    laptop.environment |= CREDENTIALS
    aws = Aws(laptop)
    yield aws
    aws.close()


@pytest.fixture
def cluster(laptop):
    """gpu.yaml; what is installed comes from this machine, nodes are small, and idle ones go sooner."""
    config = yaml.safe_load((ROOT / "cluster/gpu.yaml").read_text())
    config |= {"initialization_commands": [], "setup_commands": [SETUP, config["setup_commands"][-1]]}
    config["idle_timeout_minutes"] = 2
    for name in ("gpu-spot", "gpu-on-demand"):  # what this machine can bear
        config["available_node_types"][name]["resources"] = {"CPU": 1, "GPU": 0}
    return laptop.write("gpu.yaml", config)


def test_gpu_yaml(laptop, aws, cluster):
    template = (ROOT / "cluster/aws_account.yaml").read_text()
    parameters = {"Bucket": "my-sweeps", "SshFrom": MY_ADDRESS}
    aws.call(
        "cloudformation",
        "create_stack",
        StackName="sweeper",
        TemplateBody=template,
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
    )
    laptop.say("account is set up")
    laptop.ray("up", "-y", cluster)
    laptop.say("ray up has returned")
    assert aws.launches() == [("m7i.xlarge", False, False)], "the head, on demand; no GPU before there is work"

    (aws.folder / "no-spot").touch()
    options = "--arm full semantic-only --seeds 1 --epochs 8 --results s3://my-sweeps/results --study s"
    laptop.ray("exec", cluster, f"python -m sweeper run ablations {options}")
    laptop.say("two trials are committed")
    check_instances(aws)
    rows = trials(aws, "s")
    assert len(rows) == 2
    print(rows[["node", "arm", "seconds"]].to_string())
    assert set(aws.launches()[1:]) == {("g6.2xlarge", True, True), ("g6.2xlarge", False, False)}, "spot, then on demand"
    workers = [one for one in aws.ever() if one.type == "g6.2xlarge"]
    assert len(workers) == 2, "what the plan needs and no more"

    with tunnel(laptop, cluster) as address:
        options = "--arm semantic-only --seeds 1 --epochs 1 --results s3://my-sweeps/results --study job"
        job = ("job", "submit", "--address", address, "--", "python", "-m", "sweeper", "run", "ablations")
        laptop.environment["RAY_AUTH_MODE"] = "disabled"
        assert "RAY_AUTH_MODE" in laptop.ray(*job, *options.split(), code=1), "without the token nobody gets in"
        laptop.environment["RAY_AUTH_MODE"] = "token"
        laptop.ray(*job, *options.split())
    laptop.say("a job from the laptop is done")
    (row,) = trials(aws, "job").itertuples()
    assert row.node in set(rows.node), "it ran on the head"

    check_group(aws)
    check_roles(aws)

    wait_for(lambda: len(aws.instances()) == 1, "idle nodes are terminated", seconds=400)
    laptop.say("idle nodes are terminated")
    laptop.ray("down", "-y", cluster)
    wait_for(lambda: not aws.instances(), "nothing runs after ray down")
    laptop.say("ray down has left nothing")


@contextlib.contextmanager
def tunnel(laptop, cluster):
    """The dashboard's address on the laptop; it answers, and asks for the token."""
    process = laptop.start(sys.executable, "-m", "ray.scripts.scripts", "dashboard", cluster)
    reach = "import http.client as c; h = c.HTTPConnection('127.0.0.1:8265'); h.request('GET', '/api/jobs/'); "
    reach += "assert h.getresponse().status == 401"
    try:
        wait_for(lambda: laptop.start(sys.executable, "-c", reach).wait() == 0, "the dashboard", seconds=60)
        yield "http://127.0.0.1:8265"
    finally:
        process.terminate()
        process.wait(30)


def trials(aws, study):
    """The rows that a study has in the bucket."""
    code = f"import pandas as pd; print(pd.read_parquet('s3://my-sweeps/results/{study}/trials').to_json())"
    process = aws.laptop.start(sys.executable, "-W", "ignore", "-c", code)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return pd.read_json(io.StringIO(output[output.index("{") :]))


def check_instances(aws):
    running = [{"Name": "instance-state-name", "Values": ["running"]}]
    described = aws.call("ec2", "describe_instances", Filters=running)["Reservations"]
    for one in (one for reservation in described for one in reservation["Instances"]):
        assert [group["GroupName"] for group in one["SecurityGroups"]] == ["ray-sweeper"]
        role = "head" if one["InstanceType"] == "m7i.xlarge" else "worker"
        assert one["IamInstanceProfile"]["Arn"].endswith(f"instance-profile/sweeper-{role}")


def check_group(aws):
    """Who may connect: the user by ssh, and the group's own members."""
    (group,) = aws.call("ec2", "describe_security_groups", Filters=[{"Name": "group-name", "Values": ["ray-sweeper"]}])[
        "SecurityGroups"
    ]
    allowed = [
        (rule["IpProtocol"], rule.get("FromPort"), rule.get("ToPort"), source.get("CidrIp", source.get("GroupId")))
        for rule in group["IpPermissions"]
        for source in (*rule["IpRanges"], *rule["Ipv6Ranges"], *rule["UserIdGroupPairs"])
    ]
    assert len(allowed) == 2
    assert ("tcp", 22, 22, MY_ADDRESS) in allowed
    assert [(protocol, source) for protocol, *_, source in allowed if protocol == "-1"] == [("-1", group["GroupId"])]


def check_roles(aws):
    """Workers may use the bucket, and the head also start instances, stop its own, and give them the workers' role."""

    def allowed(role, policy):
        document = aws.call("iam", "get_role_policy", RoleName=role, PolicyName=policy)["PolicyDocument"]
        return {str(statement["Action"]): statement for statement in document["Statement"]}

    for role, policies in {"sweeper-head": {"autoscaler", "bucket"}, "sweeper-worker": {"bucket"}}.items():
        assert set(aws.call("iam", "list_role_policies", RoleName=role)["PolicyNames"]) == policies
        assert aws.call("iam", "list_attached_role_policies", RoleName=role)["AttachedPolicies"] == []
        resources = [statement["Resource"] for statement in allowed(role, "bucket").values()]
        assert resources == ["arn:aws:s3:::my-sweeps", "arn:aws:s3:::my-sweeps/*"]
    head = allowed("sweeper-head", "autoscaler")
    assert head["iam:PassRole"]["Resource"].endswith(":role/sweeper-worker")
    own = {"aws:ResourceTag/ray-cluster-name": "sweeper"}
    assert head["ec2:TerminateInstances"]["Condition"] == {"StringEquals": own}
