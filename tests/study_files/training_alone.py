"""Arms that switch the training and nothing else."""

from dataclasses import dataclass

from torch import nn

from sweeper.study import Arm, Network, Recipe, Study, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class Frames(Network):
    """One layer of frames."""

    def build(self) -> nn.Module:
        """`[batch, 1, samples]` to logits."""
        return nn.Sequential(
            nn.Conv1d(1, 16, 100, stride=100),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(4),
            nn.Flatten(),
            nn.Linear(64, self.classes),
        )


STUDY = Study(
    network=Frames(),
    arms=(
        Arm("full"),
        Arm("no-noise", removes="noise", training={"augmentation.noise.probability": 0.0}),
        Arm("no-smoothing", removes="label smoothing", training={"label_smoothing": 0.0}),
        Arm("slow", removes="the fast rate", training={"max_lr": 3e-4}),
    ),
    recipes=(
        Recipe("quick", training=TrainingConfig(epochs=3, batch_size=32, max_lr=3e-3), sample_rate=8_000, seconds=1.0),
    ),
)
