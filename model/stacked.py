"""Several networks of one shape at once: the few things in them that ``torch.func.vmap`` does not do well by itself.

Under ``vmap`` a layer's code reads as that of one network, while its tensors hold those of all, ``[networks, ...]``.
Where that is no good (no rule, or a slow one), ``on_stacks`` hands a function the tensors as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

# Entered wherever a network of this package draws numbers for several networks, of which each is to get its own.
drawing: ContextVar[AbstractContextManager[Any]] = ContextVar("drawing", default=nullcontext())  # noqa: B039


def is_stacked(x: Tensor) -> bool:
    """Whether ``x`` stands for those of several networks, under ``torch.func.vmap``."""
    return not torch.compiler.is_compiling() and torch._C._functorch.is_batchedtensor(x)


def on_stacks(function: Callable[..., Any], *values: Any) -> Any:
    """``function(*values)``, called once, outside of ``vmap``.

    Args:
        function: is given each tensor as ``[networks, ...]``, and anything else as it is; returns a tensor, or a tuple
            of tensors, ``[networks, ...]``. Autograd follows it.
        values: its arguments, as under ``vmap``; one tensor at least is stacked.
    """
    return _OnStacks.apply(function, *values)  # type: ignore[no-untyped-call]


def one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """For ``on_stacks``: the same function for each network by itself, with results put together again."""

    def on_each(*stacks: Any) -> Any:
        # `unbind`, whose gradient is one stack; that of indexing would be a tensor of zeros for each network.
        count = next(len(stack) for stack in stacks if isinstance(stack, Tensor))
        columns = [stack.unbind() if isinstance(stack, Tensor) else (stack,) * count for stack in stacks]
        results = [function(*row) for row in zip(*columns, strict=True)]
        if isinstance(results[0], Tensor):
            return torch.stack(results)
        return tuple(torch.stack(column) for column in zip(*results, strict=True))

    return on_each


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``nn.functional.linear``; of several networks one product, for which ``vmap``'s rule takes four operations."""
    if not is_stacked(x) or x.ndim < 2:
        return nn.functional.linear(x, weight, bias)
    shape = (-1, *x.shape[:-1], weight.shape[0])
    return on_stacks(lambda *stacks: linear_of_stacks(*stacks).view(shape), x, weight, bias)  # type: ignore[no-any-return]


def linear_of_stacks(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Likewise, outside of ``vmap``: ``[networks, rows, out]``, the rows being all axes between the first and last."""
    rows = x.flatten(1, -2)
    return rows @ weight.mT if bias is None else torch.baddbmm(bias.unsqueeze(1), rows, weight.mT)


class _OnStacks(torch.autograd.Function):
    """What torch offers for a rule of one's own; the rule is all there is to it."""

    @staticmethod
    def forward(function: Callable[..., Any], *values: Any) -> Any:
        raise RuntimeError("on_stacks is for tensors under torch.func.vmap")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing: autograd follows what the rule calls."""

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], function: Callable[..., Any], *values: Any) -> tuple[Any, Any]:
        def stack(value: Any, axis: int | None) -> Any:
            if not isinstance(value, Tensor):
                return value
            return value.expand(info.batch_size, *value.shape) if axis is None else value.movedim(axis, 0)

        result = function(*(stack(value, axis) for value, axis in zip(values, in_dims[1:], strict=True)))
        return result, 0 if isinstance(result, Tensor) else (0,) * len(result)
