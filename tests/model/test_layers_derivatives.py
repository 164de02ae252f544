"""Derivatives of the layers that are written out for a CPU, beyond those that training checks."""

import pytest
import torch
from torch import nn

from sweeper.model.attention import ChannelAttention, PooledBottleneck
from sweeper.model.batch_norm import batch_norm
from sweeper.model.convolution import convolutions
from sweeper.model.layers import RELU


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


def test_batch_norm_with_its_leaky_relu_is_both():
    x, norm = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True), nn.BatchNorm1d(5).double()
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
    parameters = (x, norm.weight, norm.bias)
    both = batch_norm(norm, x, 0.1)
    expected = nn.functional.leaky_relu(norm(x.flatten(0, 1)), 0.1).view(x.shape)
    torch.testing.assert_close(both, expected)
    given = torch.randn_like(x)
    found = torch.autograd.grad(both, parameters, given)
    torch.testing.assert_close(found, torch.autograd.grad(expected, parameters, given))


def test_channel_attention_with_what_it_scores_is_the_equations():
    attention = ChannelAttention(8, reduction=2).double()
    m, shortcut = torch.randn(2, 3, 7, 8, dtype=torch.float64)
    m[:, 2:4] = 9.0  # of equal maxima, the first has the gradient
    parameters = (m.requires_grad_(), shortcut.requires_grad_(), *attention.parameters())
    found = attention.refined(m, shortcut)
    expected = nn.functional.leaky_relu(m * attention(m) + shortcut, 0.01)
    torch.testing.assert_close(found, expected)
    given = torch.randn_like(m)
    found = torch.autograd.grad(found, parameters, given)
    torch.testing.assert_close(found, torch.autograd.grad(expected, parameters, given))


def test_it_says_that_it_can_not_be_differentiated_twice():
    m = torch.randn(2, 7, 8, requires_grad=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(ChannelAttention(8, 2).refined(m, m).square().sum(), m, create_graph=True)


@pytest.mark.parametrize("shape", [(2, 7, 8), (3, 1, 4), (2, 250, 32)])
def test_the_maximum_is_torchs_and_so_is_its_gradient(shape):
    bottleneck = PooledBottleneck(shape[-1], 2)
    x = torch.randn(shape).relu_().requires_grad_()
    parameters = x, *bottleneck.parameters()
    pooled = torch.stack([x.mean(1), x.max(1).values], dim=1)
    expected = bottleneck.expand(bottleneck.squeeze(pooled, RELU))
    found, given = bottleneck(x), torch.randn(shape[0], 2, shape[-1])
    torch.testing.assert_close(found, expected)
    found = torch.autograd.grad(found, parameters, given)
    torch.testing.assert_close(found, torch.autograd.grad(expected, parameters, given))
