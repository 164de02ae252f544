"""From a config and a seed to a network."""

from __future__ import annotations

from typing import overload

import torch

from sweeper.model.acdnet import ACDNet
from sweeper.model.config import ACDNetConfig, EATConfig, ModelConfig
from sweeper.model.eat import CONVOLUTION_STD, EAT
from sweeper.model.initialisation import initialise
from sweeper.model.network import DualBranchNet


@overload
def build(config: ModelConfig, seed: int) -> DualBranchNet: ...
@overload
def build(config: EATConfig, seed: int) -> EAT: ...
@overload
def build(config: ACDNetConfig, seed: int) -> ACDNet: ...


def build(config: ModelConfig | EATConfig | ACDNetConfig, seed: int) -> DualBranchNet | EAT | ACDNet:
    """The network of ``config`` on the CPU, its initial values drawn as ``model.initialisation`` says.

    Every network maps a waveform ``[batch, 1, time]`` to a ``model.network.Output``. The state of torch's
    global generator is the same afterwards.
    """
    network: DualBranchNet | EAT | ACDNet
    convolution_std = None
    # torch's layers draw values of their own when they are made; these are replaced.
    with torch.random.fork_rng(devices=[]):
        if isinstance(config, EATConfig):
            network, convolution_std = EAT(config), CONVOLUTION_STD
        elif isinstance(config, ACDNetConfig):
            network = ACDNet(config)
        else:
            network = DualBranchNet(config)
    initialise(network, seed, convolution_std)
    return network
