"""Exponential moving average of weights and batch-norm statistics [49, 50].

`torch.optim.swa_utils.AveragedModel` compares a device counter in every update, which on a GPU waits for the whole
step; the count is kept on the host here. Batch-norm's running means and variances are averaged, its counters copied.
"""

import copy

import torch
from torch import Tensor, nn

from sweeper.search_spaces.config import EMAConfig


class EMA:
    """`averaged` is a copy of `network` whose values follow it: a ← decay · a + (1 − decay) · network."""

    def __init__(self, network: nn.Module, config: EMAConfig) -> None:
        self.averaged = copy.deepcopy(network).eval().requires_grad_(False)
        for module in self.averaged.modules():
            if isinstance(module, nn.RNNBase):
                # The copy's weights no longer share one buffer, for which cuDNN would warn and gather them at each use.
                # Before `_pairs` below: it moves the weights.
                module.flatten_parameters()
        self.updates = 0
        self._config = config
        self._pairs = [
            (mean, value)
            for mean, value in zip(_tensors(self.averaged), _tensors(network), strict=True)
            if mean.is_floating_point()
        ]
        self._counters = [
            (mean, value)
            for mean, value in zip(self.averaged.buffers(), network.buffers(), strict=True)
            if not mean.is_floating_point()
        ]

    def decay(self) -> float:
        """The decay of the next update; with warm-up at most (1 + n) / (10 + n) after n updates."""
        if not self._config.warmup:
            return self._config.decay
        return min(self._config.decay, (1 + self.updates) / (10 + self.updates))

    @torch.no_grad()
    def update(self) -> None:
        """Follow the network by one step (or epoch, as configured: the caller decides when)."""
        weight = 1.0 - self.decay()
        means, values = [list(column) for column in zip(*self._pairs, strict=True)]
        torch._foreach_lerp_(means, values, weight)
        for mean, value in self._counters:
            mean.copy_(value)
        self.updates += 1


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*(p.detach() for p in module.parameters()), *module.buffers()]
