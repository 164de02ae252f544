"""The signal set: gain, polarity, time shift, time mask, segment gain, cyclic shift.

All six are one rotation of the clip and factors on whole clip or segments, so a random order per clip
needs no loop: rotations add up, and a segment scaled earlier moves along with every later rotation.
``signal_set`` therefore rotates the batch once, whatever order each clip drew.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sweeper.audio.augmentation.draws import Draws, SeveralDraws, select, to_device
from sweeper.augmentation_config import SignalConfig

# The order of the rows in `signal_set`; a random order is drawn per clip.
_SHIFT, _MASK, _SEGMENT, _CYCLIC, _GAIN, _POLARITY = range(6)


def gain(waveforms: Tensor, factor: Tensor) -> Tensor:
    """Scale each clip ``[batch, 1, time]`` by its ``factor`` ``[batch]``."""
    return waveforms * factor.view(-1, 1, 1)


def polarity(waveforms: Tensor, inverted: Tensor) -> Tensor:
    """Invert the sign of the clips ``[batch, 1, time]`` where ``inverted`` (bool ``[batch]``)."""
    return gain(waveforms, torch.where(inverted, -1.0, 1.0))


def cyclic_shift(waveforms: Tensor, shift: Tensor) -> Tensor:
    """Rotate each clip ``[batch, 1, time]`` later by ``shift`` samples (int64 ``[batch]``, any sign)."""
    start = (-shift) % waveforms.shape[-1]
    return _clip_by_clip(waveforms, start) if waveforms.device.type == "cpu" else _at_once(waveforms, start)


def _clip_by_clip(waveforms: Tensor, start: Tensor) -> Tensor:
    result = torch.empty_like(waveforms)
    for clip, rotated, first in zip(waveforms.numpy(), result.numpy(), start.tolist(), strict=True):
        rest = clip.shape[-1] - first
        rotated[:, :rest], rotated[:, rest:] = clip[:, first:], clip[:, :first]
    return result


def _at_once(waveforms: Tensor, start: Tensor) -> Tensor:
    # A clip laid twice end to end holds every rotation as a window: one contiguous copy per clip,
    # and no index per sample.
    doubled = torch.cat((waveforms, waveforms), dim=-1).squeeze(1)
    clip = torch.arange(len(waveforms), device=waveforms.device)
    return doubled.unfold(-1, waveforms.shape[-1], 1)[clip, start].unsqueeze(1)


def time_shift(waveforms: Tensor, shift: Tensor, max_shift: int) -> Tensor:
    """Move each clip ``[batch, 1, time]`` later by ``shift`` samples (int64 ``[batch]``, any sign).

    The vacated end is zero. ``max_shift`` is the largest possible ``abs(shift)``.
    """
    time = waveforms.shape[-1]
    position = _positions(shift.clamp(max=0), min(max_shift, time), time)
    vacated = torch.arange(position.shape[-1], device=shift.device) < shift.abs().view(-1, 1, 1)
    return _scale_(cyclic_shift(waveforms, shift), position, 1.0 - vacated.to(waveforms.dtype))


def segment_gain(waveforms: Tensor, start: Tensor, length: int, factor: Tensor) -> Tensor:
    """Scale ``length`` samples from ``start`` (int64 ``[batch]``) by ``factor`` ``[batch]``."""
    position = _positions(start, length, waveforms.shape[-1])
    return _scale_(waveforms.clone(), position, factor.view(-1, 1, 1))


def time_mask(waveforms: Tensor, start: Tensor, noise: Tensor) -> Tensor:
    """Replace samples from ``start`` (int64 ``[batch]``) on by ``noise`` ``[batch, 1, length]``."""
    return waveforms.scatter(-1, _positions(start, noise.shape[-1], waveforms.shape[-1]), noise)


def signal_set(waveforms: Tensor, draws: Draws | SeveralDraws, config: SignalConfig, sample_rate: int) -> Tensor:
    """Apply the six augmentations to ``[batch, 1, time]``, each with its probability, in random order.

    Masks are filled last: their noise (at -120 dB) keeps its level whatever the clip drew after the mask.
    """
    probability = torch.tensor(
        [
            config.time_shift_probability,
            config.time_mask_probability,
            config.segment_gain_probability,
            config.cyclic_shift_probability,
            config.gain_probability,
            config.polarity_probability,
        ]
    )
    if not probability.any():
        return waveforms
    batch, _, time = waveforms.shape
    device = waveforms.device
    shift_max, mask_length, segment_length = (
        min(round(seconds * sample_rate), time)
        for seconds in (config.time_shift_s, config.time_mask_s, config.segment_gain_s)
    )
    # All that follows up to `to_device` is a few numbers per clip, computed on the host.
    applied, order, strength, place = draws.uniform("signal", (4, 6, batch), clips_on=2)
    on = applied < probability.unsqueeze(1)

    rotation = torch.zeros(6, batch, dtype=torch.int64)
    rotation[_SHIFT] = _integer(strength[_SHIFT], 2 * shift_max + 1) - shift_max
    rotation[_CYCLIC] = _integer(strength[_CYCLIC], max(1, round(config.cyclic_shift_share * time)))
    rotation *= on
    # later[j]: rotations that follow augmentation j in the clip's own order, which move its segment.
    follows = order.unsqueeze(0) > order.unsqueeze(1)
    later = (rotation.unsqueeze(0) * follows).sum(dim=1)
    mask_start = _integer(place[_MASK], time - mask_length + 1) + later[_MASK]
    segment_start = _integer(place[_SEGMENT], time - segment_length + 1) + later[_SEGMENT]
    vacated_start = rotation[_SHIFT].clamp(max=0) + later[_SHIFT]
    vacated_length = rotation[_SHIFT].abs()

    whole = torch.where(on[_GAIN], _between(strength[_GAIN], config.gain_low, config.gain_high), 1.0)
    whole = torch.where(on[_POLARITY], -whole, whole)
    part = _between(strength[_SEGMENT], config.segment_gain_low, config.segment_gain_high)
    part = torch.where(on[_SEGMENT], part, 1.0)

    integers = to_device(torch.stack((rotation.sum(0), vacated_start, vacated_length, segment_start)), device)
    factors = to_device(torch.stack((whole, part)), device)
    result = cyclic_shift(waveforms, integers[0]).mul_(factors[0].view(-1, 1, 1))
    if config.time_shift_probability > 0:
        vacated = torch.arange(shift_max, device=device) < integers[2].view(-1, 1, 1)
        _scale_(result, _positions(integers[1], shift_max, time), 1.0 - vacated.to(result.dtype))
    if config.segment_gain_probability > 0:
        _scale_(result, _positions(integers[3], segment_length, time), factors[1].view(-1, 1, 1))
    if on[_MASK].any():
        clips, start = select(on[_MASK], device, mask_start)
        noise = draws.among(on[_MASK]).normal("time mask", (len(clips), 1, mask_length), device)
        noise *= config.time_mask_level
        position = _positions(start, mask_length, time) + time * clips.view(-1, 1, 1)
        result.view(-1).scatter_(0, position.view(-1), noise.view(-1))
    return result


def _scale_(x: Tensor, position: Tensor, factor: Tensor) -> Tensor:
    """Multiply the samples of ``x`` at ``position`` ``[batch, 1, length]`` by ``factor``, in place."""
    return x.scatter_(-1, position, x.gather(-1, position).mul_(factor))


def _positions(start: Tensor, length: int, time: int) -> Tensor:
    """Indices ``[batch, 1, length]`` of the cyclic segments that begin at ``start`` ``[batch]``."""
    position = start.view(-1, 1, 1) % time + torch.arange(length, device=start.device)
    return position.sub_(time * (position >= time))  # several times cheaper than a remainder per sample


def _integer(uniform: Tensor, count: int) -> Tensor:
    """Turn uniform draws into integers 0 to ``count - 1``."""
    return (uniform.double() * count).long()


def _between(uniform: Tensor, low: float, high: float) -> Tensor:
    """Turn uniform draws into values between ``low`` and ``high``."""
    return low + (high - low) * uniform
