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

from sweeper.model.convolution import is_fast


def batch_norm(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """What ``norm`` makes of ``x`` ``[frames, channels]``; in training its running statistics follow, as torch's do."""
    # Several workers put a norm of another class here, which takes statistics over all of them.
    if not norm.training or not is_fast(x) or type(norm) is not nn.BatchNorm1d or len(x) < 2:
        return norm(x)  # type: ignore[no-any-return]
    return _BatchNorm.apply(x, norm.weight, norm.bias, norm)  # type: ignore[no-any-return,no-untyped-call]


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, norm: nn.BatchNorm1d) -> Tensor:
        mean = x.mean(0)
        centred = x - mean
        variance = centred.square().mean(0)
        scale = (variance + norm.eps).rsqrt()
        _follow(norm, mean, variance, x.shape[0])
        ctx.save_for_backward(centred, weight, scale)
        return torch.addcmul(bias, centred, weight * scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        if torch.is_grad_enabled():  # what torch's decorator for this says takes longer than saying it
            raise RuntimeError("batch normalisation on a CPU has no second derivative here")
        centred, weight, scale = ctx.saved_tensors
        frames = centred.shape[0]
        into_weight, into_bias = (gradient * centred).sum(0).mul_(scale), gradient.sum(0)
        into_x = (gradient - into_bias / frames).addcmul_(centred, into_weight * scale / frames, value=-1)
        return into_x.mul_(scale * weight), into_weight, into_bias, None


def _follow(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor, frames: int) -> None:
    """Move the running statistics, whose variance is that of all clips there might be."""
    running = norm.running_mean, norm.running_var, norm.num_batches_tracked
    if running[0] is not None and running[1] is not None and running[2] is not None and norm.momentum is not None:
        running[2].add_(1)
        running[0].lerp_(mean, norm.momentum)
        running[1].lerp_(variance * (frames / (frames - 1)), norm.momentum)
