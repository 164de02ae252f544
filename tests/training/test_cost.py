"""Counted operations, against counting by hand."""

import subprocess
import sys
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn
from torch.nn.attention.flex_attention import flex_attention

from sweeper.model.build import build
from sweeper.model.config import SIZES
from sweeper.plan import variant
from sweeper.training import cost, operations
from sweeper.training.cost import (
    _CountedRNN,
    count_operations,
    count_parameters,
    gflops_per_clip,
    training_seconds_per_clip,
)
from tests.networks import BODIES, WIDTH, Faulty, Tiny
from tests.studies import ARMS, PAPER, RECIPES


def test_an_lstms_products_are_counted():
    """Against torch's counter on the real LSTM, unrolled over time on the meta device."""
    from torch.utils.flop_counter import FlopCounterMode

    counts = []
    with torch.device("meta"):
        lstm = nn.LSTM(6, 4, batch_first=True, bidirectional=True)
        for module in (lstm, _CountedRNN(lstm)):
            with FlopCounterMode(display=False) as counter:
                output, _ = module(torch.empty(2, 10, 6))
            assert output.shape == (2, 10, 8)
            counts.append(counter.get_total_flops())
    by_hand = 2 * 10 * 2 * (2 * 6 * 16 + 2 * 4 * 16)  # batch, time, directions, multiply-adds of both products
    assert counts == [by_hand, by_hand]


def test_the_papers_size_costs_what_the_design_expects():
    assert gflops_per_clip(SIZES["paper"], 88_200) == pytest.approx(94.9, rel=0.01)


def test_an_arm_with_fewer_modules_costs_less():
    full, none = (replace(SIZES["tiny"], **ARMS[name].network) for name in ("full", "dual-branch"))
    assert gflops_per_clip(none, 8000) < gflops_per_clip(full, 8000)
    assert count_parameters(build(none, 0)) < count_parameters(build(full, 0))


@pytest.fixture
def three_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(threads)


def test_speed_is_measured_and_threads_are_put_back(three_threads):
    seconds = training_seconds_per_clip(SIZES["tiny"], 8000)
    assert 3 * gflops_per_clip(SIZES["tiny"], 8000) / seconds > 0.1  # GFLOP/s
    assert torch.get_num_threads() == 3


def test_what_is_counted_computes_on_one_thread(three_threads):
    """Several would wait for each other at every operation, while Ray starts on all cores."""
    asked = []

    class Asking(nn.Module):
        def forward(self, x):
            asked.append(torch.get_num_threads())
            return x

    @dataclass(frozen=True)
    class Network(Tiny):
        def build(self):
            return Asking()

    assert count_operations(Network(**CLIP), CLIP["samples"]).gflops == 0
    assert set(asked) == {1}
    assert torch.get_num_threads() == 3


CLIP = {"classes": 3, "sample_rate": 8000, "samples": 2000}
# Frames: 20 of 8 · 100 products; head: 8 · 3.
AROUND = 2 * (20 * 8 * 100 + 8 * 3)


@pytest.mark.parametrize(
    ("body", "by_hand"),
    [
        ("linear", 20 * 2 * 64),
        ("gru", 20 * 2 * (3 * 64 + 3 * 64)),
        # Two layers and directions of 4: the first one reads 8, the second 2 · 4.
        ("lstm", 20 * 2 * 2 * (16 * 8 + 16 * 4) * 2),
        ("group-norm", 0),
        ("embedding", 0),
        ("weight-norm", 20 * 2 * 64),
        # The weight's largest singular value: one product with the matrix, one of vectors.
        ("spectral-norm", 20 * 2 * 64 + 2 * 64 + 2 * 8),
        # Two layers on 20 steps: four projections, scores and their sum, and a feedforward of 16.
        ("transformer", 2 * 2 * (20 * 4 * 64 + 2 * 20 * 20 * 8 + 20 * 2 * 8 * 16)),
        ("tied", 3 * 20 * 2 * 64),
        # 160 values make 6 windows of 64, each 2.5 · 64 · 6; 33 frequencies into 8 bands.
        ("spectrogram", 6 * (2.5 * 64 * 6) + 2 * 6 * 33 * 8),
    ],
)
def test_any_networks_operations_are_those_counted_by_hand(body, by_hand):
    assert count_operations(Tiny(body=body, **CLIP), 2000) == (pytest.approx((AROUND + by_hand) / 1e9, rel=1e-9), "")


class Product(nn.Module):
    """Multiplies by a parameter in one of several ways; looks at its input where the meta device has none."""

    def __init__(self, way, looks):
        super().__init__()
        self.way, self.looks = way, looks
        self.weight = nn.Parameter(torch.randn(WIDTH, WIDTH))
        self.lstm = nn.LSTM(WIDTH, WIDTH, 2, batch_first=True, bidirectional=True)

    def forward(self, x):
        if self.looks and float(x.mean()) > 9:
            return x
        match self.way:
            case "lstm":
                return self.lstm(x)[0][..., :WIDTH]
            case "complex":
                return (x.to(torch.cfloat) @ self.weight.to(torch.cfloat)).real
            case "bilinear":
                return nn.functional.bilinear(x, x, self.weight.expand(WIDTH, -1, -1))
            case "distance":
                return torch.cdist(x, self.weight.expand(len(x), -1, -1))
            case "numpy":
                return torch.from_numpy(x.detach().numpy() @ self.weight.detach().numpy())
            case "attention":
                return nn.functional.scaled_dot_product_attention(x, x, x)
            case "cond":
                return torch.cond(
                    x.mean() > 0, lambda x: x @ self.weight, lambda x: x @ self.weight @ self.weight, (x,)
                )
            case "flex":
                return flex_attention(*[nn.functional.pad(x, (0, 8)).unsqueeze(1)] * 3)[:, 0, :, :WIDTH]


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize(
    ("way", "counted"),
    [
        ("lstm", 20 * 2 * 2 * (32 * 8 + 32 * 8) + 20 * 2 * 2 * (32 * 16 + 32 * 8)),
        ("attention", 2 * 2 * 20 * 20 * 8),
        ("cond", 2 * 20 * 2 * 64),  # the costlier branch
        ("flex", "there is no formula for flex_attention"),
        ("complex", "there is no formula for aten.bmm of complex numbers"),
        ("bilinear", "there is no formula for aten._trilinear"),
        ("distance", "there is no formula for aten._cdist_forward"),
        ("numpy", "there is no formula for what NumPy computes"),
    ],
)
def test_what_cannot_be_counted_has_no_count(way, counted, looks, monkeypatch):
    """On the meta device, and on the CPU for a network that looks at values."""
    monkeypatch.setitem(BODIES, f"{way} {looks}", lambda: Product(way, looks))
    gflops, note = count_operations(Tiny(body=f"{way} {looks}", **CLIP), 2000)
    if isinstance(counted, str):
        assert (gflops, note) == (None, counted)
    else:
        assert gflops == pytest.approx((AROUND + counted) / 1e9, rel=1e-9)


def test_the_papers_arms_cost_the_same_on_the_cpu_and_on_the_meta_device(monkeypatch):
    networks = [variant(PAPER.study, arm, RECIPES["quick"](), 10).network for arm in ARMS.values()]
    there = [count_operations.__wrapped__(network, 8000).gflops for network in networks]
    monkeypatch.setattr(cost, "LIGHT_GFLOP", 0.0)
    assert [count_operations.__wrapped__(network, 8000).gflops for network in networks] == there
    assert len(set(there)) > 8


def test_counting_leaves_random_numbers_as_they_were():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    for body in ("moving", "applied"):
        count_operations.__wrapped__(Tiny(body=body, **CLIP), 2000)
    assert torch.equal(torch.get_rng_state(), before)


def test_neither_counting_nor_training_imports_torchs_compiler():
    """It takes 0.8 s of each process, and nobody compiles anything here."""
    code = """
import sys, torch
from sweeper.tools.profile import _estimated_memory, _noise_clips
from sweeper.training.cost import count_operations
from sweeper.training.fit import fit
from dataclasses import replace
from sweeper.plan import build_plan
from tests.studies import ARMS, PAPER, RECIPES
recipe = RECIPES["quick"]()
recipe = replace(recipe, training=replace(recipe.training, epochs=1))
plan = dict(study="s", source=PAPER, dataset="demo", split="official", folds=(1,), classes=10, replicates=1)
(spec,) = build_plan(arms=[ARMS["full"]], recipe=recipe, **plan).trials
count_operations(spec.model, spec.data.length)
_estimated_memory(spec)
fit(spec, [_noise_clips(spec, 32)], device=torch.device("cpu"))
print([name for name in ("torch._dynamo", "sympy", "triton") if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_networks_of_others_are_checked_counted_trained_and_fused_without_it():
    code = """
import sys, torch
from sweeper.tools.profile import _estimated_memory
from sweeper.training.check import check_network
from tests.networks import Tiny
from tests.training.fusing import alone, together, trials
for body in ("batch-norm", "transformer"):
    network = Tiny(body=body, classes=4, sample_rate=8000, samples=2000)
    specs = trials(network=network)
    check_network(network, specs[0].training)
    _estimated_memory(specs[0])
    alone(specs)
    together(specs)
print([name for name in ("torch._dynamo", "sympy", "triton") if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_convolution_counts_as_by_torchs_counter(transposed, groups):
    from torch.utils.flop_counter import FlopCounterMode

    kind = nn.ConvTranspose1d if transposed else nn.Conv1d
    layer, clips = kind(4, 6, 5, stride=3, groups=groups), torch.rand(2, 4, 50)
    with operations.Counter() as ours:
        layer(clips)
    with FlopCounterMode(display=False) as theirs:
        layer(clips)
    assert ours.operations == theirs.get_total_flops() > 0


@pytest.mark.parametrize("body", BODIES)
def test_another_network_costs_the_same_counted_on_noise_and_without_values(body, monkeypatch):
    network = Tiny(body=body, **CLIP)
    counted = count_operations.__wrapped__(network, network.samples)
    monkeypatch.setattr(cost, "LIGHT_GFLOP", 0.0)
    assert count_operations.__wrapped__(network, network.samples) == counted


@pytest.mark.parametrize(
    ("most", "devices"),
    [(2 * 20 * 20, ["cpu"]), (2 * 20 * 20 - 1, ["cpu", "meta"])],  # attention of 20 frames in 2 heads
)
def test_a_small_network_that_keeps_much_is_counted_without_values(monkeypatch, most, devices):
    network, original, seen = Tiny(body="transformer", **CLIP), cost.count, []
    counted = count_operations(network, network.samples)

    def count(module, *args):
        seen.append(next(module.parameters()).device.type)
        return original(module, *args)

    monkeypatch.setattr(cost, "count", count)
    monkeypatch.setattr(operations, "SMALL", most)
    assert count_operations.__wrapped__(network, network.samples) == counted
    assert seen == devices


def test_a_network_that_fails_has_no_count_and_says_why():
    gflops, note = count_operations(Faulty(fault="raises", **CLIP), 2000)
    assert gflops is None
    assert note.startswith("one clip can't be passed through it: RuntimeError: shape '[7, 13]' is invalid")


@pytest.mark.parametrize(
    "rnn",
    [
        nn.LSTM(8, 6, 3, bidirectional=True, proj_size=2),
        nn.LSTM(8, 6, batch_first=True),
        nn.GRU(8, 6, 2, batch_first=True, bidirectional=True),
        nn.RNN(8, 6, 2),
    ],
)
@pytest.mark.parametrize("shape", [(4, 5, 8), (5, 8)])
def test_a_stand_in_returns_what_the_layer_returns(rnn, shape):
    def shapes(value):
        return tuple(value.shape) if isinstance(value, torch.Tensor) else tuple(map(shapes, value))

    assert shapes(_CountedRNN(rnn)(torch.zeros(shape))) == shapes(rnn(torch.zeros(shape)))


def test_a_network_without_a_count_still_has_a_speed():
    assert gflops_per_clip(Tiny(body="orthogonal", **CLIP), 2000) is None
    assert 0 < training_seconds_per_clip(Tiny(body="orthogonal", **CLIP), 2000) < 1
