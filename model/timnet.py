"""TIM-Net: Ye et al. 2023, "Temporal Modeling Matters: A Novel Temporal Emotional Modeling Approach for Speech Emotion
Recognition", ICASSP (reference [72] of Sun et al. 2025: Table 3). The small MFCC network for emotions: 104,536
parameters for 8 classes, counted from the layers of the authors' public code.

    frames      39 MFCCs of windows of 50 ms, 12.5 ms apart
    directions  the frames forwards and, with weights of their own, backwards: 1x1 conv to 39 channels, then blocks of
                dilation 1, 2, 4, … 128
    block       x * sigmoid(f(f(x))), where f = causal conv of 2 taps, batch normalisation, ReLU, dropout of channels
    aggregate   per dilation, the mean over time of both directions' sum; the sum of these, weighted by learned weights;
                linear

Differences to the authors' code
- MFCCs are computed from the recipe's clips at its rate (theirs: 22,050 Hz, the middle of the recording). Windows are
  as the paper says, but Hann's; their code takes librosa's windows of 93 ms, 23 ms apart.
- Each coefficient is brought to mean 0 and variance 1 by a batch normalisation without parameters; theirs takes them as
  they are.
- Initial values as ``model.initialisation`` says; the weights of the dilations start at N(0, 0.02).
- Their score is the best epoch's on the test clips, in ten random folds with speakers on both sides.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sweeper.model.rivals import TIMNetConfig
from sweeper.model.spectra import MFCC
from sweeper.study import Output


class TIMNet(nn.Module):
    """``[batch, 1, time] -> Output`` for any time of at least 0.1 s."""

    def __init__(self, config: TIMNetConfig) -> None:
        super().__init__()
        window, hop = round(0.05 * config.sample_rate), round(0.0125 * config.sample_rate)
        self.frames = MFCC(config.sample_rate, config.coefficients, window, hop)
        self.norm = nn.BatchNorm1d(config.coefficients, affine=False)
        self.forwards, self.backwards = _Direction(config), _Direction(config)
        self.weights = nn.Parameter(torch.empty(config.dilations))
        self.head = nn.Linear(config.width, config.classes)

    def forward(self, waveform: Tensor) -> Output:
        """Classify clips; ``features["fused"]`` is what the linear layer reads, ``[batch, width]``."""
        frames = self.norm(self.frames(waveform))
        both = zip(self.forwards(frames), self.backwards(frames.flip(2)), strict=True)
        scales = torch.stack([(one + other).mean(2) for one, other in both], dim=2)
        feature = scales @ self.weights
        return Output(self.head(feature), {"fused": feature}, {})


class _Direction(nn.Module):
    """``[B, coefficients, L] ->`` the output ``[B, width, L]`` of each block."""

    def __init__(self, config: TIMNetConfig) -> None:
        super().__init__()
        self.first = nn.Conv1d(config.coefficients, config.width, 1)
        dilations = [2**block for block in range(config.dilations)]
        self.blocks = nn.ModuleList(_Block(config.width, dilation, config.dropout) for dilation in dilations)

    def forward(self, frames: Tensor) -> list[Tensor]:
        outputs = [self.first(frames)]
        for block in self.blocks:
            outputs.append(block(outputs[-1]))
        return outputs[1:]


class _Block(nn.Module):
    """``[B, C, L] -> [B, C, L]``."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation = dilation
        self.convs = nn.ModuleList(nn.Conv1d(width, width, 2, dilation=dilation) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(2))
        self.dropout = nn.Dropout1d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        gate = x
        for conv, norm in zip(self.convs, self.norms, strict=True):
            gate = self.dropout(functional.relu(norm(conv(functional.pad(gate, (self.dilation, 0))))))
        return x * gate.sigmoid()
