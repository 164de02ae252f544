"""A trial that would not fit is refused before it starts, not killed an hour later.

On a GPU the largest arm takes one real step, in a process that holds what a trial will hold, and its peak is compared
with the trial's share of the card. Without one, host memory is estimated and becomes a resource that Ray counts, so
that no more trials run at once than memory allows.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import ray
import torch

from sweeper.audio.places import cache_folder
from sweeper.execution.cluster import nodes
from sweeper.execution.fits import TrialResources, host_memory, judge_gpu, largest
from sweeper.plan import TrialSpec
from sweeper.results.store import Study
from sweeper.study_file import with_network
from sweeper.tools.profile import peak_training_memory


def memory_per_trial(trials: Sequence[TrialSpec], resources: TrialResources, study: Study, seeds: int = 1) -> int:
    """Host memory in bytes that Ray should set aside for each trial: 0 where trials compute on GPUs.

    Or for each program that trains so many `seeds` of one.

    Raises:
        PlanError: the largest arm does not fit on its share of a GPU, or in the largest node's memory.
    """
    if resources.gpus:
        # Once: a process that Ray kept for the next task would keep the memory that was measured from the trials.
        measure = ray.remote(max_calls=1, num_gpus=resources.gpus, num_cpus=0)(_on_gpu)
        for trial in largest(trials):
            judge_gpu(trial, resources.gpus, *ray.get(measure.remote(trial, study)), seeds)
        return 0
    return max(host_memory(trial, nodes(), seeds) for trial in largest(trials))


def measured_here(spec: TrialSpec) -> tuple[int, int]:
    """As `_on_gpu`, before Ray runs: in a process of its own, which leaves nothing on the card."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_on_gpu, spec, None).result()


def _on_gpu(spec: TrialSpec, study: Study | None) -> tuple[int, int]:
    """Peak bytes of one training step, and the card's memory; a step that does not fit counts as the whole card.

    The card's memory is 0 where torch can't use it.
    """
    if not torch.cuda.is_available():
        return 0, 0
    storage = None if study is None else study.storage
    device = torch.device("cuda")
    total = torch.cuda.get_device_properties(device).total_memory
    try:
        return peak_training_memory(with_network(spec, storage, cache_folder()), device), total
    except torch.OutOfMemoryError:
        return total, total
