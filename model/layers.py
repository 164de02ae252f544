"""The layers that several modules share.

    conv block          x -> LeakyReLU(BatchNorm(conv(x)))
    bottleneck          x -> f(ReLU(f(x)))                                   f: convolution of one tap
    channel attention   x -> sigmoid(f(ReLU(f(x_avg))) + f(ReLU(f(x_max))))  Eq. 2 and 6
    Transformer         x -> encoder(x + positions)

Choices the paper leaves open
- LeakyReLU has slope 0.01, that of the work the paper cites for it (Maas et al. 2013).
- All convolutions are padded with zeros to keep the length ("same"); stride 2 makes ceil(L / 2) of it.
- The equations' convolutions f have a bias and no normalisation, as written. Batch normalisation follows the
  convolutions outside the equations (stem, fast downsampling), which then need no bias.
- Both poolings of a channel attention share one bottleneck, as in CBAM (Woo et al. 2018). It is
  ``attention_reduction`` times narrower, but never under four channels: one ReLU unit may be born dead.
- The Transformer normalises before each sub-layer (``norm_first``) and once at the end, and adds fixed sine-cosine
  positions (Vaswani et al. 2017), so that any length can be encoded.

Shapes: B batch, C channels, L frames. Tensors are [B, C, L]; a suffix such as ``x_BLC`` marks another order.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

NEGATIVE_SLOPE = 0.01
MIN_BOTTLENECK = 4


def leaky_relu(x: Tensor) -> Tensor:
    """delta_2 of the equations, in place: ``x`` must be a fresh tensor that nothing else will read."""
    return nn.functional.leaky_relu(x, NEGATIVE_SLOPE, inplace=True)


class Convolution(nn.Conv1d):
    """An f of the equations: a convolution with a bias that keeps the length. ``kernel`` is odd.

    The sums are those of ``nn.Conv1d``, without the products with padding that it would add up, and in the form that is
    the fastest: see ``tests/benchmarks/training_step.py``.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel, dilation=dilation, padding=dilation * (kernel // 2))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in, L] -> [B, out, L]``, a fresh tensor."""
        length, (centre, dilation) = x.shape[2], (self.kernel_size[0] // 2, self.dilation[0])
        rows = -(-length // dilation)
        reach = min(centre, rows - 1)  # taps further away meet nothing but padding
        weight = self.weight[:, :, centre - reach : centre + reach + 1]
        if reach == 0:
            return torch.baddbmm(self.bias.unsqueeze(1), weight.squeeze(2).expand(len(x), -1, -1), x)
        if dilation == 1:
            return nn.functional.conv1d(x, weight, self.bias, padding=reach)
        # Every dilation-th frame lies in one column of a picture [rows, dilation]. Along columns there are no holes.
        missing = rows * dilation - length
        picture = nn.functional.pad(x, (0, missing)).unflatten(2, (rows, dilation))
        convolved = nn.functional.conv2d(picture, weight.unsqueeze(3), self.bias, padding=(reach, 0))
        return nn.functional.pad(convolved.flatten(2), (0, -missing))


def same_conv(in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> Convolution:
    """An f of the equations, see ``Convolution``."""
    return Convolution(in_channels, out_channels, kernel, dilation)


def fold_samples(waveform: Tensor, patch: int) -> Tensor:
    """``[B, 1, T] -> [B, patch, ceil(T / patch)]``: successive samples become the channels of one frame.

    The last frame is completed with zeros. Nothing is lost: a convolution of k taps on frames is one of
    k * patch taps and stride ``patch`` on samples.
    """
    missing = -waveform.shape[2] % patch
    padded = nn.functional.pad(waveform, (0, missing))
    return padded.reshape(waveform.shape[0], -1, patch).transpose(1, 2)


class ConvBlock(nn.Module):
    """Convolution, batch normalisation, LeakyReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm1d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in, L] -> [B, out, ceil(L / stride)]``."""
        return leaky_relu(self.norm(self.conv(x)))


class PooledBottleneck(nn.Module):
    """``f(ReLU(f(.)))`` of the mean and of the maximum over time, with the same weights (Eq. 2, 6 and 8)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(channels // reduction, MIN_BOTTLENECK)
        self.squeeze = same_conv(channels, hidden, 1)
        self.expand = same_conv(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, L] -> [B, C, 2]``: the mean's answer, then the maximum's."""
        # amax, not max pooling: its gradient is deterministic on every device.
        pooled = torch.cat([x.mean(-1, keepdim=True), x.amax(-1, keepdim=True)], dim=-1)
        return self.expand(self.squeeze(pooled).relu())  # type: ignore[no-any-return]


class ChannelAttention(nn.Module):
    """A score in (0, 1) for each channel (Eq. 2 and 6)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.bottleneck = PooledBottleneck(channels, reduction)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, L] -> [B, C, 1]``."""
        # Not `sum`: under autocast on a GPU it returns float32, and so would all that is multiplied by this score.
        average, maximum = self.bottleneck(x).split(1, dim=-1)
        return (average + maximum).sigmoid()  # type: ignore[no-any-return]


def sine_positions(length: int, width: int, device: torch.device) -> Tensor:
    """Positions of Vaswani et al. 2017, ``[length, width]``: sines in even columns, cosines in odd ones."""
    position_L1 = torch.arange(length, device=device, dtype=torch.float32).unsqueeze(1)
    even_columns = torch.arange(0, width, 2, device=device, dtype=torch.float32)
    angle = position_L1 * torch.exp(even_columns * (-math.log(10_000.0) / width))
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


class TransformerEncoder(nn.Module):
    """Global context by self-attention."""

    def __init__(
        self, width: int, layers: int, heads: int, feedforward: int, dropout: float, *, norm_first: bool = True
    ) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, heads, feedforward, dropout, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, L] -> [B, C, L]`` for any L."""
        x_BLC = x.transpose(1, 2)
        positions_LC = sine_positions(x.shape[2], x.shape[1], x.device).to(x.dtype)
        return self.encoder(x_BLC + positions_LC).transpose(1, 2)  # type: ignore[no-any-return]
