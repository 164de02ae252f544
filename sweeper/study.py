"""What a study is made of, as plain data. No torch is imported here: plans are made without it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Network:
    """What a network is made of: fields that decide what `build` returns. Derive a frozen dataclass from it.

    The plan fills in the fields here. A field's value is a number, a text, a flag, None or a tuple of these.

    Attributes:
        classes: number of logits.
        sample_rate: of the waveform, in Hz.
        samples: of each clip.
    """

    classes: int = 0
    sample_rate: int = 0
    samples: int = 0

    def build(self) -> "nn.Module":
        """The network: waveform `[batch, 1, samples]` to logits `[batch, classes]`, or to `sweeper.model`'s `Output`.

        It draws its initial values with torch, as torch's own layers do; they are paired across arms by name.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method build() that returns a torch.nn.Module")

    def load(self, module: "nn.Module") -> None:
        """Put pre-trained values into `module`, after its initial values were drawn; by default none."""

    def loss(self, output: Any, targets: "Tensor") -> "Tensor | None":
        """Loss of each clip, `[batch]`; None for the recipe's classification loss.

        Args:
            output: what the network returned.
            targets: label weights `[batch, classes]` in 0…1: one-hot, or the union of two clips' that were mixed.
        """
        return None
