"""What a search turns: learning rate, weight average, augmentation; the ranges, and why they are what they are.

A value that another one switches off is not asked for, so no sampler wastes trials on it. What is not asked for stays
as the recipe has it.
"""

from dataclasses import replace
from typing import Any

from sweeper.augmentation_config import (
    AugmentationConfig,
    MixingConfig,
    NoiseConfig,
    ResamplingConfig,
    SignalConfig,
)
from sweeper.space import Trial
from sweeper.training_config import TrainingConfig

# The signal set of the paper, and what EAT's code has besides, off by default: each is on or off.
EFFECTS = ("gain", "polarity", "time_shift", "time_mask", "segment_gain", "cyclic_shift")
EXTRA_EFFECTS = ("time_reversal", "filter", "room", "mu_law")
MIXINGS = ("mixup", "time_mix", "frequency_mix", "phase_mix")


class _Space:
    """The paper's study's space."""

    def __call__(self, trial: Trial, base: TrainingConfig) -> TrainingConfig:
        """The recipe's training with the values that the trial suggests; valid whatever they are."""
        return _tuned(trial, base)

    def recipe_values(self, base: TrainingConfig) -> dict[str, Any]:
        """The values with which it returns the recipe itself."""
        return _values_of(base)


SPACE = _Space()


def _tuned(trial: Trial, base: TrainingConfig) -> TrainingConfig:
    # Log scale: rates act by their ratio. Around the paper's 3e-4; 1e-2 is where AdamW with clipping starts to diverge,
    # and below 3e-5 the shortest recipe does not leave its initial values.
    config = replace(base, max_lr=trial.suggest_float("learning_rate", 3e-5, 1e-2, log=True))
    if trial.scope.objective == "accuracy_ema":  # the decay does not touch the last epoch's weights
        # 1 − decay is one over the average's horizon, and acts by its ratio. The paper's 0.995 has no unit: from
        # 10 to 10,000 steps, or from 1.4 to 200 epochs where the recipe counts epochs.
        low, high = (1e-4, 1e-1) if base.ema.unit == "step" else (5e-3, 7e-1)
        decay = 1 - trial.suggest_float("ema_forgetting", low, high, log=True)
        config = replace(config, ema=replace(base.ema, decay=decay))
    if trial.scope.cost is not None and base.epochs > 1:  # more is seldom worse
        # Down to an eighth: with fewer, the one-cycle schedule is mostly warm-up.
        epochs = trial.suggest_int("epochs", -(-base.epochs // 8), base.epochs, log=True)
        config = replace(config, epochs=epochs)
    sound = base.augmentation
    return replace(
        config,
        augmentation=replace(
            sound,
            signal=_signal(trial, sound.signal),
            noise=_noise(trial, sound.noise),
            resampling=_resampling(trial, sound.resampling),
            mixing=_mixing(trial, sound.mixing, base.epochs),
        ),
    )


def _signal(trial: Trial, base: SignalConfig) -> SignalConfig:
    # On or off each, as the paper gives one probability for all: ten switches say more than ten probabilities.
    on = [effect for effect in (*EFFECTS, *EXTRA_EFFECTS) if trial.suggest_categorical(effect, (False, True))]
    changes: dict[str, Any] = {f"{effect}_probability": 0.0 for effect in (*EFFECTS, *EXTRA_EFFECTS)}
    if on:
        # At 0.1 nine clips in ten pass any one effect untouched; at 0.9 nearly none is heard as it was recorded.
        probability = trial.suggest_float("signal_probability", 0.1, 0.9)
        changes |= {f"{effect}_probability": probability for effect in on}
    if set(on) & {"gain", "segment_gain", "time_shift", "time_mask"}:
        # Times and gains in dB by one factor, log scale: from half of EAT's strength to three times. A mask of 0.3 s is
        # a third of the shortest clips.
        strength = trial.suggest_float("signal_strength", 0.5, 3.0, log=True)
        changes |= {name: getattr(base, name) * strength for name in ("time_shift_s", "time_mask_s", "segment_gain_s")}
        gains = ("gain_low", "gain_high", "segment_gain_low", "segment_gain_high")
        changes |= {name: getattr(base, name) ** strength for name in gains}
    return replace(base, **changes)


def _noise(trial: Trial, base: NoiseConfig) -> NoiseConfig:
    if not trial.suggest_categorical("noise", (False, True)):
        return replace(base, probability=0.0)
    # EAT's 30 to 35 dB is hardly heard; at 5 dB the noise hides the quieter classes. The width of 5 dB stays.
    low = trial.suggest_float("noise_snr_db", 5.0, 40.0)
    probability = trial.suggest_float("noise_probability", 0.1, 1.0)
    width = base.snr_high_db - base.snr_low_db
    return replace(base, probability=probability, snr_low_db=low, snr_high_db=low + width)


def _resampling(trial: Trial, base: ResamplingConfig) -> ResamplingConfig:
    if not trial.suggest_categorical("resampling", (False, True)):
        return replace(base, probability=0.0)
    # The factors stay at up to ±20 %: beyond, a siren becomes a horn, and the label would be wrong.
    return replace(base, probability=trial.suggest_float("resampling_probability", 0.1, 0.9))


def _mixing(trial: Trial, base: MixingConfig, epochs: int) -> MixingConfig:
    if not trial.suggest_categorical("mixing", (False, True)):
        return replace(base, probability=0.0)
    # All four in turn, as the paper has it, or one alone: sixteen subsets would need a search of their own.
    kind = trial.suggest_categorical("mixing_kind", ("all", *MIXINGS))
    weights = {} if kind == "all" else {name: float(name == kind) for name in MIXINGS}
    # The paper mixes every batch; below a quarter, mixing is hardly there.
    probability = trial.suggest_float("mixing_probability", 0.25, 1.0)
    # From none to half of the training; the recipe's own value is always in reach.
    warmup = trial.suggest_int("mixing_warmup_epochs", 0, max(epochs // 2, base.warmup_epochs))
    return replace(base, probability=probability, warmup_epochs=warmup, **weights)


def _values_of(base: TrainingConfig) -> dict[str, Any]:
    sound: AugmentationConfig = base.augmentation
    probabilities = {effect: getattr(sound.signal, f"{effect}_probability") for effect in (*EFFECTS, *EXTRA_EFFECTS)}
    return {effect: probability > 0 for effect, probability in probabilities.items()} | {
        "learning_rate": base.max_lr,
        "ema_forgetting": 1 - base.ema.decay,
        "epochs": base.epochs,
        "signal_probability": max(probabilities.values()),
        "signal_strength": 1.0,
        "noise": sound.noise.probability > 0,
        "noise_snr_db": sound.noise.snr_low_db,
        "noise_probability": sound.noise.probability,
        "resampling": sound.resampling.probability > 0,
        "resampling_probability": sound.resampling.probability,
        "mixing": sound.mixing.probability > 0,
        "mixing_kind": "all",
        "mixing_probability": sound.mixing.probability,
        "mixing_warmup_epochs": sound.mixing.warmup_epochs,
    }
