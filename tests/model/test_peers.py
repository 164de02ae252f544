"""EAT-S and ACDNet: the published sizes, the same interface as the dual-branch network."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from sweeper.model import acdnet, eat
from sweeper.model.build import build
from sweeper.model.config import ACDNetConfig, EATConfig

EAT_TINY = EATConfig(classes=7, samples=40_960, stem_width=2, transformer_width=8, heads=2, feedforward=16)
PEERS = [(EAT_TINY, 40_960), (EAT_TINY, 33_001), (ACDNetConfig(classes=7, sample_rate=8000), 8000)]


@pytest.mark.parametrize(
    ("config", "published"),
    [(EATConfig(classes=50, samples=90_112), 5.3e6), (ACDNetConfig(classes=50), 4.74e6)],
)
def test_published_numbers_of_parameters(config, published):
    count = sum(p.numel() for p in build(config, seed=0).parameters())
    assert count == pytest.approx(published, rel=0.03)


@pytest.mark.parametrize(("config", "length"), PEERS)
def test_forward_and_backward(config, length):
    network = build(config, seed=0).train()
    output = network(torch.randn(2, 1, length))
    assert output.logits.shape == (2, 7)
    assert list(output.features) == ["fused"] and output.branch_logits == {}
    torch.testing.assert_close(network.head(output.features["fused"]), output.logits)
    output.logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(("config", "length"), PEERS[1:])
def test_the_seed_decides_and_the_global_generator_does_not(config, length):
    state = torch.get_rng_state()
    first, second = build(config, seed=4), build(config, seed=4)
    assert torch.equal(state, torch.get_rng_state())
    clips = torch.randn(1, 1, length)
    assert torch.equal(first.eval()(clips).logits, second.eval()(clips).logits)
    assert not torch.equal(build(config, seed=5).eval()(clips).logits, first(clips).logits)


def test_eat_refuses_what_it_has_no_positions_for():
    network = build(EAT_TINY, seed=0)
    with pytest.raises(ValueError, match=r"at most 40960 samples.*\[1, 1, 40961\]"):
        network(torch.zeros(1, 1, 40_961))
    with pytest.raises(ValueError, match=r"at least 32768 samples.*\[1, 1, 8000\]"):
        network(torch.zeros(1, 1, 8000))


def test_eat_has_a_position_per_frame_and_one_for_the_token():
    network = build(EAT_TINY, seed=0).eval()
    with torch.no_grad():
        frames = network.context(network.reduce(network.stem(torch.randn(1, 1, 40_960))))
    assert frames.shape[2] == 40
    assert network.positions.shape == (1, 41, 8)


def test_eat_starts_as_published():
    network = build(EATConfig(), seed=0)
    convolutions = [m.weight for m in network.modules() if isinstance(m, nn.Conv1d) and m.weight.numel() > 1e4]
    assert len(convolutions) > 10
    for weight in [*convolutions, network.positions]:
        assert weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_eat_classifies_the_class_token():
    network = build(EAT_TINY, seed=0).eval()
    seen = {}
    network.transformer.register_forward_hook(lambda _, args, out: seen.update(into=args[0], out=out))
    feature = network(torch.randn(2, 1, 40_960)).features["fused"]
    assert torch.equal(feature, seen["out"][:, 0])
    token = network.class_token[0, 0] + network.positions[0, 0]
    torch.testing.assert_close(seen["into"][:, 0], token.expand(2, -1))


def test_eat_low_passes_before_it_drops_samples():
    """A constant passes; an alternation, which dropping alone would turn into a constant, does not."""
    down = eat._Down(1, factor=4).eval()
    torch.testing.assert_close(down.triangle[1, 0], torch.tensor([1.0, 2, 3, 4, 5, 4, 3, 2, 1]) / 25)
    down.conv = nn.Identity()
    down.triangle = down.triangle[:1]
    signal = torch.ones(1, 1, 64)
    torch.testing.assert_close(down(signal), torch.ones(1, 1, 16))
    signal[..., 1::2] = -1
    assert down(signal).abs().max() < 0.05


def test_acdnet_makes_a_picture_of_10_ms_frames():
    network = build(ACDNetConfig(), seed=0).eval()
    with torch.no_grad():
        assert network.front(torch.randn(1, 1, 30_225)).shape == (1, 64, 151)


def test_acdnet_takes_the_shortest_clip_and_refuses_a_shorter_one():
    network = build(ACDNetConfig(), seed=0).train()
    assert network(torch.randn(1, 1, 216)).logits.isfinite().all()
    with pytest.raises(ValueError, match=r"at least 216 samples.*\[1, 1, 215\]"):
        network(torch.randn(1, 1, 215))


def test_acdnet_has_the_published_widths():
    convolutions = [m for m in build(ACDNetConfig(), seed=0).modules() if isinstance(m, (nn.Conv1d, nn.Conv2d))]
    assert [c.out_channels for c in convolutions] == [8, 64, 32, 64, 64, 128, 128, 256, 256, 512, 512, 50]
    assert sum(map(len, acdnet.BACK_WIDTHS)) == 9


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (EATConfig(), {"heads": 3}, "heads=3 does not divide"),
        (EATConfig(), {"samples": 0}, "samples=0"),
        (ACDNetConfig(), {"sample_rate": 300}, "sample_rate=300"),
        (ACDNetConfig(), {"dropout": 1.5}, "dropout=1.5"),
    ],
)
def test_impossible_sizes_are_refused(config, change, message):
    with pytest.raises(ValueError, match=message):
        replace(config, **change)
