"""Studies in files, run: workers that have not seen the file, several workers, a kill; and the same from Python."""

import doctest
import json
import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest

import sweeper as package
from sweeper.plan import PlanError
from sweeper.results.store import Study
from tests.execution.conftest import cpus

FILES = Path(__file__).parents[1] / "study_files"
SCORES = ["arm", "accuracy", "accuracy_ema", "train_loss", "parameters", "seed"]


@pytest.fixture
def own(sweeper):
    """A folder with the studies, where commands run."""
    for file in FILES.glob("*.py"):
        shutil.copy(file, sweeper.folder)
    return sweeper


def scores(own, study):
    rows = pd.read_parquet(own.folder / "results" / study / "leaderboard.parquet").set_index("trial_id")
    return rows[SCORES].sort_index()


def test_a_study_that_was_killed_goes_on_and_equals_the_undisturbed_one(own):
    own.environment |= cpus(1)
    command = ("run", "ablations", "two_files.py", "--epochs", "2")
    own(*command, "--study", "whole")
    code, _ = own.stop_after(2, "killed", [signal.SIGKILL], *command, "--study", "killed")
    assert code == -signal.SIGKILL
    (own.folder / "two_files.py").write_text(
        (own.folder / "two_files.py").read_text().replace('Arm("full"),', '# one more\n        Arm("full"),')
    )
    out = own(*command, "--study", "killed")
    assert "of them already committed" in out
    assert scores(own, "killed").equals(scores(own, "whole"))
    assert (own.folder / "results" / "killed" / "code").is_dir()
    printed = own("leaderboard", "killed")
    assert "Arms" in printed and "no-skip" in printed and "Table 6" not in printed


def test_several_workers_train_a_network_of_the_users(own):
    own("run", "ablations", "mel.py", "--arm", "full", "--seeds", "1", "--epochs", "1", "--workers-per-trial", "2")
    (row,) = pd.read_parquet(own.folder / "results/ablations-mel-demo-quick-1epochs/leaderboard.parquet").to_dict(
        "records"
    )
    assert row["status"] == "complete"


def test_a_search_over_the_studys_own_space(own):
    own.environment |= cpus(1)
    own(
        *[
            "run",
            "search",
            "two_files.py",
            "--trials",
            "3",
            "--top",
            "1",
            "--replicates",
            "1",
            "--epochs",
            "1",
            "--no-halving",
        ]
    )
    winners = (own.folder / "results/search-two_files-demo-quick-1epochs/winners.json").read_text()
    assert '"max_lr"' in winners and '"smoothing"' in winners


def test_tuned_arms_in_an_object_store_are_killed_and_go_on(own, s3):
    own.environment |= s3.environment | cpus(1)
    place = f"{s3.url}/results"
    study = Study(f"{place}/tuned")
    own.finished = lambda _name: study.finished()
    search = ("--trials", "2", "--top", "1", "--replicates", "1", "--no-halving", "--seeds", "1", "--epochs", "1")
    command = ("run", "tuned-ablations", "two_files.py", "--study", "tuned", *search, "--results", place)
    code, _ = own.stop_after(2, "tuned", [signal.SIGKILL], *command)
    assert code == -signal.SIGKILL
    before = study.finished()
    out = own(*command)
    assert "no-skip" in out and before < study.finished()
    rows = study.trials().to_pandas().set_index("trial_id")
    assert set(rows.status) == {"complete"}
    assert list(rows[rows.stage == ""].arm) == ["full", "no-skip"]
    assert rows[rows.stage == ""].params.str.contains("smoothing").all(), "each arm has its own winner's values"
    assert study.storage.folders()


def test_the_docstrings_examples_run(own, monkeypatch, capsys):
    """In this process, as in a notebook."""
    own.environment |= cpus(1)
    monkeypatch.chdir(own.folder)
    for name, value in own.environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TypeError, match="unknown option 'sedes'; the options are: dataset, data"):
        package.run_ablations("mel.py", sedes=3)
    with pytest.raises(TypeError, match=r"folds='1': give numbers, such as folds=\[1, 2\]"):
        package.run_ablations("mel.py", folds="1")
    for options, words in {
        ("seeds", "2"): "seeds='2': expected int",
        ("until", "no"): "until='no': expected 'decided' or None",
        ("data", 5): "data=5: expected Path or None",
        ("epochs", 1.5): "epochs=1.5: expected int or None",
    }.items():
        with pytest.raises(TypeError, match=words):
            package.run_ablations("mel.py", **dict([options]))
    with pytest.raises(PlanError, match="--margin -1: a number of percentage points above 0"):
        package.run_ablations("mel.py", margin=-1)
    with pytest.raises(TypeError, match="place=5: expected a folder or a URL"):
        package.read_study(5)
    finder = doctest.DocTestFinder(recurse=True)
    examples = sorted(finder.find(package, "sweeper"), key=lambda test: test.name)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    out = []
    for test in examples:
        runner.run(test, out=out.append, clear_globs=False)
    assert runner.tries >= 6 and not runner.failures, "".join(out)
    assert Path("mel.html").stat().st_size > 10_000


@pytest.mark.parametrize("notebook", sorted((FILES.parent / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_run(own, monkeypatch, notebook):
    """Their cells, one after the other, in an empty folder."""
    own.environment |= cpus(1)
    folder = own.folder / "notebook"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name, value in own.environment.items():
        monkeypatch.setenv(name, value)
    names: dict = {}
    for cell in json.loads(notebook.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), notebook.name, "exec"), names)
    assert (folder / "mel.py").read_text() == (FILES / "mel.py").read_text()
    assert list(names["board"].summary["n"]) == [2, 2]
    assert (folder / "mel.html").exists()
