"""Eight noises, one drawn per clip: five Gaussian colours, uniform, a low sine, and phase noise.

The host knows which clips drew which noise (see ``draws``), so each kind is computed for its clips
alone. A colour's power spectral density is f^b: violet b = 2 (+6.02 dB per octave), blue 1 (+3.01),
white 0, pink -1, red -2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sweeper.audio.augmentation.draws import Draws, SeveralDraws, choose, select
from sweeper.audio.augmentation.stft import istft, rotate, stft
from sweeper.augmentation_config import NoiseConfig

COLOUR_EXPONENTS = {"white": 0.0, "pink": -1.0, "red": -2.0, "blue": 1.0, "violet": 2.0}
"""Exponent b of the power spectral density f^b of each Gaussian colour."""

_KINDS = (*COLOUR_EXPONENTS, "uniform", "sine", "phase")
_UNIFORM, _SINE, _PHASE = (_KINDS.index(kind) for kind in ("uniform", "sine", "phase"))


def coloured_noise(draws: Draws | SeveralDraws, exponents: Tensor, time: int) -> Tensor:
    """Zero-mean Gaussian noise ``[batch, 1, time]`` with a power spectrum f^b, ``exponents`` b ``[batch]``.

    Drawn as a spectrum, shaped, and transformed once (Timmer and Koenig 1995). The level is arbitrary;
    ``add_noise`` sets it.
    """
    device = exponents.device
    bins = time // 2 + 1
    real, imaginary = draws.normal("coloured noise", (2, len(exponents), bins), device, clips_on=1)
    log_frequency = torch.arange(bins, device=device, dtype=torch.float32).clamp_(min=1.0).div_(bins).log_()
    amplitude = torch.exp(log_frequency * (exponents / 2).unsqueeze(1))
    amplitude[:, 0] = 0.0  # no offset: pink and red have no finite value at f = 0
    spectrum = torch.complex(real.mul_(amplitude), imaginary.mul_(amplitude))
    noise: Tensor = torch.fft.irfft(spectrum, n=time)
    return noise.unsqueeze(1)


def uniform_noise(draws: Draws | SeveralDraws, batch: int, time: int, device: torch.device | str = "cpu") -> Tensor:
    """Uniform noise ``[batch, 1, time]`` in (-1, 1)."""
    return draws.uniform("uniform noise", (batch, 1, time), device).mul_(2.0).sub_(1.0)


def sine(frequency: Tensor, phase: Tensor, time: int, sample_rate: int) -> Tensor:
    """Sines ``[batch, 1, time]`` of ``frequency`` in Hz and ``phase`` in radians, both ``[batch]``."""
    seconds = torch.arange(time, device=frequency.device, dtype=torch.float32) / sample_rate
    return torch.sin(2 * math.pi * frequency.view(-1, 1, 1) * seconds + phase.view(-1, 1, 1))


def add_noise(waveforms: Tensor, noise: Tensor, snr_db: Tensor) -> Tensor:
    """Add ``noise`` to clips, both ``[batch, 1, time]``, scaled to ``snr_db`` ``[batch]``.

    The ratio holds for the clip's and the noise's measured powers. A silent clip stays silent.
    """
    signal_level = torch.linalg.vector_norm(waveforms, dim=-1, keepdim=True)
    noise_level = torch.linalg.vector_norm(noise, dim=-1, keepdim=True).clamp_(min=1e-20)
    scale = torch.pow(10.0, snr_db.view(-1, 1, 1) / -20.0) * signal_level / noise_level
    return torch.addcmul(waveforms, noise, scale)


def phase_noise(waveforms: Tensor, sigma: Tensor, size: int, draws: Draws | SeveralDraws) -> Tensor:
    """Turn every STFT phase of ``[batch, 1, time]`` by a normal draw of ``sigma`` ``[batch]`` radians.

    ``size`` is the STFT's window length in samples.
    """
    spectra = stft(waveforms, size)
    angle = draws.normal("phase noise", spectra.shape, waveforms.device).mul_(sigma.view(-1, 1, 1, 1))
    return istft(rotate(spectra, angle), waveforms.shape[-1])


def random_noise(
    waveforms: Tensor, draws: Draws | SeveralDraws, config: NoiseConfig, sample_rate: int, stft_size: int | Tensor
) -> Tensor:
    """Apply to each clip of ``[batch, 1, time]``, with its probability, one noise drawn by weight.

    ``stft_size`` is the window length of phase noise in samples, or that of each clip, int64 ``[batch]`` on the CPU.
    """
    if config.probability == 0:
        return waveforms
    batch, _, time = waveforms.shape
    applied, kind_draw, snr_draw, strength, phase = draws.uniform("noise", (5, batch), clips_on=1)
    kind = choose(kind_draw, [getattr(config, name) for name in _KINDS])
    kind[applied >= config.probability] = -1
    snr_db = config.snr_low_db + (config.snr_high_db - config.snr_low_db) * snr_draw
    device = waveforms.device
    result = waveforms.clone()

    coloured = (kind >= 0) & (kind < _UNIFORM)
    if coloured.any():
        exponents = torch.tensor(list(COLOUR_EXPONENTS.values()))[kind.clamp(0, _UNIFORM - 1)]
        clips, snr, exponents = select(coloured, device, snr_db, exponents)
        result[clips] = add_noise(waveforms[clips], coloured_noise(draws.among(coloured), exponents, time), snr)
    if (uniform := kind == _UNIFORM).any():
        clips, snr = select(uniform, device, snr_db)
        noise = uniform_noise(draws.among(uniform), len(clips), time, device)
        result[clips] = add_noise(waveforms[clips], noise, snr)
    if (kind == _SINE).any():
        hertz, radians = config.sine_max_hz * strength, 2 * math.pi * phase
        clips, snr, hertz, radians = select(kind == _SINE, device, snr_db, hertz, radians)
        result[clips] = add_noise(waveforms[clips], sine(hertz, radians, time, sample_rate), snr)
    sigma = config.phase_low + (config.phase_high - config.phase_low) * strength
    sizes = torch.as_tensor(stft_size).expand(batch)[kind == _PHASE]
    for size in sorted(set(sizes.tolist())):
        turned = (kind == _PHASE) & (torch.as_tensor(stft_size) == size)
        clips, radians = select(turned, device, sigma)
        result[clips] = phase_noise(waveforms[clips], radians, size, draws.among(turned))
    return result
