"""cluster/kuberay.yaml is what KubeRay and Kubernetes take it for; a field that they do not know is an error."""

import copy
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

ROOT = Path(__file__).resolve().parents[2]
JOB = yaml.safe_load((ROOT / "cluster/kuberay.yaml").read_text())
SCHEMA = yaml.safe_load(Path(__file__).with_name("kuberay_schema.yaml").read_text())
KUBERNETES = kubernetes_validate.utils.all_versions()
ANY_NAME = {"rayStartParams", "requests", "limits"}  # fields whose own fields may have any name


def check(job):
    """Raises jsonschema.ValidationError, or passes: KubeRay's fields, and every pod template in them."""
    jsonschema.validate(job, SCHEMA)
    spec = job["spec"]
    cluster = spec["rayClusterSpec"]
    templates = [group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    templates += [spec["submitterPodTemplate"]] if "submitterPodTemplate" in spec else []
    for template in templates:
        # KubeRay embeds what Kubernetes calls a PodTemplate's template; and the job's metadata are any object's.
        whole = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": job["metadata"], "template": template}
        for version in (KUBERNETES[0], KUBERNETES[-1]):
            kubernetes_validate.validate(whole, version, strict=True)


def fields(value, path=()):
    """The paths of all fields, also of those in lists."""
    if isinstance(value, dict):
        for name in value:
            yield (*path, name)
            yield from fields(value[name], (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from fields(item, (*path, index))


def changed(path):
    """A copy of the manifest, and in it what holds the field at `path`."""
    job = holder = copy.deepcopy(JOB)
    for step in path[:-1]:
        holder = holder[step]
    return job, holder


PATHS = list(fields(JOB))
NAMED = [path for path in PATHS if len(path) < 2 or path[-2] not in ANY_NAME]


def label(path):
    return ".".join(map(str, path))


def test_the_manifest_is_accepted():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    check(JOB)
    assert len(PATHS) > 60


@pytest.mark.parametrize("path", NAMED, ids=label)
def test_a_misspelt_field_is_refused(path):
    job, holder = changed(path)
    holder[path[-1] + "s"] = holder.pop(path[-1])
    with pytest.raises(jsonschema.ValidationError):
        check(job)


@pytest.mark.parametrize("path", PATHS, ids=label)
def test_a_field_of_another_type_is_refused(path):
    job, holder = changed(path)
    holder[path[-1]] = "x" if isinstance(holder[path[-1]], (dict, list)) else {}
    with pytest.raises(jsonschema.ValidationError):
        check(job)


CLUSTER = ("spec", "rayClusterSpec")
GROUP = (*CLUSTER, "workerGroupSpecs", 0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("kind",), "RayCluster"),
        (("spec", "submissionMode"), "K8SJobMode"),
        (("spec", "shutdownAfterJobFinishes"), "true"),
        ((*CLUSTER, "rayVersion"), 2.6),
        ((*CLUSTER, "autoscalerOptions", "upscalingMode"), "Fast"),
        ((*CLUSTER, "headGroupSpec", "rayStartParams", "num-cpus"), 0),
        ((*GROUP, "replicas"), "0"),
        ((*GROUP, "template", "spec", "containers", 0, "env", 0, "value"), 1),
    ],
    ids=str,
)
def test_a_usual_mistake_is_refused(path, value):
    job, holder = changed(path)
    holder[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        check(job)


def test_a_submitter_is_checked_too():
    template = copy.deepcopy(JOB["spec"]["rayClusterSpec"]["headGroupSpec"]["template"])
    job = copy.deepcopy(JOB)
    job["spec"]["submitterPodTemplate"] = template
    check(job)
    template["spec"]["restartPolicies"] = "Never"
    with pytest.raises(jsonschema.ValidationError):
        check(job)


def test_gpu_pods_come_from_nothing_and_the_head_runs_no_trials():
    cluster = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "x", "namespace": "default"}}
    config = _derive_autoscaling_config_from_ray_cr(cluster | {"spec": JOB["spec"]["rayClusterSpec"]})
    kinds = config["available_node_types"]
    assert kinds["headgroup"]["resources"]["CPU"] == 0
    assert not kinds["headgroup"]["resources"].get("GPU")
    assert (kinds["gpu"]["min_workers"], kinds["gpu"]["max_workers"]) == (0, 8)
    assert (kinds["gpu"]["resources"]["CPU"], kinds["gpu"]["resources"]["GPU"]) == (8, 1)
    assert f"ray=={JOB['spec']['rayClusterSpec']['rayVersion']}" in (ROOT / "constraints.txt").read_text().split()
