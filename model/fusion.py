"""Two branches become one, Section 3.3 and Table 7.

    guided:  D' = sigmoid(lrelu(f(lrelu(f(D)))))     Eq. 10
             O  = S * D' + S                         Eq. 11
    sum:     O  = S + D
    concat:  O  = f[S ; D]

S and D are the outputs of the semantic and the detail branch, of the same width C (that of their
Transformers) and the same length. f has one tap.

Choices the paper leaves open
- D' is C x 1 in the paper, which does not say where time goes: here the mean over time is taken just before
  the sigmoid.
- concat is followed by a convolution from 2C back to C, so that the classifier is the same in every arm.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sweeper.model.layers import LEAKY_RELU, same_conv


class GuidedFusion(nn.Module):
    """The detail branch scores the semantic branch's channels (Eq. 10-11)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate_1 = same_conv(channels, channels, 1)
        self.gate_2 = same_conv(channels, channels, 1)

    def forward(self, semantic: Tensor, detail: Tensor) -> Tensor:
        """Two ``[B, L, C] -> [B, L, C]``."""
        gate = self.gate_2(self.gate_1(detail, LEAKY_RELU), LEAKY_RELU).mean(1, keepdim=True).sigmoid()
        return torch.addcmul(semantic, semantic, gate)


class SumFusion(nn.Module):
    """Element-wise sum."""

    def forward(self, semantic: Tensor, detail: Tensor) -> Tensor:
        """Two ``[B, L, C] -> [B, L, C]``."""
        return semantic + detail


class ConcatFusion(nn.Module):
    """Concatenation, and back to C channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = same_conv(2 * channels, channels, 1)

    def forward(self, semantic: Tensor, detail: Tensor) -> Tensor:
        """Two ``[B, L, C] -> [B, L, C]``."""
        return self.reduce(torch.cat([semantic, detail], dim=2))  # type: ignore[no-any-return]
