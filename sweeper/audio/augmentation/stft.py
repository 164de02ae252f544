"""A short-time Fourier transform that inverts exactly, for any clip length.

torch.istft checks its window on the host, which waits for the device; this pair doesn't. Half-overlapping
frames with the square root of a periodic Hann window on both sides add up to one (Griffin and Lim 1984).
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn.functional import pad

REFERENCE_RATE = 22_050
"""The sample rate in Hz at which STFT sizes are given."""


def scaled_size(size: int, sample_rate: int) -> int:
    """The power of two at or below the duration of ``size`` samples at 22,050 Hz, at least 2."""
    return 1 << max(1, math.floor(math.log2(size * sample_rate / REFERENCE_RATE)))


def stft(waveforms: Tensor, size: int) -> Tensor:
    """Transform ``[batch, 1, time]`` to complex ``[batch, 1, frames, size // 2 + 1]``; ``size`` is even."""
    hop = size // 2
    time = waveforms.shape[-1]
    # Half a frame of zeros in front and enough behind: every sample lies in exactly two frames.
    padded = pad(waveforms, (hop, hop + (-time) % hop))
    spectra: Tensor = torch.fft.rfft(padded.unfold(-1, size, hop) * _window(size, waveforms))
    return spectra


def istft(spectra: Tensor, time: int) -> Tensor:
    """Invert ``stft``: complex ``[batch, 1, frames, bins]`` to ``[batch, 1, time]`` by overlap-add."""
    size = 2 * (spectra.shape[-1] - 1)
    frames: Tensor = torch.fft.irfft(spectra, n=size)
    first, second = frames.mul_(_window(size, frames)).chunk(2, dim=-1)
    return (first[..., 1:, :] + second[..., :-1, :]).flatten(-2)[..., :time]


def rotate(spectra: Tensor, angle: Tensor) -> Tensor:
    """Turn the phases of complex ``spectra`` by ``angle`` in radians, the same shape; magnitudes stay."""
    return spectra * torch.complex(angle.cos(), angle.sin())


def _window(size: int, like: Tensor) -> Tensor:
    return _square_root_hann(size, like.dtype, like.device)


@functools.lru_cache
def _square_root_hann(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.hann_window(size, dtype=dtype, device=device).sqrt_()
