"""From a trial to its rows: one for the leaderboard, one per epoch, one per test clip."""

import datetime
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sweeper.plan import TrialSpec, canonical_json
from sweeper.results import provenance
from sweeper.training.fit import Epoch
from sweeper.training.trial import Predictions, TrialResult

PAPER_SWITCHES = ("semantic", "detail", "macem_a", "macem_b", "garm", "fusion")  # have columns; null in other studies


@dataclass(frozen=True)
class Circumstances:
    """What a row says besides the trial's spec and result: about the data and the machine."""

    synthetic: bool
    leak: str
    data_digest: str
    device: str
    threads: int


def complete_row(result: TrialResult, circumstances: Circumstances) -> dict[str, Any]:
    """The leaderboard row of a finished trial."""
    scores = asdict(result.metrics) | {f"{k}_ema": v for k, v in asdict(result.metrics_ema).items()}
    return (
        _common(result.spec, circumstances)
        | scores
        | {
            "status": "complete",
            "train_loss": result.curve[-1].loss,
            "train_clips": result.train_clips,
            "test_clips": len(result.predictions.targets),
            "parameters": result.parameters,
            "gflops_per_clip": result.gflops_per_clip,
            "seconds": result.seconds,
            "evaluation_seconds": result.evaluation_seconds,
            "error": "",
        }
    )


def failed_row(spec: TrialSpec, circumstances: Circumstances, error: str) -> dict[str, Any]:
    """The row of a failed trial: no scores, and the reason."""
    return _common(spec, circumstances) | {"status": "failed", "error": error}


def stopped_row(spec: TrialSpec, circumstances: Circumstances, epoch: int, score: float) -> dict[str, Any]:
    """The row of a trial that a search stopped after `epoch` epochs with this validation score."""
    return _common(spec, circumstances) | {
        "status": "stopped",
        "stopped_epoch": epoch,
        "stopped_score": score,
        "error": "",
    }


def curve_rows(trial_id: str, curve: Sequence[Epoch]) -> list[dict[str, Any]]:
    """The learning curve, a row per epoch."""
    return [{"trial_id": trial_id} | asdict(point) for point in curve]


def prediction_rows(trial_id: str, predictions: Predictions) -> list[dict[str, Any]]:
    """The test clips with their class probabilities."""
    return [
        {
            "trial_id": trial_id,
            "clip_id": str(clip_id),
            "group": str(group),
            "target": int(target),
            "probabilities": raw,
            "probabilities_ema": averaged,
        }
        for clip_id, group, target, raw, averaged in zip(
            predictions.ids,
            predictions.groups,
            predictions.targets,
            predictions.probabilities,
            predictions.probabilities_ema,
            strict=True,
        )
    ]


def _common(spec: TrialSpec, circumstances: Circumstances) -> dict[str, Any]:
    return (
        {
            "trial_id": spec.trial_id,
            "study": spec.study,
            "kind": spec.kind,
            "arm": spec.arm,
            "dataset": spec.data.dataset,
            "split": spec.data.split,
            "fold": spec.data.fold,
            "replicate": spec.replicate,
            "seed": spec.seed,
            "recipe": spec.recipe,
            "epochs": spec.training.epochs,
            "sample_rate": spec.data.sample_rate,
            "clip_seconds": spec.data.seconds,
            "finished": datetime.datetime.now(datetime.UTC),
            "stage": spec.stage,
            "scored_on": "validation" if spec.selects else "test",
            "params": spec.params,
            "switches": spec.switches,
            "seeds": canonical_json(dict(spec.seeds)) if spec.seeds else "",
        }
        | {switch: getattr(spec.model, switch, None) for switch in PAPER_SWITCHES}
        | asdict(circumstances)
        | provenance.software()
        | provenance.node()
    )
