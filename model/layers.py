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

Shapes: B batch, L frames, C channels. Tensors are [B, L, C]: the channels of a frame lie together, which convolutions
as products of matrices, pooling, LSTM and Transformer want alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sweeper.model.batch_norm import batch_norm
from sweeper.model.convolution import convolutions, is_fast

NEGATIVE_SLOPE = 0.01
RELU, LEAKY_RELU, LINEAR = 0.0, NEGATIVE_SLOPE, 1.0  # what follows a convolution, by its slope for negative values
MIN_BOTTLENECK = 4


def leaky_relu(x: Tensor) -> Tensor:
    """delta_2 of the equations, in place: ``x`` is a fresh tensor that nothing else will read."""
    return nn.functional.leaky_relu(x, NEGATIVE_SLOPE, inplace=True)


class Convolution(nn.Conv1d):
    """An f of the equations: a convolution with a bias that keeps the length. ``kernel`` is odd."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel, dilation=dilation, padding=dilation * (kernel // 2))

    def forward(self, x: Tensor, slope: float = LINEAR) -> Tensor:
        """``[B, L, in] -> [B, L, out]``; then, if ``slope`` says so, the activation."""
        return at_once((self,), x, (slope,))[0]


def same_conv(in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> Convolution:
    """An f of the equations, see ``Convolution``."""
    return Convolution(in_channels, out_channels, kernel, dilation)


def at_once(fs: Sequence[Convolution], x: Tensor, slopes: Sequence[float]) -> tuple[Tensor, ...]:
    """Several f of one dilation on the same ``x``, each with its activation: faster than one after the other."""
    dilation, length = fs[0].dilation[0], x.shape[1]
    rows = -(-length // dilation)
    if dilation > 1:
        # Frames that are `dilation` apart are successive ones: there are as many such clips, each without holes.
        missing = rows * dilation - length
        x = nn.functional.pad(x, (0, 0, 0, missing)).reshape(-1, rows, dilation, x.shape[2]).transpose(1, 2)
    outputs = convolutions(x, [_reached(f.weight, rows) for f in fs], [f.bias for f in fs], slopes)
    if dilation > 1:
        outputs = tuple(y.transpose(1, 2).flatten(1, 2)[:, :length] for y in outputs)
    return outputs


def _reached(weight: Tensor, length: int) -> Tensor:
    """Without the taps that meet nothing but padding."""
    centre = weight.shape[2] // 2
    reach = min(centre, length - 1)
    if reach == centre:
        return weight
    return weight[:, :, centre - reach : centre + reach + 1]


def fold_samples(waveform: Tensor, patch: int) -> Tensor:
    """``[B, 1, T] -> [B, ceil(T / patch), patch]``: successive samples become the channels of one frame.

    The last frame is completed with zeros. Nothing is lost: a convolution of k taps on frames is one of
    k * patch taps and stride ``patch`` on samples.
    """
    missing = -waveform.shape[2] % patch
    padded = nn.functional.pad(waveform, (0, missing))
    return padded.reshape(waveform.shape[0], -1, patch)


class ConvBlock(nn.Module):
    """Convolution, batch normalisation, LeakyReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm1d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, L, in] -> [B, ceil(L / stride), out]``."""
        weight = self.conv.weight
        if not is_fast(x):
            y = self.conv(x.transpose(1, 2)).transpose(1, 2)
        elif self.conv.stride[0] == 1:
            (y,) = convolutions(x, (_reached(weight, x.shape[1]),), (None,), (LINEAR,))
        else:
            pairs, weight = _in_pairs(x, weight)
            (y,) = convolutions(pairs, (weight,), (None,), (LINEAR,))
        return leaky_relu(batch_norm(self.norm, y.flatten(0, 1))).view(y.shape)


def _in_pairs(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """A convolution of three taps and stride 2 as one of two taps and stride 1, of pairs of successive frames.

    The tap before the three is 0: ``[0 w_1] [w_2 w_3]`` on ``[x_-2 x_-1] [x_0 x_1]``.
    """
    batch, length, channels = x.shape
    pairs = nn.functional.pad(x, (0, 0, 0, length % 2)).reshape(batch, -1, 2 * channels)
    taps = nn.functional.pad(weight, (1, 0)).view(-1, channels, 2, 2)  # [out, in, pair, frame of the pair]
    return pairs, taps.permute(0, 3, 1, 2).flatten(1, 2)


class PooledBottleneck(nn.Module):
    """``f(ReLU(f(.)))`` of the mean and of the maximum over time, with the same weights (Eq. 2, 6 and 8)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(channels // reduction, MIN_BOTTLENECK)
        self.squeeze = same_conv(channels, hidden, 1)
        self.expand = same_conv(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, L, C] -> [B, 2, C]``: the mean's answer, then the maximum's."""
        # Not max pooling, whose gradient is not deterministic on every device; `amax` is slower on a CPU.
        pooled = torch.stack([x.mean(1), x.max(1).values], dim=1)
        return _one_tap(self.expand, _one_tap(self.squeeze, pooled).relu())


def _one_tap(f: Convolution, x: Tensor) -> Tensor:
    """``[B, L, in] -> [B, L, out]``, of few frames."""
    return nn.functional.linear(x, f.weight.squeeze(2), f.bias)


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
        """``[B, L, C] -> [B, L, C]`` for any L."""
        positions = sine_positions(x.shape[1], x.shape[2], x.device).to(x.dtype)
        return self.encoder(x + positions)  # type: ignore[no-any-return]
