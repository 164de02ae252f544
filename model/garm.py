"""Global audio refinement (GARM), Section 3.2.1.

    K  = ReLU(f( lrelu(f_1(H)) + lrelu(f_3(H)) + lrelu(f_9(H)) ))        Eq. 5
    K' = sigmoid(f(ReLU(f(K_avg))) + f(ReLU(f(K_max))))                  Eq. 6   (attention.ChannelAttention)
    N  = K * K'                                                          Eq. 7
    N' = sigmoid(f_7[ f(ReLU(f(N_avg))) ; f(ReLU(f(N_max))) ])           Eq. 8   [;] concatenates channels
    Q  = lrelu(N * N' + f_7(H))                                          Eq. 9

The indices 1, 3, 9 in Eq. 5 are dilations ("nulling rates"), of kernels of 1, 15, 15 taps; elsewhere an index
is a number of taps, and f without one has a single tap.

Eq. 8 can be read in two ways (``pooling``):
- ``"time"``, the text: "again" adaptive global pooling, so N_avg and N_max are C x 1, as in Eq. 6. f_7 then
  reduces 2C channels to C on a length of 1, where only its middle tap meets anything but padding. N' is
  C x 1. Mean and maximum share one bottleneck, as in Eq. 6, but not that of Eq. 6.
- ``"channel"``, the module's purpose (to attend "on the time dimension" too): the spatial attention of CBAM.
  N_avg and N_max pool over the channels to 1 x L, and f_7 reduces 2 channels to 1. The one-tap layers before
  it would each act on a single channel, so they are left out, as in CBAM. N' is 1 x L.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from sweeper.model.attention import ChannelAttention, PooledBottleneck
from sweeper.model.layers import LEAKY_RELU, LINEAR, RELU, at_once, leaky_relu, same_conv


class _PooledOverTime(nn.Module):
    """Eq. 8 to the letter: ``[B, L, C] -> [B, 1, C]``."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.bottleneck = PooledBottleneck(channels, reduction)
        self.reduce = same_conv(2 * channels, channels, 7)

    def forward(self, n: Tensor) -> Tensor:
        return self.reduce(self.bottleneck(n).flatten(1).unsqueeze(1)).sigmoid()  # type: ignore[no-any-return]


class _PooledOverChannels(nn.Module):
    """Eq. 8 as the spatial attention of CBAM: ``[B, L, C] -> [B, L, 1]``."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce = same_conv(2, 1, 7)

    def forward(self, n: Tensor) -> Tensor:
        pooled = torch.cat([n.mean(2, keepdim=True), n.amax(2, keepdim=True)], dim=2)
        return self.reduce(pooled).sigmoid()  # type: ignore[no-any-return]


class Garm(nn.Module):
    """Channel attention, then temporal attention, on the sum of three dilations."""

    def __init__(self, channels: int, reduction: int, pooling: Literal["time", "channel"]) -> None:
        super().__init__()
        self.conv_1 = same_conv(channels, channels, 1, dilation=1)
        self.conv_3 = same_conv(channels, channels, 15, dilation=3)
        self.conv_9 = same_conv(channels, channels, 15, dilation=9)
        self.mix = same_conv(channels, channels, 1)
        self.attention = ChannelAttention(channels, reduction)
        self.second_attention = _PooledOverTime(channels, reduction) if pooling == "time" else _PooledOverChannels()
        self.shortcut = same_conv(channels, channels, 7)

    def forward(self, h: Tensor) -> Tensor:
        """``[B, L, C] -> [B, L, C]``."""
        scale_1, shortcut = at_once((self.conv_1, self.shortcut), h, (LEAKY_RELU, LINEAR))
        k = self.mix(scale_1 + self.conv_3(h, LEAKY_RELU) + self.conv_9(h, LEAKY_RELU), RELU)
        n = k * self.attention(k)
        return leaky_relu(torch.addcmul(shortcut, n, self.second_attention(n)))
