"""EAT-S: Gazneli et al. 2022, "End-to-End Audio Strikes Back: Boosting Augmentations Towards An Efficient
Audio Classification Network", arXiv:2204.11479 (reference [17] of Sun et al. 2025).
5.3 M parameters published.

    stem        conv of 7 taps, 1 -> 16 channels
    reduce      Down(4) Residual(1) Down(4) Down(4) Residual(1) Down(4)     256 channels, 1/256 of the rate
    context     twice: Residual(1) Residual(3) Residual(9) Down(2)          1024 channels, 1/1024 of the rate
    aggregate   1x1 conv to 128; class token; learned positions; 4 Transformer layers; linear on the token

    Down(d)     = conv of d + 1 taps that doubles the channels, triangular filter of 2d + 1 taps at stride d
    Residual(r) = depthwise conv of 15 taps and dilation r  +  1x1 conv  +  1x1 shortcut, which is linear

Each conv is followed by batch normalisation and LeakyReLU of slope 0.2, except the shortcut and the one to
128 channels; all padding reflects. The Transformer normalises after each sub-layer and once at the end, with
GELU. These layers have 5.18 M parameters.

Differences to the authors' code
- The class token and the positions start at N(0, 0.02) instead of zero, linear layers as
  ``model.initialisation`` says.
- Clips shorter than ``samples`` are accepted and use the first positions.
- Where fewer frames are left than a kernel reaches to each side (63 at 1/512 of the rate, so in clips of less than
  32,768 samples), what reflection can't fill is zeros; theirs takes no such clips.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sweeper.model.config import EAT_SHORTEST, EATConfig
from sweeper.model.network import check_waveform
from sweeper.study import Output

CONVOLUTION_STD = 0.02
STRIDE = 1024
SLOPE = 0.2
MIN_SAMPLES = EAT_SHORTEST


class EAT(nn.Module):
    """``[batch, 1, time] -> Output`` for 1,024 samples and up to ``config.samples``."""

    def __init__(self, config: EATConfig) -> None:
        super().__init__()
        self.samples = config.samples
        width = config.stem_width
        self.stem = _conv(1, width, kernel=7)
        reduce: list[nn.Module] = []
        for with_residual in (True, False, True, False):
            reduce.append(_Down(width, 4))
            width *= 2
            if with_residual:
                reduce.append(_Residual(width, dilation=1))
        self.reduce = nn.Sequential(*reduce)
        context: list[nn.Module] = []
        for _ in range(2):
            context += [_Residual(width, dilation) for dilation in (1, 3, 9)]
            context.append(_Down(width, 2))
            width *= 2
        self.context = nn.Sequential(*context)
        self.project = nn.Conv1d(width, config.transformer_width, 1)
        positions = 1 + -(-config.samples // STRIDE)
        self.class_token = nn.Parameter(torch.empty(1, 1, config.transformer_width))
        self.positions = nn.Parameter(torch.empty(1, positions, config.transformer_width))
        layer = nn.TransformerEncoderLayer(
            config.transformer_width,
            config.heads,
            config.feedforward,
            config.dropout,
            "gelu",
            batch_first=True,
        )
        norm = nn.LayerNorm(config.transformer_width)
        self.transformer = nn.TransformerEncoder(layer, config.transformer_layers, norm, enable_nested_tensor=False)
        self.head = nn.Linear(config.transformer_width, config.classes)

    def forward(self, waveform: Tensor) -> Output:
        """Classify clips; ``features["fused"]`` is the encoded class token.

        Args:
            waveform: ``[batch, 1, time]``.

        Raises:
            ValueError: if the shape is another one, or the clips are too short or too long.
        """
        check_waveform(waveform, MIN_SAMPLES)
        if waveform.shape[2] > self.samples:
            raise ValueError(
                f"expected at most {self.samples} samples per clip, got a waveform of shape "
                f"{list(waveform.shape)}; cut the clips or raise EATConfig.samples"
            )
        x_BLC = self.project(self.context(self.reduce(self.stem(waveform)))).transpose(1, 2)
        x_BLC = torch.cat([self.class_token.expand(x_BLC.shape[0], -1, -1), x_BLC], dim=1)
        x_BLC = self.transformer(x_BLC + self.positions[:, : x_BLC.shape[1]])
        class_token = x_BLC[:, 0]
        return Output(self.head(class_token), {"fused": class_token}, {})


class _Down(nn.Module):
    """``[B, C, L] -> [B, 2C, ceil(L / d)]``, low-passed before samples are dropped."""

    triangle: Tensor

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.conv = _conv(channels, 2 * channels, kernel=factor + 1)
        self.factor = factor
        rise = torch.arange(1.0, factor + 2)
        triangle = torch.cat([rise, rise[:-1].flip(0)])
        # Not a weight: it follows from the factor, so it stays out of checkpoints.
        self.register_buffer("triangle", (triangle / triangle.sum()).repeat(2 * channels, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = _reflected(self.conv(x), self.factor)
        return functional.conv1d(x, self.triangle, stride=self.factor, groups=x.shape[1])


class _Residual(nn.Module):
    """``[B, C, L] -> [B, C, L]``: what is near in time, what is near in channels, and the input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.depthwise = _conv(channels, channels, kernel=15, dilation=dilation, groups=channels)
        self.pointwise = _conv(channels, channels, kernel=1)
        self.shortcut = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.pointwise(x) + self.depthwise(x)  # type: ignore[no-any-return]


class _Padded(nn.Sequential):
    """Layers whose first is a convolution, after so much padding that the length is kept."""

    def __init__(self, reach: int, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.reach = reach

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(_reflected(x, self.reach))  # type: ignore[no-any-return,no-untyped-call]


def _reflected(x: Tensor, reach: int) -> Tensor:
    """``[B, C, L] -> [B, C, reach + L + reach]``: reflected as far as there is something, zeros beyond."""
    inside = min(reach, x.shape[2] - 1)
    x = functional.pad(x, (inside, inside), mode="reflect")
    return x if inside == reach else functional.pad(x, (reach - inside, reach - inside))


def _conv(in_channels: int, out_channels: int, kernel: int, dilation: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, LeakyReLU; the length is kept."""
    return _Padded(
        dilation * (kernel // 2),
        nn.Conv1d(in_channels, out_channels, kernel, dilation=dilation, groups=groups, bias=False),
        nn.BatchNorm1d(out_channels),
        nn.LeakyReLU(SLOPE, inplace=True),
    )
