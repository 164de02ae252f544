"""Batch normalisation (Ioffe and Szegedy 2015) of frames whose channels lie together, for training on a CPU.

    y = w (x - mean) / sqrt(variance + eps) + b        mean and variance of each channel over all frames

torch's own adds up such frames one after another in float32, and loses two digits of mean and variance that way:
enough to make a trial on two workers another one than on one. Here they are sums of sums, the variance in a second
pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sweeper.model.convolution import activated, is_fast
from sweeper.model.stacked import is_stacked, on_stacks

_leaky_relu_backward = torch.ops.aten.leaky_relu_backward


def batch_norm(norm: nn.BatchNorm1d, x: Tensor, slope: float = 1.0) -> Tensor:
    """What ``norm`` makes of ``x`` ``[..., channels]``, then a leaky ReLU of this slope for negative values, if not 1.

    In training its running statistics follow, as torch's do.
    """
    # Several workers put a norm of another class here, which takes statistics over all of them.
    usual = type(norm) is nn.BatchNorm1d and norm.affine and norm.track_running_stats and norm.momentum is not None
    fast, stacked = is_fast(x), is_stacked(x)
    if not usual or not norm.training or not (fast or stacked) or x.shape[:-1].numel() < 2:
        return activated(norm(x.flatten(0, -2)), slope).view(x.shape)
    running = norm.running_mean, norm.running_var, norm.num_batches_tracked
    of = x, norm.weight, norm.bias, *running, norm.momentum, norm.eps, slope
    if not fast:
        return on_stacks(_of_groups, *of)  # type: ignore[no-any-return]
    return on_stacks(_BatchNorm.apply, *of) if stacked else _BatchNorm.apply(*of)  # type: ignore[no-any-return,no-untyped-call]


def _of_groups(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_variance: Tensor,
    batches: Tensor,
    momentum: float,
    eps: float,
    slope: float,
) -> Tensor:
    """Of several networks, ``[networks, clips, time, channels]``: torch's own, of all channels of all of them."""
    networks, clips, time, channels = x.shape
    groups = x.permute(1, 0, 3, 2).reshape(clips, networks * channels, time)  # as convolutions in groups leave them
    batches.add_(1)
    running = running_mean.flatten(), running_variance.flatten()
    y = nn.functional.batch_norm(groups, *running, weight.flatten(), bias.flatten(), True, momentum, eps)
    return activated(y, slope).view(clips, networks, channels, time).permute(1, 0, 3, 2)


class _BatchNorm(torch.autograd.Function):
    """Of ``[networks, ..., channels]`` or ``[..., channels]``, all else ``[networks, channels]`` or ``[channels]``."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_variance: Tensor,
        batches: Tensor,
        momentum: float,
        eps: float,
        slope: float,
    ) -> Tensor:
        frames = x.flatten(weight.ndim - 1, -2)
        count = frames.shape[-2]
        mean = frames.mean(-2, keepdim=True)
        centred = frames - mean
        variance = centred.square().mean(-2, keepdim=True)
        scale = (variance + eps).rsqrt_()
        batches.add_(1)
        running_mean.lerp_(mean.squeeze(-2), momentum)
        running_variance.lerp_(variance.mul_(count / (count - 1)).squeeze(-2), momentum)  # Bessel's correction
        gain = weight.unsqueeze(-2) * scale
        y = x.new_empty(x.shape)
        torch.addcmul(bias.unsqueeze(-2), centred, gain, out=y.view(centred.shape))
        if slope != 1:
            nn.functional.leaky_relu_(y, slope)
        ctx.save_for_backward(centred, scale, gain, y)
        ctx.slope = slope
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # what torch's decorator for this says takes longer than saying it
            raise RuntimeError("batch normalisation on a CPU has no second derivative here")
        centred, scale, gain, y = ctx.saved_tensors
        g = gradient if ctx.slope == 1 else _leaky_relu_backward(gradient, y, ctx.slope, True)
        g = g.reshape(centred.shape)
        into_weight = (g * centred).sum(-2, keepdim=True).mul_(scale)
        into_bias = g.sum(-2, keepdim=True)
        share = gain / -centred.shape[-2]
        into_x = torch.addcmul(into_bias * share, g, gain).addcmul_(centred, into_weight * scale * share)
        into_parameters = into_weight.squeeze(-2), into_bias.squeeze(-2)
        return into_x.view(gradient.shape), *into_parameters, None, None, None, None, None, None
