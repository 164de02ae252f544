"""A trial that would not fit is refused before it starts, not killed an hour later.

On a GPU the largest arm takes one real step, in a process that holds what a trial will hold, and its peak is compared
with the trial's share of the card. Without one, host memory is estimated and becomes a resource that Ray counts, so
that no more trials run at once than memory allows.
"""

import math
from collections.abc import Sequence

import ray
import torch

from sweeper.audio.places import cache_folder
from sweeper.execution.cluster import TrialResources, nodes
from sweeper.plan import PlanError, TrialSpec
from sweeper.profiling import peak_training_memory
from sweeper.results.store import Study
from sweeper.study_file import with_network
from sweeper.training.cost import gflops_per_clip

GIGABYTE = 1e9
PROCESS_BYTES = 0.6e9  # Python, torch and Ray in a worker, before any network
RESERVE = 1.1  # fragmentation, and what an estimate misses


def memory_per_trial(trials: Sequence[TrialSpec], resources: TrialResources, study: Study) -> int:
    """Host memory in bytes that Ray should set aside for each trial: 0 where trials compute on GPUs.

    Raises:
        PlanError: the largest arm does not fit on its share of a GPU, or in the largest node's memory.
    """
    largest = max(trials, key=_operations)
    if resources.gpus:
        # Once: a process that Ray kept for the next task would keep the memory that was measured from the trials.
        measure = ray.remote(max_calls=1, num_gpus=resources.gpus, num_cpus=0)(_on_gpu)
        needed, card = ray.get(measure.remote(largest, study))
        if not card:
            raise PlanError(
                f"--gpus-per-trial {resources.gpus:g}: Ray counts a GPU that torch {torch.__version__} can't use; "
                "`sweeper doctor` there says why, and --gpus-per-trial 0 computes on CPUs"
            )
        share = card * min(resources.gpus, 1.0)
        if needed * RESERVE > share:
            raise PlanError(
                f"--gpus-per-trial {resources.gpus:g}: a trial of {largest.arm} needs {needed / GIGABYTE:.1f} GB and "
                f"its share of the GPU is {share / GIGABYTE:.1f} GB; give each trial more, or choose a smaller recipe"
            )
        return 0
    needed = int(PROCESS_BYTES + RESERVE * peak_training_memory(largest, torch.device("cpu")))
    most = max(node.get("memory", 0.0) for node in nodes() if node.get("CPU"))
    if needed > most:
        raise PlanError(
            f"a trial of {largest.arm} needs about {needed / GIGABYTE:.1f} GB of memory and Ray has "
            f"{most / GIGABYTE:.1f} GB for it here; choose a smaller recipe than "
            f"{largest.recipe}, or a machine with a GPU"
        )
    return needed


def _operations(trial: TrialSpec) -> float:
    """Of one clip; a network in which they can't be counted may be the largest."""
    gflops = gflops_per_clip(trial.model, trial.data.length)
    return math.inf if gflops is None else gflops


def _on_gpu(spec: TrialSpec, study: Study) -> tuple[int, int]:
    """Peak bytes of one training step, and the card's memory; a step that does not fit counts as the whole card.

    The card's memory is 0 where torch can't use it.
    """
    if not torch.cuda.is_available():
        return 0, 0
    device = torch.device("cuda")
    total = torch.cuda.get_device_properties(device).total_memory
    try:
        return peak_training_memory(with_network(spec, study.storage, cache_folder()), device), total
    except torch.OutOfMemoryError:
        return total, total
