"""Convolutions of one input over time whose channels lie together, ``[time, channels]``.

    y[t] = lrelu(b + sum_k W[k] x[t + k - c])        c: the middle tap; stride and dilation are 1 here

On a CPU, torch's convolution of pictures takes such frames as they are (``torch.channels_last``): clips are pictures
of one row, and nothing is copied to another layout and back, as its convolution of sequences does. How much faster
that is on a machine, ``python -m tests.benchmarks.convolutions`` says. On a GPU, under autocast, and where a graph of
operators is recorded, its convolution of sequences is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sweeper.model.stacked import is_stacked, linear_of_stacks, on_stacks, one_by_one

LITTLE = 1 << 20  # multiplications


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
    of: tuple[Any, ...] = (x, tuple(slopes), stride, dilation, *weights, *biases)
    if is_stacked(x):  # on a CPU, a convolution in groups takes longer than one after another
        return on_stacks(one_by_one(_of_frames) if is_fast(x) else _in_groups, *of)  # type: ignore[no-any-return]
    return _of_frames(*of) if is_fast(x) else _of_sequences(*of)


def is_fast(x: Tensor) -> bool:
    """Whether ``x`` is convolved with its channels together, and not by torch's operator for sequences."""
    return x.device.type == "cpu" and not (torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"))


def _of_frames(
    x: Tensor, slopes: tuple[float, ...], stride: int, dilation: int, *parameters: Any
) -> tuple[Tensor, ...]:
    pictures = x.mT.unsqueeze(2)  # [clips, in, 1, time], the same numbers in the same places
    outputs = []
    for slope, weight, bias in zip(slopes, parameters[: len(slopes)], parameters[len(slopes) :], strict=True):
        out, _, taps = weight.shape
        if taps == stride == 1 and x.numel() * out < LITTLE:  # a product takes less time than calling a convolution
            y = nn.functional.linear(x.flatten(0, 1), weight.squeeze(2), bias)
            outputs.append(activated(y, slope).view(*x.shape[:2], out))
        else:
            padding = (0, dilation * (taps // 2))
            y = torch.conv2d(pictures, weight.unsqueeze(2), bias, (1, stride), padding, (1, dilation))
            outputs.append(activated(y, slope).squeeze(2).mT)
    return tuple(outputs)


def _of_sequences(
    x: Tensor, slopes: tuple[float, ...], stride: int, dilation: int, *parameters: Any
) -> tuple[Tensor, ...]:
    outputs = []
    for slope, weight, bias in zip(slopes, parameters[: len(slopes)], parameters[len(slopes) :], strict=True):
        padding = dilation * (weight.shape[2] // 2)
        y = nn.functional.conv1d(x.transpose(1, 2), weight, bias, stride, padding, dilation)
        outputs.append(activated(y, slope).transpose(1, 2))
    return tuple(outputs)


def _in_groups(
    x: Tensor, slopes: tuple[float, ...], stride: int, dilation: int, *parameters: Any
) -> tuple[Tensor, ...]:
    """Of several networks, ``[networks, ...]`` each: one convolution whose groups are the networks."""
    networks, clips, time, channels = x.shape
    groups = None
    outputs = []
    for slope, weight, bias in zip(slopes, parameters[: len(slopes)], parameters[len(slopes) :], strict=True):
        out, taps = weight.shape[1], weight.shape[3]
        if taps == stride == 1:
            y = linear_of_stacks(x, weight.squeeze(3), bias)
            outputs.append(activated(y, slope).view(networks, clips, time, out))
        else:
            if groups is None:
                groups = x.permute(1, 0, 3, 2).reshape(clips, networks * channels, time)
            shift, padding = None if bias is None else bias.flatten(), dilation * (taps // 2)
            y = nn.functional.conv1d(groups, weight.flatten(0, 1), shift, stride, padding, dilation, networks)
            outputs.append(activated(y, slope).view(clips, networks, out, -1).permute(1, 0, 3, 2))
    return tuple(outputs)


def activated(y: Tensor, slope: float) -> Tensor:
    """Leaky ReLU; in place, which is for a tensor that is no view: in one, autograd would copy the gradient."""
    return y if slope == 1 else nn.functional.leaky_relu_(y, slope)
