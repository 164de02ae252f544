"""Networks by others: the published sizes, the same interface as the dual-branch network."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from sweeper.model import acdnet, eat
from sweeper.model.build import build, with_any_values
from sweeper.model.config import ACDNetConfig, EATConfig
from sweeper.model.rivals import CNN10Config, EnvNetV2Config, SBCNNConfig, TIMNetConfig
from sweeper.model.spectra import MFCC, LogMel
from sweeper.training import cost
from sweeper.training.cost import count_operations

EAT_TINY = EATConfig(classes=7, samples=40_960, stem_width=2, transformer_width=8, heads=2, feedforward=16)
CLIP = {"classes": 7, "sample_rate": 8000, "samples": 8000}
RIVALS = [EnvNetV2Config(**CLIP, width=32), SBCNNConfig(**CLIP), CNN10Config(**CLIP, width=8), TIMNetConfig(**CLIP)]
PEERS = [
    *((EAT_TINY, 40_960), (EAT_TINY, 33_001), (ACDNetConfig(classes=7, sample_rate=8000), 8000)),
    *((network, 8000) for network in (EAT_TINY, *RIVALS)),
]


@pytest.mark.parametrize(
    ("config", "published"),
    [
        *((EATConfig(classes=50, samples=90_112), 5.3e6), (ACDNetConfig(classes=50), 4.74e6)),
        *(
            (EnvNetV2Config(), 101.25e6),
            (SBCNNConfig(), 241_434),
            (CNN10Config(), 5_219_279),
            (TIMNetConfig(), 104_536),
        ),
    ],
)
def test_published_numbers_of_parameters(config, published):
    count = sum(p.numel() for p in with_any_values(config).parameters())
    exact = isinstance(config, (SBCNNConfig, CNN10Config, TIMNetConfig))
    assert count == pytest.approx(published, rel=0 if exact else 0.03)


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
    with pytest.raises(ValueError, match=r"at least 1024 samples.*\[1, 1, 800\]"):
        network(torch.zeros(1, 1, 800))


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
        (EnvNetV2Config(), {"width": 0}, "width=0"),
        (SBCNNConfig(), {"bands": 64}, "bands=64"),
        (CNN10Config(), {"bands": 4}, "bands=4"),
        (TIMNetConfig(), {"dilations": 0}, "dilations=0"),
    ],
)
def test_impossible_sizes_are_refused(config, change, message):
    with pytest.raises(ValueError, match=message):
        replace(config, **change)


def test_a_recipe_too_short_for_a_peer_is_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"EAT-S needs clips of at least 1024 samples, this recipe's have 1000 "):
        EATConfig().filled(10, 8000, 1000)
    for config in RIVALS:
        with pytest.raises(ValueError, match=r"needs clips of .* this recipe's have 400 .*; leave out .* longer clips"):
            config.filled(10, 8000, 400)


def test_eat_pads_by_reflection_where_it_reaches_and_by_zeros_beyond():
    """As before for long clips, to the last bit; of short ones nothing is repeated twice."""
    x = torch.randn(1, 2, 70)
    assert torch.equal(eat._reflected(x, 63), nn.functional.pad(x, (63, 63), mode="reflect"))
    short = torch.tensor([[[1.0, 2.0, 3.0]]])
    assert eat._reflected(short, 4).tolist() == [[[0, 0, 3, 2, 1, 2, 3, 2, 1, 0, 0]]]
    assert eat._reflected(short[..., :1], 1).tolist() == [[[0, 1, 0]]]
    assert build(EAT_TINY, seed=0).train()(torch.randn(2, 1, 1024)).logits.isfinite().all()


def test_envnets_picture_is_the_papers():
    network = build(EnvNetV2Config(width=8), seed=0).eval()
    with torch.no_grad():
        front = network.front(torch.randn(1, 1, 66_650))
        assert front.shape == (1, 64, 260)
        assert network.back(front.unsqueeze(1)).shape == (1, 256, 10, 8)
    assert EnvNetV2Config(samples=66_150).columns == 8, "1.5 s, as the paper says: the last columns are pooled too"


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100])
@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.51, 4.0])
def test_columns_are_counted_as_the_network_makes_them(rate, seconds):
    clip = {"sample_rate": rate, "samples": round(rate * seconds)}
    envnet, sbcnn = EnvNetV2Config(width=8, **clip), SBCNNConfig(**clip)
    for config in (envnet, sbcnn):
        if config.columns >= 1:
            assert count_operations(config, config.samples).gflops > 0, "the dense layer fits"
    assert (sbcnn.columns < 1) == (seconds == 0.5)


@pytest.mark.parametrize("config", RIVALS)
def test_operations_of_a_rival_can_be_counted_also_without_values(config, monkeypatch):
    computed = count_operations(config, 8000)
    assert computed.note == ""
    monkeypatch.setattr(cost, "LIGHT_GFLOP", 0.0)
    network = cost.countable(config, 8000)
    assert all(parameter.is_meta for parameter in network.parameters())
    assert cost.count(network, cost.clips_for(network, 1, 8000)) == computed


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100])
def test_log_mel_frames_lie_within_the_clip_and_no_band_is_empty(rate):
    layer = LogMel(rate, 128, window=round(0.023 * rate), hop=round(0.01 * rate))
    assert (layer.bank.sum(0) > 0).all()
    assert layer(torch.zeros(1, 1, rate)).shape == (1, 128, 1 + (rate - layer.window) // layer.hop)
    time = torch.arange(rate) / rate
    loudest = [layer(torch.sin(2 * torch.pi * f * time)[None, None]).mean(2).argmax().item() for f in (200, 1000, 3000)]
    assert loudest == sorted(set(loudest)), "higher tones are in higher bands"


def test_mfccs_are_librosas_up_to_the_logarithms_base():
    """The cosine transform of log-mel bands, orthonormal: the first is the level, so gain changes it alone."""
    layer = MFCC(8000, 13, window=400, hop=100)
    noise = torch.randn(1, 1, 8000, generator=torch.Generator().manual_seed(0))
    soft, loud = layer(noise), layer(10 * noise)
    torch.testing.assert_close(loud[:, 1:], soft[:, 1:], atol=1e-3, rtol=0)
    torch.testing.assert_close(
        loud[:, 0] - soft[:, 0], torch.full((1, 77), 128**0.5 * torch.tensor(100.0).log().item())
    )


def test_tim_net_hears_both_directions():
    network = build(TIMNetConfig(**CLIP), seed=0).eval()
    clip = torch.randn(1, 1, 8000)
    assert not torch.allclose(network(clip).logits, network(clip.flip(2)).logits)
    assert [block.dilation for block in network.backwards.blocks] == [1, 2, 4, 8, 16, 32, 64, 128]


def test_a_network_of_one_length_refuses_another():
    network = build(RIVALS[0], seed=0)
    with pytest.raises(ValueError, match=r"expected 8000 samples per clip, got a waveform of \[1, 1, 9000\]"):
        network(torch.zeros(1, 1, 9000))
