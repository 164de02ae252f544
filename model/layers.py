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
from collections.abc import Sequence

import torch
from torch import Tensor, nn

NEGATIVE_SLOPE = 0.01
MIN_BOTTLENECK = 4


def leaky_relu(x: Tensor, *, fresh: bool = True) -> Tensor:
    """delta_2 of the equations; in place if ``x`` is a fresh tensor that nothing else will read."""
    return nn.functional.leaky_relu(x, NEGATIVE_SLOPE, inplace=fresh)


class Convolution(nn.Conv1d):
    """An f of the equations: a convolution with a bias that keeps the length. ``kernel`` is odd."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel, dilation=dilation, padding=dilation * (kernel // 2))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in, L] -> [B, out, L]``, a fresh tensor."""
        return _convolve(x, self.weight, self.bias, self.dilation[0])


def same_conv(in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> Convolution:
    """An f of the equations, see ``Convolution``."""
    return Convolution(in_channels, out_channels, kernel, dilation)


def at_once(convolutions: Sequence[Convolution], x: Tensor) -> tuple[Tensor, ...]:
    """Several convolutions of one kernel on the same ``x``: one with all their output channels, which is faster.

    What it returns are views of one tensor, not fresh ones.
    """
    weight = torch.cat([f.weight for f in convolutions])
    bias = torch.cat([f.bias for f in convolutions if f.bias is not None])
    return _convolve(x, weight, bias, convolutions[0].dilation[0]).chunk(len(convolutions), dim=1)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """The sums of ``conv1d``, "same", without what only meets padding, in the form that was measured to be fastest."""
    length, centre = x.shape[2], weight.shape[2] // 2
    rows = -(-length // dilation)
    reach = min(centre, rows - 1)  # no tap further away meets a frame
    weight = weight[:, :, centre - reach : centre + reach + 1]
    if reach == 0 and bias is not None:
        return torch.baddbmm(bias.unsqueeze(1), weight.squeeze(2).expand(x.shape[0], -1, -1), x)
    if dilation == 1:
        return nn.functional.conv1d(x, weight, bias, padding=reach)
    # Frames that are `dilation` apart lie in one column of a picture [rows, dilation]: along columns, no holes.
    missing = rows * dilation - length
    picture = nn.functional.pad(x, (0, missing)).reshape(*x.shape[:2], rows, dilation)
    convolved = nn.functional.conv2d(picture, weight.unsqueeze(3), bias, padding=(reach, 0))
    return nn.functional.pad(convolved.flatten(2), (0, -missing))


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
        pooled_B2C = torch.stack([x.mean(-1), x.amax(-1)], dim=1)
        return _one_tap(self.expand, _one_tap(self.squeeze, pooled_B2C).relu()).transpose(1, 2)


def _one_tap(f: Convolution, x_BLC: Tensor) -> Tensor:
    """``[B, L, in] -> [B, L, out]``: a convolution of one tap where channels come last."""
    return nn.functional.linear(x_BLC, f.weight.squeeze(2), f.bias)


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
