"""Batch normalisation with channels last against torch's, in values, gradients and running statistics."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sweeper.model.batch_norm import batch_norm

Norm = Callable[[nn.BatchNorm1d, Tensor], Tensor]


def everything(way: Norm, x: Tensor, given: Tensor) -> list[Tensor]:
    norm = nn.BatchNorm1d(x.shape[1]).to(x.dtype)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, x.shape[1]))
        norm.bias.copy_(torch.linspace(-1, 1, x.shape[1]))
    x = x.clone().requires_grad_()
    first, second = way(norm, x), way(norm, x)
    gradients = torch.autograd.grad(second, (x, norm.weight, norm.bias), given)
    norm.eval()
    return [first.detach(), *gradients, *norm.buffers(), way(norm, x).detach()]


@pytest.mark.parametrize("frames", [2, 3, 500])
def test_it_is_torchs(frames: int) -> None:
    x, given = torch.randn(2, frames, 5, dtype=torch.float64)
    torch.testing.assert_close(everything(batch_norm, x, given), everything(lambda norm, x: norm(x), x, given))


def test_sums_of_many_frames_lose_no_digits() -> None:
    """torch's own is off by 4e-6 here."""
    x, given = torch.randn(2, 64_000, 8, generator=torch.Generator().manual_seed(0)) * 2 + 1.5
    exact, ours = everything(batch_norm, x.double(), given.double()), everything(batch_norm, x, given)
    for index in (0, 1, 4, 5, 7):  # not the gradients of weight and bias: what is added up there nearly cancels
        assert (ours[index].double() - exact[index]).norm() <= 6e-7 * exact[index].norm()


def test_one_frame_is_refused_in_training_as_torch_does() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        batch_norm(nn.BatchNorm1d(3), torch.zeros(1, 3))


def test_a_norm_of_another_class_is_asked_itself() -> None:
    """As several workers put one here, which takes statistics over all of them."""

    class Other(nn.BatchNorm1d):
        def forward(self, input: Tensor) -> Tensor:
            return input + 1

    assert torch.equal(batch_norm(Other(3), torch.zeros(4, 3)), torch.ones(4, 3))
