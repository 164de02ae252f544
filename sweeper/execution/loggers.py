"""Learning curves in TensorBoard, MLflow or Weights & Biases, through Tune's own logger callbacks.

They only watch: nothing is read back from them. What they write lies in the study's folder `logs/`, and none of them
opens a connection unless its own environment variables tell it to (`WANDB_MODE=online`, `MLFLOW_TRACKING_URI`).
"""

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sweeper.plan import PlanError
from sweeper.results.folder import Folder
from sweeper.results.storage import locate
from sweeper.results.store import Study

_PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
NAMES = tuple(_PACKAGES)
# What writes files of its own while it runs, and so not to an object store; and what tells it another place.
_PLACES = {
    "mlflow": ("MLFLOW_TRACKING_URI", "a server, or sqlite:////FOLDER/mlflow.db"),
    "wandb": ("WANDB_DIR", "a folder"),
}
_BEGINS = {"mlflow": "mlflow.db", "wandb": "wandb"}  # what each of these first writes in its folder


def check_loggers(names: Iterable[str], results: Path | str) -> None:
    """Refuse loggers that could not write; takes no time, and does not import Ray.

    Raises:
        PlanError: no such logger; it needs a folder, and results are in no folder; or its package is not installed.
    """
    for name in names:
        if name not in _PACKAGES:
            raise PlanError(f"unknown logger {name!r}; the loggers are: {', '.join(NAMES)}")
        if name in _PLACES and not os.environ.get(_PLACES[name][0]) and not isinstance(locate(results), Folder):
            variable, value = _PLACES[name]
            raise PlanError(f"--log {name} can't write to {results}: set {variable} to {value}")
        if find_spec(_PACKAGES[name]) is None:
            raise PlanError(f"--log {name} needs a package that is not installed: pip install 'sweeper[{name}]'")


def logger_callback(name: str, study: Study) -> Any:
    """Tune's callback for a logger that `check_loggers` lets pass."""
    if name == "mlflow":
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_folder(name, study) / _BEGINS[name]}"
        return MLflowLoggerCallback(tracking_uri=uri, experiment_name=study.name)
    if name == "wandb":
        from ray.air.integrations.wandb import WandbLoggerCallback

        os.environ.setdefault("WANDB_MODE", "offline")
        folder = os.environ.get("WANDB_DIR") or _folder(name, study)
        return WandbLoggerCallback(project="sweeper", group=study.name, dir=str(folder))
    from ray.tune.logger import TBXLoggerCallback

    return TBXLoggerCallback()  # type: ignore[no-untyped-call]


def _folder(name: str, study: Study) -> Path:
    """Where it may write by itself; raises StorageError where a link would lead it out of the study."""
    there = Folder(study.folder)
    there.place(f"logs/{name}/{_BEGINS[name]}/")
    folder = there.place(f"logs/{name}/")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def keep_event_files(scratch: Path, study: Study) -> None:
    """Copy TensorBoard's files, which its callback can only write among Tune's, to `logs/tensorboard/<trial_id>/`."""
    for path in scratch.rglob("events.out.tfevents.*"):
        study.storage.write(f"logs/tensorboard/{path.parent.name}/{path.name}", path.read_bytes())
