"""The network as its callers meet it: shapes, errors, heads, precision, export, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from sweeper.model.build import build
from sweeper.model.config import ModelConfig
from sweeper.model.layers import fold_samples
from sweeper.model.network import MIN_FRAMES

SAMPLES = 1100


@pytest.mark.parametrize("length", [64, 65, 95, 96, 97, 127, 1001])
def test_both_branches_agree_on_any_length(tiny: ModelConfig, length: int) -> None:
    network = build(replace(tiny, patch=1), seed=0).eval()
    samples = torch.randn(1, length, 1)
    frames = {name: branch(samples).shape for name, branch in network.branches.items()}
    assert frames["semantic"] == frames["detail"] == (1, -(-length // 32), tiny.transformer_width)
    assert network(samples.transpose(1, 2)).logits.isfinite().all()


def test_folding_keeps_every_sample_in_order() -> None:
    folded = fold_samples(torch.arange(1.0, 8.0).view(1, 1, 7), patch=3)
    assert folded.tolist() == [[[1, 2, 3], [4, 5, 6], [7, 0, 0]]]


@pytest.mark.parametrize("shape", [(8000,), (2, 8000), (2, 2, 8000), (2, 1, 8, 8000)])
def test_a_wrong_shape_is_named(tiny: ModelConfig, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError) as error:
        build(tiny, seed=0)(torch.zeros(shape))
    assert "[batch, 1, time]" in str(error.value) and str(list(shape)) in str(error.value)


def test_the_shortest_clip_trains_and_a_shorter_one_is_refused(tiny: ModelConfig) -> None:
    network = build(tiny, seed=0).train()
    shortest = MIN_FRAMES * tiny.patch
    assert network(torch.randn(1, 1, shortest)).logits.isfinite().all()
    with pytest.raises(ValueError, match=rf"at least {shortest} samples.*\[1, 1, {shortest - 1}\]"):
        network(torch.randn(1, 1, shortest - 1))


def test_features_name_what_exists(tiny: ModelConfig) -> None:
    clips = torch.randn(2, 1, SAMPLES)
    bare = {"macem_a": False, "macem_b": False}
    assert list(build(tiny, 0)(clips).features) == ["semantic", "detail", "fused"]
    assert list(build(replace(tiny, detail=False, garm=False), 0)(clips).features) == ["semantic"]
    assert list(build(replace(tiny, semantic=False, **bare), 0)(clips).features) == ["detail"]


def test_features_are_means_over_time(tiny: ModelConfig) -> None:
    network = build(tiny, seed=0).eval()
    clips = torch.randn(2, 1, 3 * SAMPLES)
    features = network(clips).features
    frames = fold_samples(clips, tiny.patch)
    outputs = {name: branch(frames) for name, branch in network.branches.items()}
    outputs["fused"] = network.fusion(outputs["semantic"], outputs["detail"])
    for name, output in outputs.items():
        torch.testing.assert_close(features[name], output.sum(1) / output.shape[1])


def test_logits_classify_the_last_feature(tiny: ModelConfig) -> None:
    network = build(tiny, seed=0).eval()
    output = network(torch.randn(2, 1, SAMPLES))
    torch.testing.assert_close(output.logits, output.features["fused"] @ network.head.weight.T + network.head.bias)


def test_branch_heads_teach_both_branches(tiny: ModelConfig) -> None:
    network = build(replace(tiny, branch_heads=True), seed=0)
    output = network(torch.randn(3, 1, SAMPLES))
    assert {name: tuple(logits.shape) for name, logits in output.branch_logits.items()} == {
        "semantic": (3, 10),
        "detail": (3, 10),
    }
    output.branch_logits["semantic"].sum().backward()
    assert network.branches["semantic"].stem.conv.weight.grad.any()
    assert network.branches["detail"].lstm.weight_ih_l0.grad is None


def test_branch_heads_change_nothing_else(tiny: ModelConfig) -> None:
    clips = torch.randn(2, 1, SAMPLES)
    without = build(tiny, seed=0).eval()(clips)
    assert without.branch_logits == {}
    assert torch.equal(without.logits, build(replace(tiny, branch_heads=True), seed=0).eval()(clips).logits)


def test_a_single_branch_has_no_branch_heads(tiny: ModelConfig) -> None:
    network = build(replace(tiny, branch_heads=True, detail=False, garm=False), seed=0)
    assert network(torch.randn(2, 1, SAMPLES)).branch_logits == {}


def test_evaluation_is_deterministic_and_per_clip() -> None:
    """Neither dropout nor the other clips of a batch may reach a clip's logits."""
    network = build(replace(ModelConfig(), semantic_widths=(8,) * 5, detail_widths=(8,) * 5, dropout=0.5), 0).eval()
    clips = torch.randn(4, 1, SAMPLES)
    with torch.no_grad():
        together = network(clips).logits
        assert torch.equal(together, network(clips).logits)
        alone = torch.cat([network(clip[None]).logits for clip in clips])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", ["time", "channel"])
def test_mixed_precision(tiny: ModelConfig, pooling: str) -> None:
    network = build(replace(tiny, garm_pooling=pooling), seed=0).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(torch.randn(2, 1, SAMPLES)).logits
    logits.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")  # of torch's own LSTM
def test_the_logits_can_be_exported(tiny: ModelConfig) -> None:
    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = build(tiny, seed=0)

        def forward(self, waveform: Tensor) -> Tensor:
            return self.network(waveform).logits

    module, clips = Logits().eval(), torch.randn(2, 1, SAMPLES)
    exported = torch.export.export(module, (clips,))
    torch.testing.assert_close(exported.module()(clips), module(clips))


def test_it_learns(tiny: ModelConfig) -> None:
    """Eight random clips with random labels: a network that learns tells them apart."""
    network = build(tiny, seed=0).train()
    clips, labels = torch.randn(8, 1, 2000), torch.randint(0, tiny.classes, (8,))
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = nn.functional.cross_entropy(network(clips).logits, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] > 1.5
    assert losses[-1] < 0.1


def test_the_lstm_computes_in_float32_under_cudas_autocast(tiny: ModelConfig) -> None:
    network = build(tiny, seed=0)
    seen: list[tuple[torch.dtype, bool]] = []
    lstm = network.branches["detail"].lstm
    lstm.register_forward_pre_hook(lambda _, x: seen.append((x[0].dtype, torch.is_autocast_enabled("cuda"))))
    torch.set_autocast_enabled("cuda", True)  # as inside of `torch.autocast("cuda")`, which refuses without a GPU
    try:
        with torch.autocast("cpu", torch.bfloat16):  # gives it bfloat16, as CUDA's does
            network(torch.randn(2, 1, 2048))
    finally:
        torch.set_autocast_enabled("cuda", False)
    assert seen == [(torch.float32, False)]
