"""Every arm in every size: it runs, all of it learns, and what it switches off is absent."""

from __future__ import annotations

from dataclasses import replace

import torch

from sweeper.model.branches import SEMANTIC_ORDER
from sweeper.model.build import build
from sweeper.model.config import ModelConfig
from sweeper.model.network import MIN_FRAMES

BATCH = 2


def test_forward_and_backward(arm: ModelConfig) -> None:
    network = build(arm, seed=0).train()
    waveform = torch.randn(BATCH, 1, MIN_FRAMES * arm.patch + 1)
    output = network(waveform)
    assert output.logits.shape == (BATCH, arm.classes)
    for feature in output.features.values():
        assert feature.shape == (BATCH, arm.transformer_width)
    output.logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        # None would be an unused parameter, which also stops distributed training.
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_switched_off_parts_are_absent(arm: ModelConfig) -> None:
    names = [name for name, _ in build(arm, seed=0).named_modules()]
    assert any(n == "branches.semantic" for n in names) == arm.semantic
    assert any(n == "branches.detail" for n in names) == arm.detail
    assert any("macem_a" in n for n in names) == arm.macem_a
    assert any("macem_b" in n for n in names) == arm.macem_b
    assert any("garm" in n for n in names) == arm.garm
    assert any(n == "fusion" for n in names) == (arm.semantic and arm.detail)
    assert not any(n.startswith("branch_heads.") for n in names)


def test_arms_share_initial_values(arm: ModelConfig) -> None:
    """Each parameter of an arm is, bit for bit, the full network's parameter of the same name."""
    full = dict(build(_full(arm), seed=3).named_parameters())
    own = dict(build(arm, seed=3).named_parameters())
    only_here = {name for name in own if name not in full}
    assert all(name.startswith("fusion.") for name in only_here)
    for name in own.keys() - only_here:
        assert torch.equal(own[name], full[name]), name


def test_modules_sit_where_the_stages_say(tiny: ModelConfig) -> None:
    network = build(tiny, seed=0)
    inside = {"R": ["macem_a"], "A": ["macem_a", "macem_b"], "B": ["macem_b", "macem_b_2"]}
    stages = network.branches["semantic"].stages
    assert [list(stage.refine) for stage in stages] == [inside[kind] for kind in SEMANTIC_ORDER]
    assert "".join(SEMANTIC_ORDER) == "RABAB"
    assert [list(stage.refine) for stage in network.branches["detail"].stages] == [["garm"], ["garm"]]


def _full(arm: ModelConfig) -> ModelConfig:
    return replace(arm, semantic=True, detail=True, macem_a=True, macem_b=True, garm=True, fusion="guided")
