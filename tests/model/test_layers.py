"""The layers' fast forms against torch's plain ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sweeper.model.layers import Convolution, at_once


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
