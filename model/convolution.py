"""Convolutions of one input over time whose channels lie together, ``[time, channels]``.

    y[t] = lrelu(b + sum_k W[k] x[t + k - c])        c: the middle tap; stride and dilation are 1 here

On a CPU, torch's convolution of pictures takes such frames as they are (``torch.channels_last``): clips are pictures
of one row, and nothing is copied to another layout and back, as its convolution of sequences does. How much faster
that is on a machine, ``python -m tests.benchmarks.convolutions`` says. On a GPU, under autocast, and where a graph of
operators is recorded, its convolution of sequences is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sweeper.model.stacked import is_stacked, on_stacks, one_by_one

LITTLE = 1 << 20  # multiplications

_convolution_backward = torch.ops.aten.convolution_backward
_leaky_relu_backward = torch.ops.aten.leaky_relu_backward


def convolutions(
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor | None],
    slopes: Sequence[float],
    *,
    stride: int = 1,
    dilation: int = 1,
) -> tuple[Tensor, ...]:
    """Convolve ``x`` with several kernels, each followed by a leaky ReLU; beyond its ends ``x`` is 0.

    Args:
        x: ``[clips, time, in]``.
        weights: ``[out, in, taps]`` each, as ``nn.Conv1d`` has them, of an odd number of taps.
        biases: ``[out]`` each, or None.
        slopes: of the leaky ReLU for negative values, each: 0 makes it a ReLU, and 1 nothing at all.
        stride: every so-many-th frame is computed, from the first on.
        dilation: frames from tap to tap.

    Returns:
        ``[clips, ceil(time / stride), out]`` each, which nobody may change in place.
    """
    step = _Step(stride, dilation)
    if not is_fast(x):
        each = zip(weights, biases, slopes, strict=True)
        return tuple(_of_sequences(x, weight, bias, slope, step) for weight, bias, slope in each)
    if is_stacked(x):  # a convolution in groups, which is vmap's, takes longer on a CPU than one after another
        return on_stacks(one_by_one(_Convolutions.apply), x, step, tuple(slopes), *weights, *biases)  # type: ignore[no-any-return]
    return _Convolutions.apply(x, step, tuple(slopes), *weights, *biases)  # type: ignore[no-any-return,no-untyped-call]


def is_fast(x: Tensor) -> bool:
    """Whether ``x`` is convolved with its channels together, and not by torch's operator for sequences."""
    return x.device.type == "cpu" and not (torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"))


@dataclass(frozen=True)
class _Step:
    stride: int
    dilation: int

    def padding(self, weight: Tensor) -> int:
        return self.dilation * (weight.shape[2] // 2)


def _of_sequences(x: Tensor, weight: Tensor, bias: Tensor | None, slope: float, step: _Step) -> Tensor:
    if is_stacked(x) and weight.shape[2] == step.stride == 1:  # of several networks: products of matrices, not groups
        y = nn.functional.linear(x, weight.squeeze(2), bias)
        return y if slope == 1 else nn.functional.leaky_relu_(y, slope)
    y = nn.functional.conv1d(x.transpose(1, 2), weight, bias, step.stride, step.padding(weight), step.dilation)
    return (y if slope == 1 else nn.functional.leaky_relu_(y, slope)).transpose(1, 2)


class _Convolutions(torch.autograd.Function):
    """See ``convolutions`` and the formulas above."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: _Step, slopes: tuple[float, ...], *parameters: Any) -> tuple[Tensor, ...]:
        weights, biases = parameters[: len(slopes)], parameters[len(slopes) :]
        frames = _Frames(x)
        outputs = []
        for weight, bias, slope in zip(weights, biases, slopes, strict=True):
            y = frames.convolved(weight, bias, step)
            outputs.append(y if slope == 1 else nn.functional.leaky_relu_(y, slope))
        ctx.step, ctx.slopes = step, slopes
        ctx.with_bias = [bias is not None for bias in biases]
        activated = (y for y, slope in zip(outputs, slopes, strict=True) if slope != 1)
        ctx.save_for_backward(x, *weights, *activated)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, *saved = ctx.saved_tensors
        frames = _Frames(x)
        weights, activated = saved[: len(ctx.slopes)], iter(saved[len(ctx.slopes) :])
        into_x: Tensor | None = None
        into_weights: list[Tensor] = []
        into_biases: list[Tensor | None] = []
        each = zip(gradients, weights, ctx.slopes, ctx.with_bias, strict=True)
        for gradient, weight, slope, with_bias in each:
            g = gradient if slope == 1 else _leaky_relu_backward(gradient, next(activated), slope, True)
            more, into_weight, into_bias = frames.gradients(g, weight, ctx.step, ctx.needs_input_grad[0], with_bias)
            into_x = more if into_x is None or more is None else into_x.add_(more)
            into_weights.append(into_weight)
            into_biases.append(into_bias)
        return into_x, None, None, *into_weights, *into_biases


class _Frames:
    """What is convolved, ``[clips, time, in]``, and by one tap or as pictures, whatever takes less time."""

    def __init__(self, x: Tensor) -> None:
        self.x, self.size = x, x.numel()
        self.pictures = _pictures(x)

    def convolved(self, weight: Tensor, bias: Tensor | None, step: _Step) -> Tensor:
        """``[clips, ceil(time / stride), out]``."""
        if self._are_few(weight, step):
            return nn.functional.linear(self.x, weight.squeeze(2), bias)
        padding = (0, step.padding(weight))
        y = torch.conv2d(self.pictures, weight.unsqueeze(2), bias, (1, step.stride), padding, (1, step.dilation))
        return y.squeeze(2).mT

    def gradients(
        self, g: Tensor, weight: Tensor, step: _Step, needs_x: bool, needs_bias: bool
    ) -> tuple[Tensor | None, Tensor, Tensor | None]:
        """Into x, the weights and the bias."""
        if self._are_few(weight, step):
            flat = g.flatten(0, 1)
            into_x = (flat @ weight.squeeze(2)).view(self.x.shape) if needs_x else None
            into_weight = (flat.t() @ self.x.flatten(0, 1)).unsqueeze(2)
            return into_x, into_weight, flat.sum(0) if needs_bias else None
        strides, paddings, dilations = (1, step.stride), (0, step.padding(weight)), (1, step.dilation)
        geometry = weight.shape[:1], strides, paddings, dilations, False, (0, 0), 1
        wanted = (needs_x, True, needs_bias)
        into_x, into_kernel, into_bias = _convolution_backward(
            _pictures(g), self.pictures, weight.unsqueeze(2), *geometry, wanted
        )
        if into_x is not None:
            into_x = into_x.squeeze(2).mT
        return into_x, into_kernel.squeeze(2), into_bias

    def _are_few(self, weight: Tensor, step: _Step) -> bool:
        """Whether a product of two matrices takes less time than calling a convolution does."""
        out, _, taps = weight.shape
        return taps == step.stride == 1 and self.size * out < LITTLE


def _pictures(x: Tensor) -> Tensor:
    """``[clips, time, channels] -> [clips, channels, 1, time]``, the same numbers in the same places."""
    return x.mT.unsqueeze(2)
