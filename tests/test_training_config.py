"""What a training may hold, and which of its switches change nothing."""

from dataclasses import replace

import numpy as np
import pytest

from sweeper.idle_switches import idle_switches
from sweeper.study import DistillationConfig, TrainingConfig
from sweeper.switches import switched

PLAIN = TrainingConfig(epochs=20)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("batch_size", "16", "TrainingConfig.batch_size = '16': expected a whole number"),
        ("batch_size", True, "expected a whole number"),
        ("epochs", 1.5, "TrainingConfig.epochs = 1.5: expected a whole number"),
        ("max_lr", float("inf"), "TrainingConfig.max_lr = inf: expected a number"),
        ("max_lr", np.float32(1), "expected a number"),
        ("clip_norm", "1", "TrainingConfig.clip_norm = '1': expected a number or None"),
        ("betas", (0.9,), r"betas = \(0.9,\): expected a tuple: a number, 2 of these"),
        ("betas", (0.9, 1.5), r"betas must lie in \[0, 1\)"),
        ("label_smoothing", 2.0, "label_smoothing and pct_start must lie in 0…1"),
        ("pct_start", 7.0, "label_smoothing and pct_start must lie in 0…1"),
        ("weight_decay", -1.0, "weight_decay must be 0 or more"),
        ("precision", "fp16", "TrainingConfig.precision = 'fp16': expected 'bf16' or 'float32'"),
        ("compile", 1, "TrainingConfig.compile = 1: expected True or False"),
        ("ema", None, "TrainingConfig.ema = None: expected a EMAConfig"),
        ("ema.unit", "epochs", "EMAConfig.unit = 'epochs': expected 'step' or 'epoch'"),
        ("distillation.temperature", 0.0, "temperature above 0"),
        ("augmentation", None, "TrainingConfig.augmentation = None: expected a AugmentationConfig"),
        ("augmentation.mixing", None, "AugmentationConfig.mixing = None: expected a MixingConfig"),
        ("augmentation.mixing.probability", "0.5", "MixingConfig.probability = '0.5': expected a number"),
        ("augmentation.noise.white", float("nan"), "NoiseConfig.white = nan: expected a number"),
        ("augmentation.resampling.factors", ("a",), "expected a tuple: a number, several of these"),
        ("augmentation.stft_sizes", (512.5,), "expected a tuple: a whole number, several of these"),
    ],
)
def test_a_value_of_another_kind_is_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        switched(PLAIN, {name: value})


def test_whole_numbers_are_numbers_and_none_is_allowed_where_it_means_something():
    config = replace(PLAIN, max_lr=1, clip_norm=None, distillation=None, betas=[0.9, 0.99])
    assert (config.max_lr, config.betas) == (1, (0.9, 0.99))
    assert DistillationConfig(alpha=0, hint=0).hint == 0


@pytest.mark.parametrize(
    ("base", "switches", "why"),
    [
        ({"epochs": 12}, {"augmentation.mixing.probability": 0.0}, "mixing begins after 12 epochs, and 12 are trained"),
        ({"epochs": 13}, {"augmentation.mixing.probability": 0.0}, ""),
        ({"schedule": "constant"}, {"pct_start": 0.3}, "the schedule is constant"),
        ({}, {"pct_start": 0.3}, ""),
        ({"schedule": "constant"}, {"schedule": "one-cycle"}, ""),
        ({"augmentation.noise.probability": 0}, {"augmentation.noise.snr_low_db": 1.0}, "noise.probability is 0"),
        ({"augmentation.noise.probability": 0}, {"augmentation.noise.probability": 0.5}, ""),
        ({}, {"augmentation.signal.filter_taps": 31}, "signal.filter_probability is 0"),
        ({}, {"augmentation.signal.gain_low": 0.1}, ""),
    ],
)
def test_a_switch_of_what_another_one_turns_off_is_told(base, switches, why):
    reference = switched(PLAIN, base)
    found = idle_switches(reference, switched(reference, switches), switches)
    assert found.keys() == ({*switches} if why else set())
    assert all(why in reason for reason in found.values())
