"""The moving average, by hand."""

import pytest
import torch
from torch import nn

from sweeper.training.ema import EMA
from sweeper.training.slabs import together
from sweeper.training_config import EMAConfig


@pytest.mark.parametrize("lay", [None, together], ids=["apart", "in slabs"])
def test_follows_weights_and_batch_norm_statistics(lay):
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    network.register_buffer("filter", torch.ones(2))
    ema = EMA(network, EMAConfig(decay=0.9, warmup=False), lay and lay(network))
    before = {name: value.clone() for name, value in ema.averaged.state_dict().items()}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
        network.filter.add_(1.0)  # no statistic: it is copied
    network(torch.randn(8, 2))  # moves the running statistics and the counter
    assert network[1].num_batches_tracked == 1
    ema.update()
    for name, value in network.state_dict().items():
        averaged = value.is_floating_point() and name != "filter"
        expected = 0.9 * before[name] + 0.1 * value if averaged else value
        torch.testing.assert_close(ema.averaged.state_dict()[name], expected)
    assert ema.averaged.training is False
    assert not any(parameter.requires_grad for parameter in ema.averaged.parameters())


def test_warmup_caps_the_decay():
    ema = EMA(nn.Linear(1, 1), EMAConfig(decay=0.995))
    decays = []
    for _ in range(3000):
        decays.append(ema.decay())
        ema.update()
    assert decays[:3] == pytest.approx([1 / 10, 2 / 11, 3 / 12])
    assert decays == sorted(decays)
    assert decays[-1] == 0.995


def test_a_decay_of_one_is_refused():
    with pytest.raises(ValueError, match=r"1\.0"):
        EMAConfig(decay=1.0)
