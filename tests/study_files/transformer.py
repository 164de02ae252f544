"""A small Transformer with bare parameters: are its positions, or its class token, of use?"""

from dataclasses import dataclass

import torch
from torch import nn

from sweeper.study import Arm, Network, Recipe, Study, TrainingConfig

FRAME = 200


@dataclass(frozen=True, kw_only=True)
class Words(Network):
    """Frames as words, one layer of attention."""

    width: int = 16
    positions: bool = True
    token: bool = True

    def build(self) -> nn.Module:
        """`[batch, 1, samples]` to logits."""
        return Transformer(self)


class Transformer(nn.Module):
    """One layer; what is classified is a class token, or the mean."""

    def __init__(self, c: Words) -> None:
        super().__init__()
        self.frames = nn.Conv1d(1, c.width, FRAME, stride=FRAME)
        frames = c.samples // FRAME
        self.positions = nn.Parameter(0.02 * torch.randn(1, frames, c.width)) if c.positions else None
        self.token = nn.Parameter(torch.zeros(1, 1, c.width)) if c.token else None
        self.layer = nn.TransformerEncoderLayer(c.width, 2, 2 * c.width, dropout=0.0, batch_first=True)
        self.head = nn.Linear(c.width, c.classes)

    def forward(self, waveform):
        """`[batch, 1, samples]` to logits `[batch, classes]`."""
        x = self.frames(waveform).transpose(1, 2)
        if self.positions is not None:
            x = x + self.positions
        if self.token is None:
            return self.head(self.layer(x).mean(1))
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        return self.head(self.layer(x)[:, 0])


STUDY = Study(
    network=Words(),
    arms=(
        Arm("full"),
        Arm("no-positions", removes="positions", network={"positions": False}),
        Arm("no-token", removes="class token", network={"token": False}),
    ),
    recipes=(
        Recipe("quick", training=TrainingConfig(epochs=4, batch_size=32, max_lr=3e-3), sample_rate=8_000, seconds=1.0),
    ),
)
