"""Commits as arms, run: a refactoring is shown to be equivalent, a planted bug is found, a kill is survived."""

import json
import signal

import pandas as pd

from tests.execution.conftest import cpus
from tests.repositories import STUDY, repository

COMMAND = ("run", "ablations", "frames.py", "--seeds", "3", "--code", "main~3", "main~2", "main~1", "main")
FOLDER = "results/ablations-frames-demo-quick-code"


def test_a_refactoring_is_equivalent_and_a_bug_is_found_also_after_a_kill(sweeper):
    sweeper.environment |= cpus(1)
    names = repository(sweeper.folder)
    code, _ = sweeper.stop_after(2, "ablations-frames-demo-quick-code", [signal.SIGKILL], *COMMAND)
    assert code == -signal.SIGKILL
    out = sweeper(*COMMAND)
    assert "0 of them already committed" not in out
    trials = pd.read_parquet(sweeper.folder / FOLDER / "leaderboard.parquet")
    by_arm = {arm: rows.sort_values("replicate").accuracy.tolist() for arm, rows in trials.groupby("arm")}
    assert by_arm.keys() == {names[0], names[1], names[3]}, "a comment makes no trials"
    assert by_arm[names[0]] == by_arm[names[1]], "to the last bit"
    summary = pd.read_parquet(sweeper.folder / FOLDER / "summary.parquet").set_index("arm")
    assert summary.outcome.to_dict() == {names[0]: "reference", names[1]: "equivalent", names[3]: "worse"}
    assert "Identical to" in out and "main~2: Rename" in out
    assert f"({names[2]}) is the same code as {names[1]}" in out.replace("\n", " ")
    gate = sweeper("gate", FOLDER, names[1], "--equivalent")
    assert json.loads(gate)["why"].startswith("its answers are the other's to the last bit")
    (sweeper.folder / "frames.py").write_text(STUDY.replace("width: int = 32", "width: int = 8"))
    out = sweeper(*COMMAND[:5], "--code", "main~3", ".")
    assert "dirty-" in out and "2 arms × 1 fold × 3 seeds = 6 trials, 3 of them already committed" in out
    assert names[1] in out, "commits that were asked for earlier stay in the table"
    report = sweeper("report", FOLDER)
    assert "report.html" in report
