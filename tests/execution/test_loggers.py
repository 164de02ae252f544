"""Learning curves in other tools: each tried for real where its package is installed; TensorBoard in `test_run.py`."""

import sqlite3

import pytest

from sweeper.execution import loggers
from sweeper.execution.loggers import logger_callback
from sweeper.plan import PlanError
from sweeper.results.store import Study

SMALL = ("run", "ablations", "--epochs", "2", "--seeds", "1", "--arm", "detail-only", "--study", "s")


def test_mlflow_keeps_a_run_per_trial(sweeper):
    pytest.importorskip("mlflow", reason="the extra 'mlflow' is not installed")
    sweeper(*SMALL, "--log", "mlflow")
    database = sqlite3.connect(sweeper.folder / "results" / "s" / "logs" / "mlflow" / "mlflow.db")
    keys = {key for (key,) in database.execute("select distinct key from metrics")}
    assert {"loss", "accuracy"} <= keys


def test_wandb_writes_offline(sweeper):
    pytest.importorskip("wandb", reason="the extra 'wandb' is not installed")
    sweeper(*SMALL, "--log", "wandb")
    assert list((sweeper.folder / "results" / "s" / "logs" / "wandb").rglob("*.wandb"))


def test_a_missing_package_is_named_with_its_install_line(tmp_path, monkeypatch):
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(PlanError, match=r"pip install 'sweeper\[mlflow\]'"):
        logger_callback("mlflow", Study(tmp_path))
    with pytest.raises(PlanError, match="the loggers are: tensorboard, mlflow, wandb"):
        logger_callback("aim", Study(tmp_path))
