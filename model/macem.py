"""Multi-scale audio context embedding (MACEM), Section 3.1.1.

    A:  M  = ReLU(f_7[ lrelu(f_1(H)) ; lrelu(f_7(H)) ; lrelu(f_15(H)) ])     Eq. 1   [;] concatenates channels
    B:  M  = ReLU(     lrelu(f_1(H)) + lrelu(f_7(H)) + lrelu(f_15(H))  )     Eq. 4
        M' = sigmoid(f(ReLU(f(M_avg))) + f(ReLU(f(M_max))))                  Eq. 2   (attention.ChannelAttention)
        Q  = lrelu(M * M' + f_7(H))                                          Eq. 3

f_k is a convolution of k taps from C to C channels, except the f_7 before the bracket in Eq. 1, which reduces
3C channels to C. Each f is a convolution of its own; the three f_7 of MACEM-A share nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sweeper.model.attention import ChannelAttention
from sweeper.model.layers import LEAKY_RELU, LINEAR, RELU, at_once, same_conv


class _Macem(nn.Module):
    """Eq. 2 and 3, around the two ways to merge three scales."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.conv_1 = same_conv(channels, channels, 1)
        self.conv_7 = same_conv(channels, channels, 7)
        self.conv_15 = same_conv(channels, channels, 15)
        self.attention = ChannelAttention(channels, reduction)
        self.shortcut = same_conv(channels, channels, 7)

    def _merge(self, scales: Sequence[Tensor]) -> Tensor:
        """``M``, from three ``[B, L, C]``."""
        raise NotImplementedError

    def forward(self, h: Tensor) -> Tensor:
        """``[B, L, C] -> [B, L, C]``."""
        fs = (self.conv_1, self.conv_7, self.conv_15, self.shortcut)
        *scales, shortcut = at_once(fs, h, (LEAKY_RELU, LEAKY_RELU, LEAKY_RELU, LINEAR))
        m = self._merge(scales)
        return self.attention.refined(m, shortcut)


class MacemA(_Macem):
    """Scales are concatenated, then reduced to C channels (Eq. 1)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__(channels, reduction)
        self.reduce = same_conv(3 * channels, channels, 7)

    def _merge(self, scales: Sequence[Tensor]) -> Tensor:
        return self.reduce(torch.cat(list(scales), dim=2), RELU)  # type: ignore[no-any-return]


class MacemB(_Macem):
    """Scales are added (Eq. 4)."""

    def _merge(self, scales: Sequence[Tensor]) -> Tensor:
        return (scales[0] + scales[1] + scales[2]).relu_()
