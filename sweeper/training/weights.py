"""Trained weights as one safetensors file that says in its header how to use them.

Both sets are kept, under `network.` and `ema.`: the last epoch's, whose scores are the leaderboard's headline, and
their moving average.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from sweeper.model.build import build
from sweeper.model.config import ACDNetConfig, EATConfig, ModelConfig
from sweeper.plan import TrialSpec
from sweeper.training import checkpoint
from sweeper.training.fit import Fitted

_KINDS = {kind.__name__: kind for kind in (ModelConfig, EATConfig, ACDNetConfig)}


class WeightsError(ValueError):
    """A file that holds no weights of ours; the message names it."""


@dataclass(frozen=True)
class Classifier:
    """A trained network, ready to classify: clips of `seconds` s at `sample_rate` Hz into `classes`."""

    network: nn.Module
    classes: tuple[str, ...]
    sample_rate: int
    seconds: float
    trial_id: str


def save(path: Path, fitted: Fitted, spec: TrialSpec, classes: Sequence[str]) -> None:
    """Write both sets of weights, atomically."""
    tensors = {f"network.{name}": value for name, value in fitted.network.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in fitted.averaged.state_dict().items()}
    header = {
        "trial_id": spec.trial_id,
        "arm": spec.arm,
        "network": type(spec.model).__name__,
        "model": asdict(spec.model),
        "classes": list(classes),
        "sample_rate": spec.data.sample_rate,
        "seconds": spec.data.seconds,
    }
    checkpoint.save(path, tensors, header)


def load(path: Path, averaged: bool = False) -> Classifier:
    """Rebuild the network of a weights file, in evaluation mode on the CPU.

    Args:
        path: what `save` wrote.
        averaged: the moving average instead of the last epoch's weights.

    Raises:
        WeightsError: no such file, or another kind of file.
    """
    state = checkpoint.load(path)
    if state is None or state[1].get("network") not in _KINDS:
        raise WeightsError(f"{path} holds no weights that sweeper saved; they lie in a study's folder weights/")
    tensors, header = state
    sizes: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in header["model"].items()
    }
    network = build(_KINDS[header["network"]](**sizes), seed=0)
    prefix = "ema." if averaged else "network."
    network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    return Classifier(
        network.eval(), tuple(header["classes"]), header["sample_rate"], header["seconds"], header["trial_id"]
    )
