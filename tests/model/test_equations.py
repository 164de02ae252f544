"""Equations 1-11, computed again from the modules' weights with plain functions."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeper.model.fusion import ConcatFusion, GuidedFusion, SumFusion
from sweeper.model.garm import Garm
from sweeper.model.macem import MacemA, MacemB
from sweeper.model.transformer import sine_positions

BATCH, CHANNELS, LENGTH = 2, 6, 40


def f(x: Tensor, conv: nn.Module, kernel: int, dilation: int = 1) -> Tensor:
    """A convolution that must have ``kernel`` taps, on ``x`` padded with zeros by hand."""
    weight, bias = conv.weight, conv.bias
    assert isinstance(weight, Tensor) and isinstance(bias, Tensor) and weight.shape[2] == kernel
    side = dilation * (kernel - 1) // 2
    return F.conv1d(F.pad(x, (side, side)), weight, bias, dilation=dilation)


def answer(module: nn.Module, *inputs: Tensor) -> Tensor:
    """A module's, to the equations' ``[batch, channels, time]``: modules take and return time before channels."""
    result: Tensor = module(*(x.transpose(1, 2) for x in inputs))
    return result.transpose(1, 2)


def lrelu(x: Tensor) -> Tensor:
    return torch.where(x >= 0, x, 0.01 * x)


def pooled(x: Tensor) -> tuple[Tensor, Tensor]:
    return F.adaptive_avg_pool1d(x, 1), F.adaptive_max_pool1d(x, 1)


def bottleneck(x: Tensor, module: nn.Module) -> Tensor:
    return f(F.relu(f(x, module.squeeze, 1)), module.expand, 1)


def channel_score(m: Tensor, module: nn.Module) -> Tensor:
    average, maximum = pooled(m)
    return torch.sigmoid(bottleneck(average, module) + bottleneck(maximum, module))


def randomised(module: nn.Module) -> nn.Module:
    """Biases too: at their initial value of zero a missing one would go unseen."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


@pytest.fixture
def h() -> Tensor:
    return torch.randn(BATCH, CHANNELS, LENGTH)


def test_macem_a(h: Tensor) -> None:
    module = randomised(MacemA(CHANNELS, reduction=2))
    scales = [lrelu(f(h, getattr(module, f"conv_{k}"), k)) for k in (1, 7, 15)]
    m = F.relu(f(torch.cat(scales, 1), module.reduce, 7))  # Eq. 1
    m_prime = channel_score(m, module.attention.bottleneck)  # Eq. 2
    q = lrelu(m * m_prime + f(h, module.shortcut, 7))  # Eq. 3
    torch.testing.assert_close(answer(module, h), q)


def test_macem_b(h: Tensor) -> None:
    module = randomised(MacemB(CHANNELS, reduction=2))
    scales = [lrelu(f(h, getattr(module, f"conv_{k}"), k)) for k in (1, 7, 15)]
    m = F.relu(sum(scales, torch.zeros(())))  # Eq. 4
    m_prime = channel_score(m, module.attention.bottleneck)  # Eq. 2
    q = lrelu(m * m_prime + f(h, module.shortcut, 7))  # Eq. 3
    torch.testing.assert_close(answer(module, h), q)


def garm_up_to_n(module: nn.Module, h: Tensor) -> Tensor:
    kernels = {1: 1, 3: 15, 9: 15}
    scales = [lrelu(f(h, getattr(module, f"conv_{d}"), k, dilation=d)) for d, k in kernels.items()]
    k = F.relu(f(scales[0] + scales[1] + scales[2], module.mix, 1))  # Eq. 5
    k_prime = channel_score(k, module.attention.bottleneck)  # Eq. 6
    return k * k_prime  # Eq. 7


def test_garm_pooled_over_time(h: Tensor) -> None:
    module = randomised(Garm(CHANNELS, reduction=2, pooling="time"))
    n = garm_up_to_n(module, h)
    both = torch.cat([bottleneck(p, module.second_attention.bottleneck) for p in pooled(n)], 1)
    n_prime = torch.sigmoid(f(both, module.second_attention.reduce, 7))  # Eq. 8
    q = lrelu(n * n_prime + f(h, module.shortcut, 7))  # Eq. 9
    torch.testing.assert_close(answer(module, h), q)


def test_garm_pooled_over_channels(h: Tensor) -> None:
    module = randomised(Garm(CHANNELS, reduction=2, pooling="channel"))
    n = garm_up_to_n(module, h)
    both = torch.stack([n.sum(1) / CHANNELS, n.max(1).values], 1)
    n_prime = torch.sigmoid(f(both, module.second_attention.reduce, 7))  # Eq. 8
    q = lrelu(n * n_prime + f(h, module.shortcut, 7))  # Eq. 9
    torch.testing.assert_close(answer(module, h), q)


def test_pooled_over_time_only_the_middle_tap_of_eq_8_matters(h: Tensor) -> None:
    module = randomised(Garm(CHANNELS, reduction=2, pooling="time"))
    answer(module, h).sum().backward()
    gradient = module.second_attention.reduce.weight.grad
    assert gradient[:, :, 3].abs().max() > 0
    assert gradient[:, :, [0, 1, 2, 4, 5, 6]].abs().max() == 0


def test_guided_fusion(h: Tensor) -> None:
    module = randomised(GuidedFusion(CHANNELS))
    s, d = h, torch.randn_like(h)
    score = lrelu(f(lrelu(f(d, module.gate_1, 1)), module.gate_2, 1))
    d_prime = torch.sigmoid(F.adaptive_avg_pool1d(score, 1))  # Eq. 10
    torch.testing.assert_close(answer(module, s, d), s * d_prime + s)  # Eq. 11


def test_sum_and_concat(h: Tensor) -> None:
    s, d = h, torch.randn_like(h)
    torch.testing.assert_close(SumFusion()(s, d), s + d)
    concat = randomised(ConcatFusion(CHANNELS))
    torch.testing.assert_close(answer(concat, s, d), f(torch.cat([s, d], 1), concat.reduce, 1))


def test_sine_positions() -> None:
    width, length = 6, 5
    table = sine_positions(length, width, torch.device("cpu"))
    for position in range(length):
        for pair in range(width // 2):
            angle = position / 10_000 ** (2 * pair / width)
            expected = torch.tensor([math.sin(angle), math.cos(angle)])
            torch.testing.assert_close(table[position, 2 * pair : 2 * pair + 2], expected)
