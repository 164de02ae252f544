"""The two branches, Sections 3.1 and 3.2. Both turn L samples, or patches of samples, into
ceil(L / 32) frames.

    FD-R = conv, conv/2, MACEM-A
    FD-A = conv, conv/2, MACEM-A, MACEM-B
    FD-B = conv, conv/2, MACEM-B, MACEM-B
    FD-C = conv, conv/2, GARM
    semantic = stem, FD-R, FD-A, FD-B, FD-A, FD-B, 1x1 conv, Transformer
    detail   = conv/2, conv/2, conv/2, FD-C, FD-C, BiLSTM, Transformer

conv is a conv block (convolution, batch normalisation, LeakyReLU), conv/2 one with stride 2.

Choices the paper's text leaves open
- The order R, A, B, A, B of the five stages, and all widths but the last.
- Every conv has three taps, as the text says of the detail branch's first three; the stem has seven.
- The first conv of a stage keeps the number of channels, the second changes it.
- A stage whose modules are switched off keeps its two convs, so length and depth do not change with the arm.
- The BiLSTM computes in float32 (TF32 where cuDNN may) under autocast to bfloat16 too, see ``lstm_in_float32``.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from sweeper.model.config import ModelConfig
from sweeper.model.garm import Garm
from sweeper.model.layers import ConvBlock, same_conv
from sweeper.model.macem import MacemA, MacemB
from sweeper.model.transformer import TransformerEncoder

STEM_KERNEL = 7
SEMANTIC_ORDER: tuple[Literal["R", "A", "B"], ...] = ("R", "A", "B", "A", "B")


class FastDownsampling(nn.Module):
    """One FD stage.

    A module that ``kind`` names but ``config`` switches off is absent; the others keep their names.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kind: Literal["R", "A", "B", "C"], config: ModelConfig
    ) -> None:
        super().__init__()
        self.gather = ConvBlock(in_channels, in_channels)
        self.downsample = ConvBlock(in_channels, out_channels, stride=2)
        reduction = config.attention_reduction
        self.refine = nn.ModuleDict()
        macem_a, macem_b = (MacemA, MacemB) if config.macem_a_merges == "concat" else (MacemB, MacemA)
        if kind in "RA" and config.macem_a:
            self.refine["macem_a"] = macem_a(out_channels, reduction)
        if kind in "AB" and config.macem_b:
            self.refine["macem_b"] = macem_b(out_channels, reduction)
        if kind == "B" and config.macem_b:
            self.refine["macem_b_2"] = macem_b(out_channels, reduction)
        if kind == "C" and config.garm:
            self.refine["garm"] = Garm(out_channels, reduction, config.garm_pooling)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, L, in] -> [B, ceil(L / 2), out]``."""
        x = self.downsample(self.gather(x))
        for module in self.refine.values():
            x = module(x)
        return x


class SemanticBranch(nn.Module):
    """Deep and narrow: what is broad in meaning (Section 3.1)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = config.semantic_widths
        self.stem = ConvBlock(config.patch, widths[0], STEM_KERNEL)
        in_widths = (widths[0], *widths[:-1])
        self.stages = nn.Sequential(
            *(
                FastDownsampling(i, o, kind, config)
                for i, o, kind in zip(in_widths, widths, SEMANTIC_ORDER, strict=True)
            )
        )
        self.project = same_conv(widths[-1], config.transformer_width, 1)
        self.transformer = _transformer(config)

    def forward(self, frames: Tensor) -> Tensor:
        """``[B, L, patch] -> [B, ceil(L / 32), transformer_width]``."""
        return self.transformer(self.project(self.stages(self.stem(frames))))  # type: ignore[no-any-return]


class DetailBranch(nn.Module):
    """Shallow and wide: what is fine in time (Section 3.2)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        w1, w2, w3, w4, w5 = config.detail_widths
        self.downsample = nn.Sequential(
            ConvBlock(config.patch, w1, stride=2), ConvBlock(w1, w2, stride=2), ConvBlock(w2, w3, stride=2)
        )
        self.stages = nn.Sequential(FastDownsampling(w3, w4, "C", config), FastDownsampling(w4, w5, "C", config))
        self.lstm = nn.LSTM(w5, config.transformer_width // 2, batch_first=True, bidirectional=True)
        self.transformer = _transformer(config)

    def forward(self, frames: Tensor) -> Tensor:
        """``[B, L, patch] -> [B, ceil(L / 32), transformer_width]``."""
        x = lstm_in_float32(self.lstm, self.stages(self.downsample(frames)))
        return self.transformer(x)  # type: ignore[no-any-return]


def lstm_in_float32(lstm: nn.LSTM, x: Tensor) -> Tensor:
    """``[B, L, in] -> [B, L, out]``, in float32 whatever CUDA's autocast says.

    torch 2.11 has no good bfloat16 for it: a bfloat16 input may miss cuDNN, and then each of the thousands of frames is
    several kernels; in cuDNN, autocast makes it float16 whatever it was asked for, where gradients this small vanish.
    """
    if not torch.is_autocast_enabled("cuda"):
        return lstm(x)[0]  # type: ignore[no-any-return]
    with torch.autocast("cuda", enabled=False):
        return lstm(x.float())[0]  # type: ignore[no-any-return]


def _transformer(config: ModelConfig) -> TransformerEncoder:
    return TransformerEncoder(
        config.transformer_width,
        config.transformer_layers,
        config.heads,
        config.feedforward,
        config.dropout,
        norm_first=config.transformer_norm == "pre",
    )
