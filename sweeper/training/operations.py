"""Counting a network's operations while it computes, in one pass over one clip.

Operations are those of products: matrices, convolutions, attention, recurrent layers (two for a multiplication and an
addition), and Fourier transforms, by the usual 5 n log₂ n. What is done element by element counts as nothing, as in
torch's own counter. A network in which something else is computed has no count, rather than a wrong one.
"""

import functools
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._ops import HigherOrderOperator
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from sweeper.model.modes import UncompiledMode

SMALL = 2**25  # numbers in one tensor: 0.1 GB


class Operations(NamedTuple):
    """GFLOP of one forward pass over one clip; None where they can't be counted, and then `note` says why."""

    gflops: float | None
    note: str = ""


def count(network: nn.Module, clip: Tensor, kind: "type[Counter] | None" = None) -> Operations:
    """The operations of a pass over `clip`, `[1, 1, time]`, in evaluation, as the `kind` of counter sees them.

    Raises:
        Exception: whatever the network does to the clip; MemoryError, too, of a `SmallCounter`.
    """
    counter, outside = (kind or Counter)(), _Outside()
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operator for a whole Transformer layer, which has no formula
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), outside, counter:
            network.eval()(clip)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    if names := sorted(counter.unknown | outside.names):
        return Operations(None, f"there is no formula for {', '.join(names)}")
    return Operations(counter.operations / 1e9)


_whole: set[Any] = set()  # operators that were found not to consist of others


class Counter(UncompiledMode):  # type: ignore[no-untyped-call]
    """Adds up products, by the formulas below and torch's, and notes those that neither has a formula for.

    As torch's own counter, which counts by modules, too, and imports torch's compiler and Triton.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0
        self.unknown: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        keywords = kwargs or {}
        if func is torch.ops.higher_order.cond:
            return self._either(*args, **keywords)
        if isinstance(func, HigherOrderOperator):
            self.unknown.add(str(func))
            return func(*args, **keywords)
        if func not in _whole:
            with self:
                if (parts := func.decompose(*args, **keywords)) is not NotImplemented:
                    return parts
            _whole.add(func)
        packet, result = func.overloadpacket, func(*args, **keywords)
        if (formula := _formula(func)) is not None:
            self.operations += formula(*args, **keywords, out_val=result)
            if packet not in _FORMULAS and any(isinstance(x, Tensor) and x.is_complex() for x in tree_leaves(args)):
                self.unknown.add(f"{packet} of complex numbers")
        elif _may_multiply(func):
            self.unknown.add(str(packet))
        return result

    def _either(self, _condition: Any, yes: Callable[..., Any], no: Callable[..., Any], operands: Any) -> Any:
        """Of `torch.cond`: as many operations as the costlier branch has."""
        before, counts = self.operations, []
        for branch in (no, yes):
            self.operations = before
            with self:
                result = branch(*operands)
            counts.append(self.operations)
        self.operations = max(counts)
        return result


class SmallCounter(Counter):  # type: ignore[no-untyped-call]
    """Ends at a matrix too large to be computed for being counted."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten.bmm.default and args[0].shape[:2].numel() * args[1].shape[2] > SMALL:
            raise MemoryError
        result = super().__torch_dispatch__(func, types, args, kwargs)
        if isinstance(result, Tensor) and result.numel() > SMALL:
            raise MemoryError
        return result


class _Outside(TorchFunctionMode):
    """Notes values that leave torch, to be computed with elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (Tensor.numpy, Tensor.__array__):
            self.names.add("what NumPy computes")
        return func(*args, **(kwargs or {}))


# Operators that multiply matrices in one way or another; and those of such names that do not.
_PRODUCT = re.compile(
    r"mm(_|$)|mv(_|$)|dot|conv(?!ert)|linear|attention|transformer|rnn|linalg|cholesky|::qr|geqrf|ormqr|orgqr|"
    r"(?<!re)solve|::lu_|_dist$|cdist|trilinear|matrix"
)
_NO_PRODUCT = re.compile(r"upsample|_norm|linalg_cross|_check_errors")


@functools.cache
def _formula(func: Any) -> Callable[..., int] | None:
    """An operator's, which takes its arguments, and its result as `out_val`; None where there is none."""
    packet = func.overloadpacket
    if (of_shapes := _FORMULAS.get(packet) or _OF_REAL.get(packet)) is not None:

        def formula(*args: Any, out_val: Any, **keywords: Any) -> int:
            tree = tree_map(lambda x: x.shape if isinstance(x, Tensor) else x, (args, keywords, out_val))
            return of_shapes(*tree[0], **tree[1], out_shape=tree[2])

        return formula
    if not _may_multiply(func):
        return None
    from torch.utils.flop_counter import flop_registry  # brings Triton along: 0.3 s

    return flop_registry.get(packet)


@functools.cache
def _may_multiply(func: Any) -> bool:
    """Whether an operator may compute products, by its name; one that somebody has written may."""
    name = func._schema.name
    ours = func.namespace in ("aten", "prim", "prims")
    if not ours or torch.Tag.pointwise in func.tags:
        return not ours
    return _PRODUCT.search(name) is not None and _NO_PRODUCT.search(name) is None


def _fourier(operations_per_point: float, length: Callable[..., int]) -> Callable[..., int]:
    """Transforms of n points cost n log₂ n times so much; `length` says n, from shapes and the operator's arguments."""

    def formula(shape: Any, dims: list[int], *rest: Any, out_shape: Any = None) -> int:
        points = length(shape, dims, out_shape)
        several = math.prod(out_shape if length is _of_result else shape) / max(points, 1)
        return int(several * operations_per_point * points * math.log2(max(points, 1)))

    return formula


def _of_input(shape: Any, dims: list[int], _result: Any) -> int:
    return math.prod(shape[dim] for dim in dims)


def _of_result(_shape: Any, dims: list[int], result: Any) -> int:
    return math.prod(result[dim] for dim in dims)


_aten = torch.ops.aten
_FORMULAS: dict[Any, Callable[..., int]] = {
    _aten._fft_r2c: _fourier(2.5, _of_input),
    _aten._fft_c2r: _fourier(2.5, _of_result),
    _aten._fft_c2c: _fourier(5.0, _of_input),
    _aten.mv: lambda matrix, _vector, out_shape=None: 2 * math.prod(matrix),
    _aten.addmv: lambda _added, matrix, _vector, out_shape=None, **_: 2 * math.prod(matrix),
    _aten.dot: lambda one, _other, out_shape=None: 2 * math.prod(one),
    _aten.vdot: lambda one, _other, out_shape=None: 2 * math.prod(one),
    _aten.addbmm: lambda _added, one, other, out_shape=None, **_: 2 * math.prod(one) * other[-1],
    # One layer, one direction: input, its weights, the recurrent weights; once per time step and clip.
    _aten.mkldnn_rnn_layer: lambda x, into, recurrent, *_, out_shape=None: (
        2 * math.prod(x[:-1]) * (math.prod(into) + math.prod(recurrent))
    ),
}


def _convolution(x: list[int], weight: list[int], *options: Any, out_shape: Any = None) -> int:
    places = x if options[4] else out_shape  # of a transposed one, each place of the input meets the whole filter
    return 2 * x[0] * math.prod(places[2:]) * math.prod(weight)


_OF_REAL: dict[Any, Callable[..., int]] = {  # the same numbers as by torch.utils.flop_counter
    _aten.mm: lambda one, other, *_, **__: 2 * math.prod(one) * other[-1],
    _aten.addmm: lambda _added, one, other, **_: 2 * math.prod(one) * other[-1],
    _aten.bmm: lambda one, other, **_: 2 * math.prod(one) * other[-1],
    _aten.baddbmm: lambda _added, one, other, **_: 2 * math.prod(one) * other[-1],
    _aten.convolution: _convolution,
}
