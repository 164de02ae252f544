"""Trained weights as one safetensors file that says in its header how to use them.

Both sets are kept, under `network.` and `ema.`: the last epoch's, whose scores are the leaderboard's headline, and
their moving average. The mark says whose row in a study they belong to, see `sweeper.results.evidence`. A network of a
study's own is built by that study's code, which the header names and the file does not hold: a file from a stranger
runs no code but ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sweeper.model.build import KINDS, build, is_of_this_package
from sweeper.model.output import as_output
from sweeper.plan import TrialSpec
from sweeper.study import Network, Output
from sweeper.training import checkpoint
from sweeper.training.fit import Fitted

NEEDS = "needs"  # the header's field
_KINDS = {kind.__name__: kind for kind in KINDS}


class WeightsError(ValueError):
    """A file that holds no weights of ours, or some that can't be used; the message names it."""


@dataclass(frozen=True)
class Needs:
    """The code that builds the network of a weights file.

    Attributes:
        network: the class, derived from `Network`.
        digest: of its code.
        file: the study's file that defines it, as it was called.
        study: the study that the weights were trained in.
    """

    network: str
    digest: str
    file: str
    study: str


Loader = Callable[[Needs], type[Network]]


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

    def answer(self, waveforms: torch.Tensor) -> Output:
        """What the network says of clips `[batch, 1, samples]`."""
        return as_output(self.network(waveforms))


def save(
    path: Path, fitted: Fitted, spec: TrialSpec, classes: Sequence[str], mark: str = "", *, file: str = ""
) -> None:
    """Write both sets of weights, atomically.

    `mark` is that of the trial's row; `file` names that of the study which defines the network.
    """
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
    if not is_of_this_package(spec.model):
        header[NEEDS] = asdict(Needs(type(spec.model).__qualname__, spec.code, file, spec.study))
    checkpoint.save(path, tensors, header)


def load(path: Path, averaged: bool = False, code: Loader | None = None) -> Classifier:
    """Rebuild the network of a weights file, in evaluation mode on the CPU.

    Args:
        path: what `save` wrote.
        averaged: the moving average instead of the last epoch's weights.
        code: needed for the network of a study's own code: given the file's `Needs`, returns the class that builds it,
            after comparing the code's digest.

    Raises:
        WeightsError: the file is missing, damaged or of another kind; weights are NaN or infinite; or the network's
            code is not given or does not fit.
    """
    state = checkpoint.load(path)
    if state is None or not {"network", "model"} <= state[1].keys():
        raise WeightsError(_objection(path))
    tensors, header = state
    kind = _kind(path, header, code)
    try:
        network = build(restored(kind, header["model"]), seed=0, load=False)
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
    except Exception as error:  # also whatever the network's own code may raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        if NEEDS in header:
            raise WeightsError(f"{path} does not fit {kind.__name__} as it is here ({reason})") from error
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


def _kind(path: Path, header: dict[str, Any], code: Loader | None) -> Any:
    """The class that builds the file's network."""
    if NEEDS not in header:
        if header["network"] not in _KINDS:
            raise WeightsError(_objection(path))
        return _KINDS[header["network"]]
    try:
        needs = Needs(**header[NEEDS])
    except TypeError as error:
        raise WeightsError(f"{path} is damaged ({error}); train its trial again") from error
    if code is None:
        raise WeightsError(
            f"{path} holds weights of {needs.network}, which is not ours: pass the file of study {needs.study} that "
            f"defines it to predict, export or report, --study {needs.file or 'FILE.py'} (code "
            f"{needs.digest[:12] or 'unknown'}); it will be run"
        )
    return code(needs)


def restored(kind: Any, values: dict[str, Any]) -> Network:
    """A network from its fields as JSON has them, with lists for tuples."""
    network: Network = kind(**{name: _tuples(value) for name, value in values.items()})
    return network


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
