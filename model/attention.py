"""Channel attention (Woo et al. 2018), and what a module makes of it.

    bottleneck          x -> f(ReLU(f(x)))                                   f: convolution of one tap
    channel attention   a(x) = sigmoid(f(ReLU(f(x_avg))) + f(ReLU(f(x_max))))  Eq. 2 and 6
    refined             lrelu(m * a(m) + shortcut)                             Eq. 3

Choices the paper leaves open
- Both poolings of a channel attention share one bottleneck, as in CBAM (Woo et al. 2018). It is
  ``attention_reduction`` times narrower, but never under four channels: one ReLU unit may be born dead.

Eq. 3 with its attention is some twelve operations, most of them on few numbers, where autograd's records take longer
than what is computed. For training on a CPU its gradients are written out here.

Shapes: B batch, L frames, C channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sweeper.model.convolution import is_fast
from sweeper.model.layers import NEGATIVE_SLOPE, Convolution, leaky_relu, same_conv
from sweeper.model.stacked import is_stacked, linear

MIN_BOTTLENECK = 4

_leaky_relu_backward = torch.ops.aten.leaky_relu_backward
_sigmoid_backward = torch.ops.aten.sigmoid_backward
_max_pool = torch.ops.aten.max_pool2d_with_indices
_threshold_backward = torch.ops.aten.threshold_backward


class PooledBottleneck(nn.Module):
    """``f(ReLU(f(.)))`` of the mean and of the maximum over time, with the same weights (Eq. 2, 6 and 8)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(channels // reduction, MIN_BOTTLENECK)
        self.squeeze = same_conv(channels, hidden, 1)
        self.expand = same_conv(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, L, C] -> [B, 2, C]``: the mean's answer, then the maximum's."""
        # Not max pooling, whose gradient is not deterministic on every device; on a CPU it says where.
        fast = is_fast(x) and not is_stacked(x)
        maximum = x.gather(1, _largest(x)[1]).squeeze(1) if fast else x.max(1).values
        pooled = torch.stack([x.mean(1), maximum], dim=1)
        return _one_tap(self.expand, _one_tap(self.squeeze, pooled).relu())


@torch.no_grad()
def _largest(x: Tensor) -> tuple[Tensor, Tensor]:
    """``x.max(1)`` of ``[B, L, C]``, several times faster on a CPU: ``[B, C]``, and where, ``[B, 1, C]``."""
    maximum, where = _max_pool(x.mT.unsqueeze(2), (1, x.shape[1]))
    return maximum.flatten(1), where.flatten(2).mT


def _one_tap(f: Convolution, x: Tensor) -> Tensor:
    """``[B, L, in] -> [B, L, out]``, of few frames."""
    return linear(x, f.weight.squeeze(2), f.bias)


class ChannelAttention(nn.Module):
    """A score in (0, 1) for each channel (Eq. 2 and 6)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.bottleneck = PooledBottleneck(channels, reduction)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, L, C] -> [B, 1, C]``."""
        # Not `sum`: under autocast on a GPU it returns float32, and so would all that is multiplied by this score.
        average, maximum = self.bottleneck(x).split(1, dim=1)
        return (average + maximum).sigmoid()  # type: ignore[no-any-return]

    def refined(self, m: Tensor, shortcut: Tensor) -> Tensor:
        """Eq. 3: ``lrelu(m * a(m) + shortcut)``, of two ``[B, L, C]``."""
        if not is_fast(m) or is_stacked(m):
            return leaky_relu(torch.addcmul(shortcut, m, self(m)))
        squeeze, expand = self.bottleneck.squeeze, self.bottleneck.expand
        return _Refined.apply(m, shortcut, squeeze.weight, squeeze.bias, expand.weight, expand.bias)  # type: ignore[no-any-return,no-untyped-call]


class _Refined(torch.autograd.Function):
    """Eq. 3 with Eq. 2: see the formulas above."""

    @staticmethod
    def forward(
        ctx: Any, m: Tensor, shortcut: Tensor, squeeze: Tensor, squeeze_bias: Tensor, expand: Tensor, bias: Tensor
    ) -> Tensor:
        maximum, where = _largest(m)
        pooled = torch.cat([m.mean(1), maximum])  # [2 B, C], the means first
        hidden = torch.addmm(squeeze_bias, pooled, squeeze.squeeze(2).t()).relu_()
        average, maximum = torch.addmm(bias, hidden, expand.squeeze(2).t()).chunk(2)
        score = (average + maximum).sigmoid_()
        y = nn.functional.leaky_relu_(torch.addcmul(shortcut, m, score.unsqueeze(1)), NEGATIVE_SLOPE)
        ctx.save_for_backward(m, squeeze, expand, where, pooled, hidden, score, y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("channel attention on a CPU has no second derivative here")
        m, squeeze, expand, where, pooled, hidden, score, y = ctx.saved_tensors
        into_shortcut = _leaky_relu_backward(gradient, y, NEGATIVE_SLOPE, True)
        # Both halves of the sum under the sigmoid have this gradient.
        into_each = _sigmoid_backward((into_shortcut * m).sum(1), score)
        average, maximum = hidden.chunk(2)
        into_expand = into_each.t() @ (average + maximum)
        into_bias = into_each.sum(0).mul_(2)
        into_hidden = _threshold_backward((into_each @ expand.squeeze(2)).repeat(2, 1), hidden, 0)
        into_squeeze = into_hidden.t() @ pooled
        into_average, into_maximum = (into_hidden @ squeeze.squeeze(2)).unsqueeze(1).chunk(2)
        into_m = torch.addcmul(into_average / m.shape[1], into_shortcut, score.unsqueeze(1))
        into_m.scatter_add_(1, where, into_maximum)
        weights = into_squeeze.unsqueeze(2), into_hidden.sum(0), into_expand.unsqueeze(2), into_bias
        return into_m, into_shortcut, *weights
