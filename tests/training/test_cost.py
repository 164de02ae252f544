"""Counted operations, against counting by hand."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from sweeper.model.build import build
from sweeper.model.config import SIZES
from sweeper.training.cost import (
    _CountedRNN,
    count_operations,
    count_parameters,
    gflops_per_clip,
    training_seconds_per_clip,
)
from tests.networks import BODIES, WIDTH, Faulty, Tiny
from tests.studies import ARMS


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


def test_speed_is_measured_and_threads_are_put_back():
    threads = torch.get_num_threads()
    seconds = training_seconds_per_clip(SIZES["tiny"], 8000)
    assert 3 * gflops_per_clip(SIZES["tiny"], 8000) / seconds > 0.1  # GFLOP/s
    assert torch.get_num_threads() == threads


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


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize(
    ("way", "counted"),
    [
        ("lstm", 20 * 2 * 2 * (32 * 8 + 32 * 8) + 20 * 2 * 2 * (32 * 16 + 32 * 8)),
        ("attention", 2 * 2 * 20 * 20 * 8),
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
