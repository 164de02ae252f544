"""Weights of a study's own network: they name the code that they need, and run none that isn't given."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from sweeper.plan import build_plan
from sweeper.search_spaces.recipes import quick
from sweeper.study import Network
from sweeper.tools.export import ExportError, export
from sweeper.tools.own_code import own_code
from sweeper.tools.predict import predict
from sweeper.training import weights
from sweeper.training.fit import fit
from sweeper.training.weights import Needs, WeightsError
from tests.networks import Tiny
from tests.studies import ARMS, PAPER
from tests.training.conftest import make_clips

ROOT = Path(__file__).parents[2]
CLASSES = ("low", "middle", "high")
CLIP = {"classes": 3, "sample_rate": 8000, "samples": 2000}


@dataclass(frozen=True, kw_only=True)
class Wide(Network):
    """Its field holds tuples of tuples; its `load` needs a file that is gone by the time that weights are read."""

    layers: tuple[tuple[int, str], ...] = ((8, "relu"), (4, "tanh"))

    def build(self):
        parts = [nn.Flatten(), nn.AvgPool1d(100)]
        width = self.samples // 100
        for size, function in self.layers:
            parts += [nn.Linear(width, size), {"relu": nn.ReLU, "tanh": nn.Tanh}[function]()]
            width = size
        return nn.Sequential(*parts, nn.Linear(width, self.classes))

    def load(self, module):
        if not Wide.file_is_there:
            raise FileNotFoundError("weights.bin")

    file_is_there = True


@pytest.fixture
def file(tmp_path):
    """Saves the weights of a network that was trained for an epoch."""
    (spec,) = build_plan(
        study="barks",
        source=PAPER,
        arms=[ARMS["full"]],
        recipe=replace(quick(), seconds=0.25),
        dataset="tones",
        split="official",
        folds=(1,),
        classes=3,
        replicates=1,
    ).trials

    def save(network):
        spec_of = replace(spec, model=network, training=replace(spec.training, epochs=1, batch_size=8))
        fitted = fit(spec_of, [make_clips(16)], device=torch.device("cpu"))
        path = tmp_path / "weights.safetensors"
        weights.save(path, fitted, spec_of, CLASSES, file="bark.py")
        return path, fitted

    return save


def test_without_the_code_nothing_is_run_and_the_file_is_named(file):
    path, _ = file(Wide(**CLIP))
    with pytest.raises(WeightsError) as raised:
        weights.load(path)
    message = str(raised.value)
    assert message.startswith(f"{path} holds weights of Wide, which is not ours: pass the file of study barks")
    assert "bark.py" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("averaged", [False, True])
def test_with_the_code_the_classifier_answers_as_it_was_trained(file, averaged, monkeypatch, tmp_path):
    network = Wide(layers=((6, "tanh"),), **CLIP)
    path, fitted = file(network)
    monkeypatch.setattr(Wide, "file_is_there", False)  # pre-trained values are not needed again
    asked = []

    def code(needs):
        asked.append(needs)
        return Wide

    classifier = weights.load(path, averaged, code)
    assert asked == [Needs("Wide", "", "bark.py", "barks")]
    clips = torch.rand(3, 1, 2000) - 0.5
    trained = (fitted.averaged if averaged else fitted.network).eval()
    assert torch.equal(classifier.network(clips), trained(clips))

    soundfile.write(tmp_path / "bark.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 3000), 8000)
    prediction = predict(classifier, tmp_path / "bark.wav")
    assert prediction.probabilities.shape == (3,)
    assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-6)
    assert export(classifier, tmp_path / "bark.pt2") < 1e-4


def test_code_that_does_not_fit_is_told(file):
    path, _ = file(Wide(**CLIP))
    with pytest.raises(WeightsError, match=r"does not fit Tiny as it is here \(.*unexpected keyword argument 'layers'"):
        weights.load(path, code=lambda _needs: Tiny)

    @dataclass(frozen=True, kw_only=True)
    class Other(Wide):
        def build(self):
            return nn.Sequential(nn.Flatten(), nn.Linear(2000, 3))

    with pytest.raises(WeightsError, match=r"does not fit Other as it is here .*size mismatch|Unexpected key"):
        weights.load(path, code=lambda _needs: Other)


def test_a_network_that_cannot_be_traced_is_told(file, tmp_path):
    class Chooses(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(2000, 3)

        def forward(self, waveform):
            return self.head(waveform.flatten(1)) * (2 if waveform.mean() > 0 else 1)

    path, _ = file(Wide(**CLIP))
    classifier = replace(weights.load(path, code=lambda _needs: Wide), network=Chooses().eval())
    with pytest.raises(ExportError, match=r"torch\.export can't follow the network: ") as raised:
        export(classifier, tmp_path / "bark.pt2")
    assert len(str(raised.value).splitlines()) == 1
    assert not (tmp_path / "bark.pt2").exists()


def test_code_that_the_study_kept_is_taken_though_it_has_another_digest_today(tmp_path, capsys):
    """An earlier version gave some files other digests than this one does."""
    needs = Needs("MelNet", "0123456789abcdef", "mel.py", "barks")
    kept, other = (tmp_path / "code" / name / "mel.py" for name in (needs.digest, "elsewhere"))
    for place in (kept, other):
        place.parent.mkdir(parents=True)
        place.write_bytes((ROOT / "tests/study_files/mel.py").read_bytes())
    with pytest.raises(WeightsError, match=f"holds other code .* code/{needs.digest}"):
        own_code(other)(needs)
    assert own_code(kept)(needs).__name__ == "MelNet"
    assert "as the name of its folder says" in capsys.readouterr().err
