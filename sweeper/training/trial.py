"""A trial from its spec to its result: fit, then, and only then, open the test clips.

A search's trials are scored on validation clips instead, also while they train; they are never given the test clips.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sweeper.audio.augmentation.draws import to_device
from sweeper.audio.clips import Clips
from sweeper.model.output import as_output
from sweeper.plan import TrialSpec
from sweeper.training.batches import Batches
from sweeper.training.cost import count_parameters, gflops_per_clip
from sweeper.training.distributed import ALONE, Worker
from sweeper.training.fit import Diverged, Epoch, Fitted, Wish, fit
from sweeper.training.metrics import Metrics, confusion_matrix, metrics


@dataclass(frozen=True)
class Predictions:
    """Class probabilities of the scored clips: test clips, or a search's validation clips.

    `ids`, `groups` `[n]`, `targets` `[n]`, `probabilities` and `probabilities_ema` `[n, classes]` float32.
    """

    ids: np.ndarray
    groups: np.ndarray
    targets: np.ndarray
    probabilities: np.ndarray
    probabilities_ema: np.ndarray


@dataclass(frozen=True)
class TrialResult:
    """What a trial leaves behind: scores of the last epoch, raw and averaged; curve, predictions and cost."""

    spec: TrialSpec
    metrics: Metrics
    metrics_ema: Metrics
    curve: tuple[Epoch, ...]
    predictions: Predictions
    parameters: int
    gflops_per_clip: float | None  # None where the network's operations can't be counted
    train_clips: int
    seconds: float  # of training, over all attempts
    evaluation_seconds: float
    device: str


def run_trial(
    spec: TrialSpec,
    train: Sequence[Clips],
    open_scored: Callable[[], Sequence[Clips]],
    *,
    device: torch.device,
    state: Path | None = None,
    on_state: Callable[[], None] = lambda: None,
    on_epoch: Callable[[Epoch], None] = lambda _epoch: None,
    follow: bool = False,
    wish: Callable[[], Wish] = lambda: "",
    worker: Worker = ALONE,
) -> tuple[TrialResult, Fitted]:
    """Train, then evaluate the last epoch's weights and their average on the test clips, or on validation clips.

    Args:
        spec: the trial.
        train: training clips.
        open_scored: returns the clips that score; test clips are asked for once training has ended, so that it can't
            reach them.
        device: where to compute.
        state: checkpoint file, see `fit`.
        on_state, on_epoch: see `fit`.
        follow: also compute a search's validation accuracy after each epoch, by the network's current weights. Their
            moving average lags behind, so a trial with a slow average would be stopped for that.
        wish: see `fit`.
        worker: see `fit`; the scored clips too are shared, and each worker returns the whole result.

    Raises:
        Diverged: the loss, weights, probabilities or scores are no valid numbers; see `fit`.
        TrialLeft: see `fit`.
        ValueError: `follow` was asked of a trial that is scored on test clips.
    """
    classes, batch_size, crops = spec.model.classes, spec.training.batch_size, spec.training.crops
    validate = None
    if follow:
        if not spec.selects:
            raise ValueError(f"{spec.arm}: the test clips are opened after training, not followed while it lasts")
        watched = list(open_scored())
        clips, answers = Batches(watched, spec.data.length, device), np.concatenate([p.targets for p in watched])

        def validate(network: nn.Module) -> float:
            found = predict(network, clips, batch_size, classes, worker, crops)
            _check_probabilities(found, ())
            return float((found.argmax(1) == answers).mean())

    fitted = fit(
        spec,
        train,
        device=device,
        state=state,
        on_state=on_state,
        on_epoch=on_epoch,
        validate=validate,
        wish=wish,
        worker=worker,
    )
    return evaluate(spec, train, open_scored, fitted, device, worker), fitted


def evaluate(
    spec: TrialSpec,
    train: Sequence[Clips],
    open_scored: Callable[[], Sequence[Clips]],
    fitted: Fitted,
    device: torch.device,
    worker: Worker = ALONE,
) -> TrialResult:
    """Score what was trained, and its average; arguments as for `run_trial`.

    Raises:
        Diverged: probabilities or scores are no valid numbers.
    """
    classes, batch_size, crops = spec.model.classes, spec.training.batch_size, spec.training.crops
    begin = time.perf_counter()
    scored = list(open_scored())
    batches = Batches(scored, spec.data.length, device)
    raw = predict(fitted.network, batches, batch_size, classes, worker, crops)
    averaged = predict(fitted.averaged, batches, batch_size, classes, worker, crops)
    targets, order = np.concatenate([part.targets for part in scored]), batches.standing
    return TrialResult(
        spec=spec,
        metrics=_scores(targets, raw, fitted.curve),
        metrics_ema=_scores(targets, averaged, fitted.curve),
        curve=fitted.curve,
        predictions=Predictions(
            ids=np.concatenate([part.ids for part in scored])[order],
            groups=np.concatenate([part.groups for part in scored])[order],
            targets=targets[order],
            probabilities=raw[order],
            probabilities_ema=averaged[order],
        ),
        parameters=count_parameters(fitted.network),
        gflops_per_clip=gflops_per_clip(spec.model, spec.data.length),
        train_clips=sum(len(part) for part in train),
        seconds=fitted.seconds,
        evaluation_seconds=time.perf_counter() - begin,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    )


def _check_probabilities(probabilities: np.ndarray, curve: Sequence[Epoch]) -> None:
    """Raise Diverged where some are no numbers: the largest of them would be the first class's."""
    if not np.isfinite(probabilities).all():
        raise Diverged("the network's answers became NaN", curve)


def _scores(targets: np.ndarray, probabilities: np.ndarray, curve: Sequence[Epoch]) -> Metrics:
    _check_probabilities(probabilities, curve)
    try:
        return metrics(confusion_matrix(targets, probabilities.argmax(1), probabilities.shape[1]))
    except ValueError as error:
        raise Diverged(str(error), curve) from None


@torch.no_grad()
def predict(
    network: nn.Module, batches: Batches, batch_size: int, classes: int, worker: Worker = ALONE, crops: int = 1
) -> np.ndarray:
    """Class probabilities `[n, classes]` float32 of all clips, in float32 whatever the training precision.

    With several `crops` they are the mean over a clip's crops. Each worker computes its share of the rows and has zeros
    for the rest, so the sum over workers is exact, and each returns all rows in order.
    """
    network.eval()
    probabilities = torch.zeros(len(batches), classes, device=batches.device)
    positions = batches.crops(crops)
    for crop in positions:
        for batch in batches.evaluation(batch_size, worker.rows(len(batches)), crop):
            probabilities[to_device(torch.from_numpy(batch.rows), batches.device)] += as_output(
                network(batch.waveforms)
            ).logits.softmax(dim=1) / len(positions)
    return worker.total(probabilities).cpu().numpy()
