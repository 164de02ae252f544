"""What runs in a Tune actor: one trial after another, in a process that has torch imported and warm.

Clips come out of Ray's object store as read-only views: the training parts at the start, the test parts only when
`run_trial` asks for them after the last epoch. The worker commits its own result, so a finished trial survives whatever
happens to the driver.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
import torch
from ray import tune

from sweeper.plan import TrialSpec
from sweeper.results.rows import Circumstances, complete_row, curve_rows, failed_row, prediction_rows
from sweeper.results.store import Study
from sweeper.training import weights
from sweeper.training.fit import Epoch, NonFiniteLoss
from sweeper.training.trial import run_trial

REPORT_SECONDS = 0.5


@dataclass(frozen=True)
class FoldClips:
    """References to the clips of one fold's two sides in the object store, and how the sides overlap."""

    train: tuple["ray.ObjectRef[Any]", ...]
    test: tuple["ray.ObjectRef[Any]", ...]
    leak: str


@dataclass(frozen=True)
class Sweep:
    """What all trials of a sweep share. Small: the clips are references."""

    study: Study
    specs: Mapping[str, TrialSpec]
    folds: Mapping[int, FoldClips]
    classes: tuple[str, ...]
    synthetic: bool
    data_digest: str
    cpus: int
    gpus: float


def train_trial(config: dict[str, str], sweep: Sweep) -> None:
    """Tune's function trainable: run and commit the trial `config["trial_id"]`.

    An exception of the trial itself would only fail again: it is recorded and reported, not raised. What ends the whole
    process (killed, out of memory) is Tune's to retry, from the trial's own checkpoint.
    """
    spec = sweep.specs[config["trial_id"]]
    fold = sweep.folds[spec.data.fold]
    torch.set_num_threads(sweep.cpus)
    device = torch.device("cuda") if sweep.gpus else torch.device("cpu")
    circumstances = Circumstances(
        synthetic=sweep.synthetic,
        leak=fold.leak,
        data_digest=sweep.data_digest,
        device=torch.cuda.get_device_name(device) if sweep.gpus else "cpu",
        threads=sweep.cpus,
    )
    try:
        result, fitted = run_trial(
            spec,
            ray.get(list(fold.train)),
            lambda: ray.get(list(fold.test)),
            device=device,
            state=sweep.study.checkpoint(spec.trial_id),
            on_epoch=_reporter(),
        )
        weights.save(sweep.study.weights(spec.trial_id), fitted, spec, sweep.classes)
        row = complete_row(result, circumstances)
        sweep.study.commit(
            row, curve_rows(spec.trial_id, result.curve), prediction_rows(spec.trial_id, result.predictions)
        )
    except Exception as error:
        curve = curve_rows(spec.trial_id, error.curve) if isinstance(error, NonFiniteLoss) else []
        reason = f"{type(error).__name__}: {error}"
        sweep.study.record_failure(failed_row(spec, circumstances, reason), curve)
        tune.report({"outcome": "failed", "error": reason})
    else:
        tune.report({"outcome": "complete", "accuracy": row["accuracy"], "seconds": row["seconds"]})


def _reporter() -> Any:
    """Tell the driver how far the trial is, at most every half second: short epochs must not flood it."""
    last = 0.0

    def report(point: Epoch) -> None:
        nonlocal last
        if time.monotonic() - last > REPORT_SECONDS:
            last = time.monotonic()
            tune.report({"epoch": point.epoch + 1, "clips_per_second": point.clips_per_second})

    return report
