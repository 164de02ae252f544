"""Recipes: functions that return everything a trial needs besides its arm, data set, fold and seed.

A recipe is complete: reading it tells every value that is used. Whose each value is says `search_spaces/CHOICES.md`.
"""

from dataclasses import replace

from sweeper.augmentation_config import AugmentationConfig, MixingConfig, NoiseConfig
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
    """The paper's recipe scaled to a CPU: a small network on 1 s at 8 kHz, tens of epochs."""
    training = TrainingConfig(
        epochs=12,
        batch_size=32,
        max_lr=2e-3,
        ema=EMAConfig(decay=0.99),
        distillation=DistillationConfig(),
        augmentation=AugmentationConfig.signal_only(),
    )
    return Recipe("small", network=SIZES["small"], training=training, sample_rate=8_000, seconds=1.0)


def words() -> Recipe:
    """Short words by voices that were heard in training: FSDD's official split, on a CPU.

    Half a second, as most of its recordings last; longer ones are heard at three places. Of augmentation only what a
    word survives unharmed, shifts in time, as the network is short of steps and not of variety.
    """
    off = AugmentationConfig.off()
    training = TrainingConfig(
        epochs=36,
        batch_size=32,
        max_lr=3e-3,
        ema=EMAConfig(decay=0.98),
        distillation=DistillationConfig(),
        augmentation=replace(off, signal=replace(off.signal, time_shift_probability=0.8)),
        crops=3,
    )
    return Recipe(
        "words", network=replace(SIZES["small"], dropout=0.0), training=training, sample_rate=8_000, seconds=0.5
    )


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
