"""A step where tensors lie on another device than the host's, without one."""

import pytest
import torch

from sweeper.augmentation_config import AugmentationConfig, MixingConfig, NoiseConfig, ResamplingConfig
from sweeper.training.batches import Batches
from sweeper.training.distributed import ALONE
from sweeper.training.fit import _Run
from sweeper.training.fused_check import take_step, take_steps
from sweeper.training.fused_stack import Stack
from sweeper.training.trial import predict
from tests.training import golden
from tests.training.fusing import trials
from tests.training.meta import META, OneDevice, make_up


@pytest.fixture(autouse=True)
def as_a_device(monkeypatch):
    make_up(monkeypatch)


def runs(arm, **training):
    specs = trials(arm, **training)
    batches = Batches([golden.clips()], specs[0].data.length, META)
    return [_Run(spec, batches, META, ALONE) for spec in specs]


def test_a_step_and_an_evaluation_mix_no_devices_and_read_no_values():
    (run,) = runs("full", seeds=1)
    with OneDevice() as mode:
        for _ in range(3):
            take_step(run)
        with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):  # once, of all answers
            predict(run.network, run.batches, 5, 3, crops=2)
    assert mode.count > 3000


def test_nor_does_a_step_of_several_seeds():
    stack = Stack(runs("full", seeds=2))
    with OneDevice() as mode:
        for _ in range(2):
            take_steps(stack)
    assert mode.count > 3000


def test_which_has_as_many_operations_whatever_their_number():
    """Where no seed draws something for its batch as a whole, and no layer takes one network after another."""
    kinds = dict.fromkeys(("white", "red", "blue", "violet", "uniform", "sine", "phase"), 0.0)
    augmentation = AugmentationConfig(
        noise=NoiseConfig(probability=1.0, **kinds),
        mixing=MixingConfig(probability=0.0),
        resampling=ResamplingConfig(probability=0.0),
    )
    counts = []
    for seeds in (2, 6):
        stack = Stack(runs("semantic-only", seeds=seeds, dropout=0.0, augmentation=augmentation))
        take_steps(stack)
        with OneDevice() as mode:
            take_steps(stack)
        counts.append(mode.count)
    assert counts[0] == counts[1]


def test_what_mixes_devices_is_seen():
    values, index = torch.empty(4, device=META), torch.arange(2)
    with OneDevice(), pytest.raises(AssertionError, match=r"aten.index.Tensor of tensors on"):
        values[index]
