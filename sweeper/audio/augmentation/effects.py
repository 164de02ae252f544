"""The optional signal augmentations, off by default: time reversal, FIR filter, room response, mu-law."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sweeper.audio.augmentation.draws import Draws, SeveralDraws, select
from sweeper.audio.augmentation.filters import fir_filter, fir_taps, room_response
from sweeper.augmentation_config import SignalConfig

_LOW_PASS = (0.5, 0.75)
_HIGH_PASS = (0.0, 0.25)
"""Ranges of the cut-off as shares of the Nyquist frequency, as EAT's public code has them."""


def time_reversal(waveforms: Tensor) -> Tensor:
    """Play clips ``[batch, 1, time]`` backwards."""
    return waveforms.flip(-1)


def mu_law(waveforms: Tensor, bits: int = 8) -> Tensor:
    """Quantise clips ``[batch, 1, time]`` to ``2**bits`` levels of the mu-law curve (ITU-T G.711) and decode.

    Samples beyond full scale (+-1) are clipped, as the codec does.
    """
    mu = 2**bits - 1
    compressed = waveforms.abs().clamp_(max=1.0).mul_(mu).log1p_().div_(math.log1p(mu)).copysign_(waveforms)
    level = compressed.add_(1.0).mul_(mu / 2).add_(0.5).floor_()
    decoded = level.mul_(2.0 / mu).sub_(1.0)
    return decoded.abs().mul_(math.log1p(mu)).expm1_().div_(mu).copysign_(decoded)


def random_effects(waveforms: Tensor, draws: Draws | SeveralDraws, config: SignalConfig, sample_rate: int) -> Tensor:
    """Apply to each clip of ``[batch, 1, time]``, each with its probability, in the order of a recording:
    source (reversal), filter, room, codec (mu-law).
    """
    probability = torch.tensor(
        [
            config.time_reversal_probability,
            config.filter_probability,
            config.room_probability,
            config.mu_law_probability,
        ]
    )
    if not probability.any():
        return waveforms
    applied, strength, side = draws.uniform("effects", (3, 4, len(waveforms)), clips_on=2)
    reversed_, filtered, roomy, quantised = applied < probability.unsqueeze(1)
    device = waveforms.device
    result = waveforms.clone()
    if reversed_.any():
        (clips,) = select(reversed_, device)
        result[clips] = time_reversal(result[clips])
    if filtered.any():
        high_pass = side[1] < 0.5
        low = torch.where(high_pass, _HIGH_PASS[0], _LOW_PASS[0])
        high = torch.where(high_pass, _HIGH_PASS[1], _LOW_PASS[1])
        clips, cutoff, high_pass = select(filtered, device, low + (high - low) * strength[1], high_pass)
        result[clips] = fir_filter(result[clips], fir_taps(cutoff, high_pass, config.filter_taps))
    if roomy.any():
        rt60 = config.room_low_s + (config.room_high_s - config.room_low_s) * strength[2]
        clips, rt60 = select(roomy, device, rt60)
        result[clips] = room_response(
            result[clips],
            rt60,
            draws.among(roomy),
            level_db=config.room_level_db,
            longest_s=config.room_high_s,
            sample_rate=sample_rate,
        )
    if quantised.any():
        (clips,) = select(quantised, device)
        result[clips] = mu_law(result[clips], config.mu_law_bits)
    return result
