"""A small study of the demo data set, as a run leaves it, but with made-up results and an untrained network."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sweeper.audio import datasets
from sweeper.audio.store import prepare
from sweeper.model.build import build
from sweeper.plan import Plan, build_plan, select_arms
from sweeper.results import leaderboard
from sweeper.results.attempts import attempt
from sweeper.results.store import Study
from sweeper.search_spaces.recipes import quick
from sweeper.study_file import load
from sweeper.training import weights
from sweeper.training.fit import Fitted
from tests.results.rows import trial_row
from tests.studies import PAPER

ARMS = ("semantic-only", "garm", "full", "fusion-sum")
FILE = Path(__file__).parents[1] / "study_files" / "mel.py"
EPOCHS = 5  # not the recipe's
GAIN = {"semantic-only": -0.3, "garm": -0.1, "full": 0.0, "fusion-sum": 0.02}


@pytest.fixture(scope="session")
def demo_store(tmp_path_factory):
    """The demo's clips, in a cache that these tests share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWEEPER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield prepare(datasets.load("demo", None), quick().sample_rate, progress=False)


def commit(study: Study, plan: Plan, store, rng) -> None:
    """Rows, curves, predictions and attempts of every trial."""
    test = store.clips.folds == 1
    targets, ids, groups = (column[test] for column in (store.clips.targets, store.clips.ids, store.clips.groups))
    for spec in plan.trials:
        right = rng.random(len(targets)) < 0.8 + GAIN[spec.arm]
        predicted = np.where(right, targets, (targets + rng.integers(1, 10, len(targets))) % 10)
        answers = np.full((len(targets), 10), 0.02)
        answers[np.arange(len(targets)), predicted] = 0.82
        changes = {"trial_id": spec.trial_id, "study": study.name, "data_digest": store.digest, "device": "cpu"}
        changes |= {"dataset": "demo", "synthetic": True, "recipe": "quick", "epochs": EPOCHS, "sample_rate": 8000}
        changes |= {"clip_seconds": 1.0, "train_clips": 480, "test_clips": len(targets), "seconds": 12.5}
        changes |= {"gflops_per_clip": 0.01 + len(spec.arm) / 1000, "parameters": 200_000}
        row = trial_row(spec.arm, 1, spec.replicate, float(right.mean()), **changes)
        curve = [
            {"trial_id": spec.trial_id, "epoch": epoch, "loss": float(2 / (1 + epoch) + rng.uniform(0, 0.1))}
            | {"train_accuracy": 0.5, "learning_rate": 0.1, "seconds": 1.0, "clips_per_second": 100.0}
            for epoch in range(EPOCHS)
        ]
        predictions = [
            {"trial_id": spec.trial_id, "clip_id": str(clip), "group": str(group), "target": int(target)}
            | {"probabilities": answer.tolist(), "probabilities_ema": answer.tolist()}
            for clip, group, target, answer in zip(ids, groups, targets, answers, strict=True)
        ]
        with attempt(study, spec.trial_id, device="cpu", cpus=1.0, gpus=0.0):
            study.commit(row, curve, predictions)


@pytest.fixture(scope="session")
def study(tmp_path_factory, demo_store):
    """4 arms × fold 1 × 3 seeds; weights of one trial of the full network."""
    folder = tmp_path_factory.mktemp("results") / "ablations-demo-quick"
    study = Study(folder)
    study.create()
    recipe = quick()
    recipe = replace(recipe, training=replace(recipe.training, epochs=EPOCHS))
    plan = build_plan(
        study=study.name,
        source=PAPER,
        arms=select_arms(PAPER.study, names=ARMS),
        recipe=recipe,
        dataset="demo",
        split="official",
        folds=(1,),
        classes=10,
        replicates=3,
    )
    shared = {"data_digest": demo_store.digest, "synthetic": True, "classes": list(demo_store.dataset.classes)}
    study.write_plan(plan.describe() | shared | {"notes": list(demo_store.notes), "skipped": [], "software": {}})
    commit(study, plan, demo_store, np.random.default_rng(0))
    spec = next(trial for trial in plan.trials if trial.arm == "full")
    network = build(replace(spec.model, branch_heads=False), seed=0)
    path = study.folder / "weights" / f"{spec.trial_id}.safetensors"
    weights.save(path, Fitted(network, network, (), 0.0), spec, demo_store.dataset.classes)
    return study


@pytest.fixture(scope="session")
def board(study):
    return leaderboard.derive(study)


@pytest.fixture
def own(spoiled, demo_store):
    """`spoiled`, with weights of a network that a file of the user's defines."""
    source = load(FILE)
    row = next(row for row in spoiled.trials().to_pylist() if row["arm"] == "full" and row["replicate"] == 0)
    plan = build_plan(
        study="barks",
        source=source,
        arms=source.study.arms[:1],
        recipe=source.study.recipes[0],
        dataset="demo",
        split="official",
        folds=(1,),
        classes=10,
        replicates=1,
    )
    vars(spec := plan.trials[0])["trial_id"] = row["trial_id"]  # as if this network had been trained there
    network = build(spec.model, seed=0)
    (spoiled.folder / "weights").mkdir()
    path = spoiled.folder / "weights" / f"{row['trial_id']}.safetensors"
    weights.save(path, Fitted(network, network, (), 0.0), spec, demo_store.dataset.classes, file=FILE.name)
    return spoiled


@pytest.fixture
def spoiled(study, tmp_path):
    """A copy of the study without its plan's last trial's row, its curves, predictions and weights."""
    copy = tmp_path / study.name
    (copy / "trials").mkdir(parents=True)
    plan = json.loads((study.folder / "plan.json").read_text())
    for trial in plan["trials"][:-1]:
        name = f"trials/{trial['trial_id']}.parquet"
        (copy / name).write_bytes((study.folder / name).read_bytes())
    (copy / "plan.json").write_text(json.dumps(plan))
    return Study(copy)
