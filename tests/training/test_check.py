"""What a second of two clips tells before a sweep of hours."""

from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

import pytest
import torch
from torch import nn

from sweeper.model.config import SIZES
from sweeper.model.pairing import NetworkError
from sweeper.study import Network
from sweeper.training.check import check_network, same_step
from sweeper.training_config import DistillationConfig, TrainingConfig
from tests.networks import BODIES, WIDTH, Branched, Faulty, Framed, Tiny

CLIP = {"classes": 3, "sample_rate": 8000, "samples": 2000}
PLAIN = TrainingConfig(distillation=None)


@pytest.mark.parametrize("body", BODIES)
def test_every_kind_of_module_passes(body):
    notes = check_network(Tiny(body=body, **CLIP), PLAIN)
    assert [note for note in notes if "operations are not counted" not in note] == []
    assert bool(notes) == (body == "orthogonal")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("numpy values", "Wrong: scale is random, but not drawn by torch"),
        ("system values", "scale has other initial values each time, from the same seed"),
        ("unregistered", "keeps values that are neither parameters nor buffers; use register_buffer"),
        ("not persistent", "answers differently in evaluation when its weights were written and read back"),
        ("counter", "when its weights were written and read back"),
        ("late buffer", 'weights can\'t be written and read back: RuntimeError: .* Unexpected key.*: "late"'),
        ("all frozen", "has no parameter that is trained"),
        ("view", "can't be copied, as the moving average of its weights needs"),
        ("lock", "can't be copied, .* no lock and no open file"),
        ("whole numbers", "order holds whole numbers, which can't learn; keep it by register_buffer"),
        (
            "shared statistics",
            "norm.running_mean, .* is the same tensor each time that it is built, and changes in training",
        ),
        ("shape", r"in training, given \[2, 1, 2000\], returned logits of shape \[2\]; expected \[2, 3\]"),
        ("squeeze", r"given \[1, 1, 2000\], returned logits of shape \[3\]; expected \[1, 3\]; a squeeze\(\)"),
        ("tuple", r"returned a tuple; expected logits \[2, 3\], or an Output"),
        ("not finite", "returned logits that are not finite"),
        ("gradient", "the gradient of frames.weight, frames.bias is not finite"),
        ("random evaluation", "answers the same clips differently each time in evaluation"),
        ("branches", r"compares features\['fused'\] with the features of low, in one shape; there are none"),
        ("raises", r"fails: RuntimeError: shape '\[7, 13\]' is invalid for input of size 16 \(networks.py:\d+\)"),
        ("scalar loss", r"loss fails: ValueError: loss\(\) returned the shape \[\]; expected \[2\], one per clip"),
    ],
)
def test_a_fault_is_told_in_one_line(fault, message):
    torch.manual_seed(1)  # with one seed in 200, so few numbers meet the same mask twice
    with pytest.raises(NetworkError, match=message) as raised:
        check_network(Faulty(fault=fault, **CLIP), TrainingConfig())
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("fault", "note"),
    [
        ("unused", "unused.weight, unused.bias had no gradient"),
        ("batch", "in evaluation, a clip's answer depends on the clips beside it"),
    ],
)
def test_what_is_odd_and_possible_is_noted(fault, note):
    assert any(note in found for found in check_network(Faulty(fault=fault, **CLIP), PLAIN))


def test_what_never_changes_may_be_made_once_for_all():
    assert check_network(Faulty(fault="shared and frozen", **CLIP), PLAIN) == ()


def test_several_workers_ask_for_more():
    with pytest.raises(NetworkError, match="norm is a Own: several workers"):
        check_network(Faulty(fault="own norm", **CLIP), PLAIN, workers=2)
    mixes = "the number of workers changes results"
    assert any(mixes in note for note in check_network(Faulty(fault="batch", **CLIP), PLAIN, workers=2))
    for body in ("batch-norm", "instance-norm", "spectral-norm"):
        assert check_network(Tiny(body=body, **CLIP), PLAIN, workers=2) == ()


def test_what_of_the_recipe_has_no_effect_is_noted():
    assert check_network(Branched(**CLIP), TrainingConfig()) == ()
    (note,) = check_network(Branched(own_loss=True, **CLIP), TrainingConfig())
    assert note == "Branched: label smoothing has no effect, as the network has a loss of its own"
    assert check_network(Branched(own_loss=True, **CLIP), TrainingConfig(label_smoothing=0.0)) == ()
    (note,) = check_network(Tiny(**CLIP), TrainingConfig())
    assert note == "Tiny: self-distillation is left out, as the network returns no branch_logits"
    no_hint = TrainingConfig(distillation=DistillationConfig(hint=0.0))
    assert [n for n in check_network(Faulty(fault="branches", **CLIP), no_hint) if "distill" in n] == []


class Kind(IntEnum):
    A = 1


@dataclass(frozen=True, kw_only=True)
class Listed(Network):
    widths: object = (8, 8)

    def build(self):
        return Framed(Tiny(classes=self.classes))


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ([8, 8], r"Listed.widths is \[8, 8\]: expected a number, a text, a flag, None or a tuple of these"),
        (frozenset({8}), r"Listed.widths is frozenset\(\{8\}\): expected a number"),
        (float("nan"), "Listed.widths is nan: expected a number"),
        (range(3), r"Listed.widths is range\(0, 3\): expected a number"),
        (Kind.A, "Listed.widths is <Kind.A: 1>: expected a number"),
        (Path("x"), r"Listed.widths is PosixPath\('x'\): expected a number"),
    ],
)
def test_fields_must_survive_json(widths, message):
    with pytest.raises(NetworkError, match=message):
        check_network(Listed(widths=widths, **CLIP), PLAIN)
    assert check_network(Listed(widths=((8, None), "a", 2.5, True), **CLIP), PLAIN) == ()


@dataclass(frozen=True, kw_only=True)
class Odd(Network):
    """Fields that do nothing, something, or something to the gradient alone."""

    nothing: int = 0
    stopped: bool = False
    frozen: bool = False
    scale: float = 1.0
    softmax: bool = False

    def build(self):
        return Switched(self)


class Switched(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.frames = nn.Conv1d(1, 4, 100, stride=100).requires_grad_(not config.frozen)
        self.head = nn.Linear(4, config.classes)

    def forward(self, waveform):
        x = self.frames(waveform).mean(2) * self.config.scale
        x = self.head(x.detach() if self.config.stopped else x)
        return x.softmax(1) if self.config.softmax else x


@pytest.mark.parametrize(
    ("switch", "same"),
    [({"nothing": 1}, True), ({"stopped": True}, False), ({"frozen": True}, False), ({"scale": 2.0}, False)],
)
def test_a_field_that_does_nothing_is_seen(switch, same):
    assert same_step(Odd(**switch, **CLIP), Odd(**CLIP), PLAIN) == same


def test_probabilities_in_the_place_of_logits_are_noted():
    (note,) = check_network(Odd(softmax=True, **CLIP), PLAIN)
    assert note == "Odd seems to return probabilities; expected logits, without the softmax at the end"
    assert check_network(Odd(**CLIP), PLAIN) == ()


def test_a_network_that_ends_the_process_is_told():
    @dataclass(frozen=True, kw_only=True)
    class Ends(Network):
        def build(self):
            raise SystemExit(3)

    with pytest.raises(NetworkError, match="Ends can't be built: SystemExit: 3"):
        check_network(Ends(**CLIP), PLAIN)


def test_clips_that_no_memory_holds_are_told():
    with pytest.raises(NetworkError, match=r"2 clips of .* samples don't fit into memory"):
        check_network(replace(Odd(**CLIP), samples=10**13), PLAIN)


def test_clips_that_are_too_short_are_told():
    with pytest.raises(
        NetworkError, match=r"Framed, in training, given \[2, 1, 99\], fails: RuntimeError: .*Kernel size"
    ):
        check_network(replace(Tiny(**CLIP), samples=99), PLAIN)


def test_sparse_gradients_are_refused(monkeypatch):
    class Sparse(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(8, WIDTH, sparse=True)

        def forward(self, x):
            return self.embedding((x[..., 0] * 4).long().clamp(0, 7)) + x

    monkeypatch.setitem(BODIES, "sparse", Sparse)
    with pytest.raises(NetworkError, match=r"gradient of body\.embedding.weight is sparse"):
        check_network(Tiny(body="sparse", **CLIP), PLAIN)


def test_the_networks_that_come_with_the_package_are_not_built(monkeypatch):
    monkeypatch.setattr("sweeper.training.check.build", None)
    assert check_network(SIZES["paper"], TrainingConfig()) == ()


def test_generators_stay_as_they_are():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    check_network(Tiny(body="tokens", **CLIP), PLAIN)
    assert torch.equal(torch.rand(4), expected)
