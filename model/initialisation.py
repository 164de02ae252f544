"""Initial values that depend on the seed and on the parameter's own name, and on nothing else.

    generator(parameter) = hash(seed, qualified name, shape)

Two arms of an ablation thus start with bit-equal values wherever they share a parameter, whatever else each
has. The usual way, one generator read in order of construction, would give every module after the first
difference other values, and the comparison of two arms would include the comparison of two draws.

    convolution         uniform, variance 2 / fan-in (He et al. 2015), as the equations have no norms
    linear, attention   uniform, variance 2 / (fan-in + fan-out) (Glorot and Bengio 2010)
    LSTM                uniform in +-1 / sqrt(hidden); forget gates start open, with bias 1
    norms               weight 1, bias 0
    bare parameters     normal, standard deviation 0.02 (class token and learned positions of ``model.eat``)
    all other biases    0

Draws are made on the CPU, and are uniform where nothing asks for another law: uniform draws are the same bits
on every processor, normal ones are not.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor, nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)
_BARE_STD = 0.02


def initialise(module: nn.Module, seed: int, convolution_std: float | None = None) -> None:
    """Give every parameter of ``module`` its initial value, in place. The global generator is not used.

    Args:
        module: the whole network: names are counted from here.
        seed: the network's seed.
        convolution_std: draw convolutions from a normal law of this standard deviation instead.

    Raises:
        TypeError: if a parameter belongs to a kind of layer that has no rule here.
    """
    for prefix, owner in module.named_modules():
        for name, parameter in owner.named_parameters(recurse=False):
            qualified = f"{prefix}.{name}" if prefix else name
            generator = _generator(seed, qualified, parameter)
            with torch.no_grad():
                if convolution_std is not None and isinstance(owner, _CONVOLUTIONS) and name == "weight":
                    parameter.copy_(_normal(parameter.shape, convolution_std, generator))
                else:
                    parameter.copy_(_initial_value(owner, name, parameter.shape, generator))


def _generator(seed: int, name: str, parameter: Tensor) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}/{name}/{tuple(parameter.shape)}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big"))


def _initial_value(owner: nn.Module, name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    if isinstance(owner, nn.LSTM):
        return _lstm(owner, name, shape, generator)
    if name.endswith("bias"):
        return torch.zeros(shape)
    if isinstance(owner, _NORMS):
        return torch.ones(shape)
    if not any(kind.__module__.startswith("torch.") for kind in type(owner).__mro__ if kind is not nn.Module):
        return _normal(shape, _BARE_STD, generator)
    return _uniform(shape, _weight_std(owner, name, shape), generator)


def _weight_std(owner: nn.Module, name: str, shape: torch.Size) -> float:
    if isinstance(owner, _CONVOLUTIONS):
        return math.sqrt(2 / shape[1:].numel())
    if isinstance(owner, nn.Linear):
        return math.sqrt(2 / (shape[0] + shape[1]))
    if isinstance(owner, nn.MultiheadAttention):
        # Queries, keys and values are three square matrices, stacked.
        return math.sqrt(1 / shape[1])
    raise TypeError(f"no initial value for parameter {name!r} of a {type(owner).__name__}; add a rule here")


def _lstm(owner: nn.LSTM, name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    hidden = owner.hidden_size
    if not name.startswith("bias"):
        return _uniform(shape, 1 / math.sqrt(3 * hidden), generator)
    bias = torch.zeros(shape)
    if name.startswith("bias_ih"):  # torch adds two biases; one of them opens the gate
        bias[hidden : 2 * hidden] = 1.0  # gates are stacked as input, forget, cell, output
    return bias


def _uniform(shape: torch.Size, std: float, generator: torch.Generator) -> Tensor:
    bound = math.sqrt(3) * std
    return torch.rand(shape, generator=generator) * (2 * bound) - bound


def _normal(shape: torch.Size, std: float, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator) * std
