"""Derivatives of the layers that are written out for a CPU, beyond those that training checks."""

import pytest
import torch
from torch import nn

from sweeper.model.batch_norm import batch_norm
from sweeper.model.convolution import convolutions


@pytest.mark.parametrize("taps", [1, 3])
def test_convolutions_can_be_differentiated_twice(taps):
    x, *kernels = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in [(2, 5, 3), (4, 3, taps)])
    bias = torch.randn(4, dtype=torch.float64, requires_grad=True)

    def of(x, kernel, bias):
        return convolutions(x, (kernel,), (bias,), (0.01,))[0]

    assert torch.autograd.gradcheck(of, (x, *kernels, bias)) and torch.autograd.gradgradcheck(of, (x, *kernels, bias))


def test_batch_norm_says_that_it_can_not():
    x = torch.randn(8, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(batch_norm(nn.BatchNorm1d(3), x).square().sum(), x, create_graph=True)


@pytest.mark.parametrize("off", [{"affine": False}, {"track_running_stats": False}, {"momentum": None}])
def test_other_kinds_of_batch_norm_are_torchs(off):
    x, norm, same = torch.randn(8, 3), nn.BatchNorm1d(3, **off), nn.BatchNorm1d(3, **off)
    assert torch.equal(batch_norm(norm, x), same(x))
