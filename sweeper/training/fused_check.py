"""Whether trials can be trained as one program, and whether that is faster: found out by a few steps of both ways."""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sweeper.audio.clips import Clips
from sweeper.model.build import is_of_this_package
from sweeper.plan import TrialSpec
from sweeper.training.batches import Batches
from sweeper.training.distributed import ALONE
from sweeper.training.fit import _Run
from sweeper.training.fused_draws import CannotFuse
from sweeper.training.fused_stack import Stack

# Tries of the check, with other clips each: in one of them, rounding may decide which side of a kink a value is on.
TRIES = 3
TOLERANCE = 1e-3  # of a tensor's norm
NEGLIGIBLE = 1e-5  # of the norm of all gradients: less may be rounding alone, as of a bias before a norm
WARMUP_STEPS, MEASURED_STEPS = 2, 5


@dataclass(frozen=True)
class Comparison:
    """Seconds that a step of all trials takes: one after another, and as one program."""

    apart: float
    fused: float

    @property
    def gain(self) -> float:
        """How many times as many steps there are in an hour if they are fused."""
        return self.apart / self.fused


@dataclass(frozen=True)
class Choice:
    """Whether to fuse, and why, in a line."""

    fuse: bool
    why: str


def check(specs: Sequence[TrialSpec], device: torch.device) -> None:
    """Make sure that the trials can be trained as one, and that a user's network then computes the same.

    Of such a network, two seeds each take a step on two clips of noise, by themselves and together.

    Raises:
        CannotFuse: they can't; why.
    """
    first = specs[0]
    if any(_but_seeds(spec) != _but_seeds(first) for spec in specs):
        raise CannotFuse("the trials differ by more than their seeds")
    if first.training.compile:
        raise CannotFuse("the recipe compiles the network, which goes for one network at a time")
    if is_of_this_package(first.model):
        return
    off = first.training.augmentation.off()
    training = replace(first.training, epochs=1, batch_size=2, augmentation=off, precision="float32")
    twins = [replace(first, training=training, seed=seed, seeds=()) for seed in (1, 2)]
    reason = ""
    for attempt in range(TRIES):
        if not (reason := _difference(twins, device, attempt)):
            return
    raise CannotFuse(reason)


def compare(specs: Sequence[TrialSpec], train: Sequence[Clips], device: torch.device) -> Comparison:
    """Measure a few steps of the trials both ways; nothing is kept of them.

    Raises:
        CannotFuse: see `check`.
    """
    check(specs, device)
    batches = Batches(train, specs[0].data.length, device)
    # So many epochs that no schedule ends before the measurement does.
    endless = [replace(spec, training=replace(spec.training, epochs=10_000)) for spec in specs]
    run = _Run(endless[0], batches, device, ALONE)
    alone = _seconds(lambda: take_step(run), device)
    stack = Stack([_Run(spec, batches, device, ALONE) for spec in endless])
    return Comparison(alone * len(specs), _seconds(lambda: take_steps(stack), device))


def choose(specs: Sequence[TrialSpec], train: Sequence[Clips], device: torch.device) -> Choice:
    """Fuse the trials where they can be, and where that was measured to be faster."""
    if len(specs) < 2:
        return Choice(False, "there is one trial")
    try:
        gain = compare(specs, train, device).gain
    except CannotFuse as error:
        return Choice(False, error.reason)
    except torch.OutOfMemoryError:
        return Choice(False, f"the device has no memory for {len(specs)} at once")
    finally:
        gc.collect()  # an optimiser and its scheduler hold each other, and what they have on a GPU
    return Choice(gain > 1, f"{len(specs)} at once take {gain:.2f} times as many steps a second")


def _but_seeds(spec: TrialSpec) -> TrialSpec:
    return replace(spec, seed=0, replicate=0, seeds=())


def take_step(run: _Run) -> None:
    """The next step of the run's current epoch, over and over."""
    plan = run.planned()
    run._step(run.batches.gather(*plan[run.position % len(plan)]))
    run.position += 1


def take_steps(stack: Stack) -> None:
    """Likewise of all runs."""
    first = stack.runs[0]
    plans = [run.planned() for run in stack.runs]
    stack.step(*zip(*(plan[first.position % len(plan)] for plan in plans), strict=True))
    for run in stack.runs:
        run.position += 1


def _seconds(step: Callable[[], None], device: torch.device) -> float:
    """Of one call, in the mean, after the first ones."""
    for _ in range(WARMUP_STEPS):
        step()
    _wait(device)
    begin = time.perf_counter()
    for _ in range(MEASURED_STEPS):
        step()
    _wait(device)
    return (time.perf_counter() - begin) / MEASURED_STEPS


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _difference(twins: Sequence[TrialSpec], device: torch.device, attempt: int) -> str:
    """In words, what is other if they take a step together; '' for nothing."""
    batches = Batches([noise(twins[0], 2, attempt)], twins[0].data.length, device)
    alone, together = ([_Run(spec, batches, device, ALONE) for spec in twins] for _ in range(2))
    for run in alone:
        take_step(run)
    try:
        stack = Stack(together)
        take_steps(stack)
    except CannotFuse as error:
        return error.reason
    except Exception as error:  # what torch.func raises is of many classes, and so may be what a network makes of it
        return f"torch.func.vmap fails in it: {' '.join(str(error).split()).partition('. ')[0][:200]}"
    for network, (one, other) in enumerate(zip(alone, together, strict=True)):
        for what, expected, found, least in _compared(one, other, stack, network):
            if not _close(expected, found, least):
                return f"its {what} is another one when two seeds train as one ({_CAUSES})"
    if stack.drew_outside_torch:  # what follows from it may be as rare as it likes
        return "it draws numbers by Python's random or by NumPy, which would be one seed's for all"
    return ""


_CAUSES = "does it draw other than by torch, or keep what is no buffer?"
Pair = tuple[str, Tensor | None, Tensor | None, float]


def _compared(alone: _Run, fused: _Run, stack: Stack, network: int) -> Iterator[Pair]:
    """What it is, its two values, and what difference is negligible."""
    yield "loss", alone._totals, fused._totals, 0.0
    names = {id(parameter): name for name, parameter in alone.network.named_parameters()}
    gradients = [slab.whole.grad for slab in alone.slabs]
    squares = [float(gradient.abs().square().sum()) for gradient in gradients if gradient is not None]
    least = NEGLIGIBLE * sum(squares) ** 0.5
    for slab, expected, whole in zip(alone.slabs, gradients, stack.wholes, strict=True):
        found = None if whole.grad is None else whole.grad[network]
        yield f"gradient of {names[id(slab.members[0])]}", expected, found, least
    buffers = dict(fused.network.named_buffers())
    for name, value in alone.network.named_buffers():
        yield f"buffer {name}", value, buffers.get(name), 0.0


def _close(one: Tensor | None, other: Tensor | None, least: float) -> bool:
    if one is None or other is None:
        return one is other
    if one.shape != other.shape or not torch.equal(one.isfinite(), other.isfinite()):
        return False
    one, other = (torch.view_as_real(v.resolve_conj()) if v.is_complex() else v for v in (one, other))
    one, other = (value.double().nan_to_num(0.0, 0.0, 0.0) for value in (one, other))
    return bool((one - other).norm() <= TOLERANCE * one.norm() + least)


def noise(spec: TrialSpec, count: int, seed: int) -> Clips:
    """So many clips of noise, as long as the trial's and of all its classes in turn."""
    length = spec.data.length
    names = np.array([str(clip) for clip in range(count)])
    return Clips(
        samples=np.random.default_rng(seed).integers(-(2**14), 2**14, count * length).astype(np.int16),
        offsets=np.arange(count, dtype=np.int64) * length,
        lengths=np.full(count, length, dtype=np.int32),
        targets=np.arange(count, dtype=np.int64) % spec.model.classes,
        ids=names,
        groups=names,
        rows=np.arange(count),
        sample_rate=spec.data.sample_rate,
    )
