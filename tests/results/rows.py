"""Made-up rows for tests of what is done with rows."""

import datetime
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sweeper.results import schema
from sweeper.results.rows import PAPER_SWITCHES
from sweeper.results.store import Study
from tests.studies import ARMS, RECIPES

_DEFAULTS = {"string": "x", "int64": 1, "double": 0.5, "bool": True}
# Over a row, that of a trial which failed.
FAILED = {"status": "failed", "accuracy": None, "accuracy_ema": None, "seconds": None, "error": "boom"}


def trial_row(arm: str, fold: int = 1, replicate: int = 0, accuracy: float = 0.5, **changes: Any) -> dict[str, Any]:
    """A complete row: what isn't named gets some value of its type."""
    row = {field.name: _DEFAULTS.get(str(field.type)) for field in schema.TRIAL}
    network = replace(RECIPES["quick"]().network, **ARMS[arm].network)
    identity = f"{arm}/{fold}/{replicate}"
    return (
        row
        | {switch: getattr(network, switch) for switch in PAPER_SWITCHES}
        | {
            "trial_id": hashlib.sha256(identity.encode()).hexdigest()[:16],
            "kind": "ablation",
            "status": "complete",
            "arm": arm,
            "dataset": "demo",
            "split": "official",
            "fold": fold,
            "replicate": replicate,
            "accuracy": accuracy,
            "accuracy_ema": accuracy,
            "train_clips": 80,
            "test_clips": 20,
            "leak": "",
            "stage": "",
            "scored_on": "test",
            "params": "",
            "stopped_epoch": None,
            "stopped_score": None,
            "imported": None,
            "evidence": hashlib.sha256(identity.encode()).hexdigest()[-12:],
            "error": "",
            "finished": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        }
        | changes
    )


def prediction(trial_id: str) -> dict[str, Any]:
    """One clip's row."""
    probabilities = {"probabilities": [0.25, 0.75], "probabilities_ema": [0.5, 0.5]}
    return {"trial_id": trial_id, "clip_id": "c", "group": "g", "target": 1} | probabilities


def grid(
    arms: Iterable[str] = tuple(ARMS),
    folds: Iterable[int] = (1, 2, 3),
    replicates: Sequence[int] = (0, 1),
    dataset: str = "demo",
) -> list[dict[str, Any]]:
    """A row per arm, fold and replicate, with accuracies drawn at random."""
    rng = np.random.default_rng(0)
    return [
        trial_row(arm, fold, replicate, accuracy=float(rng.uniform(0.4, 0.9)), dataset=dataset)
        for arm in arms
        for fold in folds
        for replicate in replicates
    ]


def plan_of(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The plan whose trials these are."""
    names = ("trial_id", "kind", "arm", "fold", "replicate")
    return {"data_digest": "x", "trials": [{name: row[name] for name in names} for row in rows]}


def study_of(folder: Path, trials: Iterable[dict[str, Any]], plan: dict[str, Any] | None = None) -> Study:
    """A folder as a run of these trials leaves it."""
    trials = list(trials)
    study = Study(folder)
    study.create()
    for row in trials:
        if row["status"] == "complete":
            study.commit(row, [], [])
        else:
            study.record_failure(row, [])
    (folder / "plan.json").write_text(json.dumps(plan or plan_of(trials)))
    return study
