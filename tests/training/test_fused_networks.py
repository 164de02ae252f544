"""Networks that know nothing of it train as one program, or it is said why they can not."""

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sweeper.model.rivals import TIMNetConfig
from sweeper.study import Network
from sweeper.study_file import load
from sweeper.training.fused_check import Choice, choose
from sweeper.training.fused_draws import CannotFuse
from tests.networks import BODIES, Branched, Faulty, Tiny
from tests.training import golden
from tests.training.conftest import CLASSES, RATE
from tests.training.fusing import CPU, alone, assert_same, together, trials

CLIP = {"classes": CLASSES, "sample_rate": RATE, "samples": 2000}
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:There is a performance drop"),  # pytest drops the module's own filter
]


@dataclass(frozen=True, kw_only=True)
class Drawing(Network):
    """A network that draws in a way of its own."""

    way: str

    def build(self):
        return Draws(self)


class Draws(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.way = config.way
        self.frames = nn.Conv1d(1, 8, 100, stride=100)
        self.dropout = nn.Dropout1d(0.3)
        self.recurrent = nn.GRU(8, 8, 2, dropout=0.3, batch_first=True)
        self.head = nn.Linear(8, config.classes)

    def forward(self, waveform):
        x = self.frames(waveform)
        if self.training:
            match self.way:
                case "module":
                    x = self.dropout(x)
                case "function":
                    x = F.dropout(x.transpose(1, 2), 0.3).transpose(1, 2)
                case "noise":
                    x = x + 0.1 * torch.randn_like(x)
                case "factors":
                    x = x * torch.rand(x.shape[0], 1, 1)
                case "recurrent":
                    x = self.recurrent(x.transpose(1, 2))[0].transpose(1, 2)
                case "attention":
                    x = F.scaled_dot_product_attention(x, x, x, dropout_p=0.3)
                case "order":
                    x = x[torch.randperm(len(x))]
                case "numpy":
                    x = x * (1 + np.random.rand())
                case "rarely":
                    x = x * (1 + (np.random.rand() < 1e-9))
        if self.way == "branch" and x.mean() > 0:
            x = -x
        return self.head(x.relu().mean(2))


FUSED = {
    **{body: Tiny(body=body, **CLIP) for body in BODIES},
    **{way: Drawing(way=way, **CLIP) for way in ("module", "function", "noise", "factors", "recurrent", "attention")},
    "own loss": Branched(own_loss=True, **CLIP),
    "branches": Branched(**CLIP),
    "unused": Faulty(fault="unused", **CLIP),
    "TIM-Net": TIMNetConfig(coefficients=13, width=8, dilations=3).filled(CLASSES, RATE, 2000),
}
NOT_FUSED = {
    "plain-batch-norm": (FUSED.pop("plain-batch-norm"), "vmap: It looks like you're calling .item()"),
    "spectral-norm": (FUSED.pop("spectral-norm"), "Batching rule not implemented"),
    "embedding": (FUSED.pop("embedding"), "its gradient of body.embedding.weight is another one"),
    "moving": (FUSED.pop("moving"), "its loss is another one .*draw other than by torch"),
    "numpy": (Drawing(way="numpy", **CLIP), "its loss is another one .*draw other than by torch"),
    "rarely": (Drawing(way="rarely", **CLIP), "it draws numbers by Python's random or by NumPy"),
    "order": (Drawing(way="order", **CLIP), "it draws by aten.randperm"),
    "branch": (Drawing(way="branch", **CLIP), "data-dependent control flow"),
    "late buffer": (Faulty(fault="late buffer", **CLIP), "its buffer late is another one"),
}


@pytest.mark.parametrize("kind", FUSED)
def test_so_does_a_network_that_knows_nothing_of_it(kind):
    specs = trials(network=FUSED[kind])
    assert_same(alone(specs), together(specs))


@pytest.mark.parametrize("kind", NOT_FUSED)
def test_a_network_that_can_not_be_fused_is_told_why(kind):
    network, reason = NOT_FUSED[kind]
    specs = trials(network=network)
    with pytest.raises(CannotFuse, match=reason) as told:
        together(specs)
    assert "\n" not in told.value.reason
    assert len(told.value.reason) < 250
    assert pickle.loads(pickle.dumps(told.value)).reason == told.value.reason
    assert choose(specs, [golden.clips()], CPU) == Choice(False, told.value.reason)


@pytest.mark.parametrize("name", ["fraction", "mel", "transformer"])
def test_the_network_of_a_study_file_is_fused_as_it_is(name):
    study = load(Path(__file__).parents[1] / "study_files" / f"{name}.py").study
    specs = trials(network=study.network.filled(CLASSES, RATE, 2000))
    assert_same(alone(specs), together(specs))
