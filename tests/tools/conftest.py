"""A trained classifier with the predictions of its trial, and the files that it was tested on."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from torch import nn

from sweeper.audio.datasets.base import Clip, Dataset
from sweeper.audio.fold_data import cut
from sweeper.audio.store import prepare
from sweeper.cli import model as model_cli
from sweeper.model.network import Output
from sweeper.plan import build_plan
from sweeper.results import schema
from sweeper.results.rows import prediction_rows
from sweeper.results.store import Study
from sweeper.search_spaces.recipes import quick
from sweeper.training import weights
from sweeper.training.trial import run_trial
from sweeper.training.weights import Classifier
from sweeper.training_config import DistillationConfig
from tests.studies import ARMS, PAPER

FILE_RATE, SECONDS, CLASSES = 22_050, 0.25, ("low", "middle", "high")


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """Here and in processes that are started: networks this small only lose by more, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Trained:
    """A trial: its weights file, its test clips' predictions as a study keeps them, and where each clip lies."""

    weights: Path
    predictions: Path
    trial_id: str
    files: dict[str, Path]


@pytest.fixture(scope="package")
def trained(tmp_path_factory, one_thread) -> Trained:
    """Two epochs on 36 stereo files at another rate than the network's, all shorter than or as long as its clips."""
    folder = tmp_path_factory.mktemp("trained")
    dataset = _dataset(folder / "clips")
    recipe = replace(quick(), seconds=SECONDS)
    training = replace(recipe.training, epochs=2, batch_size=8, distillation=DistillationConfig())
    (spec,) = build_plan(
        study="study",
        source=PAPER,
        arms=[ARMS["full"]],
        recipe=replace(recipe, training=training),
        dataset=dataset.name,
        split="official",
        folds=(1,),
        classes=len(CLASSES),
        replicates=1,
    ).trials
    store = prepare(dataset, recipe.sample_rate, cache=folder / "cache", progress=False)
    sides = cut(store, "official", [1])[1]
    result, fitted = run_trial(spec, sides.train, lambda: sides.scored, device=torch.device("cpu"))
    study = Study(folder / "results" / "study")
    study.create()
    path = study.folder / "weights" / f"{spec.trial_id}.safetensors"
    weights.save(path, fitted, spec, dataset.classes)
    rows = pa.Table.from_pylist(prediction_rows(spec.trial_id, result.predictions), schema=schema.PREDICTION)
    predictions = study.folder / "predictions" / f"{spec.trial_id}.parquet"
    pq.write_table(rows, predictions)
    return Trained(path, predictions, spec.trial_id, {clip.clip_id: clip.path for clip in dataset.clips})


def _dataset(folder: Path) -> Dataset:
    folder.mkdir()
    rng = np.random.default_rng(0)
    clips = []
    for i in range(36):
        target = i % 3
        frames = round(FILE_RATE * (SECONDS if i < 6 else rng.uniform(0.05, SECONDS)))
        tone = np.sin(np.arange(frames) * 2 * np.pi * 300 * 2**target / FILE_RATE)
        path = folder / f"{i:02}.wav"
        soundfile.write(path, rng.uniform(0.05, 0.5) * tone[:, None] + rng.normal(0, 0.02, (frames, 2)), FILE_RATE)
        clips.append(Clip(path.stem, path, target, path.stem, 1 + i % 2))
    clips.sort(key=lambda clip: (clip.fold, clip.clip_id))
    return Dataset("tones", CLASSES, tuple(clips), (1, 2), True, "none", ())


class Recorder(nn.Module):
    """Stands in for a network: remembers what it heard; its two logits are the loudness of a clip's two halves."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.heard: list[torch.Tensor] = []
        self.keep = True

    def forward(self, waveforms):
        if self.keep:
            self.heard.append(waveforms)
        halves = waveforms.abs().unflatten(2, (2, -1)).mean(dim=3).squeeze(1)
        return Output(10 * halves, {}, {})


@pytest.fixture
def recorder() -> Classifier:
    """A classifier of 0.5 s clips at 8 kHz around a `Recorder`."""
    return Classifier(Recorder().eval(), ("front", "back"), 8000, 0.5, "none")


@pytest.fixture
def command(capsys) -> Callable[..., tuple[int, str, str]]:
    """`command("predict", …)`: exit code, what was printed, and what went to stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        parser = argparse.ArgumentParser(prog="sweeper")
        model_cli.add_parsers(parser.add_subparsers(required=True))
        args = parser.parse_args([str(word) for word in words])
        code = args.command(args)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
