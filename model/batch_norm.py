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
from torch.autograd.function import once_differentiable

from sweeper.model.convolution import is_fast
from sweeper.model.stacked import is_stacked, on_stacks


def batch_norm(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """What ``norm`` makes of ``x`` ``[frames, channels]``; in training its running statistics follow, as torch's do."""
    # Several workers put a norm of another class here, which takes statistics over all of them.
    if not norm.training or not is_fast(x) or type(norm) is not nn.BatchNorm1d or len(x) < 2:
        return norm(x)  # type: ignore[no-any-return]
    of = x, norm.weight, norm.bias, norm.eps
    if is_stacked(x):
        y, mean, variance = on_stacks(_BatchNorm.apply, *of)
    else:
        y, mean, variance = _BatchNorm.apply(*of)  # type: ignore[no-untyped-call]
    _follow(norm, mean, variance * (len(x) / (len(x) - 1)))
    return y  # type: ignore[no-any-return]


@torch.no_grad()
def _follow(norm: nn.BatchNorm1d, mean: Tensor, unbiased_variance: Tensor) -> None:
    running = norm.running_mean, norm.running_var, norm.num_batches_tracked
    if running[0] is not None and running[1] is not None and running[2] is not None and norm.momentum is not None:
        running[2].add_(1)
        _approach(running[0], mean, norm.momentum)
        _approach(running[1], unbiased_variance, norm.momentum)


def _approach(value: Tensor, new: Tensor, weight: float) -> None:
    if is_stacked(new):  # vmap would make a loop of it
        on_stacks(Tensor.lerp_, value, new, weight)
    else:
        value.lerp_(new, weight)


class _BatchNorm(torch.autograd.Function):
    """Of ``[..., frames, channels]``, with weight and bias ``[..., channels]``: several norms, or the one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        mean = x.mean(-2, keepdim=True)
        centred = x - mean
        variance = centred.square().mean(-2, keepdim=True)
        scale = (variance + eps).rsqrt()
        weight = weight.unsqueeze(-2)
        ctx.save_for_backward(centred, weight, scale)
        mean, variance = mean.squeeze(-2), variance.squeeze(-2)
        ctx.mark_non_differentiable(mean, variance)
        return torch.addcmul(bias.unsqueeze(-2), centred, weight * scale), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        centred, weight, scale = ctx.saved_tensors
        gradient, frames = gradients[0], centred.shape[-2]
        into_weight = (gradient * centred).sum(-2, keepdim=True).mul_(scale)
        into_bias = gradient.sum(-2, keepdim=True)
        into_x = (gradient - into_bias / frames).addcmul_(centred, into_weight * scale / frames, value=-1)
        return into_x.mul_(scale * weight), into_weight.squeeze(-2), into_bias.squeeze(-2), None
