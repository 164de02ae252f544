"""Noise: spectral slopes in dB per octave, signal-to-noise ratios in dB, shares of the kinds."""

import numpy as np
import pytest
import torch

from sweeper.audio.augmentation import noise
from sweeper.audio.augmentation.draws import Draws
from sweeper.audio.augmentation.stft import istft, rotate, scaled_size, stft
from sweeper.augmentation_config import NoiseConfig

KINDS = ("white", "pink", "red", "blue", "violet", "uniform", "sine", "phase")
RATE = 8000


def clips(batch: int = 16, time: int = 8000, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(batch, 1, time, generator=torch.Generator().manual_seed(seed))


def only(kind: str, **others: float) -> NoiseConfig:
    return NoiseConfig(**{each: float(each == kind) for each in KINDS}, **{"probability": 1.0, **others})


def octave_slope(x: np.ndarray) -> float:
    """Slope of the averaged periodogram of `[batch, time]`, in dB per octave."""
    power = (np.abs(np.fft.rfft(x)) ** 2).mean(axis=0)
    k = np.arange(8, len(power) - 1)
    # Weighted by 1 / k, so that every octave counts the same.
    return np.polyfit(np.log2(k), 10 * np.log10(power[k]), 1, w=1 / np.sqrt(k))[0]


def snr_db(clean: torch.Tensor, noisy: torch.Tensor) -> np.ndarray:
    clean, noisy = clean.double(), noisy.double()
    return (10 * torch.log10(clean.square().sum(-1) / (noisy - clean).square().sum(-1))).flatten().numpy()


@pytest.mark.parametrize("time", [8000, 8001])
@pytest.mark.parametrize(
    ("colour", "slope"), [("white", 0), ("pink", -3.01), ("red", -6.02), ("blue", 3.01), ("violet", 6.02)]
)
def test_spectral_slope(colour, slope, time):
    exponents = torch.full((64,), noise.COLOUR_EXPONENTS[colour])
    drawn = noise.coloured_noise(Draws(0, 0), exponents, time)
    assert drawn.shape == (64, 1, time)
    assert octave_slope(drawn[:, 0].double().numpy()) == pytest.approx(slope, abs=0.1)
    np.testing.assert_allclose(drawn.mean(dim=-1), 0, atol=1e-5 * drawn.abs().max())


def test_slope_survives_the_whole_way():
    """The noise as added to clips, found again as the difference."""
    x = clips(64)
    for colour, exponent in noise.COLOUR_EXPONENTS.items():
        noisy = noise.random_noise(x, Draws(1, 0), only(colour, snr_low_db=0, snr_high_db=0), RATE, 512)
        assert octave_slope((noisy - x)[:, 0].double().numpy()) == pytest.approx(3.01 * exponent, abs=0.1)


def test_coloured_noise_is_gaussian_and_uniform_is_uniform():
    white = noise.coloured_noise(Draws(0, 0), torch.zeros(16), 8000)
    white = white / white.std()
    assert (white**4).mean().item() == pytest.approx(3.0, abs=0.05)
    flat = noise.uniform_noise(Draws(0, 0), 16, 8000)
    assert flat.abs().max() < 1 and (flat**4).mean().item() == pytest.approx(1 / 5, abs=0.005)
    assert octave_slope(flat[:, 0].double().numpy()) == pytest.approx(0, abs=0.15)


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_snr_as_asked(kind):
    x = clips(32) * torch.linspace(0.1, 3, 32).view(-1, 1, 1)
    exact = noise.random_noise(x, Draws(0, 0), only(kind, snr_low_db=20, snr_high_db=20), RATE, 512)
    np.testing.assert_allclose(snr_db(x, exact), 20, atol=0.01)
    ranged = snr_db(x, noise.random_noise(x, Draws(0, 1), only(kind), RATE, 512))
    assert 29.9 < ranged.min() < 31 and 34 < ranged.max() < 35.1


def test_sine_is_low():
    x = clips(200, 32_000)
    added = noise.random_noise(x, Draws(0, 0), only("sine", snr_low_db=0, snr_high_db=0), RATE, 512) - x
    power = torch.fft.rfft(added[:, 0] * torch.hann_window(32_000)).abs().square()
    peak = power.argmax(dim=1) * RATE / 32_000
    assert peak.max() <= 50.25 and peak.min() < 2 and 20 < peak.mean() < 30
    assert (power[:, : (55 * 4)].sum(1) / power.sum(1)).min() > 0.9999
    np.testing.assert_allclose(
        noise.sine(torch.tensor([10.0]), torch.tensor([0.5]), 100, RATE)[0, 0],
        np.sin(2 * np.pi * 10 * np.arange(100) / RATE + 0.5),
        atol=1e-5,
    )


def test_phase_noise_turns_phases_by_sigma():
    x, size = clips(32), 256
    sigma = torch.linspace(0.005, 0.02, 32)
    y = noise.phase_noise(x, sigma, size, Draws(0, 0))
    # A turn by a small angle a adds a times the bin. The transform is twice redundant, so that its inverse
    # keeps half of the energy of an error that is independent from bin to bin.
    error = ((y - x).square().sum(-1) / x.square().sum(-1)).sqrt().flatten()
    np.testing.assert_allclose(error / sigma, np.sqrt(0.5), rtol=0.05)
    spectra = stft(x, size)
    angle = Draws(0, 0).normal("phase noise", spectra.shape) * 0.02
    turned = rotate(spectra, angle)
    np.testing.assert_allclose(turned.abs(), spectra.abs(), rtol=1e-4, atol=1e-5)
    difference = (turned * spectra.conj()).angle()
    np.testing.assert_allclose(difference[..., 1:-1], angle[..., 1:-1], atol=1e-4)


def test_shares_of_kinds_and_probability():
    x = clips(64, 256)
    counts = 0
    for step in range(40):
        counts += (noise.random_noise(x, Draws(0, step), NoiseConfig(), RATE, 64) != x).any(-1).sum().item()
    assert abs(counts - 0.5 * 40 * 64) < 5 * np.sqrt(0.25 * 40 * 64)
    table = torch.cat([Draws(0, step).uniform("noise", (5, 64))[1] for step in range(40)])
    drawn = np.bincount(noise.choose(table, [1.0] * 8).numpy(), minlength=8)
    assert np.abs(drawn - 320).max() < 5 * np.sqrt(2560 / 8 * 7 / 8)
    assert noise.random_noise(x, Draws(0, 0), NoiseConfig(probability=0), RATE, 64) is x


def test_silence_stays_silent():
    x = torch.zeros(8, 1, 500)
    for kind in KINDS:
        noisy = noise.random_noise(x, Draws(0, 0), only(kind), RATE, 64)
        assert torch.equal(noisy, x), kind


@pytest.mark.parametrize("size", [2, 8, 64, 512, 2048])
@pytest.mark.parametrize("time", [1, 2, 63, 64, 65, 1000, 8001])
def test_stft_round_trip(size, time):
    x = clips(3, time)
    spectra = stft(x, size)
    assert spectra.shape[:2] == (3, 1) and spectra.shape[-1] == size // 2 + 1
    np.testing.assert_allclose(istft(spectra, time), x, atol=1e-6)


def test_stft_against_plain_frames():
    x, size = clips(2, 1000), 128
    spectra = stft(x, size)
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size))
    for clip, ours in zip(x[:, 0].numpy(), spectra[:, 0], strict=True):
        padded = np.concatenate((np.zeros(64), clip, np.zeros(200)))
        for frame in range(ours.shape[0]):
            expected = np.fft.rfft(padded[frame * 64 : frame * 64 + size] * window)
            np.testing.assert_allclose(ours[frame], expected, atol=1e-5)


def test_stft_sizes_keep_their_duration():
    assert [scaled_size(size, 22_050) for size in (512, 1024, 2048)] == [512, 1024, 2048]
    assert [scaled_size(size, 8_000) for size in (512, 1024, 2048)] == [128, 256, 512]
    assert [scaled_size(size, 44_100) for size in (512, 1024, 2048)] == [1024, 2048, 4096]
    assert scaled_size(512, 10) == 2
