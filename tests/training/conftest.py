"""Clips and specs small enough to train in a second."""

import numpy as np
import pytest
import torch

from sweeper.audio.clips import Clips
from sweeper.augmentation_config import AugmentationConfig
from sweeper.model.config import SIZES
from sweeper.plan import build_plan
from sweeper.study import Recipe
from sweeper.training_config import DistillationConfig, EMAConfig, TrainingConfig
from tests.studies import ARMS, PAPER

RATE, SECONDS, CLASSES = 8000, 0.25, 3


@pytest.fixture
def one_thread():
    """Sums in one order, whatever the machine has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_clips(count: int, seed: int = 0) -> Clips:
    """Tones whose pitch tells the class, of differing length and level, in noise."""
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % CLASSES
    lengths = rng.integers(1000, 4000, count).astype(np.int32)
    waves = [
        rng.uniform(1000, 20000) * np.sin(np.arange(n) * 2 * np.pi * 300 * (1 + t) / RATE) + rng.normal(0, 500, n)
        for n, t in zip(lengths, targets, strict=True)
    ]
    return Clips(
        samples=np.concatenate(waves).astype(np.int16),
        offsets=np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64),
        lengths=lengths,
        targets=targets.astype(np.int64),
        ids=np.array([f"clip{i}" for i in range(count)]),
        groups=np.array([f"group{i // 2}" for i in range(count)]),
        rows=np.arange(count),
        sample_rate=RATE,
    )


@pytest.fixture(scope="session")
def train():
    """24 clips in two parts."""
    clips = make_clips(24)
    return [clips.take(range(10)), clips.take(range(10, 24))]


@pytest.fixture(scope="session")
def test_clips():
    return make_clips(12, seed=1)


@pytest.fixture
def make_spec():
    """A trial of an arm; keyword arguments change its training configuration."""

    def make(arm: str = "full", **training):
        options = {
            "epochs": 3,
            "batch_size": 8,
            "max_lr": 1e-2,
            "ema": EMAConfig(0.9),
            "distillation": DistillationConfig(),
            "augmentation": AugmentationConfig.signal_only(),
        }
        recipe = Recipe(
            "test",
            network=SIZES["tiny"],
            training=TrainingConfig(**(options | training)),
            sample_rate=RATE,
            seconds=SECONDS,
        )
        plan = build_plan(
            study="test",
            source=PAPER,
            arms=[ARMS[arm]],
            recipe=recipe,
            dataset="tones",
            split="official",
            folds=(1,),
            classes=CLASSES,
            replicates=1,
        )
        return plan.trials[0]

    return make
