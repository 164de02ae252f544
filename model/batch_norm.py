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
from sweeper.model.stacked import is_stacked, on_stacks


def batch_norm(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """What ``norm`` makes of ``x`` ``[frames, channels]``; in training its running statistics follow, as torch's do."""
    # Several workers put a norm of another class here, which takes statistics over all of them.
    usual = type(norm) is nn.BatchNorm1d and norm.affine and norm.track_running_stats and norm.momentum is not None
    if not usual or not norm.training or not is_fast(x) or len(x) < 2:
        return norm(x)  # type: ignore[no-any-return]
    running = norm.running_mean, norm.running_var, norm.num_batches_tracked
    of = x, norm.weight, norm.bias, *running, norm.momentum, norm.eps
    return on_stacks(_BatchNorm.apply, *of) if is_stacked(x) else _BatchNorm.apply(*of)  # type: ignore[no-any-return,no-untyped-call]


class _BatchNorm(torch.autograd.Function):
    """Of ``[..., frames, channels]``, all else ``[..., channels]`` or ``[...]``: several norms, or the one."""

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
    ) -> Tensor:
        mean = x.mean(-2, keepdim=True)
        centred = x - mean
        variance = centred.square().mean(-2, keepdim=True)
        scale = (variance + eps).rsqrt()
        frames = x.shape[-2]
        batches.add_(1)
        running_mean.lerp_(mean.squeeze(-2), momentum)
        running_variance.lerp_((variance * (frames / (frames - 1))).squeeze(-2), momentum)  # Bessel's correction
        weight = weight.unsqueeze(-2)
        ctx.save_for_backward(centred, weight, scale)
        return torch.addcmul(bias.unsqueeze(-2), centred, weight * scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # what torch's decorator for this says takes longer than saying it
            raise RuntimeError("batch normalisation on a CPU has no second derivative here")
        centred, weight, scale = ctx.saved_tensors
        frames = centred.shape[-2]
        into_weight = (gradient * centred).sum(-2, keepdim=True).mul_(scale)
        into_bias = gradient.sum(-2, keepdim=True)
        into_x = (gradient - into_bias / frames).addcmul_(centred, into_weight * scale / frames, value=-1)
        into_x.mul_(scale * weight)
        return into_x, into_weight.squeeze(-2), into_bias.squeeze(-2), None, None, None, None, None
