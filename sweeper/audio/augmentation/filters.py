"""Linear filters drawn per clip: short low- and high-pass FIR filters, and a room's response."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from sweeper.audio.augmentation.draws import Draws, SeveralDraws


def fir_taps(cutoff: Tensor, high_pass: Tensor, taps: int = 15) -> Tensor:
    """Windowed-sinc (Hamming) filters ``[batch, taps]`` with unit gain in the pass band.

    Args:
        cutoff: cut-off as a share of the Nyquist frequency, ``[batch]``.
        high_pass: high-pass where true, else low-pass, bool ``[batch]``.
        taps: filter length, odd.
    """
    place = torch.arange(taps, device=cutoff.device) - taps // 2
    window = torch.hamming_window(taps, periodic=False, device=cutoff.device)
    low = cutoff.unsqueeze(1) * torch.sinc(cutoff.unsqueeze(1) * place) * window
    centre = (place == 0).to(low.dtype)
    kernel = torch.where(high_pass.unsqueeze(1), centre * window - low, low)
    # Unit gain where the filter should pass: at 0 Hz, or at Nyquist, where samples alternate in sign.
    sign = torch.where(high_pass.unsqueeze(1), 1.0 - 2.0 * (place % 2), 1.0)
    return kernel / (kernel * sign).sum(dim=1, keepdim=True)


def fir_filter(waveforms: Tensor, taps: Tensor) -> Tensor:
    """Filter each clip ``[batch, 1, time]`` by its own ``taps`` ``[batch, odd]``, centred, zeros outside."""
    half = taps.shape[1] // 2
    padded = pad(waveforms, (half, half))
    time = waveforms.shape[-1]
    result = torch.zeros_like(waveforms)
    # A loop over taps, not clips; cuDNN's convolution would round to TF32.
    for i in range(taps.shape[1]):
        result.addcmul_(padded[..., i : i + time], taps[:, -1 - i].view(-1, 1, 1))
    return result


def room_response(
    waveforms: Tensor,
    rt60: Tensor,
    draws: Draws | SeveralDraws,
    *,
    level_db: float,
    longest_s: float,
    sample_rate: int,
) -> Tensor:
    """Reverberate each clip ``[batch, 1, time]``: direct sound plus exponentially decaying Gaussian noise.

    This is Polack's statistical model of a room (1988); it needs no image sources, hence no scatter whose
    order of summation would differ between devices.

    Args:
        waveforms: clips ``[batch, 1, time]``.
        rt60: time in s in which the reverberation decays by 60 dB, ``[batch]``, at most ``longest_s``.
        draws: source of the noise.
        level_db: energy of the reverberation relative to the direct sound, in dB.
        longest_s: length of the response in s.
        sample_rate: in Hz.
    """
    time = waveforms.shape[-1]
    length = max(1, round(longest_s * sample_rate))
    seconds = torch.arange(1, length + 1, device=waveforms.device, dtype=torch.float32) / sample_rate
    tail = draws.normal("room", (len(waveforms), 1, length), waveforms.device)
    tail *= torch.exp(-math.log(1000.0) * seconds / rt60.view(-1, 1, 1))
    tail *= 10 ** (level_db / 20) / torch.linalg.vector_norm(tail, dim=-1, keepdim=True).clamp_(min=1e-20)
    padded = 2 ** math.ceil(math.log2(time + length))
    wet = torch.fft.irfft(torch.fft.rfft(waveforms, n=padded) * torch.fft.rfft(tail, n=padded), n=padded)
    # The tail starts one sample after the direct sound.
    return waveforms + pad(wet, (1, 0))[..., :time]
