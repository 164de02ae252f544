"""A classifier as a file that runs without this package: torch.export's portable graph.

The graph takes what a microphone gives and holds the rest itself:

    waveforms float32 [batch, 1, time] at any level  ->  level as in training  ->  logits float32 [batch, classes]

for any batch and the clip's length. `sweeper.json` inside the file names classes, sample rate and clip length. To use:

    program = torch.export.load("classifier.pt2").module()
    probabilities = program(waveforms).softmax(dim=1)
"""

import io
import json
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from sweeper.model.output import as_output
from sweeper.named_file import write_named
from sweeper.training.batches import normalise
from sweeper.training.weights import Classifier

DESCRIPTION = "sweeper.json"
SUFFIX = ".pt2"
TOLERANCE = 1e-4  # largest difference of any logit
FULL_SCALE = 32768  # of the int16 clips that `normalise` was made for
TRACED_BATCH = 2
CHECKED_BATCHES = (1, TRACED_BATCH, 5)


class ExportError(ValueError):
    """The classifier can't be exported as asked; the message says why."""


class _FromAnyLevel(nn.Module):
    """The network, preceded by the level that it was trained at."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, waveforms: Tensor) -> Tensor:
        levelled: Tensor = normalise(waveforms.squeeze(1) * FULL_SCALE).unsqueeze(1)
        return as_output(self.network(levelled)).logits


def export(classifier: Classifier, path: Path) -> float:
    """Write `classifier` to `path`, once the written graph was read back and agrees with the network.

    Args:
        classifier: from `sweeper.training.weights.load`, on the CPU.
        path: ends in `.pt2`; holds the old file or the new one, never a torn one.

    Returns:
        the largest difference of a logit that was seen, over several batch sizes of noise.

    Raises:
        ExportError: another ending, a place that can't be written, or logits that differ by more than 1e-4.
    """
    if path.suffix != SUFFIX:
        raise ExportError(f"{path}: the format is torch.export's, so the name must end in {SUFFIX}")
    module = _FromAnyLevel(classifier.network).eval()
    data = _serialise(module, classifier)
    difference = _largest_difference(data, module, classifier)
    if not difference <= TOLERANCE:  # NaN is no agreement
        raise ExportError(f"{path}: not written, its logits differ by {difference:.2g}, more than {TOLERANCE:g}")
    try:
        write_named(path, data)
    except OSError as error:
        raise ExportError(f"can't write {path}: {error.strerror}") from error
    return difference


def _noise(classifier: Classifier, batch: int) -> Tensor:
    """Clips `[batch, 1, time]` of differing level."""
    length = round(classifier.sample_rate * classifier.seconds)
    generator = torch.Generator().manual_seed(batch)
    levels = torch.logspace(0, -3, batch).reshape(-1, 1, 1)
    return levels * (2 * torch.rand(batch, 1, length, generator=generator) - 1)


def _serialise(module: nn.Module, classifier: Classifier) -> bytes:
    batch = torch.export.Dim("batch", min=1)
    description = {
        "trial_id": classifier.trial_id,
        "classes": classifier.classes,
        "sample_rate": classifier.sample_rate,
        "seconds": classifier.seconds,
        "input": "waveforms float32 [batch, 1, time]",
        "output": "logits float32 [batch, classes]",
    }
    buffer = io.BytesIO()
    # The fused Transformer kernel is an operator of torch's own; the graph is to hold plain ones.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # torch 2.11 says of every LSTM that its list of weights "was assigned during export": to itself.
            warnings.filterwarnings("ignore", "The tensor attributes .*_flat_weights", UserWarning)
            try:
                program = torch.export.export(
                    module, (_noise(classifier, TRACED_BATCH),), dynamic_shapes={"waveforms": {0: batch}}
                )
            except Exception as error:  # what a network's own code does while it is traced
                reason = next((line for line in str(error).splitlines() if line.strip()), "")
                raise ExportError(
                    f"torch.export can't follow the network: {type(error).__name__}: {reason}; it must do the same for "
                    "every clip and every batch size"
                ) from error
        torch.export.save(program, buffer, extra_files={DESCRIPTION: json.dumps(description)})
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return buffer.getvalue()


@torch.no_grad()
def _largest_difference(data: bytes, module: nn.Module, classifier: Classifier) -> float:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given buffer is not writable", UserWarning)  # torch's own reading
        program = torch.export.load(io.BytesIO(data)).module()
    differences = [
        (program(clips) - module(clips)).abs().max()
        for clips in (_noise(classifier, batch) for batch in CHECKED_BATCHES)
    ]
    return float(torch.stack(differences).max())
