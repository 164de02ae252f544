"""Recipes: functions that return everything a trial needs besides its arm, data set, fold and seed.

A recipe is complete: reading it tells every value that is used. Whose each value is says `search_spaces/CHOICES.md`.
"""

from dataclasses import replace

from sweeper.augmentation_config import AugmentationConfig, MixingConfig, NoiseConfig, ResamplingConfig
from sweeper.model.config import SIZES
from sweeper.study import Recipe
from sweeper.training_config import DistillationConfig, EMAConfig, TrainingConfig


def paper() -> Recipe:
    """Section 4.1.2 as published, and what it leaves open as in EAT's public code. Wants a GPU."""
    return Recipe("paper", network=SIZES["paper"], training=TrainingConfig(), sample_rate=22_050, seconds=4.0)


def literal() -> Recipe:
    """Section 4.1.2 to the letter, "and default values for all other parameters": torch's, not EAT's. Wants a GPU.

    Of augmentation it has what the text names, in each iteration: one noise of each clip and one mixing of each batch.
    """
    training = TrainingConfig(
        pct_start=0.3,
        betas=(0.9, 0.999),
        clip_norm=None,
        label_smoothing=0.0,
        decay_all=True,
        ema=EMAConfig(warmup=False),
        augmentation=replace(
            AugmentationConfig.off(), noise=NoiseConfig(probability=1.0), mixing=MixingConfig(warmup_epochs=0)
        ),
        precision="float32",
    )
    return Recipe("literal", network=SIZES["paper"], training=training, sample_rate=22_050, seconds=4.0)


def small() -> Recipe:
    """The paper's recipe scaled to one core of a CPU, for real recordings.

    The network of `quick` hears half a second at a time, in training at random, in tests at ten places of a longer
    clip, and half of its batches are resampled, which moves pitch and formants as another speaker would. How these
    values were found: `tests/benchmarks/results/fsdd_by_speaker.md`.
    """
    training = TrainingConfig(
        epochs=20,
        batch_size=32,
        max_lr=3e-3,
        ema=EMAConfig(decay=0.98),
        distillation=DistillationConfig(),
        augmentation=replace(AugmentationConfig.signal_only(), resampling=ResamplingConfig()),
        crops=10,
    )
    return Recipe("small", network=SIZES["tiny"], training=training, sample_rate=8_000, seconds=0.5)


def quick() -> Recipe:
    """Minutes for the whole grid on a laptop: enough to see the line work, not to judge the paper."""
    training = TrainingConfig(
        epochs=12,
        batch_size=16,
        max_lr=2e-3,
        ema=EMAConfig(decay=0.98),
        distillation=None,
        augmentation=AugmentationConfig.signal_only(),
    )
    return Recipe("quick", network=SIZES["tiny"], training=training, sample_rate=8_000, seconds=1.0)
