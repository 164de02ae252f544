"""Mel CNN: what do attention pooling and batch norm buy?"""

from dataclasses import dataclass

import torch
import torchaudio
from torch import nn

from sweeper.study import Arm, Network, Recipe, Study, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class MelNet(Network):  # Network: classes, sample_rate (Hz), samples (per clip), which the plan fills in
    width: int = 32
    attention: bool = True
    norm: str = "batch"

    def build(self) -> nn.Module:
        return MelCNN(self)


class MelCNN(nn.Module):
    def __init__(self, c: MelNet) -> None:
        super().__init__()
        self.mel = torchaudio.transforms.MelSpectrogram(c.sample_rate, n_mels=64)
        self.conv = nn.Conv2d(1, c.width, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(c.width) if c.norm == "batch" else nn.GroupNorm(8, c.width)
        self.score = nn.Linear(c.width, 1) if c.attention else None
        self.head = nn.Linear(c.width, c.classes)

    def forward(self, waveform):  # [batch, 1, samples] -> logits [batch, classes]
        x = self.norm(self.conv(torch.log1p(self.mel(waveform)))).relu().mean(2).transpose(1, 2)
        return self.head(x.mean(1) if self.score is None else (self.score(x).softmax(1) * x).sum(1))


STUDY = Study(
    network=MelNet(),
    arms=(
        Arm("full"),
        Arm("mean-pool", removes="attention pooling", network={"attention": False}),
        Arm("group-norm", removes="batch norm", network={"norm": "group"}),
        Arm("no-smoothing", removes="label smoothing", training={"label_smoothing": 0.0}),
        Arm("no-ema", removes="weight average", training={"ema.decay": 0.0}),
    ),
    recipes=(
        Recipe("quick", training=TrainingConfig(epochs=12, batch_size=16, max_lr=2e-3), sample_rate=8_000, seconds=1.0),
    ),
)
