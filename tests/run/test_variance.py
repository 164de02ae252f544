"""`run variance`: what it plans, what of a trial each seed decides, and what tables and reports say of it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sweeper.cli.main import main
from sweeper.plan import PlanError
from sweeper.report.compare import compare
from sweeper.report.formats import FORMATS
from sweeper.report.page import write_page
from sweeper.report.rerun import rerun_command
from sweeper.results import leaderboard
from sweeper.results.plans import parse_plan, plan_bytes
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.results.variance import SOURCES, advice, variance_rows
from sweeper.run.options import VarianceOptions
from sweeper.run.variance import crossed, run_variance
from sweeper.tools.status import describe, status
from tests.results.rows import trial_row
from tests.run.test_describe import plan_of

PLANNED = plan_of("variance", ("full",), folds=(1, 2, 3), seeds=1)
PLAN = crossed(PLANNED, 2)


def test_every_seed_of_a_source_meets_every_seed_of_the_others():
    assert len(PLAN.trials) == 3 * 2**3 == len({spec.trial_id for spec in PLAN.trials})
    first = PLAN.trials[:8]
    assert {spec.kind for spec in first} == {"variance"} and [spec.replicate for spec in first][2:6] == [
        10,
        11,
        100,
        101,
    ]
    assert len({spec.seeds for spec in first}) == 8 and len({spec.seed for spec in first}) == 8
    for source in SOURCES:
        assert len({spec.seed_of(source) for spec in first}) == 2


def test_a_trial_without_seeds_of_its_own_is_todays():
    (spec,) = plan_of("s", ("full",), seeds=1).trials
    assert all(spec.seed_of(source) == spec.seed for source in SOURCES)
    same = replace(spec, seeds=tuple((source, spec.seed) for source in SOURCES))
    other = replace(spec, seeds=(("order", 1),))
    assert same.trial_id == spec.trial_id != other.trial_id


def test_further_seeds_keep_the_trials_that_there_are():
    more = {spec.trial_id: spec for spec in crossed(PLANNED, 3).trials}
    assert all(more[spec.trial_id].replicate == spec.replicate for spec in PLAN.trials)


def finished(folder, folds=3, spread=None, missing=()):
    """A study with made-up scores, in which a source moves them by so much."""
    study = Study(folder / "variance")
    study.create()
    plan = PLAN.describe() | {"data_digest": "x", "variance": {"seeds": 2}, "synthetic": True, "all_folds": [1, 2, 3]}
    study.write_plan(plan)
    spread, rng = {"order": 0.1} if spread is None else spread, np.random.default_rng(0)
    for number, spec in enumerate(PLAN.trials[: 8 * folds]):
        noise = 0.005 * rng.normal()
        moved = sum(
            size * np.random.default_rng([spec.seed_of(source), spec.data.fold]).normal()
            for source, size in spread.items()
            if source in SOURCES
        )
        moved += spread.get("fold", 0.0) * np.random.default_rng(spec.data.fold).normal()
        row = trial_row("full", spec.data.fold, spec.replicate, float(np.clip(0.5 + moved + noise, 0, 1)))
        row |= {"trial_id": spec.trial_id, "kind": "variance", "data_digest": "x", "test_clips": 1000}
        if number not in missing:
            study.commit(row, [], [])
    return study


def test_the_table_the_answer_and_the_page_say_where_it_comes_from(tmp_path, capsys):
    study = finished(tmp_path)
    board = leaderboard.derive(study)
    told = {row["source"]: row for row in board.variance}
    assert list(told) == ["fold", "initialisation", "batch order", "augmentation", "what is left"]
    assert [name for name, row in told.items() if row["significant"]] == ["batch order"]
    printed = " ".join(FORMATS["table"](board).split())
    assert "2 seeds of each source" in printed and "Where the variance of a score comes from" in printed
    assert "this can be told from noise: batch order" in printed and board.problems == ()
    assert (study.folder / "variance.parquet").exists()
    described = json.loads(FORMATS["json"](board))
    assert [row["source"] for row in described["variance"]] == list(told) and described["searches"] == []
    assert main(["leaderboard", str(study.folder), "--format", "csv"]) == 0
    assert "compares no arms: what it found is in its variance.parquet" in capsys.readouterr().err
    page = (write_page(study, tmp_path / "page.html"), (tmp_path / "page.html").read_text("utf-8"))[1]
    assert (
        "Where the variance of a score comes from" in page and "Where does the variance of a score come from?" in page
    )
    assert describe(status(study))[0].startswith("24 of 24 trials finished")
    assert "Arms" in compare(study, study)
    command = rerun_command(study.read_plan())
    assert "run variance --dataset demo" in command and "--seeds 2" in command and "--folds 1,2,3" in command


def test_only_whole_folds_count_and_holes_are_told(tmp_path):
    study = finished(tmp_path, missing=(20,))
    board = leaderboard.derive(study)
    assert {row["folds"] for row in board.variance} == {2}
    assert any("missing: 1 of 24" in str(problem) for problem in board.problems)


def test_no_whole_fold_tells_nothing(tmp_path):
    board = leaderboard.derive(finished(tmp_path, folds=1, missing=(3,)))
    assert board.variance == () and "nothing is known" in FORMATS["markdown"](board)


def test_noise_alone_gets_no_advice(tmp_path):
    board = leaderboard.derive(finished(tmp_path, spread={}))
    (sentence,) = advice(list(board.variance))
    assert sentence.startswith("No source stands out")


def test_advice_follows_what_is_sure():
    row = {"p": 0.001, "significant": True, "df": 9, "folds": 10, "seeds": 2, "sd": 0.1, "sd_low": 0.1, "sd_high": 0.2}
    rest = row | {"source": "what is left", "share": 0.1, "share_low": 0.05, "share_high": 0.2, "significant": None}
    fold = row | {"source": "fold", "share": 0.9, "share_low": 0.8, "share_high": 0.95}
    assert "add folds, not seeds" in advice([fold, rest])[1]
    order = row | {"source": "batch order", "share": 0.9, "share_low": 0.8, "share_high": 0.95}
    said = advice([fold | {"share": 0.0, "share_low": 0.0, "share_high": 0.1, "significant": False}, order, rest])
    assert "add seeds" in said[1] and said[-1].startswith("Most is batch order")
    unsure = advice([fold | {"share_low": 0.3}, rest])
    assert len(unsure) == 2 and "can't be told yet" in unsure[1]


def test_a_plan_whose_trials_lack_seeds_is_refused():
    plan = PLAN.describe()
    del plan["trials"][3]["seeds"]["order"]
    with pytest.raises(StudyError, match="lacks the seed of a source"):
        parse_plan(plan_bytes(plan), "plan.json")
    assert variance_rows(None, {"trials": []}) == []


def test_a_dry_run_says_how_many_trials(tmp_path):
    said = []
    run_variance(VarianceOptions(results=str(tmp_path), dry_run=True, epochs=1), said.append)
    assert "full, 3 folds × 2 of initialisation × 2 of order × 2 of augmentation = 24 trials" in said[0]
    with pytest.raises(PlanError, match="--seeds 1: of each source"):
        run_variance(VarianceOptions(results=str(tmp_path), seeds=1), said.append)
    assert not list(tmp_path.iterdir())
