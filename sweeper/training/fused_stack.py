"""Several trials that differ by their seeds, as one program: their state in stacked tensors, `[networks, ...]`.

One pass forward and back computes all networks (`torch.func.vmap`), one AdamW moves all weights, which is the same for
each as one of its own: its arithmetic is by element. What is not, the norm that gradients are clipped to, is each
network's. Batches, augmentation and dropout are drawn by each trial's own seeds. So every trial gets what it would
alone, up to rounding.

The trials' own networks, averages and totals become views of the stack; `Stack.tell` brings the rest up to date.
"""

import itertools
import random
import warnings
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import vmap
from torch.utils._pytree import tree_map

from sweeper.audio.augmentation import Augmented, augment_each
from sweeper.model.modes import beside_the_compiler, compiler_is_there
from sweeper.model.output import as_output
from sweeper.model.pairing import seeded_outside_torch
from sweeper.plan import derive_seed
from sweeper.study import Network, Output
from sweeper.training.ema import is_averaged
from sweeper.training.fit import _Run
from sweeper.training.fused_draws import SeedsDraws
from sweeper.training.fused_slabs import stacked_buffers, stacked_slab
from sweeper.training.fused_template import Template
from sweeper.training.loss import training_loss
from sweeper.training.optimiser import optimiser, schedule
from sweeper.training.slabs import Slab, Slabs

# What vmap has no rule for it does one by one, as it would be done without it.
warnings.filterwarnings("ignore", "There is a performance drop because we have not yet implemented the batching rule")


class Stack:
    """Runs of one network, training and clips, which stand at the same step; they are not to step by themselves.

    Raises:
        CannotFuse: something of them can't be stacked.
    """

    def __init__(self, runs: Sequence[_Run]) -> None:
        self.runs = runs
        first = runs[0]
        self._config = first.spec.training
        draws = beside_the_compiler(SeedsDraws) if compiler_is_there() else SeedsDraws
        self._template = Template(first.network, draws(first.device))
        self._stacked = [stacked_slab(slabs) for slabs in self._slabs()]
        self.wholes = [slab.whole for slab in self._stacked]
        numbers = {id(parameter): number for number, parameter in enumerate(first.network.parameters())}
        members = [
            (numbers[id(one)], all_)
            for slab, stacked in zip(first.slabs, self._stacked, strict=True)
            for one, all_ in zip(slab.members, stacked.members, strict=True)
        ]
        self._parameters = [values for _, values in sorted(members, key=lambda member: member[0])]
        self._buffers = stacked_buffers([run.network for run in runs])
        self._load_optimiser()
        self._load_average()
        self.drew_outside_torch = False  # in the last step: numbers that are one seed's for all
        self._totals = torch.stack([run._totals for run in runs])
        for run, totals in zip(runs, self._totals, strict=True):
            run._totals = totals

    def step(self, rows: Sequence[np.ndarray], crops: Sequence[np.ndarray]) -> None:
        """One optimiser step of every network, on the clips `rows[network]`, cut at `crops[network]`."""
        first, config = self.runs[0], self._config
        batch = first.batches.gather(np.concatenate(rows), np.concatenate(crops))
        shape = len(self.runs), len(rows[0])
        augmented = self._augmented(batch.waveforms.view(*shape, *batch.waveforms.shape[1:]), batch.targets.view(shape))
        waveforms = torch.stack([one.waveforms for one in augmented])
        targets = torch.stack([one.targets for one in augmented])
        seeds = [derive_seed(run.spec.seed, "dropout", first.steps_done) for run in self.runs]
        bf16 = first.device.type == "cuda" and config.precision == "bf16"
        with seeded_outside_torch(seeds[0]):
            before = _outside_torch()
            with torch.autocast(first.device.type, torch.bfloat16, enabled=bf16):
                answers = self._answers(waveforms, seeds)
            losses = self._losses(answers, targets, [one.mixed for one in augmented])
            self.drew_outside_torch = _outside_torch() != before
        for slab in self._stacked:
            slab.zero_grad()
        torch.autograd.backward(losses.sum())
        for slab in self._stacked:
            slab.collect_grad()
        if config.clip_norm is not None:
            _clip(self.wholes, config.clip_norm)
        self._optimiser.step()
        self._scheduler.step()
        if config.ema.unit == "step":
            self.update_average()
        hits = (as_output(answers).logits.detach().argmax(2) == targets.argmax(2)).sum(1)
        clips = torch.full_like(losses.detach(), shape[1])
        self._totals += torch.stack([losses.detach() * clips, hits.to(losses.dtype), clips], dim=1).double()

    def totals(self) -> list[list[float]]:
        """Of each run, what its epoch came to so far; waits for the device."""
        return self._totals.tolist()

    @torch.no_grad()
    def update_average(self) -> None:
        """As `EMA.update`, for every network."""
        ema = self.runs[0].ema
        torch._foreach_lerp_(self._means, self._values, 1.0 - ema.decay())
        if self._copied:
            torch._foreach_copy_([ours for ours, _ in self._copied], [theirs for _, theirs in self._copied])
        for run in self.runs:
            run.ema.updates += 1

    def tell(self) -> None:
        """Give each run its optimiser's state, as `_Run.save` wants it."""
        for whole, slabs in zip(self.wholes, self._slabs(), strict=True):
            for slot, values in self._optimiser.state.get(whole, {}).items():
                for network, (run, slab) in enumerate(zip(self.runs, slabs, strict=True)):
                    run.optimiser.state[slab.whole][slot] = values if slot == "step" else values[network]
        for run in self.runs:
            _copy_rates(self._optimiser, run.optimiser)

    def _augmented(self, waveforms: Tensor, targets: Tensor) -> list[Augmented]:
        classes, first = self.runs[0].spec.model.classes, self.runs[0]
        return augment_each(
            waveforms,
            F.one_hot(targets, classes).float(),
            self._config.augmentation,
            sample_rate=first.spec.data.sample_rate,
            seeds=[derive_seed(run.spec.seed_of("augmentation"), "augmentation") for run in self.runs],
            step=first.steps_done,
            epoch=first.epoch,
        )

    def _answers(self, waveforms: Tensor, seeds: Sequence[int]) -> Tensor | Output:
        answers, buffers = self._template((*self._parameters, *self._buffers.values()), waveforms, seeds)
        for ours, theirs in zip(self._buffers.values(), buffers, strict=True):
            if ours.data_ptr() != theirs.data_ptr():  # the network put another tensor there
                ours.copy_(theirs.detach())
        return answers  # type: ignore[no-any-return]

    def _losses(self, answers: Tensor | Output, targets: Tensor, mixed: Sequence[bool]) -> Tensor:
        """`[networks]`; at once where all are alike, and a loss that a user wrote is given what it is used to."""
        plain = type(self.runs[0].spec.model).loss is Network.loss
        if plain and len(set(mixed)) == 1:
            return vmap(partial(training_loss, mixed=mixed[0], config=self._config))(answers, targets)
        losses = []
        for network, (mix, labels) in enumerate(zip(mixed, targets.unbind(), strict=True)):
            answer = tree_map(lambda value, at=network: value.unbind()[at], answers)
            losses.append(training_loss(answer, labels, mix, self._config, self.runs[0].own_loss))
        return torch.stack(losses)

    def _load_optimiser(self) -> None:
        first, each = self.runs[0], [Slab(whole, (whole,)) for whole in self.wholes]
        decayed = len(first.slabs.decayed)
        slabs = Slabs(tuple(each[:decayed]), tuple(each[decayed:]), tuple(self.wholes))
        config = self._config
        self._optimiser = optimiser(slabs, config)
        self._scheduler = schedule(self._optimiser, config, config.epochs * first.steps_per_epoch)
        self._scheduler.load_state_dict(first.scheduler.state_dict())
        _copy_rates(first.optimiser, self._optimiser)
        for run in self.runs:
            run.scheduler = self._scheduler
        for whole, of_runs in zip(self.wholes, self._slabs(), strict=True):
            states = [run.optimiser.state.get(slab.whole, {}) for run, slab in zip(self.runs, of_runs, strict=True)]
            for slot, value in states[0].items():
                stacked = value.clone() if slot == "step" else torch.stack([state[slot] for state in states])
                self._optimiser.state[whole][slot] = stacked

    def _slabs(self) -> Iterator[tuple[Slab, ...]]:
        """Each slab of all runs."""
        return zip(*(run.slabs for run in self.runs), strict=True)

    def _load_average(self) -> None:
        runs = self.runs
        averages = [run.ema.averaged for run in runs]
        self._means = [stacked_slab(slabs).whole.data for slabs in zip(*(run.ema.slabs for run in runs), strict=True)]
        self._values = [whole.data for whole in self.wholes]
        self._copied: list[tuple[Tensor, Tensor]] = []
        buffers = stacked_buffers(averages)
        for prefix, module in runs[0].network.named_modules():
            for own, buffer in module.named_buffers(prefix, recurse=False):
                if own not in buffers:
                    continue
                if is_averaged(module, buffer):
                    self._means.append(buffers[own])
                    self._values.append(self._buffers[own])
                else:
                    self._copied.append((buffers[own], self._buffers[own]))


def _outside_torch() -> tuple[int, int]:
    """How far the global generators of Python and NumPy have come in their states."""
    return random.getstate()[1][-1], np.random.get_state()[2]  # type: ignore[index]


@torch.no_grad()
def _clip(wholes: Sequence[nn.Parameter], max_norm: float) -> None:
    """As `torch.nn.utils.clip_grad_norm_`, for each network by its own norm."""
    gradients = [whole.grad for whole in wholes if whole.grad is not None]
    norms = torch.stack([torch.linalg.vector_norm(g.reshape(len(g), -1), dim=1) for g in gradients])
    scales = (max_norm / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scales.view(-1, *itertools.repeat(1, gradient.ndim - 1)))


def _copy_rates(source: torch.optim.Optimizer, target: torch.optim.Optimizer) -> None:
    for theirs, ours in zip(source.param_groups, target.param_groups, strict=True):
        ours["lr"], ours["betas"] = theirs["lr"], theirs["betas"]
