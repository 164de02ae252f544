"""Mixing of clip pairs: mixup, time mix, frequency mix, phase mix; one drawn per batch.

Every clip of ``[batch, 1, time]`` has a partner: ``partner`` int64 ``[batch]`` is a permutation of the
batch. ``lam`` (lambda, ``[batch]``, 0 to 1) is the clip's own share.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sweeper.audio.augmentation.blocks import by_blocks
from sweeper.audio.augmentation.draws import Draws, choose, to_device
from sweeper.audio.augmentation.stft import istft, rotate, stft
from sweeper.augmentation_config import MixingConfig

_KINDS = ("mixup", "time_mix", "frequency_mix", "phase_mix")

_SILENCE = 1e-5
"""Mean square below which a clip's level is taken as -50 dB, so that silence isn't pulled up to speech."""


def mixup(waveforms: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    """Add two clips in the *audible* proportion ``lam`` to ``1 - lam``, whatever their levels.

    The weights p and 1 - p are corrected by the two levels in dB, and the sum is divided by
    ``sqrt(p^2 + (1 - p)^2)``, which keeps the power of uncorrelated clips of equal level (Tokozume et al.
    2018, "Learning from between-class examples for deep sound recognition", with plain power as the level).
    """
    mean_square = by_blocks(lambda x: x.square().mean(dim=-1, keepdim=True), waveforms).clamp_(min=_SILENCE)
    lam = lam.view(-1, 1, 1)
    # 10^((G - G') / 20) of two levels G, G' in dB is the ratio of their root mean squares.
    ratio = torch.sqrt(mean_square / mean_square.index_select(0, partner))
    weight = lam / (lam + ratio * (1 - lam))
    norm = torch.sqrt(weight**2 + (1 - weight) ** 2)
    return _weighted_sum(waveforms, partner, weight / norm, (1 - weight) / norm)


def time_mix(waveforms: Tensor, partner: Tensor, lam: Tensor, suffix: Tensor) -> Tensor:
    """Take a share ``1 - lam`` of the clip from the partner: its end where ``suffix`` (bool ``[batch]``)."""

    def mix(own: Tensor, partner: Tensor, lam: Tensor, suffix: Tensor) -> Tensor:
        return _swapped(own, waveforms.index_select(0, partner), _end(own.shape[-1], lam, suffix).unsqueeze(1))

    return by_blocks(mix, waveforms, partner, lam, suffix)


def frequency_mix(waveforms: Tensor, partner: Tensor, lam: Tensor, top: Tensor, stft_size: int) -> Tensor:
    """Take a share ``1 - lam`` of the STFT bins from the partner: the top where ``top`` (bool ``[batch]``).

    ``stft_size`` is the window length in samples.
    """
    # Real and imaginary parts side by side, so that complex numbers aren't multiplied by real ones.
    parts = by_blocks(lambda x: torch.view_as_real(stft(x, stft_size)).flatten(-2), waveforms)

    def mix(own: Tensor, partner: Tensor, lam: Tensor, top: Tensor) -> Tensor:
        foreign = _end(own.shape[-1] // 2, lam, top).repeat_interleave(2, dim=-1).view(len(lam), 1, 1, -1)
        mixed = _swapped(own, parts.index_select(0, partner), foreign)
        return istft(torch.view_as_complex(mixed.view(*mixed.shape[:-1], -1, 2)), waveforms.shape[-1])

    return by_blocks(mix, parts, partner, lam, top)


def phase_mix(waveforms: Tensor, partner: Tensor, lam: Tensor, stft_size: int) -> Tensor:
    """Keep the STFT magnitudes and move the phases towards the partner's: ``lam * own + (1 - lam) * other``.

    The principal values of the phases are interpolated. Own label weight: ``0.5 + lam / 2``.
    ``stft_size`` is the window length in samples. Where a clip is silent, the phase is rounding, which differs between
    makes of processors, and so then does the mixture: arms are paired to the last bit on machines of one kind.
    """
    spectra = by_blocks(lambda x: stft(x, stft_size), waveforms)
    # Contiguous parts: on a CPU, angle() of complex numbers takes more than twice as long.
    phase = by_blocks(lambda x: torch.atan2(x.imag.contiguous(), x.real.contiguous()), spectra)

    def mix(own: Tensor, own_phase: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
        turn = phase.index_select(0, partner).sub_(own_phase).mul_(1 - lam.view(-1, 1, 1, 1))
        return istft(rotate(own, turn), waveforms.shape[-1])

    return by_blocks(mix, spectra, phase, partner, lam)


def union_targets(targets: Tensor, partner: Tensor, weight: Tensor, threshold: float = 0.9) -> Tensor:
    """Labels of a mixed batch: own ``[batch, classes]``, and the partner's where ``weight`` < ``threshold``.

    ``weight`` ``[batch]`` is the clip's own label weight. Where both clips carry a class, the larger counts.
    """
    counts = (weight < threshold).to(targets.dtype).unsqueeze(1)
    return torch.maximum(targets, targets.index_select(0, partner) * counts)


def random_mixing(
    waveforms: Tensor, targets: Tensor, draws: Draws, config: MixingConfig, *, stft_size: int, epoch: int
) -> tuple[Tensor, Tensor, bool]:
    """Mix the batch by one drawn mixing once the warm-up is over: waveforms, targets, and whether it did."""
    applied, kind_draw = draws.uniform("mixing", (2,))
    if epoch < config.warmup_epochs or applied >= config.probability:
        return waveforms, targets, False
    kind = _KINDS[int(choose(kind_draw, [getattr(config, name) for name in _KINDS]))]
    share, side = draws.uniform("mixing of clips", (2, len(waveforms)))
    lowest = {
        "mixup": config.mixup_lambda_min,
        "time_mix": 1 - config.time_mix_max_share,
        "frequency_mix": 1 - config.frequency_mix_max_share,
        "phase_mix": 0.0,
    }[kind]
    device = waveforms.device
    lam = to_device(lowest + (1 - lowest) * share, device)
    last = to_device(side < 0.5, device)
    partner = to_device(draws.permutation("partner", len(waveforms)), device)
    weight = lam
    if kind == "mixup":
        mixed = mixup(waveforms, partner, lam)
    elif kind == "time_mix":
        mixed = time_mix(waveforms, partner, lam, last)
    elif kind == "frequency_mix":
        mixed = frequency_mix(waveforms, partner, lam, last, stft_size)
    else:
        mixed = phase_mix(waveforms, partner, lam, stft_size)
        weight = 0.5 + lam / 2
    return mixed, union_targets(targets, partner, weight, config.label_threshold), True


def _weighted_sum(x: Tensor, partner: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """``own * x + other * x[partner]``."""

    def of_block(x_own: Tensor, partner: Tensor, own: Tensor, other: Tensor) -> Tensor:
        return (own * x_own).addcmul_(other, x.index_select(0, partner))

    return by_blocks(of_block, x, partner, own, other)


def _swapped(own: Tensor, other: Tensor, foreign: Tensor) -> Tensor:
    """``other`` where ``foreign`` is 1, ``own`` where it is 0: exact, and faster than ``torch.where``."""
    return ((1 - foreign) * own).addcmul_(foreign, other)


def _end(length: int, lam: Tensor, last: Tensor) -> Tensor:
    """Ones ``[batch, length]`` at the first, or where ``last`` the last, ``length * (1 - lam)`` places."""
    count = (length * (1 - lam)).floor()
    edge = torch.where(last, length - count, count).unsqueeze(1)
    place = torch.arange(length, device=lam.device, dtype=lam.dtype)
    return (place < edge).to(lam.dtype).sub_(last.to(lam.dtype).unsqueeze(1)).abs_()
