"""What an arm costs on this machine: size, work, memory, speed. No data set is needed: the clips are noise.

Each measured arm has a fresh process, so that one arm's memory doesn't hide another's. Memory is what torch's
allocator held at most on a GPU, and the process's resident peak, torch itself included, on a CPU. What would take too
long is estimated from counted operations, and says so.
"""

import math
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sweeper.audio.clips import Clips
from sweeper.model.build import build, is_of_this_package
from sweeper.plan import Source, TrialSpec, build_plan, variant
from sweeper.study import Arm, AugmentationConfig, Recipe
from sweeper.study_file import load, with_network
from sweeper.training.cost import (
    clips_for,
    count_parameters,
    countable,
    gflops_per_clip,
    training_seconds_per_clip,
)
from sweeper.training.counted import known
from sweeper.training.fit import fit
from sweeper.training.threads import one_thread

CLASSES = 10  # UrbanSound8K's; the classifier is a negligible part of the cost
EPOCHS = 3  # the first warms up
WARMUP_RUNS, LATENCY_RUNS, LATENCY_SECONDS = 3, 100, 1.0  # runs or seconds, whichever is first
LONG_GFLOP = 10.0  # of one clip's forward pass: on a CPU, a training step of such a network takes many seconds
CALL_GFLOP = 0.01  # what a clip costs beside the operations that are counted, about
SCRATCH_BYTES = 2**27  # what a CPU's convolutions and transforms were seen to take for themselves
FEW_CLIPS = 2
UNCOUNTED_BATCH = 16  # on a CPU, of a network whose operations can't be counted
CPU_STEP_GFLOP = 100.0  # of forward passes: a larger batch would take minutes on a CPU, and gigabytes


class ProfileError(RuntimeError):
    """An arm could not be measured; the message says which and why."""


@dataclass(frozen=True)
class Profile:
    """The cost of one arm.

    Attributes:
        arm: its name.
        parameters: how many are trained.
        gflops: of one forward pass over one clip, in 10⁹ operations; None where they can't be counted.
        latency_median, latency_p95: of one clip's forward pass, in s.
        inference_bytes: peak memory while classifying one clip at a time.
        batch: clips per training step. The recipe's; on a CPU no more than a few seconds' worth.
        clips_per_second: of training, with the input side unless it was left out.
        training_bytes: peak memory while training on such batches.
        estimated: which of these were not measured, but estimated from counted operations and sizes.
    """

    arm: str
    parameters: int
    gflops: float | None
    latency_median: float
    latency_p95: float
    inference_bytes: int
    batch: int
    clips_per_second: float
    training_bytes: int
    estimated: frozenset[str] = frozenset()


def profile(
    source: Source, arms: Sequence[Arm], recipe: Recipe, *, dataset_free: bool = False, quickly: bool = False
) -> Iterator[Profile]:
    """Measure arms one after the other, on the GPU where there is one.

    Args:
        source: the study.
        arms: from `sweeper.plan.select_arms`.
        quickly: measure one arm only, the reference if it is there, and estimate the others from it; but for those in
            which operations can't be counted.
        recipe: network size, clip length, batch and training.
        dataset_free: train without augmentation: what is left is the network, its loss and its optimiser.

    Raises:
        ProfileError: an arm's process died, most likely of memory.
    """
    specs = [_spec(source, arm, recipe, dataset_free) for arm in arms]
    like = next((spec for spec in specs if spec.arm == source.study.reference), specs[0])
    known: Profile | None = None
    if quickly and gflops_per_clip(like.model, like.data.length) is not None:
        known = _in_fresh_process(like, source.argument)
    for spec in specs:
        if known is not None and spec is like:
            yield known
        elif known is not None and gflops_per_clip(spec.model, spec.data.length) is not None:
            yield _estimated(spec, known, like)
        else:
            yield _in_fresh_process(spec, source.argument)


def _estimated(spec: TrialSpec, known: Profile, like: TrialSpec) -> Profile:
    """An arm's cost from that of another one, by their operations and the sizes of what they keep in memory."""
    gflops = gflops_per_clip(spec.model, spec.data.length)
    assert gflops is not None and known.gflops is not None
    work = (gflops + CALL_GFLOP) / (known.gflops + CALL_GFLOP)
    parameters = count_parameters(countable(spec.model, spec.data.length))
    more = _estimated_memory(spec) - _estimated_memory(like)
    return Profile(
        arm=spec.arm,
        parameters=parameters,
        gflops=gflops,
        latency_median=work * known.latency_median,
        latency_p95=work * known.latency_p95,
        inference_bytes=known.inference_bytes + 4 * (parameters - known.parameters),
        batch=spec.training.batch_size,
        clips_per_second=known.clips_per_second / work,
        training_bytes=max(known.inference_bytes, known.training_bytes + more),
        estimated=TIMES | {"inference_bytes", "training_bytes"},
    )


TIMES = frozenset({"latency_median", "latency_p95", "clips_per_second"})


def _in_fresh_process(spec: TrialSpec, study: str) -> Profile:
    """Spawned, not forked: the child starts with no memory of ours, and may use CUDA."""
    batch = spec.training.batch_size
    remedy = "choose a smaller --recipe"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_measure, spec, study).result()
        except BrokenProcessPool:
            raise ProfileError(
                f"{spec.arm}: the process that trained it with batch {batch} was killed, most likely for want of "
                f"memory; {remedy}"
            ) from None
        except torch.OutOfMemoryError as error:
            raise ProfileError(f"{spec.arm}: batch {batch} does not fit the GPU ({error}); {remedy}") from None


def peak_training_memory(spec: TrialSpec, device: torch.device) -> int:
    """Peak memory in bytes of training `spec`: for a guard before a trial is started.

    On CUDA one real step is taken and the allocator's peak read (`torch.OutOfMemoryError` if it doesn't fit); the
    clips of a data set that lies on the device come on top. On a CPU, where a process can't forget its peak, nothing is
    computed: what a forward pass keeps for the backward pass is counted on the meta device, and weights, gradients,
    AdamW's moments and the average are added. That is an estimate, in float32, of what comes on top of Python and
    torch; for the paper's size it was within 15 % of what a process grew by.
    """
    if device.type == "cuda":
        # Not compiled: that takes a minute, and needs no more memory.
        once = replace(spec, training=replace(spec.training, epochs=1, compile=False))
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        fit(once, [_noise_clips(spec, spec.training.batch_size)], device=device)
        return torch.cuda.max_memory_allocated(device) - before
    if not is_of_this_package(spec.model):
        return _estimated_memory(spec)
    sizes = (spec.training.batch_size, spec.data.length)
    return known("bytes", spec.model, sizes, lambda: _estimated_memory(spec))


def _estimated_memory(spec: TrialSpec) -> int:
    batch, length = spec.training.batch_size, spec.data.length
    try:
        network = countable(spec.model, length, small=True).train()
        activations = _kept(network, batch, length)
    except Exception:  # a network that looks at values, which there may be none of: the real one
        network = build(spec.model, spec.seed, load=False).train()
        activations = _kept(network, batch, length)
    weights = sum(p.nbytes for p in network.parameters())
    clips = 4 * batch * length
    # Weights, two moments, average, gradients; of this package's networks also the last step's gradients, and a slab.
    # Of the activations, each is counted once; while the backward pass runs, gradients of the largest come on top, as
    # did the augmentation's copies of the batch before it.
    copies = 7 if is_of_this_package(spec.model) else 5
    return copies * weights + sum(activations) + 2 * max(activations, default=0) + 4 * clips + SCRATCH_BYTES


@one_thread()
def _kept(network: nn.Module, batch: int, length: int) -> list[int]:
    """Bytes of each tensor that a forward pass keeps for the backward pass; with values, it is one of few clips."""
    kept: dict[int, tuple[Tensor, int]] = {}  # the tensor is held, so that its storage's identity is not reused

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = tensor, storage.nbytes()
        return tensor

    on_meta = any(parameter.is_meta for parameter in network.parameters())
    clips = clips_for(network, batch if on_meta else FEW_CLIPS, length)
    with torch.random.fork_rng(devices=[]), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(clips)
    own = {tensor.untyped_storage()._cdata for tensor in chain(network.parameters(), network.buffers())}
    return [size if key in own else size * batch // len(clips) for key, (_, size) in kept.items()]


def _spec(source: Source, arm: Arm, recipe: Recipe, dataset_free: bool) -> TrialSpec:
    training = recipe.training
    augmentation = AugmentationConfig.off() if dataset_free else training.augmentation
    # A run's later epochs are what its hours are made of: mixing from the first one.
    augmentation = replace(augmentation, mixing=replace(augmentation.mixing, warmup_epochs=0))
    batch = training.batch_size
    if not torch.cuda.is_available():
        gflops = gflops_per_clip(variant(source.study, arm, recipe, CLASSES).network, recipe.length)
        batch = max(2, min(batch, int(CPU_STEP_GFLOP / (gflops or CPU_STEP_GFLOP / UNCOUNTED_BATCH))))
    training = replace(training, augmentation=augmentation, batch_size=batch, epochs=EPOCHS)
    plan = build_plan(
        study="profile",
        source=source,
        arms=[arm],
        recipe=replace(recipe, training=training),
        dataset="noise",
        split="none",
        folds=(1,),
        classes=CLASSES,
        replicates=1,
    )
    return plan.trials[0]


def _measure(spec: TrialSpec, study: str = "") -> Profile:
    """In a process of its own. One clip comes first: a resident peak only ever grows."""
    if spec.code:
        load(Path(study))
        spec = with_network(spec)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    parameters, latencies = _classify(spec, device)
    inference_bytes = _peak_bytes(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    gflops = gflops_per_clip(spec.model, spec.data.length)
    estimated: frozenset[str] = frozenset()
    if device.type == "cpu" and (gflops or 0.0) > LONG_GFLOP:
        estimated = frozenset({"clips_per_second", "training_bytes"})
        clips_per_second = torch.get_num_threads() / training_seconds_per_clip(spec.model, spec.data.length)
        training_bytes = inference_bytes + _estimated_memory(spec)
    else:
        steps = 1 if device.type == "cpu" else 10
        fitted = fit(spec, [_noise_clips(spec, steps * spec.training.batch_size)], device=device)
        clips_per_second = statistics.median(point.clips_per_second for point in fitted.curve[1:])
        training_bytes = _peak_bytes(device)
    return Profile(
        arm=spec.arm,
        parameters=parameters,
        gflops=gflops,
        latency_median=statistics.median(latencies),
        latency_p95=float(np.quantile(latencies, 0.95)),
        inference_bytes=inference_bytes,
        batch=spec.training.batch_size,
        clips_per_second=clips_per_second,
        training_bytes=training_bytes,
        estimated=estimated,
    )


def _classify(spec: TrialSpec, device: torch.device) -> tuple[int, list[float]]:
    """Parameters, and the seconds of one clip's forward pass, again and again."""
    network = build(spec.model, spec.seed).to(device).eval()
    clip = torch.rand(1, 1, spec.data.length, device=device) - 0.5

    def forward() -> float:
        begin = time.perf_counter()
        network(clip)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - begin

    latencies: list[float] = []
    with torch.no_grad():
        for _ in range(WARMUP_RUNS):
            if forward() > LATENCY_SECONDS:
                break
        while len(latencies) < LATENCY_RUNS and math.fsum(latencies) < LATENCY_SECONDS:
            latencies.append(forward())
    return count_parameters(network), latencies


def _noise_clips(spec: TrialSpec, count: int) -> Clips:
    rng = np.random.default_rng(0)
    length = spec.data.length
    return Clips(
        samples=rng.integers(-(2**15), 2**15, count * length, dtype=np.int16),
        offsets=np.arange(count, dtype=np.int64) * length,
        lengths=np.full(count, length, dtype=np.int32),
        targets=np.arange(count, dtype=np.int64) % spec.model.classes,
        ids=np.array([str(i) for i in range(count)]),
        groups=np.array([str(i) for i in range(count)]),
        rows=np.arange(count),
        sample_rate=spec.data.sample_rate,
    )


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: its peak also holds the parent's, from before the child was a program of its own.
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return 1024 * int(line.split()[1])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
