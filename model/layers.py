"""The layers that several modules share.

    conv block          x -> LeakyReLU(BatchNorm(conv(x)))

Choices the paper leaves open
- LeakyReLU has slope 0.01, that of the work the paper cites for it (Maas et al. 2013).
- All convolutions are padded with zeros to keep the length ("same"); stride 2 makes ceil(L / 2) of it.
- The equations' convolutions f have a bias and no normalisation, as written. Batch normalisation follows the
  convolutions outside the equations (stem, fast downsampling), which then need no bias.

Shapes: B batch, L frames, C channels. Tensors are [B, L, C]: the channels of a frame lie together, which convolutions,
pooling, LSTM and Transformer want alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sweeper.model.batch_norm import batch_norm
from sweeper.model.convolution import convolutions

NEGATIVE_SLOPE = 0.01
RELU, LEAKY_RELU, LINEAR = 0.0, NEGATIVE_SLOPE, 1.0  # what follows a convolution, by its slope for negative values


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
    """Several f of one dilation on the same ``x``, each with its activation."""
    dilation = fs[0].dilation[0]
    weights = [_reached(f.weight, x.shape[1], dilation) for f in fs]
    return convolutions(x, weights, [f.bias for f in fs], slopes, dilation=dilation)


def _reached(weight: Tensor, length: int, dilation: int = 1) -> Tensor:
    """Without the taps that meet nothing but padding."""
    centre = weight.shape[2] // 2
    reach = min(centre, (length - 1) // dilation)
    if reach == centre:
        return weight
    return weight[:, :, centre - reach : centre + reach + 1]


def fold_samples(waveform: Tensor, patch: int) -> Tensor:
    """``[B, 1, T] -> [B, ceil(T / patch), patch]``: successive samples become the channels of one frame.

    The last frame is completed with zeros; where none are missing, the frames are a view. Nothing is lost: a
    convolution of k taps on frames is one of k * patch taps and stride ``patch`` on samples.
    """
    missing = -waveform.shape[2] % patch
    padded = nn.functional.pad(waveform, (0, missing)) if missing else waveform
    return padded.reshape(waveform.shape[0], -1, patch)


class ConvBlock(nn.Module):
    """Convolution, batch normalisation, LeakyReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm1d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, L, in] -> [B, ceil(L / stride), out]``."""
        weight = _reached(self.conv.weight, x.shape[1])
        (y,) = convolutions(x, (weight,), (None,), (LINEAR,), stride=self.conv.stride[0])
        return batch_norm(self.norm, y, LEAKY_RELU)
