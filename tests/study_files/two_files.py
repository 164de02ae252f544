"""A network over two files: what does the residual connection buy?"""

from dataclasses import dataclass

import blocks
from blocks import Residual
from torch import nn

from sweeper.study import Arm, Network, Recipe, Study, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class Residuals(Network):
    """Frames, two residual blocks, a head."""

    width: int = 16
    skip: bool = True

    def build(self) -> nn.Module:
        """`[batch, 1, samples]` to logits."""
        return nn.Sequential(
            nn.Conv1d(1, self.width, 64, stride=32),
            Residual(self.width, self.skip),
            Residual(self.width, self.skip),
            blocks.Pool(),
            nn.Linear(self.width, self.classes),
        )


def space(trial, training):
    """The learning rate, and how smooth the labels are."""
    from dataclasses import replace

    smoothing = trial.suggest_float("smoothing", 0.0, 0.2)
    return replace(training, max_lr=trial.suggest_float("max_lr", 1e-4, 1e-1, log=True), label_smoothing=smoothing)


STUDY = Study(
    network=Residuals(),
    arms=(Arm("full"), Arm("no-skip", removes="residual connections", network={"skip": False})),
    recipes=(
        Recipe("quick", training=TrainingConfig(epochs=4, batch_size=32, max_lr=1e-2), sample_rate=8_000, seconds=1.0),
    ),
    space=space,
)
