"""The layers' fast forms against torch's plain ones."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from sweeper.model import batch_norm, convolution, layers
from sweeper.model.layers import LEAKY_RELU, LINEAR, RELU, ConvBlock, Convolution, at_once


@pytest.fixture(autouse=True, params=["products of matrices", "torch's operator"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to convolve; the second is a GPU's, and that of a graph that is recorded."""
    for module in (batch_norm, convolution, layers):
        monkeypatch.setattr(module, "is_fast", lambda _x: request.param == "products of matrices")


def plain(x: Tensor, conv: Convolution, slope: float = LINEAR) -> Tensor:
    return nn.functional.leaky_relu(nn.Conv1d.forward(conv, x.transpose(1, 2)).transpose(1, 2), slope)


def gradients(of: Sequence[Tensor], wanted: Sequence[Tensor]) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return torch.autograd.grad(of, wanted, [torch.randn(y.shape, dtype=y.dtype, generator=generator) for y in of])


@pytest.mark.parametrize("length", [1, 2, 5, 16, 27, 63])
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (7, 1), (15, 1), (15, 3), (15, 9)])
@pytest.mark.parametrize("slope", [RELU, LEAKY_RELU, LINEAR])
def test_a_convolution_is_torchs_whatever_meets_padding(length: int, kernel: int, dilation: int, slope: float) -> None:
    conv, x = Convolution(3, 5, kernel, dilation).double(), torch.randn(2, length, 3, requires_grad=True).double()
    wanted = (x, conv.weight, conv.bias)
    ours, theirs = conv(x, slope), plain(x, conv, slope)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradients((ours,), wanted), gradients((theirs,), wanted))


@pytest.mark.parametrize("channels", [1, 2, 8, 16, 20, 32, 48, 64])
@pytest.mark.parametrize("length", [1, 4, 31])
def test_several_at_once_are_each_of_them(channels: int, length: int) -> None:
    """Of any number of channels: it decides how many frames a row of the product yields."""
    fs = [Convolution(3, channels, kernel).double() for kernel in (1, 7, 15, 7)]
    slopes = (LEAKY_RELU, RELU, LEAKY_RELU, LINEAR)
    x = torch.randn(2, length, 3, requires_grad=True).double()
    ours, theirs = at_once(fs, x, slopes), [plain(x, f, slope) for f, slope in zip(fs, slopes, strict=True)]
    torch.testing.assert_close(list(ours), theirs)
    wanted = (x, *(parameter for f in fs for parameter in f.parameters()))
    torch.testing.assert_close(gradients(ours, wanted), gradients(theirs, wanted))


def test_an_output_that_nobody_uses_has_no_gradient_to_give() -> None:
    fs, x = [Convolution(3, 4, 7), Convolution(3, 4, 7)], torch.randn(2, 20, 3)
    unused, used = at_once(fs, x, (LEAKY_RELU, LINEAR))
    used.sum().backward()
    given = fs[0].weight.grad
    assert unused.requires_grad and fs[1].weight.grad.abs().sum() > 0 and (given is None or given.abs().sum() == 0)


@pytest.mark.parametrize("length", [1, 2, 7, 16])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (7, 1)])
def test_a_block_is_torchs_convolution_norm_and_activation(length: int, kernel: int, stride: int) -> None:
    block, x = ConvBlock(3, 5, kernel, stride).double().train(), torch.randn(4, length, 3, requires_grad=True).double()
    twin = copy.deepcopy(block)
    theirs = nn.functional.leaky_relu(twin.norm(twin.conv(x.transpose(1, 2))), LEAKY_RELU).transpose(1, 2)
    ours = block(x)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        gradients((ours,), (x, *block.parameters())), gradients((theirs,), (x, *twin.parameters()))
    )
    torch.testing.assert_close(list(block.buffers()), list(twin.buffers()))
