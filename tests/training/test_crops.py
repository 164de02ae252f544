"""A test clip heard at several places: the answers' mean, and with one place what it was before."""

import numpy as np
import pytest
import torch
from torch import nn

from sweeper.training.batches import Batches
from sweeper.training.trial import predict
from sweeper.training_config import TrainingConfig

CPU = torch.device("cpu")


class Loud(nn.Module):
    """Two classes by what the clip's first and last samples are."""

    def forward(self, waveform):
        return torch.stack([waveform[:, 0, :50].mean(1), waveform[:, 0, -50:].mean(1)], dim=1) * 20


def test_the_answer_to_several_crops_is_their_mean(train):
    batches = Batches(train, 500, CPU)
    alone = []
    for place in (0.0, 0.5, 1.0):
        found = [Loud()(batch.waveforms).softmax(1) for batch in batches.evaluation(10, crop=place)]
        alone.append(torch.cat(found).numpy())
    np.testing.assert_allclose(predict(Loud(), batches, 10, 2, crops=3), np.mean(alone, axis=0), rtol=1e-6)
    assert np.array_equal(predict(Loud(), batches, 10, 2), alone[1]), "the middle, to the last bit"
    assert not np.allclose(alone[0], alone[2])


def test_no_crop_is_refused_and_one_is_no_part_of_ids():
    with pytest.raises(ValueError, match="crops must be at least 1, got 0"):
        TrainingConfig(crops=0)
    assert "crops" not in TrainingConfig().decides()
    assert TrainingConfig(crops=10).decides()["crops"] == 10
