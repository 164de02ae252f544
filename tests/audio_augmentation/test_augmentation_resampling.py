"""Batch resampling: against SciPy and torchaudio, and back to the batch's length."""

import numpy as np
import pytest
import torch
import torchaudio.functional
from scipy import signal

from sweeper.audio.augmentation.draws import Draws
from sweeper.audio.augmentation.resampling import random_resampling, resample
from sweeper.augmentation_config import ResamplingConfig

FACTORS = {0.8: (5, 4), 0.9: (10, 9), 1.1: (10, 11), 1.2: (5, 6)}


def clips(batch: int = 4, time: int = 4000) -> torch.Tensor:
    return torch.randn(batch, 1, time, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("time", [1, 2, 3, 101, 1000, 4000])
def test_against_scipy(factor, time):
    x = clips(3, time)
    ours = resample(x, factor)
    assert ours.shape == (3, 1, int(np.ceil(time * factor - 1e-9)))
    np.testing.assert_allclose(ours, signal.resample(x.numpy(), ours.shape[-1], axis=-1), atol=1e-5)


@pytest.mark.parametrize(("factor", "rates"), FACTORS.items())
def test_against_torchaudio_on_a_band_limited_signal(factor, rates):
    """Two methods, one answer, where both are meant to be right: below the cut-off and away from the ends."""
    t = torch.arange(4000) / 4000
    x = sum(torch.sin(2 * torch.pi * f * t + f) for f in (50, 333, 800)).view(1, 1, -1)
    theirs = torchaudio.functional.resample(x, *rates, lowpass_filter_width=64)
    np.testing.assert_allclose(resample(x, factor)[..., 200:-200], theirs[..., 200:-200], atol=5e-3)


def test_pitch_moves_by_the_factor():
    t = torch.arange(8000) / 8000
    x = torch.sin(2 * torch.pi * 1000 * t).view(1, 1, -1)
    for factor in FACTORS:
        y = resample(x, factor)
        peak = torch.fft.rfft(y[0, 0]).abs().argmax().item() * 8000 / y.shape[-1]
        assert peak == pytest.approx(1000 / factor, abs=2)


def test_back_to_length_with_every_factor_equally_often():
    x, config = torch.ones(2, 1, 400), ResamplingConfig()
    kinds = []
    for step in range(600):
        y = random_resampling(x, Draws(0, step), config)
        assert y.shape == x.shape
        kinds.append(0 if y is x else round((y[0, 0] > 0.5).sum().item() / 400, 1))
    share = {kind: kinds.count(kind) / 600 for kind in set(kinds)}
    assert share.keys() == {0, 0.8, 0.9, 1.0}
    np.testing.assert_allclose([share[0], share[0.8], share[0.9]], [0.5, 0.125, 0.125], atol=0.08)


def test_cut_place_is_drawn():
    ramp = torch.linspace(0, 1, 1000).view(1, 1, -1)
    config = ResamplingConfig(probability=1, factors=(1.2,))
    starts = [random_resampling(ramp, Draws(0, step), config)[0, 0, 100].item() for step in range(100)]
    assert min(starts) < 0.1 and max(starts) > 0.23


def test_off():
    x = clips()
    assert random_resampling(x, Draws(0, 0), ResamplingConfig(probability=0)) is x
    assert torch.equal(resample(x, 1.0), x) or torch.allclose(resample(x, 1.0), x, atol=1e-6)
