"""Resampling of a batch through the Fourier transform, as ``scipy.signal.resample`` does it.

Band-limited for any factor, in two transforms and without a filter to design. Torch's convolution, the
usual alternative, rounds to TF32 on a GPU unless told otherwise. The method takes a clip as periodic:
where a clip's end and start differ, a few samples at both ends ring.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from sweeper.audio.augmentation.blocks import by_blocks
from sweeper.audio.augmentation.draws import Draws
from sweeper.augmentation_config import ResamplingConfig


def resample(waveforms: Tensor, factor: float) -> Tensor:
    """Resample ``[batch, 1, time]`` to ``ceil(time * factor)`` samples.

    Played at the old rate, speed and pitch change by ``1 / factor``.
    """
    time = waveforms.shape[-1]
    length = math.ceil(round(time * factor, 6))  # 0.9 * 1000 is a little more than 900 in binary
    spectra = torch.fft.rfft(waveforms)
    shorter = min(time, length)
    if shorter % 2 == 0 and length != time:
        # The bin at the lower Nyquist frequency stands for both signs of it on one side only.
        spectra[..., shorter // 2] *= 0.5 if length > time else 2.0
    resampled: Tensor = torch.fft.irfft(spectra, n=length)
    return resampled.mul_(length / time)


def random_resampling(waveforms: Tensor, draws: Draws, config: ResamplingConfig) -> Tensor:
    """Resample the batch ``[batch, 1, time]`` by a drawn factor, and bring it back to ``time`` samples.

    A longer result is cut at a drawn place, a shorter one zero-padded at its end.
    """
    applied, which, place = draws.uniform("resampling", (3,)).tolist()
    if applied >= config.probability:
        return waveforms
    time, factor = waveforms.shape[-1], config.factors[int(which * len(config.factors))]

    def back_to_time(clips: Tensor) -> Tensor:
        resampled = resample(clips, factor)
        spare = resampled.shape[-1] - time
        if spare < 0:
            return pad(resampled, (0, -spare))
        start = int(place * (spare + 1))
        return resampled[..., start : start + time]

    return by_blocks(back_to_time, waveforms).contiguous()
