"""Initial values follow the seed and the name, whatever else happens."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sweeper.model.build import build
from sweeper.model.config import ModelConfig
from sweeper.model.initialisation import initialise


def parameters_of(config: ModelConfig, seed: int) -> dict[str, torch.Tensor]:
    return {name: p.detach() for name, p in build(config, seed).named_parameters()}


def test_the_global_generator_is_neither_read_nor_moved(tiny: ModelConfig) -> None:
    torch.manual_seed(1)
    first = parameters_of(tiny, seed=5)
    assert torch.equal(torch.get_rng_state(), torch.manual_seed(1).get_state())
    torch.manual_seed(2)
    second = parameters_of(tiny, seed=5)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_each_weight_depends_on_the_seed_and_on_its_name(tiny: ModelConfig) -> None:
    one, other = parameters_of(tiny, seed=0), parameters_of(tiny, seed=1)
    weights = [n for n, p in one.items() if p.ndim > 1]
    assert not [n for n in weights if torch.equal(one[n], other[n])]
    twins = [n for n in weights if n.endswith(("refine.macem_b.conv_7.weight", "refine.macem_b_2.conv_7.weight"))]
    values = {tuple(one[n].flatten().tolist()) for n in twins}
    assert len(values) == len(twins) == 6


@pytest.mark.parametrize(
    ("layer", "std"),
    [
        (nn.Conv1d(50, 60, 7), math.sqrt(2 / 350)),
        (nn.Linear(300, 100), math.sqrt(2 / 400)),
    ],
)
def test_scales(layer: nn.Module, std: float) -> None:
    initialise(layer, seed=0)
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, torch.Tensor) and isinstance(bias, torch.Tensor)
    assert weight.std().item() == pytest.approx(std, rel=0.02)
    assert weight.abs().max() <= math.sqrt(3) * std
    assert not bias.any()


def test_lstm_starts_with_open_forget_gates() -> None:
    lstm = nn.LSTM(4, 3, bidirectional=True)
    initialise(lstm, seed=0)
    for direction in ("", "_reverse"):
        both = getattr(lstm, f"bias_ih_l0{direction}") + getattr(lstm, f"bias_hh_l0{direction}")
        assert both.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]


def test_a_layer_without_a_rule_is_refused() -> None:
    with pytest.raises(TypeError, match="'weight' of a PReLU"):
        initialise(nn.PReLU(), seed=0)


def test_the_signal_neither_vanishes_nor_explodes() -> None:
    """Through the paper's depth, without any normalisation inside the equations."""
    network = build(ModelConfig(), seed=0)
    features = {}
    for name, branch in network.branches.items():
        branch.stages.register_forward_hook(lambda _m, _i, out, name=name: features.update({name: out}))
    with torch.no_grad():
        network(torch.randn(2, 1, 2048))
    for name, feature in features.items():
        assert 0.1 < feature.std().item() < 10, name
