"""Exponential moving average of weights and batch-norm statistics [49, 50].

`torch.optim.swa_utils.AveragedModel` compares a device counter in every update, which on a GPU waits for the whole
step; the count is kept on the host here. Running means and variances of norms are averaged; their counters, and all
other buffers, are copied: a mask, a filter or a direction that a network keeps has no average.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from sweeper.training.slabs import Slabs, apart, together
from sweeper.training_config import EMAConfig


class EMA:
    """`averaged` is a copy of `network` whose values follow it: a ← decay · a + (1 − decay) · network."""

    def __init__(self, network: nn.Module, config: EMAConfig, slabs: Slabs | None = None) -> None:
        """`slabs`: those of `network`, if made by `together`; the average is laid out alike. None: each by itself."""
        self.averaged = copy.deepcopy(network).eval().requires_grad_(False)
        for module in self.averaged.modules():
            if isinstance(module, nn.RNNBase):
                # The copy's weights no longer share one buffer, for which cuDNN would warn and gather them at each use.
                # Before the slabs below: it moves the weights.
                module.flatten_parameters()
        self.updates = 0
        self._config = config
        self.slabs, values = (together(self.averaged), slabs) if slabs else (apart(self.averaged), apart(network))
        # Parameters, not their values: a network may put other values there in each step (`weight.data = …`). And where
        # buffers lie, not which they are. One of this package, which slabs are for, counts in place.
        self._pairs: list[tuple[Tensor, Tensor]] = list(zip(self.slabs.wholes(), values.wholes(), strict=True))
        self._statistics: list[tuple[nn.Module, nn.Module, str]] = []
        self._copied: list[tuple[nn.Module, nn.Module, str]] = []
        self._copied_at_once: tuple[list[Tensor], list[Tensor]] = [], []
        for ours, theirs in zip(self.averaged.modules(), network.modules(), strict=True):
            for name, value in theirs.named_buffers(recurse=False):
                if is_averaged(theirs, value) and slabs:
                    self._pairs.append((getattr(ours, name), value))
                elif is_averaged(theirs, value):
                    self._statistics.append((ours, theirs, name))
                elif slabs:
                    self._copied_at_once[0].append(getattr(ours, name))
                    self._copied_at_once[1].append(value)
                else:
                    self._copied.append((ours, theirs, name))

    def decay(self) -> float:
        """The decay of the next update; with warm-up at most (1 + n) / (10 + n) after n updates."""
        if not self._config.warmup:
            return self._config.decay
        return min(self._config.decay, (1 + self.updates) / (10 + self.updates))

    @torch.no_grad()
    def update(self) -> None:
        """Follow the network by one step (or epoch, as configured: the caller decides when)."""
        weight = 1.0 - self.decay()
        statistics = [(getattr(ours, name), getattr(theirs, name)) for ours, theirs, name in self._statistics]
        means, values = [list(column) for column in zip(*self._pairs, *statistics, strict=True)]
        torch._foreach_lerp_(means, values, weight)
        if self._copied_at_once[0]:
            torch._foreach_copy_(*self._copied_at_once)
        for ours, theirs, name in self._copied:
            value = getattr(theirs, name)
            if getattr(ours, name).shape == value.shape:
                getattr(ours, name).copy_(value)
            else:
                setattr(ours, name, value.clone())
        self.updates += 1


def is_averaged(owner: nn.Module, buffer: torch.Tensor) -> bool:
    """Whether the average of a buffer is taken: it is a running mean or variance of a norm."""
    return isinstance(owner, _NormBase) and buffer.is_floating_point()
