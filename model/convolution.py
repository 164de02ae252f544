"""Convolutions of one input over time as products of matrices, for a CPU.

Where the channels of a frame lie together, ``[time, channels]``, the frames that a kernel meets are successive
numbers. So a convolution is the product of a matrix, whose rows are such windows, with the weights, and nothing need
be copied to get that matrix if its rows overlap:

    y[t]      = b + sum_k W[k]^T x[t + k - c]        a row [x[t - c] ... x[t - c + K - 1]], the weights [K * in, out]
    dL/dx[t]  = sum_k W[k] g[t - k + c]              the same of g, with the kernel reversed
    dL/dW[k]  = sum_t x[t + k - c] g[t]^T            the rows, transposed, times g
    g         = dL/dy * lrelu'(y)

- A product of matrices is fast from some 48 columns on, and there are few channels here. So a row yields several
  successive y: it is as many frames longer, and the weights hold the kernel as often, each time a frame further down.
- A product of matrices takes no overlapping rows, but each so-many-th row begins after the one before it ends: there
  are a few products, of every so-many-th row each.

How much faster than torch's own that is on a machine, ``python -m tests.benchmarks.convolutions`` says. On a GPU, and
where a graph of operators is recorded, torch's own is called.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

COLUMNS = 48  # from which on, and in whose multiples, products were measured to be fast
MOST_FRAMES = 6  # of one row: more would be more products with zeros than it is worth

_leaky_relu_backward = torch.ops.aten.leaky_relu_backward.grad_input


def convolutions(
    x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor | None], slopes: Sequence[float]
) -> tuple[Tensor, ...]:
    """Convolve ``x`` with several kernels, each followed by a leaky ReLU; the length is kept, beyond it are zeros.

    Args:
        x: ``[..., time, in]``.
        weights: ``[out, in, taps]`` each, as ``nn.Conv1d`` has them. The middle tap, of an even number the one after
            the middle, is for the frame itself.
        biases: ``[out]`` each, or None.
        slopes: of the leaky ReLU for negative values, each: 0 makes it a ReLU, and 1 nothing at all.

    Returns:
        ``[..., time, out]`` each, fresh tensors.
    """
    if not is_fast(x):
        each = zip(weights, biases, slopes, strict=True)
        return tuple(_by_torch(x, weight, bias, slope) for weight, bias, slope in each)
    return _Convolutions.apply(x, tuple(slopes), *weights, *biases)  # type: ignore[no-any-return,no-untyped-call]


def is_fast(x: Tensor) -> bool:
    """Whether products of matrices are what convolves ``x``, and not torch's own operator."""
    return x.device.type == "cpu" and not (torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"))


def _by_torch(x: Tensor, weight: Tensor, bias: Tensor | None, slope: float) -> Tensor:
    frames, taps = x.flatten(0, -3).transpose(1, 2), weight.shape[2]
    if taps % 2 == 0:
        frames = nn.functional.pad(frames, (1, 0))
    y = nn.functional.conv1d(frames, weight, bias, padding=(taps - 1) // 2)
    y = (y if slope == 1 else nn.functional.leaky_relu_(y, slope)).transpose(1, 2)
    return y.reshape(*x.shape[:-1], weight.shape[0])


@dataclass(frozen=True)
class _Layout:
    """Frames ``[..., time, channels]`` as rows of one matrix, clip after clip, ``reach`` rows of zeros around each."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    count: int  # rows of the clips, each with the zeros after it
    size: tuple[int, int]  # of the matrix: those, the zeros before the first, and what the last windows reach beyond

    def frames(self, matrix: Tensor, first: int) -> Tensor:
        """The frames in their shape, a view; the first of them is row ``first``."""
        return matrix.as_strided(self.shape, self.strides, first * self.shape[-1])


@functools.lru_cache(maxsize=1024)
def _layout(shape: tuple[int, ...], reach: int) -> _Layout:
    *clips, time, channels = shape
    strides = [channels, 1]
    between = (time + reach) * channels
    for size in reversed(clips):
        strides.insert(0, between)
        between *= size
    count = math.prod(clips) * (time + reach)
    return _Layout(shape, tuple(strides), count, (count + 6 * reach + 2 * MOST_FRAMES + 4, channels))


@dataclass(frozen=True)
class _Turns:
    """Pieces of so many successive frames each, of a matrix with a row for each frame, in turn given to some parts."""

    size: tuple[int, int, int]  # parts, pieces of each, numbers of a piece
    strides: tuple[int, int, int]
    channels: int

    def of(self, matrix: Tensor, first: int) -> Tensor:
        """A view; the first piece begins with the matrix's row ``first``."""
        return matrix.as_strided(self.size, self.strides, first * self.channels)


@dataclass(frozen=True)
class _Product:
    """How a convolution is cut into products of windows with a kernel.

    Attributes:
        windows: frames around those that they yield, ``[products, rows, length * inputs]``.
        yields: what they yield, ``[products, rows, frames * outputs]``.
        kernel: its size, ``[length * inputs, frames * outputs]``.
        copies, strides: of the weights in it, ``[frames, taps, inputs, outputs]``: as often as a window yields frames.
    """

    windows: _Turns
    yields: _Turns
    kernel: tuple[int, int]
    copies: tuple[int, int, int, int]
    strides: tuple[int, int, int, int]

    def kernels(self, weight: Tensor) -> Tensor:
        """``[products, length * inputs, frames * outputs]``, all alike, from weights ``[taps, inputs, outputs]``."""
        kernel = weight.new_zeros(self.kernel)
        kernel.as_strided(self.copies, self.strides).copy_(weight)
        return kernel.expand(self.windows.size[0], -1, -1)

    def weight(self, kernel: Tensor) -> Tensor:
        """``[taps, inputs, outputs]``: the sum over the copies in a kernel."""
        copies = kernel.as_strided(self.copies, self.strides)
        return copies[0] if self.copies[0] == 1 else copies.sum(0)


@functools.lru_cache(maxsize=1024)
def _product(taps: int, inputs: int, outputs: int, count: int) -> _Product:
    """For weights ``[taps, inputs, outputs]`` and ``count`` frames."""
    frames = 1 if outputs >= COLUMNS else COLUMNS // math.gcd(COLUMNS, outputs)
    frames = min(frames, taps, MOST_FRAMES)
    length = taps + frames - 1
    products = -(-length // frames)
    rows = -(-count // (products * frames))

    def turns(piece: int, channels: int) -> _Turns:
        step = frames * channels
        return _Turns((products, rows, piece * channels), (step, products * step, 1), channels)

    columns = frames * outputs
    return _Product(
        windows=turns(length, inputs),
        yields=turns(frames, outputs),
        kernel=(length * inputs, columns),
        copies=(frames, taps, inputs, outputs),
        strides=(inputs * columns + outputs, inputs * columns, columns, 1),
    )


class _Convolutions(torch.autograd.Function):
    """See ``convolutions`` and the formulas above. Kernels of as many taps are one with all their output channels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slopes: tuple[float, ...], *parameters: Any) -> tuple[Tensor, ...]:
        weights, biases = parameters[: len(slopes)], parameters[len(slopes) :]
        groups = _alike(weights)
        reach = max(groups) // 2
        layout = _layout(tuple(x.shape), reach)
        matrix = x.new_zeros(layout.size)
        layout.frames(matrix, reach).copy_(x)
        outputs: dict[int, Tensor] = {}
        for taps, members in groups.items():
            weight = _joined(weights, members)
            raw = _layout((*x.shape[:-1], weight.shape[0]), reach)
            product = _product(taps, weight.shape[1], weight.shape[0], raw.count)
            rows = x.new_empty(raw.size)
            windows = product.windows.of(matrix, reach - taps // 2)
            torch.bmm(windows, product.kernels(weight.permute(2, 1, 0)), out=product.yields.of(rows, 0))
            parts = torch.split(raw.frames(rows, 0), [weights[index].shape[0] for index in members], dim=-1)
            for index, part in zip(members, parts, strict=True):
                bias, slope = biases[index], slopes[index]
                y = part.clone(memory_format=torch.contiguous_format) if bias is None else part + bias
                outputs[index] = y if slope == 1 else nn.functional.leaky_relu_(y, slope)
        ctx.slopes, ctx.groups, ctx.layout = slopes, groups, layout
        ctx.with_bias = [bias is not None for bias in biases]
        activated = (outputs[index] for index, slope in enumerate(slopes) if slope != 1)
        ctx.save_for_backward(matrix, *weights, *activated)
        return tuple(outputs[index] for index in range(len(slopes)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        matrix, *saved = ctx.saved_tensors
        slopes, layout = ctx.slopes, ctx.layout
        reach = max(ctx.groups) // 2
        weights, activated = saved[: len(slopes)], iter(saved[len(slopes) :])
        of = {index: next(activated) for index, slope in enumerate(slopes) if slope != 1}
        into_x = matrix.new_empty(layout.size) if ctx.needs_input_grad[0] else None
        into: dict[int, Tensor] = {}
        into_biases: dict[int, Tensor] = {}
        for turn, (taps, members) in enumerate(ctx.groups.items()):
            weight = _joined(weights, members)
            channels, inputs, _ = weight.shape
            g_layout = _layout((*layout.shape[:-1], channels), reach)
            g = matrix.new_zeros(g_layout.size)
            sizes = [weights[index].shape[0] for index in members]
            parts = torch.split(g_layout.frames(g, reach), sizes, dim=-1)
            for index, part in zip(members, parts, strict=True):
                if slopes[index] == 1:
                    part.copy_(gradients[index])
                else:
                    _leaky_relu_backward(gradients[index], of[index], slopes[index], True, grad_input=part)
            if into_x is not None:
                product = _product(taps, channels, inputs, layout.count)
                windows = product.windows.of(g, reach - (taps - 1 - taps // 2))
                kernels = product.kernels(weight.flip(2).permute(2, 0, 1))
                sums = product.yields.of(into_x, 0)
                if turn == 0:
                    torch.bmm(windows, kernels, out=sums)
                else:
                    torch.baddbmm(sums, windows, kernels, out=sums)
            product = _product(taps, inputs, channels, layout.count)
            windows = product.windows.of(matrix, reach - taps // 2).transpose(1, 2)
            gradient = product.weight(torch.bmm(windows, product.yields.of(g, reach)).sum(0)).permute(2, 1, 0)
            into.update(zip(members, torch.split(gradient, sizes), strict=True))
            if any(ctx.with_bias[index] for index in members):
                into_biases.update(zip(members, torch.split(g.sum(0), sizes), strict=True))
        order = range(len(slopes))
        return (
            None if into_x is None else layout.frames(into_x, 0),
            None,
            *(into[index] for index in order),
            *(into_biases[index] if ctx.with_bias[index] else None for index in order),
        )


def _alike(weights: Sequence[Tensor]) -> dict[int, list[int]]:
    """The places of those that have as many taps, by that number."""
    groups: dict[int, list[int]] = {}
    for index, weight in enumerate(weights):
        groups.setdefault(weight.shape[2], []).append(index)
    return groups


def _joined(weights: Sequence[Tensor], members: Sequence[int]) -> Tensor:
    return weights[members[0]] if len(members) == 1 else torch.cat([weights[index] for index in members])
