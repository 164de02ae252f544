"""Trained weights as one safetensors file that says in its header how to use them.

Both sets are kept, under `network.` and `ema.`: the last epoch's, whose scores are the leaderboard's headline, and
their moving average. The mark says whose row in a study they belong to, see `sweeper.results.evidence`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
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
    """A trained network, ready to classify: clips of `seconds` s at `sample_rate` Hz into `classes`.

    `trial_id` and `mark` say which trial's row it belongs to; files of older versions have no mark.
    """

    network: nn.Module
    classes: tuple[str, ...]
    sample_rate: int
    seconds: float
    trial_id: str
    mark: str = ""


def save(path: Path, fitted: Fitted, spec: TrialSpec, classes: Sequence[str], mark: str = "") -> None:
    """Write both sets of weights, atomically; `mark` is that of the trial's row."""
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
        "mark": mark,
    }
    checkpoint.save(path, tensors, header)


def load(path: Path, averaged: bool = False) -> Classifier:
    """Rebuild the network of a weights file, in evaluation mode on the CPU.

    Args:
        path: what `save` wrote.
        averaged: the moving average instead of the last epoch's weights.

    Raises:
        WeightsError: no such file, another kind of file, a damaged one, or weights that are no numbers.
    """
    state = checkpoint.load(path)
    if state is None or state[1].get("network") not in _KINDS:
        raise WeightsError(_objection(path))
    tensors, header = state
    try:
        sizes: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in header["model"].items()
        }
        network = build(_KINDS[header["network"]](**sizes), seed=0)
        prefix = "ema." if averaged else "network."
        network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        classifier = Classifier(
            network.eval(),
            tuple(map(str, header["classes"])),
            int(header["sample_rate"]),
            float(header["seconds"]),
            str(header["trial_id"]),
            str(header.get("mark", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise WeightsError(f"{path} is damaged ({reason}); train its trial again") from error
    if not all(torch.isfinite(parameter).all() for parameter in network.parameters()):
        raise WeightsError(f"{path} holds weights that are no numbers: the training diverged; train its trial again")
    return classifier


def _objection(path: Path) -> str:
    if not path.exists():
        return f"{path}: no such file; weights lie in a study's folder weights/"
    if path.is_dir():
        return f"{path} is a folder, and weights are a file; they lie in a study's folder weights/"
    return f"{path} holds no weights that sweeper saved, or is damaged; they lie in a study's folder weights/"
