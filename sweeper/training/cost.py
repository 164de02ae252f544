"""What a network costs: parameters and floating-point operations, counted; and how fast this machine is at them.

Operations are those of products: matrices, convolutions, attention, recurrent layers (two for a multiplication and an
addition), and Fourier transforms, by the usual 5 n log₂ n. What is done element by element counts as nothing, as in
torch's own counter. A network in which something else is computed has no count, rather than a wrong one.
"""

import contextlib
import functools
import math
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._ops import HigherOrderOperator
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from sweeper.model.build import build, is_of_this_package, with_any_values
from sweeper.model.modes import UncompiledMode, beside_the_compiler
from sweeper.model.output import as_output
from sweeper.study import Network
from sweeper.training.counted import known
from sweeper.training.threads import one_thread

LIGHT_GFLOP = 20.0  # of a network that used all its weights at each sample: such a one takes a second, others far less
SMALL = 2**25  # numbers in one tensor: 0.1 GB


class Operations(NamedTuple):
    """GFLOP of one forward pass over one clip; None where they can't be counted, and then `note` says why."""

    gflops: float | None
    note: str = ""


def count_parameters(network: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


@functools.cache
def gflops_per_clip(config: Network, length: int) -> float | None:
    """GFLOP of one forward pass over one clip of `length` samples; None where `count_operations` has none."""
    if is_of_this_package(config):
        return known("GFLOP", config, [length], lambda: count_operations(config, length).gflops)
    return count_operations(config, length).gflops


@functools.cache
@one_thread()
def count_operations(config: Network, length: int) -> Operations:
    """Operations of one forward pass, in evaluation, over one clip of `length` samples.

    A network that costs little is given a clip of noise. On the meta device, where others are counted, nothing is
    computed, but torch imports its compiler: a second, in each process. One that looks at its values gets noise, too.
    """
    with contextlib.suppress(Exception):  # what another network's pass takes is not known: so it ends where it is much
        network = countable(config, length, small=True)
        if not any(p.is_meta for p in network.parameters()):
            return _count(network, clips_for(network, 1, length), _SmallCounter)
    try:
        network = countable(config, length)
        return _count(network, clips_for(network, 1, length))
    except Exception:  # whatever a network does to a tensor without values: the CPU's error is the telling one
        try:
            network = build(config, seed=0, load=False)
            # As for operators that torch compiles whenever they are called, such as `torch.cond`.
            return _count(network, clips_for(network, 1, length), beside_the_compiler(_Counter))
        except Exception as error:
            return Operations(None, f"one clip can't be passed through it: {type(error).__name__}: {error}")


def countable(config: Network, length: int, *, small: bool = False) -> nn.Module:
    """The network, to be counted: on the CPU where that surely takes no time, else on the meta device; with any values.

    With `small`, also where that is likely, as it has few weights: attention between samples takes gigabytes.

    Its recurrent layers are replaced by stand-ins with the same products: torch's counter sees nothing in the fused
    operator of a CPU, and on the meta device they become a Python loop over time, half a minute for a clip of the
    paper's length.
    """
    own = is_of_this_package(config)
    network = with_any_values(config) if own else build(config, seed=0, load=False)
    light = (own or small) and is_light(network, length)
    device = "cpu" if light else "meta"
    for name, module in list(network.named_modules()):
        if type(module) in (nn.LSTM, nn.GRU, nn.RNN):
            stand_in = _CountedRNN(module)
            if not name:
                return stand_in.to(device)
            network.set_submodule(name, stand_in)
    return network.to(device)


def is_light(network: nn.Module, length: int) -> bool:
    """Whether the network would cost little if it used all its weights at each of so many samples."""
    return 2 * length * sum(p.numel() for p in network.parameters()) <= LIGHT_GFLOP * 1e9


def clips_for(network: nn.Module, batch: int, length: int) -> Tensor:
    """Clips for a network that `countable` returned: noise, or without values; `[batch, 1, time]`."""
    if any(p.is_meta for p in network.parameters()):
        return torch.empty(batch, 1, length, device="meta")
    return torch.rand(batch, 1, length, generator=torch.Generator().manual_seed(0)) - 0.5


def _count(network: nn.Module, clip: Tensor, kind: "type[_Counter] | None" = None) -> Operations:
    counter, outside = (kind or _Counter)(), _Outside()
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


class _Counter(UncompiledMode):  # type: ignore[no-untyped-call]
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


class _SmallCounter(_Counter):  # type: ignore[no-untyped-call]
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


class _CountedRNN(nn.Module):
    """An LSTM, GRU or RNN with its steps of time side by side: other numbers, the same operations and sizes."""

    def __init__(self, layers: nn.RNNBase) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor, _hidden: Any = None) -> tuple[Tensor, Any]:
        rnn = self.layers
        if not isinstance(x, Tensor):
            raise TypeError(f"no stand-in for an input of type {type(x).__name__}")
        whole = x if x.ndim == 3 else x.unsqueeze(0 if rnn.batch_first else 1)
        steps = whole if rnn.batch_first else whole.transpose(0, 1)  # [batch, time, features]
        width = rnn.proj_size or rnn.hidden_size
        sides = ("", "_reverse") if rnn.bidirectional else ("",)
        for layer in range(rnn.num_layers):
            steps = torch.cat([self._direction(steps, f"l{layer}{side}", width) for side in sides], dim=-1)
        state = [len(sides) * rnn.num_layers] + ([len(whole if rnn.batch_first else whole[0])] if x.ndim == 3 else [])
        last = x.new_zeros(*state, width)
        output = steps if rnn.batch_first else steps.transpose(0, 1)
        output = output if x.ndim == 3 else output.squeeze(0 if rnn.batch_first else 1)
        return output, (last, x.new_zeros(*state, rnn.hidden_size)) if rnn.mode == "LSTM" else last

    def _direction(self, steps: Tensor, suffix: str, width: int) -> Tensor:
        into, recurrent = (getattr(self.layers, f"weight_{kind}_{suffix}") for kind in ("ih", "hh"))
        gates = F.linear(steps, into)
        gates = (gates + F.linear(gates[..., :width], recurrent)).sigmoid()
        answer = gates[..., : self.layers.hidden_size].tanh()
        return F.linear(answer, getattr(self.layers, f"weight_hr_{suffix}")) if self.layers.proj_size else answer


STEP_GFLOP, MOST_GFLOP = 10.0, 60.0  # of the forward passes of a step that is timed: a second of one core, and a few


def training_seconds_per_clip(config: Network, length: int) -> float:
    """Measured time per clip of a forward and backward pass, in s, on the GPU if there is one, else on one CPU thread.

    On a CPU it is process time, so other programs don't count. Where operations can be counted, the batch is as large
    as a second of a core allows (a small one understates a GPU), and at least 2 for batch norm. If two clips are too
    much for a CPU, clips of two shorter lengths are timed and extrapolated by a x + b x²: attention grows with the
    square of the length.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    gflops = gflops_per_clip(config, length) or STEP_GFLOP / 2
    if device.type == "cpu" and 2 * gflops > STEP_GFLOP:
        with contextlib.suppress(Exception):  # whatever a network does to a clip shorter than those it was made for
            return _extrapolated(config, length, min(1.0, MOST_GFLOP / (2 * gflops)))
    return _seconds_per_clip(config, length, max(2, min(32, round(STEP_GFLOP / gflops))), device)


def _extrapolated(config: Network, length: int, share: float) -> float:
    """CPU seconds per clip from clips of this `share` of the length, and of a third of that."""
    rates: list[float] = []
    for part in (share / 3, share):
        samples = int(part * length)
        shorter = config.filled(config.classes, config.sample_rate, samples)
        rates.append(_seconds_per_clip(shorter, samples, 2, torch.device("cpu"), warm_up=not rates) / part)
    slope = max(0.0, (rates[1] - rates[0]) / (share - share / 3))
    return rates[1] + slope * (1 - share)


def _seconds_per_clip(config: Network, length: int, batch: int, device: torch.device, *, warm_up: bool = True) -> float:
    network = build(config, seed=0).to(device).train()
    clips = torch.rand(batch, 1, length, device=device) - 0.5
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    best = math.inf
    with one_thread():
        for _ in range(2 if warm_up else 1):
            begin = clock()
            torch.autograd.backward(as_output(network(clips)).logits.sum())
            if device.type == "cuda":
                torch.cuda.synchronize()
            best = min(best, clock() - begin)
    return best / batch
