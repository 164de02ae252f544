"""Whether trials fit: from what the nodes of a cluster have, or what this machine has before Ray runs. No Ray here."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sweeper.plan import PlanError, TrialSpec

GIGABYTE = 1e9
PROCESS_BYTES = 0.6e9  # Python, torch and Ray in a worker, before any network
RESERVE = 1.1  # fragmentation, and what an estimate misses

Node = Mapping[str, float]  # amounts by name, as Ray calls them: `CPU`, `GPU`, and `memory` in bytes


@dataclass(frozen=True)
class Machine:
    """What each trial holds, and where.

    Attributes:
        cpus, gpus: of each trial, or, with several `workers`, of each of its workers; None: one GPU where there is one.
        workers: processes that share a trial's batches.
        max_failures: how often a trial is tried again.
        address: of a running Ray cluster; None: see `cluster`.
        loggers: names of further loggers for learning curves.
        grace: seconds that running trials have to finish after SIGTERM or SIGHUP.
        seeds: of an arm, at most, that one program trains; "auto": as many as make it faster.
    """

    cpus: int = 1
    gpus: float | None = None
    workers: int = 1
    max_failures: int = 2
    address: str | None = None
    loggers: tuple[str, ...] = ()
    grace: float = 20.0
    seeds: int | Literal["auto"] = 1


@dataclass(frozen=True)
class TrialResources:
    """What one trial holds while it runs. Threads follow `cpus`, so a result does not depend on what else runs."""

    cpus: int
    gpus: float


def own_cpus() -> int:
    """CPUs that this process may use, by its affinity and its container's share."""
    from loky import cpu_count

    return int(cpu_count())


def own_machine() -> Node:
    """What a Ray of this machine's own will have for trials; `RAY_OVERRIDE_RESOURCES` is Ray's own variable."""
    import torch

    found = {"CPU": float(own_cpus()), "GPU": float(torch.cuda.device_count()), "memory": _available_memory()}
    override: dict[str, float] = json.loads(os.environ.get("RAY_OVERRIDE_RESOURCES") or "{}")
    return found | override


def resources_on(nodes: Sequence[Node], cpus: int, gpus: float | None) -> TrialResources:
    """What each trial holds; `gpus=None`: one where there is one.

    Raises:
        PlanError: not even one trial would fit.
    """
    most_cpus = max(node.get("CPU", 0.0) for node in nodes)
    most_gpus = max(node.get("GPU", 0.0) for node in nodes)
    resources = TrialResources(cpus, min(1.0, most_gpus) if gpus is None else gpus)
    place = "this machine has" if len(nodes) == 1 else "the largest node has"
    if cpus < 1 or cpus > most_cpus:
        raise PlanError(f"--cpus-per-trial {cpus}: {place} {most_cpus:g}")
    if not 0 <= resources.gpus <= most_gpus:
        raise PlanError(f"--gpus-per-trial {resources.gpus:g}: {place} {most_gpus:g}")
    return resources


def largest(trials: Sequence[TrialSpec]) -> list[TrialSpec]:
    """Candidates for the largest trial: that with the most operations per step, and one per network without a count."""
    from sweeper.training.cost import gflops_per_clip

    counted: dict[float, TrialSpec] = {}
    others: dict[Any, TrialSpec] = {}
    for trial in trials:
        gflops, batch = gflops_per_clip(trial.model, trial.data.length), trial.training.batch_size
        if gflops is None:
            others.setdefault((trial.model, batch), trial)
        else:
            counted.setdefault(gflops * batch, trial)
    return [counted[most] for most in sorted(counted)[-1:]] + list(others.values())


def host_memory(trial: TrialSpec, nodes: Sequence[Node], seeds: int = 1) -> int:
    """Host memory in bytes that a trial needs, or each of its workers, or a program that trains so many `seeds` of it.

    Raises:
        PlanError: no node has as much.
    """
    import torch

    from sweeper.tools.profile import peak_training_memory

    needed = int(PROCESS_BYTES + RESERVE * seeds * peak_training_memory(trial, torch.device("cpu")))
    most = max(node.get("memory", 0.0) for node in nodes if node.get("CPU"))
    if needed > most:
        raise PlanError(
            f"{_whose(trial, seeds)} about {needed / GIGABYTE:.1f} GB of memory and Ray has "
            f"{most / GIGABYTE:.1f} GB for it here; {_fewer(seeds)}choose a smaller recipe than "
            f"{trial.recipe}, or a machine with a GPU"
        )
    return needed


def judge_gpu(trial: TrialSpec, gpus: float, needed: int, card: int, seeds: int = 1) -> None:
    """Check that a training step, measured to need `needed` bytes, fits in a trial's share of a GPU of `card` bytes.

    Or `seeds` times as much, for so many seeds at once.

    Raises:
        PlanError: it does not fit, or torch can't use the GPU (`card` is 0).
    """
    import torch

    if not card:
        raise PlanError(
            f"--gpus-per-trial {gpus:g}: Ray counts a GPU that torch {torch.__version__} can't use; "
            "`sweeper doctor` there says why, and --gpus-per-trial 0 computes on CPUs"
        )
    share = card * min(gpus, 1.0)
    if seeds * needed * RESERVE > share:
        raise PlanError(
            f"--gpus-per-trial {gpus:g}: {_whose(trial, seeds)} {seeds * needed / GIGABYTE:.1f} GB and its share of "
            f"the GPU is {share / GIGABYTE:.1f} GB; {_fewer(seeds)}give each trial more, or choose a smaller recipe"
        )


def _whose(trial: TrialSpec, seeds: int) -> str:
    if seeds == 1:
        return f"a trial of {trial.arm} needs"
    return f"--seeds-per-trial: {seeds} seeds of {trial.arm} at once need"


def _fewer(seeds: int) -> str:
    return "" if seeds == 1 else "train fewer at once, "


def share_of_batch(trial: TrialSpec, workers: int) -> TrialSpec:
    """A trial that needs as much memory as one worker of `trial`, whose network computes only its share of the batch.

    Each worker augments the whole batch, but waveforms are small beside what a network keeps for the backward pass.
    """
    size = max(2, math.ceil(trial.training.batch_size / workers))
    return replace(trial, training=replace(trial.training, batch_size=size))


def check_sharing(workers: int, gpus: float, batch: int) -> None:
    """Refuse workers that can't share a batch.

    Raises:
        PlanError: a worker would hold part of a GPU, or a batch has fewer clips than there are workers.
    """
    if batch < workers:
        raise PlanError(f"--workers-per-trial {workers}: a batch has {batch} clips, which is less than one for each")
    if gpus % 1:
        raise PlanError(f"--gpus-per-trial {gpus:g}: with --workers-per-trial {workers}, each needs whole GPUs")


def workers_on(nodes: Sequence[Node], resources: Mapping[str, float]) -> int:
    """How many workers, each with these resources, the nodes have room for."""
    return sum(int(min(node.get(name, 0.0) // amount for name, amount in resources.items())) for node in nodes)


def check_room(nodes: Sequence[Node], resources: Mapping[str, float], workers: int) -> int:
    """How many workers there is room for.

    Raises:
        PlanError: fewer than one trial's.
    """
    room = workers_on(nodes, resources)
    if room < workers:
        have = {name: sum(node.get(name, 0.0) for node in nodes) for name in resources}
        raise PlanError(
            f"--workers-per-trial {workers}: there is room for {room}; each holds {_words(resources)}, "
            f"and {'this machine has' if len(nodes) == 1 else 'the nodes have together'} {_words(have)}"
        )
    return room


def _words(resources: Mapping[str, float]) -> str:
    return ", ".join(
        f"{amount / 1e9:.1f} GB of memory" if name == "memory" else f"{amount:g} {name}s"
        for name, amount in resources.items()
    )


def _available_memory(root: Path = Path("/")) -> float:
    """Bytes that processes could still take on this machine, or in this container; `root`: of the system's files.

    What a container keeps of files that were read counts as used there, and fills it with time; but it is given up
    for what processes need, so here it is available, as with Ray.
    """
    limits = [math.inf]
    try:
        found = dict(line.split(":") for line in (root / "proc/meminfo").read_text("ascii").splitlines())
        limits.append(1024.0 * float(found["MemAvailable"].split()[0]))
    except (OSError, KeyError, ValueError):
        pass  # not Linux: Ray will find out
    for folder, most, used, prefix in (
        (root / "sys/fs/cgroup", "memory.max", "memory.current", ""),
        (root / "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    ):
        try:
            limit, usage = (float((folder / name).read_text("ascii")) for name in (most, used))
        except (OSError, ValueError):
            continue  # no container's limit ("max"), or another version's
        limits.append(limit - usage + _file_cache(folder / "memory.stat", prefix))
    return max(0.0, min(limits))


def _file_cache(path: Path, prefix: str) -> float:
    """Bytes of files that a container keeps in memory, by its statistics; 0 where these can't be read."""
    try:
        found = dict(line.split() for line in path.read_text("ascii").splitlines())
        return float(found[f"{prefix}inactive_file"]) + float(found[f"{prefix}active_file"])
    except (OSError, KeyError, ValueError):
        return 0.0
