"""Half of a 2^4 design: two parts of the network, two of the recipe."""

from dataclasses import dataclass

from torch import nn

from sweeper.study import Network, Recipe, Study, TrainingConfig, factorial


@dataclass(frozen=True, kw_only=True)
class Frames(Network):
    """One layer of frames, a norm or none, a hidden layer or none."""

    norm: bool = True
    hidden: bool = True

    def build(self) -> nn.Module:
        """`[batch, 1, samples]` to logits."""
        layers = {"frames": nn.Conv1d(1, 16, 100, stride=100)}
        layers |= {"norm": nn.BatchNorm1d(16)} if self.norm else {}
        layers |= {"pool": nn.AdaptiveAvgPool1d(4), "flat": nn.Flatten()}
        layers |= {"hidden": nn.Sequential(nn.Linear(64, 64), nn.ReLU())} if self.hidden else {}
        network = nn.Sequential()
        for name, layer in (layers | {"head": nn.Linear(64, self.classes)}).items():
            network.add_module(name, layer)
        return network


STUDY = Study(
    network=Frames(),
    arms=factorial(
        network={"norm": (True, False), "hidden": (True, False)},
        training={"label_smoothing": (0.1, 0.0), "schedule": ("one-cycle", "constant")},
        fraction=1 / 2,
    ),
    recipes=(
        Recipe("quick", training=TrainingConfig(epochs=3, batch_size=32, max_lr=3e-3), sample_rate=8_000, seconds=1.0),
    ),
)
