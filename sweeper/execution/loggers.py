"""Learning curves in TensorBoard, MLflow or Weights & Biases, through Tune's own logger callbacks.

They only watch: nothing is read back from them. What they write lies in the study's folder `logs/`, and none of them
opens a connection unless its own environment variables tell it to (`WANDB_MODE=online`, `MLFLOW_TRACKING_URI`).
"""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sweeper.plan import PlanError
from sweeper.results.store import Study
from sweeper.results.tables import StudyError

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
    if name == "mlflow":
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        uri = (
            os.environ.get("MLFLOW_TRACKING_URI")
            or f"sqlite:///{_folder(name, study, 'MLFLOW_TRACKING_URI') / 'mlflow.db'}"
        )
        return MLflowLoggerCallback(tracking_uri=uri, experiment_name=study.name)
    if name == "wandb":
        from ray.air.integrations.wandb import WandbLoggerCallback

        os.environ.setdefault("WANDB_MODE", "offline")
        folder = os.environ.get("WANDB_DIR") or _folder(name, study, "WANDB_DIR")
        return WandbLoggerCallback(project="sweeper", group=study.name, dir=str(folder))
    from ray.tune.logger import TBXLoggerCallback

    return TBXLoggerCallback()  # type: ignore[no-untyped-call]


def _folder(name: str, study: Study, variable: str) -> Path:
    """The study's folder of one logger that writes files of its own, and so can't write to an object store."""
    try:
        folder = study.folder / "logs" / name
    except StudyError:
        raise PlanError(f"--log {name} writes to a folder, and {study} is none: set {variable}") from None
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def keep_event_files(scratch: Path, study: Study) -> None:
    """Copy TensorBoard's files, which its callback can only write among Tune's, to `logs/tensorboard/<trial_id>/`."""
    for path in scratch.rglob("events.out.tfevents.*"):
        study.storage.write(f"logs/tensorboard/{path.parent.name}/{path.name}", path.read_bytes())
