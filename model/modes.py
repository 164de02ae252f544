"""Dispatch modes that leave torch's compiler alone.

Torch wraps what a mode does to an operation, so that its compiler won't compile it, and imports the compiler for that,
with SymPy: a second, in each process that builds a network, though few of them compile anything.
"""

import functools
import sys
from typing import TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class UncompiledMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that is not wrapped; where something is compiled while it is entered, `beside_the_compiler` wraps it."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


Mode = TypeVar("Mode", bound=UncompiledMode)


def compiler_is_there() -> bool:
    """Whether this process has imported torch's compiler."""
    return "torch._dynamo" in sys.modules


@functools.cache
def beside_the_compiler(mode: type[Mode]) -> type[Mode]:
    """The mode as torch would have it: what it does is not compiled. Imports the compiler."""
    unseen = torch.compiler.disable(mode.__torch_dispatch__)  # type: ignore[no-untyped-call]
    return type(f"{mode.__name__}BesideTheCompiler", (mode,), {"__torch_dispatch__": unseen})
