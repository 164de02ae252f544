"""Log-mel spectrograms and MFCCs of waveforms, as layers without parameters."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torchaudio.functional import create_dct, melscale_fbanks

from sweeper.model.network import check_waveform

FLOOR = 1e-10  # power of a band, where a sine of full scale has about the window's squared half length
LEAST_POINTS = 2048  # of the Fourier transform: bands at the low end are narrow, and none may be empty


def _in_float32(waveform: Tensor) -> AbstractContextManager[object]:
    """Without autocast, whose bfloat16 has two or three digits; the meta device, for counting, has none."""
    return nullcontext() if waveform.is_meta else torch.autocast(waveform.device.type, enabled=False)


class LogMel(nn.Module):
    """``[batch, 1, time] -> [batch, bands, frames]``: natural logarithms of the power in bands of the mel scale.

    Frames lie within the clip: there are ``1 + (time - window) // hop``. Bands reach from 0 to half of the rate.

    Args:
        sample_rate: in Hz.
        bands: how many.
        window: of a frame, in samples; windowed by Hann.
        hop: from frame to frame, in samples.

    Raises:
        ValueError: (when called) the shape is another one, or the clips are shorter than a window.
    """

    shape: Tensor
    bank: Tensor

    def __init__(self, sample_rate: int, bands: int, window: int, hop: int) -> None:
        super().__init__()
        self.window, self.hop = window, hop
        self.points = max(LEAST_POINTS, 2 ** math.ceil(math.log2(window)))
        # Not weights: they follow from the arguments, so they stay out of checkpoints. Made on the CPU, as torchaudio
        # looks at the bank's values, which a network that is only counted has none of.
        device = torch.empty(0).device
        with torch.device("cpu"):
            bank = melscale_fbanks(self.points // 2 + 1, 0.0, sample_rate / 2, bands, sample_rate)
            shape = torch.hann_window(window)
        self.register_buffer("bank", bank.to(device), persistent=False)
        self.register_buffer("shape", shape.to(device), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """See the class."""
        check_waveform(waveform, self.window)
        with _in_float32(waveform):
            frames = waveform[:, 0].float().unfold(1, self.window, self.hop) * self.shape
            spectrum = torch.view_as_real(torch.fft.rfft(frames, n=self.points)).square().sum(-1)
            return (spectrum @ self.bank).clamp(min=FLOOR).log().transpose(1, 2)


class MFCC(nn.Module):
    """``[batch, 1, time] -> [batch, coefficients, frames]``: the first cosine coefficients of 128 log-mel bands.

    Args:
        sample_rate: in Hz.
        coefficients: how many, the first (the level) among them.
        window, hop: as for ``LogMel``.
    """

    cosines: Tensor

    def __init__(self, sample_rate: int, coefficients: int, window: int, hop: int) -> None:
        super().__init__()
        bands = max(128, coefficients)
        self.log_mel = LogMel(sample_rate, bands, window, hop)
        self.register_buffer("cosines", create_dct(coefficients, bands, "ortho"), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """See the class."""
        with _in_float32(waveform):
            bands: Tensor = self.log_mel(waveform)
            return (bands.transpose(1, 2) @ self.cosines).transpose(1, 2)
