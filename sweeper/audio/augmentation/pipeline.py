"""The whole augmentation of a batch: signal set, noise, resampling, mixing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

import torch
from torch import Tensor

from sweeper.audio.augmentation.draws import Draws, SeveralDraws
from sweeper.audio.augmentation.effects import random_effects
from sweeper.audio.augmentation.mixing import random_mixing
from sweeper.audio.augmentation.noise import random_noise
from sweeper.audio.augmentation.resampling import random_resampling
from sweeper.audio.augmentation.signal import signal_set
from sweeper.audio.augmentation.stft import scaled_size
from sweeper.augmentation_config import AugmentationConfig


class Augmented(NamedTuple):
    """An augmented batch.

    Attributes:
        waveforms: ``[batch, 1, time]``, as long as the input.
        targets: label weights ``[batch, classes]`` in 0..1; of a mixed batch the union of both clips' labels.
        mixed: whether clips were mixed, so that binary cross-entropy on the union applies.
    """

    waveforms: Tensor
    targets: Tensor
    mixed: bool


@torch.no_grad()
def augment(
    waveforms: Tensor,
    targets: Tensor,
    config: AugmentationConfig,
    *,
    sample_rate: int,
    seed: int,
    step: int,
    epoch: int,
) -> Augmented:
    """Augment a batch on its device. A pure function: equal arguments give equal results.

    Nothing waits for the device, on a GPU nothing loops over clips (a CPU takes a few at a time, see
    ``blocks``), and no generator is read or changed. The input is not modified. There is no matrix product
    or convolution in here, so neither autocast nor TF32 changes a result.

    Args:
        waveforms: ``[batch, 1, time]`` float32, full scale at +-1.
        targets: label weights ``[batch, classes]`` in 0..1, one-hot or smoothed.
        config: what to apply, and how strongly.
        sample_rate: in Hz.
        seed: of the run; under data parallelism different on every rank.
        step: of the run, counted over epochs: the other half of the key of all draws.
        epoch: from 0; mixing starts after the configured warm-up.
    """
    _check(waveforms, targets)
    draws = Draws(seed, step)
    size = _stft_size(draws, config, sample_rate)
    return _of_batch(_of_clips(waveforms, draws, config, sample_rate, size), targets, draws, config, size, epoch)


@torch.no_grad()
def augment_each(
    waveforms: Tensor,
    targets: Tensor,
    config: AugmentationConfig,
    *,
    sample_rate: int,
    seeds: Sequence[int],
    step: int,
    epoch: int,
) -> list[Augmented]:
    """Augment a batch of each of several runs, as ``augment`` does; what is done to clips, to those of all at once.

    Args:
        waveforms: ``[runs, batch, 1, time]``.
        targets: ``[runs, batch, classes]``.
        config, sample_rate, step, epoch: see ``augment``.
        seeds: of each run.
    """
    for of_run in zip(waveforms, targets, strict=True):
        _check(*of_run)
    runs = [Draws(seed, step) for seed in seeds]
    sizes = [_stft_size(draws, config, sample_rate) for draws in runs]
    batch = waveforms.shape[1]
    draws, size = SeveralDraws(tuple(runs), (batch,) * len(runs)), torch.tensor(sizes).repeat_interleave(batch)
    clips = _of_clips(waveforms.flatten(0, 1), draws, config, sample_rate, size).view(waveforms.shape)
    return [_of_batch(*of_run, epoch) for of_run in zip(clips, targets, runs, repeat(config), sizes, strict=False)]


def _check(waveforms: Tensor, targets: Tensor) -> None:
    if waveforms.ndim != 3 or waveforms.shape[1] != 1 or 0 in waveforms.shape:
        raise ValueError(f"waveforms of shape {list(waveforms.shape)}: expected a non-empty [batch, 1, time]")
    if waveforms.dtype != torch.float32:
        raise ValueError(f"waveforms are {waveforms.dtype}: expected torch.float32")
    if targets.ndim != 2 or len(targets) != len(waveforms):
        raise ValueError(
            f"targets of shape {list(targets.shape)}: expected [batch, classes] with batch = {len(waveforms)}"
        )


def _stft_size(draws: Draws, config: AugmentationConfig, sample_rate: int) -> int:
    (which,) = draws.uniform("stft size", (1,)).tolist()
    return scaled_size(config.stft_sizes[int(which * len(config.stft_sizes))], sample_rate)


def _of_clips(
    waveforms: Tensor,
    draws: Draws | SeveralDraws,
    config: AugmentationConfig,
    sample_rate: int,
    stft_size: int | Tensor,
) -> Tensor:
    """What each clip draws for itself."""
    waveforms = signal_set(waveforms, draws, config.signal, sample_rate)
    waveforms = random_effects(waveforms, draws, config.signal, sample_rate)
    return random_noise(waveforms, draws, config.noise, sample_rate, stft_size)


def _of_batch(
    waveforms: Tensor, targets: Tensor, draws: Draws, config: AugmentationConfig, stft_size: int, epoch: int
) -> Augmented:
    """What is drawn once for a batch."""
    waveforms = random_resampling(waveforms, draws, config.resampling)
    return Augmented(*random_mixing(waveforms, targets, draws, config.mixing, stft_size=stft_size, epoch=epoch))
