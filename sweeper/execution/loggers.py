"""Learning curves in TensorBoard, MLflow or Weights & Biases, through Tune's own logger callbacks.

They only watch: nothing is read back from them. What they write lies in the study's folder `logs/`, and none of them
opens a connection unless its own environment variables tell it to (`WANDB_MODE=online`, `MLFLOW_TRACKING_URI`).
"""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sweeper.plan import PlanError
from sweeper.results.store import Study

_PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
NAMES = tuple(_PACKAGES)


def logger_callback(name: str, study: Study) -> Any:
    """Tune's callback for one of `NAMES`.

    Raises:
        PlanError: no such logger, or its package is not installed.
    """
    if name not in _PACKAGES:
        raise PlanError(f"unknown logger {name!r}; the loggers are: {', '.join(NAMES)}")
    if find_spec(_PACKAGES[name]) is None:
        raise PlanError(f"--log {name} needs a package that is not installed: pip install 'sweeper[{name}]'")
    folder = study.folder / "logs" / name
    folder.mkdir(parents=True, exist_ok=True)
    if name == "mlflow":
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        return MLflowLoggerCallback(tracking_uri=uri, experiment_name=study.name)
    if name == "wandb":
        from ray.air.integrations.wandb import WandbLoggerCallback

        os.environ.setdefault("WANDB_MODE", "offline")
        return WandbLoggerCallback(project="sweeper", group=study.name, dir=str(folder))
    from ray.tune.logger import TBXLoggerCallback

    return TBXLoggerCallback()  # type: ignore[no-untyped-call]


def keep_event_files(scratch: Path, study: Study) -> None:
    """Move TensorBoard's files, which its callback can only write among Tune's, to `logs/tensorboard/<trial_id>/`."""
    for path in scratch.rglob("events.out.tfevents.*"):
        target = study.folder / "logs" / "tensorboard" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)
