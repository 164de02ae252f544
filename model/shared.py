"""How much of two arms is paired: which parameters start with the same values.

Parameters are paired by name. Where a network is an index-named ``nn.Sequential``, leaving out one layer renames all
that follow, and they start with other values although they are the same layers: that is told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import nn

_INDEX = re.compile(r"(?<![^.])\d+(?![^.])")


@dataclass(frozen=True)
class Shared:
    """What an arm has in common with another one.

    Attributes:
        parameters: how many parameter tensors the arm has.
        shared: how many of them the other one has too: same name, shape and initial values.
        renamed: pairs of names, the arm's and the other's, of parameters that differ by the numbers in their names
            alone: most likely the same layers, not paired.
    """

    parameters: int
    shared: int
    renamed: tuple[tuple[str, str], ...]

    def describe(self, other: str) -> str:
        """In words: ``shares 118 of 124 parameters with full``, and a warning where there is one."""
        words = f"shares {self.shared} of {self.parameters} parameters with {other}"
        if not self.renamed:
            return words
        ours, theirs = self.renamed[0]
        return (
            f"{words}; {len(self.renamed)} more may be the same layers under other numbers ({ours} is {theirs} in "
            f"{other}), and start with other values: give the layers of the nn.Sequential names (nn.ModuleDict, "
            "OrderedDict, attributes)"
        )


def shared_parameters(arm: nn.Module, other: nn.Module) -> Shared:
    """Compare the initial values of two networks that were built with one seed."""
    ours, theirs = dict(arm.named_parameters()), dict(other.named_parameters())
    shared = {name for name, value in ours.items() if name in theirs and _equal(value, theirs[name])}
    # What is left on both sides, by what it is: position-free name, shape and kind of layer.
    left: dict[tuple[str, torch.Size, type], list[str]] = {}
    for name, value in theirs.items():
        if name not in shared:
            left.setdefault(_what(other, name, value), []).append(name)
    renamed = []
    for name, value in ours.items():
        candidates = left.get(_what(arm, name, value), [])
        if name not in shared and _INDEX.search(name) and candidates:
            renamed.append((name, candidates.pop(0)))
    return Shared(len(ours), len(shared), tuple(renamed))


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


def _what(module: nn.Module, name: str, value: torch.Tensor) -> tuple[str, torch.Size, type]:
    owner = module.get_submodule(name.rpartition(".")[0])
    return _INDEX.sub("#", name), value.shape, type(owner)
