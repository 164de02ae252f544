"""The layers' fast forms against torch's plain ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sweeper.model.layers import Convolution, Dropout, SelfAttention, at_once


def plain(x: Tensor, conv: Convolution) -> Tensor:
    return nn.Conv1d.forward(conv, x)


@pytest.mark.parametrize("length", [1, 2, 5, 16, 27, 63])
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (7, 1), (15, 1), (15, 3), (15, 9)])
def test_a_convolution_is_torchs_whatever_meets_padding(length: int, kernel: int, dilation: int) -> None:
    conv, x = Convolution(3, 5, kernel, dilation), torch.randn(2, 3, length, requires_grad=True)
    wanted = (x, conv.weight, conv.bias)
    ours, theirs = conv(x), plain(x, conv)
    torch.testing.assert_close(ours, theirs)
    seed = torch.randn_like(theirs)
    for mine, their in zip(
        torch.autograd.grad(ours, wanted, seed), torch.autograd.grad(theirs, wanted, seed), strict=True
    ):
        torch.testing.assert_close(mine, their, rtol=1e-4, atol=1e-5)


def test_several_at_once_are_each_of_them() -> None:
    first, second, x = Convolution(3, 4, 7), Convolution(3, 4, 7), torch.randn(2, 3, 20)
    for ours, conv in zip(at_once((first, second), x), (first, second), strict=True):
        torch.testing.assert_close(ours, plain(x, conv))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.999999])
def test_dropout_drops_its_share_and_keeps_the_mean(p: float) -> None:
    torch.manual_seed(0)
    dropped = Dropout(p)(torch.ones(999, 1001))
    share = (dropped == 0).double().mean().item()
    assert share == pytest.approx(p, abs=2e-3)
    assert dropped.double().mean().item() == pytest.approx(1, abs=5e-3 if p < 0.9 else 0.3)
    assert torch.equal(Dropout(p).eval()(dropped), dropped)


def test_dropout_follows_torchs_generator() -> None:
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(Dropout(0.5)(torch.ones(5, 7)))
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])


def test_attention_with_dropout_is_torchs_but_for_what_is_dropped() -> None:
    ours = SelfAttention(8, 2, dropout=1e-9, batch_first=True)  # on the path with dropout, which drops nothing
    theirs = nn.MultiheadAttention(8, 2, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 11, 8)
    torch.testing.assert_close(ours(x, x, x)[0], theirs(x, x, x)[0])
    torch.manual_seed(0)
    half = SelfAttention(8, 2, dropout=0.5, batch_first=True)
    mean = torch.stack([half(x, x, x)[0] for _ in range(4000)]).mean(0)
    torch.testing.assert_close(mean, half.eval()(x, x, x)[0], rtol=0, atol=0.02)
