"""From a config and a seed to a network.

The networks of this package start by the laws of ``model.initialisation``, any other one by its own, see
``model.pairing``.
"""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from sweeper.model.config import ACDNetConfig, EATConfig, ModelConfig
from sweeper.model.eat import CONVOLUTION_STD
from sweeper.model.initialisation import initialise
from sweeper.model.pairing import NetworkError, construct_paired
from sweeper.model.rivals import CNN10Config, EnvNetV2Config, SBCNNConfig, TIMNetConfig
from sweeper.study import Network

KINDS: tuple[type[Network], ...] = (
    *(ModelConfig, EATConfig, ACDNetConfig),
    *(EnvNetV2Config, SBCNNConfig, CNN10Config, TIMNetConfig),
)


def is_of_this_package(config: Network) -> bool:
    """Whether it is one of the kinds of network that come with the package, and nothing derived from one."""
    return type(config) in KINDS


def build(config: Network, seed: int, *, load: bool = True) -> nn.Module:
    """The network of ``config`` on the CPU, with the initial values of ``seed``.

    Every network maps a waveform ``[batch, 1, time]`` to logits ``[batch, classes]`` or to a
    ``sweeper.study.Output``. The states of the global generators are the same afterwards.

    Args:
        config: one of the kinds of this package, or any other network.
        seed: of the initial values.
        load: whether pre-trained values are put in (``Network.load``); not needed where others will be.

    Raises:
        NetworkError: it can't be paired with others, see ``model.pairing``; the message says why.
    """
    if is_of_this_package(config):
        return _of_this_package(config, seed)
    return construct_paired(lambda: _construct(config, load), seed)


def _of_this_package(config: Network, seed: int) -> nn.Module:
    network = with_any_values(config)
    initialise(network, seed, CONVOLUTION_STD if isinstance(config, EATConfig) else None)
    return network


def with_any_values(config: Network) -> nn.Module:
    """A network of this package with the values that torch's layers draw: for counting, in a part of `build`'s time."""
    with torch.random.fork_rng(devices=[]):
        return config.build()


def _construct(config: Network, load: bool) -> nn.Module:
    module = config.build()
    if not isinstance(module, nn.Module):
        raise NetworkError(
            f"{type(config).__name__}.build() returned a {type(module).__name__}; expected a torch.nn.Module"
        )
    if any(is_lazy(tensor) for tensor in chain(module.parameters(), module.buffers())):
        _give_shape(module, config.samples)
    if load:
        config.load(module)
    return module


def _give_shape(module: nn.Module, samples: int) -> None:
    """Lazy layers learn their sizes from a first batch: two clips of noise, in evaluation."""
    modes = {part: part.training for part in module.modules()}
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        module.eval()(torch.rand(2, 1, samples, generator=generator) - 0.5)
    for part in module.modules():
        part.training = modes[part]
