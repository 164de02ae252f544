"""The augmentation of EAT's public code, written afresh: the same operations, of the same sizes, in the same order.

Gazneli et al. 2022, "End-to-End Audio Strikes Back". Clips are augmented one by one, as in its data loader; resampling
and mixing take a batch. What makes it slow is kept: time is shifted by parts of a sample by a Fourier transform of the
whole clip, coloured noise is shaped by complex transforms, and resampling convolves with 64 zeros on either side.
"""

import math
import random

import torch
import torchaudio.transforms
from torch import Tensor
from torch.nn.functional import pad

# Hertz: the windows that one is drawn of, and their hops, in samples.
WINDOWS = {8_000: ((128, 32), (256, 64), (512, 128)), 22_050: ((512, 128), (1024, 256), (2048, 1024))}
FACTORS = (0.8, 0.9, 1.1, 1.2)
EXPONENTS = (0.0, 0.5, -0.5, -1.0, 1.0)  # of the frequency: white, blue, pink, red, violet
UNIFORM, SINE, PHASE = 5, 6, 7


class Eat:
    """Augments clips at `rate` Hz."""

    def __init__(self, rate: int) -> None:
        self.rate, self.tenth = rate, rate // 10
        self.resamplers = [
            torchaudio.transforms.Resample(
                rate, int(rate * factor), "sinc_interp_kaiser", lowpass_filter_width=64, rolloff=0.95, beta=14.0
            )
            for factor in FACTORS
        ]

    def batch(self, clips: Tensor, mixing: bool) -> Tensor:
        """Augment `[batch, time]`."""
        time = clips.shape[-1]
        batch = torch.stack([_fit(self._clip(clip), time) for clip in clips])
        if random.random() < 0.5:
            batch = _fit(random.choice(self.resamplers)(batch), time)
        if mixing:
            batch = random.choice((_mixup, _time_mix, self._frequency_mix, self._phase_mix))(batch)
        return batch

    def _clip(self, clip: Tensor) -> Tensor:
        clip = clip.clone()
        kinds = [self._gain, self._polarity, self._time_shift, self._time_mask, self._segment_gain, self._rotate]
        random.shuffle(kinds)
        for kind in (*kinds, self._noise):
            if random.random() < 0.5:
                clip = kind(clip)
        return clip

    def _gain(self, clip: Tensor) -> Tensor:
        return clip.mul_(torch.empty(1).uniform_(0.5, 1.3))

    def _polarity(self, clip: Tensor) -> Tensor:
        return clip.mul_(-1)

    def _time_shift(self, clip: Tensor) -> Tensor:
        whole, part = random.randint(-self.tenth, self.tenth), random.randint(-50, 50) / 100
        empty = torch.zeros(abs(whole))
        clip = torch.cat((empty, clip[: len(clip) - whole]) if whole > 0 else (clip[-whole:], empty))
        angle = 2 * math.pi * part * torch.fft.fftfreq(len(clip))
        return torch.fft.ifft(torch.fft.fft(clip) * torch.exp(-1j * angle)).real

    def _time_mask(self, clip: Tensor) -> Tensor:
        start = random.randint(0, len(clip) - self.tenth)
        clip[start : start + self.tenth] = 1e-6 * torch.randn(self.tenth)
        return clip

    def _segment_gain(self, clip: Tensor) -> Tensor:
        start = random.randint(0, self.tenth)
        clip[start : start + self.tenth] *= torch.empty(1).uniform_(0.5, 1.3)
        return clip

    def _rotate(self, clip: Tensor) -> Tensor:
        start = random.randint(0, len(clip) - 1)
        return torch.cat((clip[start:], clip[:start]))

    def _noise(self, clip: Tensor) -> Tensor:
        kind = random.randrange(8)
        if kind == PHASE:
            size, hop = random.choice(WINDOWS[self.rate])
            spectrum = _stft(clip, size, hop)
            turn = (0.01 + 0.01 * torch.rand(1)) * torch.rand_like(spectrum)
            return _istft(spectrum * torch.exp(1j * turn), size, hop)
        if kind == UNIFORM:
            noise = math.sqrt(3) * (2 * torch.rand_like(clip) - 1)
        elif kind == SINE:
            seconds = torch.arange(len(clip)) / self.rate
            noise = math.sqrt(2) * torch.sin(2 * math.pi * (50 * torch.rand(1)) * seconds + math.pi * torch.rand(1))
        else:
            noise = torch.randn_like(clip)
            if EXPONENTS[kind]:
                half = torch.fft.fft(noise)[: len(clip) // 2 + 1]
                half = half * torch.arange(1, len(half) + 1).float() ** EXPONENTS[kind]
                noise = torch.fft.ifft(torch.cat((half, half.flip(0)[1:-1].conj()))).real
                noise = noise / noise.std()
        level = clip.square().mean().sqrt() * 10 ** (-(30 + 5 * torch.rand(1)) / 20)
        return clip.add_(level * _fit(noise, len(clip)))

    def _frequency_mix(self, batch: Tensor) -> Tensor:
        size, hop = random.choice(WINDOWS[self.rate])
        spectra = _stft(batch, size, hop)
        return _istft(_swap_ends(spectra), size, hop)

    def _phase_mix(self, batch: Tensor) -> Tensor:
        size, hop = random.choice(WINDOWS[self.rate])
        spectra = _stft(batch, size, hop)
        phase, share = spectra.angle(), torch.rand(len(batch), 1, 1)
        phase = share * phase + (1 - share) * phase[torch.randperm(len(batch))]
        return _istft(spectra.abs() * torch.exp(1j * phase), size, hop)


def _mixup(batch: Tensor) -> Tensor:
    other = torch.randperm(len(batch))
    level = 10 * torch.log10(batch.square().mean(-1, keepdim=True).clamp(min=1e-5))
    share = 0.1 + 0.9 * torch.rand(len(batch), 1)
    weight = 1 / (1 + 10 ** ((level - level[other]) / 20) * (1 - share) / share)
    return (batch * weight + batch[other] * (1 - weight)) / torch.sqrt(weight**2 + (1 - weight) ** 2)


def _time_mix(batch: Tensor) -> Tensor:
    return _swap_ends(batch)


def _swap_ends(values: Tensor) -> Tensor:
    """Of each of `[batch, places, ...]`, up to half of the places from another: the first, or the last."""
    other = values[torch.randperm(len(values))]
    for own, foreign in zip(values, other, strict=True):
        count = int(random.uniform(0, 0.5) * len(own))
        places = slice(len(own) - count, None) if random.random() < 0.5 else slice(count)
        own[places] = foreign[places]
    return values


def _fit(clips: Tensor, time: int) -> Tensor:
    return clips[..., :time] if clips.shape[-1] >= time else pad(clips, (0, time - clips.shape[-1]))


def _stft(clips: Tensor, size: int, hop: int) -> Tensor:
    return torch.stft(clips, size, hop, window=torch.hann_window(size), return_complex=True)


def _istft(spectra: Tensor, size: int, hop: int) -> Tensor:
    return torch.istft(spectra, size, hop, window=torch.hann_window(size))
