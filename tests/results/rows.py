"""Made-up rows for tests of what is done with rows."""

import datetime
import hashlib
from typing import Any

from search_spaces.ablations import ARMS
from search_spaces.recipes import RECIPES
from sweeper.plan import ABLATION_SWITCHES
from sweeper.results import schema

_DEFAULTS = {"string": "x", "int64": 1, "double": 0.5, "bool": True}


def trial_row(arm: str, fold: int = 1, replicate: int = 0, accuracy: float = 0.5, **changes: Any) -> dict[str, Any]:
    """A complete row: what isn't named gets some value of its type."""
    row = {field.name: _DEFAULTS.get(str(field.type)) for field in schema.TRIAL}
    network = ARMS[arm].model(RECIPES["quick"]().model)
    identity = f"{arm}/{fold}/{replicate}"
    return (
        row
        | {switch: getattr(network, switch) for switch in ABLATION_SWITCHES}
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
            "error": "",
            "finished": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        }
        | changes
    )


def prediction(trial_id: str) -> dict[str, Any]:
    """One clip's row."""
    probabilities = {"probabilities": [0.25, 0.75], "probabilities_ema": [0.5, 0.5]}
    return {"trial_id": trial_id, "clip_id": "c", "group": "g", "target": 1} | probabilities
