"""From a network's data and a seed to the network."""

from __future__ import annotations

import torch
from torch import nn

from sweeper.model.config import EATConfig
from sweeper.model.eat import CONVOLUTION_STD
from sweeper.model.initialisation import initialise
from sweeper.study import Network


def build(config: Network, seed: int) -> nn.Module:
    """The network of ``config`` on the CPU, its initial values drawn as ``model.initialisation`` says.

    Every network maps a waveform ``[batch, 1, time]`` to logits or a ``sweeper.study.Output``. The state of torch's
    global generator is the same afterwards.
    """
    # torch's layers draw values of their own when they are made; these are replaced.
    with torch.random.fork_rng(devices=[]):
        network = config.build()
    initialise(network, seed, CONVOLUTION_STD if isinstance(config, EATConfig) else None)
    config.load(network)
    return network
