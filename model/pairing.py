"""Initial values of any torch module, paired across arms: each depends on the seed and on the parameter's own name.

A network draws its initial values as it likes: by its layers' ``reset_parameters``, by ``nn.init`` in a
constructor, by ``apply``. It is constructed twice. The first time every random operation is followed to the
parameters and buffers that its numbers end up in. The second time each draws from a generator of its own,

    generator(draw) = hash(seed, qualified name of the parameter, which of its draws, shape)

so the laws stay the network's own, and two arms start with bit-equal values wherever they share a parameter,
whatever else each constructs, and in which order. A draw that ends up in several parameters (copies of one layer, a
module used twice) belongs to the first. What no draw reaches is constant, and stays as it was constructed.

Parametrised weights go by the name of the weight: with and without weight normalisation, a layer starts as the same
function.

Draws are made on the CPU; normal ones are the same bits only on processors of a kind.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from sweeper.model.modes import UncompiledMode, beside_the_compiler, compiler_is_there

# `torch.nn.utils.parametrizations` keep `layer.weight` as `layer.parametrizations.weight.original`, or as several.
_PARAMETRISED = re.compile(r"parametrizations\.(\w+)\.original\d*$")


class NetworkError(ValueError):
    """A network that can't be trained and compared; the message names what, and what to change."""


def construct_paired(construct: Callable[[], nn.Module], seed: int) -> nn.Module:
    """The module that ``construct`` returns, with initial values that follow the seed and their names.

    The states of the global generators of torch, NumPy and Python are the same afterwards.

    Args:
        construct: called twice, or four times; it must do the same each time.
        seed: of the initial values.

    Raises:
        NetworkError: a parameter or buffer is random, but not drawn by torch; it was given no value; a parameter is the
            same tensor each time; ``construct`` does not draw the same numbers each time; or it changes how torch
            computes elsewhere.
    """
    before = _settings()
    try:
        module = _paired(construct, seed)
    finally:
        after = _settings()
        torch.set_default_dtype(before["set_default_dtype"])
        torch.set_grad_enabled(before["set_grad_enabled"])
    if changed := [name for name, value in before.items() if after[name] != value]:
        raise NetworkError(
            f"building it calls torch.{changed[0]}({after[changed[0]]}), which other networks would find so; leave it "
            "as it was, and say dtype= where a tensor is made"
        )
    return module


def _settings() -> dict[str, Any]:
    return {"set_default_dtype": torch.get_default_dtype(), "set_grad_enabled": torch.is_grad_enabled()}


def _paired(construct: Callable[[], nn.Module], seed: int) -> nn.Module:
    if not compiler_is_there():
        try:
            return _constructed(construct, seed, _Following)
        except Exception:  # the compiler's too, which then has looked into the mode
            if not compiler_is_there():
                raise
    return _constructed(construct, seed, beside_the_compiler(_Following))


def _constructed(construct: Callable[[], nn.Module], seed: int, following: type[_Following]) -> nn.Module:
    with _seeded(seed + 1), following(None) as first:  # another seed, to see what is random and no draw of torch
        template = construct()
    with _seeded(seed), following(_seeds(seed, first, template)) as second:
        module = construct()
    if second.draws != first.draws:
        raise NetworkError(
            f"{type(module).__name__} draws other random numbers each time that it is built, so its initial values "
            "can't be paired; build it without conditions on random numbers"
        )
    _check_values(template, module, first)
    return module


def named_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, then buffers, with their qualified names; one that has several names comes under its first."""
    yield from module.named_parameters()
    yield from module.named_buffers()


@contextlib.contextmanager
def seeded_outside_torch(seed: int) -> Iterator[None]:
    """The global generators of NumPy and Python start from ``seed``, and are put back."""
    pythons, numpys = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(pythons)
        np.random.set_state(numpys)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Likewise all global generators, torch's on the CPU included."""
    with torch.random.fork_rng(devices=[]), seeded_outside_torch(seed):
        torch.default_generator.manual_seed(seed)
        yield


class _Following(UncompiledMode):  # type: ignore[no-untyped-call]
    """Follows random numbers through every operation: which draws each tensor's values come from.

    `seeds` are those of the draws, in their order; None the first time, when they draw from the generator as it is, and
    memory that nothing was written to reads as NaN, so that a parameter without a value is seen to be one.
    """

    def __init__(self, seeds: Sequence[int] | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.draws: list[tuple[str, tuple[int, ...]]] = []  # operation and shape
        self._seeds = seeds
        # By storage, which views share. Each is held, so that its address is not used again.
        self._sources: dict[int, tuple[torch.UntypedStorage, set[int]]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        keywords = kwargs or {}
        sources = set[int]().union(*map(self.sources, _tensors((args, keywords))))
        draws = torch.Tag.nondeterministic_seeded in func.tags and keywords.get("generator") is None
        if draws:
            number = len(self.draws)
            sources.add(number)
            if self._seeds is not None and number < len(self._seeds):
                torch.default_generator.manual_seed(self._seeds[number])
        result = func(*args, **keywords)
        if draws:
            self.draws.append((str(func), next((tuple(tensor.shape) for tensor in _tensors(result)), ())))
        if self._seeds is None and func.overloadpacket in _EMPTY:
            result.fill_(float("nan") if result.is_floating_point() or result.is_complex() else 0)
        if sources:
            for tensor in (*_tensors(result), *_written(func, args)):
                storage = tensor.untyped_storage()
                self._sources.setdefault(storage._cdata, (storage, set()))[1].update(sources)
        return result

    def sources(self, tensor: Tensor) -> set[int]:
        """The numbers of the draws that went into ``tensor``, or into another one that shares its memory."""
        return self._sources.get(tensor.untyped_storage()._cdata, (None, set[int]()))[1]


_EMPTY = (torch.ops.aten.empty, torch.ops.aten.empty_like, torch.ops.aten.empty_strided, torch.ops.aten.new_empty)


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and leaf.layout is torch.strided)


def _written(func: Any, args: tuple[Any, ...]) -> Iterator[Tensor]:
    """What an operation writes to and does not return, as ``torch._foreach_mul_`` does."""
    for declared, given in zip(func._schema.arguments, args, strict=False):
        if declared.alias_info is not None and declared.alias_info.is_write:
            yield from _tensors(given)


def _seeds(seed: int, followed: _Following, module: nn.Module) -> list[int]:
    """A seed for each draw, from the name of what it ends up in, and how many draws of that came before it."""
    owners: dict[int, str] = {}
    for name, tensor in named_tensors(module):
        for draw in followed.sources(tensor):
            owners.setdefault(draw, _PARAMETRISED.sub(r"\1", name))
    earlier: Counter[str] = Counter()
    seeds = []
    for number, (_, shape) in enumerate(followed.draws):
        owner = owners.get(number, "")
        digest = hashlib.sha256(f"{seed}/{owner}/{earlier[owner]}/{shape}".encode()).digest()
        seeds.append(int.from_bytes(digest[:8], "big"))
        earlier[owner] += 1
    return seeds


def _check_values(template: nn.Module, module: nn.Module, followed: _Following) -> None:
    first, second = dict(named_tensors(template)), dict(named_tensors(module))
    if odd := first.keys() ^ second.keys() or {n for n, tensor in first.items() if tensor.shape != second[n].shape}:
        raise NetworkError(
            f"{type(module).__name__} has other parameters each time that it is built ({', '.join(sorted(odd))}); "
            "let its shape follow from the network's fields alone"
        )
    for name, tensor in first.items():
        if tensor.device.type != "cpu":
            raise NetworkError(
                f"{type(module).__name__}: {name} is on the device {tensor.device}; build on the CPU, the network is "
                "moved to where it trains"
            )
        if bool(tensor.isnan().any()):
            raise NetworkError(
                f"{type(module).__name__}: {name} has values that nothing wrote (as torch.empty leaves them), or that "
                "are NaN; give it values where it is made, or call reset_parameters() there"
            )
        if any(step == 0 and length > 1 for step, length in zip(tensor.stride(), tensor.shape, strict=True)):
            raise NetworkError(
                f"{type(module).__name__}: {name} has several places in the same memory, as expand() gives; make it "
                "with clone()"
            )
        if tensor.requires_grad and _memory(tensor) == _memory(second[name]) != 0:
            raise NetworkError(
                f"{type(module).__name__}: {name} is the same tensor each time that it is built, so a trial would "
                "begin with what another one learned; make it in build(), and not once for all"
            )
        if not followed.sources(tensor) and not torch.equal(tensor, second[name]):
            raise NetworkError(
                f"{type(module).__name__}: {name} is random, but not drawn by torch, so it can't be paired; draw it by "
                f"torch.nn.init or torch.rand, in a reset_parameters() or in the constructor"
            )


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
