"""The layers' fast forms against torch's plain ones."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sweeper.model import attention, batch_norm, convolution, transformer
from sweeper.model.layers import LEAKY_RELU, LINEAR, RELU, ConvBlock, Convolution, at_once


@pytest.fixture(autouse=True, params=["channels together", "sequences"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to convolve; the second is a GPU's, and that of a graph that is recorded."""
    for module in (attention, batch_norm, convolution, transformer):
        monkeypatch.setattr(module, "is_fast", lambda _x: request.param == "channels together")


@pytest.fixture(params=[torch.float64, torch.float32], ids=["float64", "float32"])
def dtype(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    """Each has kernels of its own in torch."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(before)


def assert_close(ours: object, theirs: object, dtype: torch.dtype) -> None:
    tolerance = {} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 2e-5}
    torch.testing.assert_close(ours, theirs, **tolerance)


def plain(x: Tensor, conv: Convolution, slope: float = LINEAR) -> Tensor:
    return nn.functional.leaky_relu(nn.Conv1d.forward(conv, x.transpose(1, 2)).transpose(1, 2), slope)


def gradients(of: Sequence[Tensor], wanted: Sequence[Tensor]) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return torch.autograd.grad(of, wanted, [torch.randn(y.shape, dtype=y.dtype, generator=generator) for y in of])


@pytest.mark.parametrize("length", [1, 2, 5, 16, 27, 63])
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (7, 1), (15, 1), (15, 3), (15, 9)])
@pytest.mark.parametrize("slope", [RELU, LEAKY_RELU, LINEAR])
@pytest.mark.parametrize(("clips", "inputs"), [(1, 1), (2, 3)])
def test_a_convolution_is_torchs_whatever_meets_padding(
    length: int, kernel: int, dilation: int, slope: float, clips: int, inputs: int, dtype: torch.dtype
) -> None:
    conv, x = Convolution(inputs, 5, kernel, dilation), torch.randn(clips, length, inputs, requires_grad=True)
    wanted = (x, conv.weight, conv.bias)
    ours, theirs = conv(x, slope), plain(x, conv, slope)
    assert_close(ours, theirs, dtype)
    assert_close(gradients((ours,), wanted), gradients((theirs,), wanted), dtype)


@pytest.mark.parametrize("channels", [1, 2, 8, 16, 20, 32, 48, 64])
@pytest.mark.parametrize("length", [1, 4, 31])
def test_several_at_once_are_each_of_them(channels: int, length: int, dtype: torch.dtype) -> None:
    """Of any number of channels, of which torch has kernels for some."""
    fs = [Convolution(3, channels, kernel) for kernel in (1, 7, 15, 7)]
    slopes = (LEAKY_RELU, RELU, LEAKY_RELU, LINEAR)
    x = torch.randn(2, length, 3, requires_grad=True)
    ours, theirs = at_once(fs, x, slopes), [plain(x, f, slope) for f, slope in zip(fs, slopes, strict=True)]
    assert_close(list(ours), theirs, dtype)
    wanted = (x, *(parameter for f in fs for parameter in f.parameters()))
    assert_close(gradients(ours, wanted), gradients(theirs, wanted), dtype)


@pytest.mark.parametrize("frames", [400, 20_000])
def test_one_tap_is_a_product_for_few_frames_and_a_convolution_for_many(frames: int, dtype: torch.dtype) -> None:
    f, x = Convolution(8, 16, 1), torch.randn(2, frames, 8, requires_grad=True)
    assert (x.numel() * 16 < convolution.LITTLE) == (frames == 400)
    wanted = (x, f.weight, f.bias)
    ours, theirs = f(x, LEAKY_RELU), plain(x, f, LEAKY_RELU)
    assert_close(ours, theirs, dtype)
    mean = frames if dtype == torch.float32 else 1  # of so many frames, gradients are no small numbers
    assert_close(
        [g / mean for g in gradients((ours,), wanted)], [g / mean for g in gradients((theirs,), wanted)], dtype
    )


def test_an_output_that_nobody_uses_has_no_gradient_to_give() -> None:
    fs, x = [Convolution(3, 4, 7), Convolution(3, 4, 7)], torch.randn(2, 20, 3)
    unused, used = at_once(fs, x, (LEAKY_RELU, LINEAR))
    used.sum().backward()
    given = fs[0].weight.grad
    assert unused.requires_grad and fs[1].weight.grad.abs().sum() > 0 and (given is None or given.abs().sum() == 0)


@pytest.mark.parametrize("length", [1, 2, 7, 16])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (7, 1)])
def test_a_block_is_torchs_convolution_norm_and_activation(
    length: int, kernel: int, stride: int, dtype: torch.dtype
) -> None:
    block, x = ConvBlock(3, 5, kernel, stride).train(), torch.randn(4, length, 3, requires_grad=True)
    twin = copy.deepcopy(block)
    theirs = nn.functional.leaky_relu(twin.norm(twin.conv(x.transpose(1, 2))), LEAKY_RELU).transpose(1, 2)
    ours = block(x)
    assert_close(ours, theirs, dtype)
    both = gradients((ours,), (x, *block.parameters())), gradients((theirs,), (x, *twin.parameters()))
    assert_close(*both, dtype)
    assert_close(list(block.buffers()), list(twin.buffers()), dtype)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize(("training", "dropout"), [(True, 0.0), (False, 0.0), (False, 0.3)])
def test_an_encoder_is_torchs(norm_first: bool, training: bool, dropout: float, dtype: torch.dtype) -> None:
    """Where nothing is dropped. Two layers, as the second takes what the first gives."""
    encoder = transformer.TransformerEncoder(8, 2, 2, 12, dropout, norm_first=norm_first).train(training)
    x = torch.randn(3, 17, 8, requires_grad=True)
    positions = transformer.sine_positions(17, 8, x.device).to(dtype)
    ours, theirs = encoder(x), encoder.encoder(x + positions)
    assert_close(ours, theirs, dtype)
    wanted = (x, *encoder.parameters())
    assert_close(gradients((ours,), wanted), gradients((theirs,), wanted), dtype)


def test_attention_that_drops_nothing_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of training with dropout is written out."""
    encoder = transformer.TransformerEncoder(8, 1, 2, 12, 0.3).train()
    monkeypatch.setattr(transformer, "is_fast", lambda _x: True)
    monkeypatch.setattr(transformer, "_dropped", lambda x, _probability: x)
    x = torch.randn(3, 17, 8)
    torch.testing.assert_close(encoder(x), copy.deepcopy(encoder).eval()(x))


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_expectation(probability: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(401, 1001)
    y = transformer._dropped(x, probability)
    dropped = (y == 0).double().mean()
    error = 5 * (probability * (1 - probability) / x.numel()) ** 0.5
    assert abs(dropped - probability) < error and abs(y.double().mean() - 1) < error / (1 - probability)
    assert y.unique().numel() == 2
    for axis in (0, 1):  # no row and no column differs more than chance makes it
        shares = (y == 0).double().mean(axis)
        assert shares.std() < 1.2 * (probability * (1 - probability) / x.shape[axis]) ** 0.5


def test_dropout_masks_are_the_same_on_every_processor() -> None:
    """They are the bits of a generator that is the same everywhere; torch's own masks are others on an Intel."""
    torch.manual_seed(7)
    kept = transformer._dropped(torch.ones(3, 7), 0.5) > 0
    high, low = np.random.RandomState(7).randint(0, 1 << 32, (6, 2), dtype=np.uint32).astype(np.uint64).T
    draws = (high << np.uint64(32) | low).view(np.int16)[:21]
    assert kept.flatten().tolist() == (draws < 0).tolist()
