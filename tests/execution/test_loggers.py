"""Learning curves in other tools: each tried for real where its package is installed; TensorBoard in `test_run.py`."""

import sqlite3

import pytest

from sweeper.cli.main import main
from sweeper.execution import loggers
from sweeper.execution.loggers import check_loggers
from sweeper.plan import PlanError
from sweeper.results.folder import StorageError
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


def test_a_missing_package_is_named_with_its_install_line(monkeypatch):
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(PlanError, match=r"pip install 'sweeper\[mlflow\]'"):
        check_loggers(["mlflow"], "results")
    with pytest.raises(PlanError, match="the loggers are: tensorboard, mlflow, wandb"):
        check_loggers(["aim"], "results")


@pytest.mark.parametrize(
    ("name", "link"),
    [
        ("mlflow", "logs"),
        ("mlflow", "logs/mlflow"),
        ("mlflow", "logs/mlflow/mlflow.db"),
        ("wandb", "logs"),
        ("wandb", "logs/wandb"),
        ("wandb", "logs/wandb/wandb"),
    ],
)
def test_a_link_in_a_study_leads_no_logger_out_of_it(tmp_path, name, link):
    elsewhere, place = tmp_path / "elsewhere", tmp_path / "s" / link
    elsewhere.mkdir()
    place.parent.mkdir(parents=True)
    place.symlink_to(elsewhere)
    with pytest.raises(StorageError, match=rf"{place} is a link \(to {elsewhere}\)"):
        loggers._folder(name, Study(tmp_path / "s"))
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_logger_has_a_folder_of_its_own(tmp_path, name):
    assert loggers._folder(name, Study(tmp_path / "s")) == tmp_path / "s" / "logs" / name
    assert (tmp_path / "s" / "logs" / name).is_dir()


def test_what_writes_to_a_folder_is_refused_an_object_store_before_anything_else(s3, monkeypatch, capsys):
    monkeypatch.setattr(loggers, "find_spec", lambda name: object())
    results = f"{s3.url}/results"
    check_loggers(["tensorboard"], results)
    for name, variable in {"mlflow": "MLFLOW_TRACKING_URI", "wandb": "WANDB_DIR"}.items():
        monkeypatch.delenv(variable, raising=False)
        check_loggers([name], "results")
        for design in ("ablations", "search", "tuned-ablations"):
            assert main(["run", design, "--results", results, "--log", name]) == 2
            assert f"--log {name} can't write to {results}: set {variable} to " in capsys.readouterr().err
        monkeypatch.setenv(variable, "elsewhere")
        check_loggers([name], results)
    assert s3.requests == []
