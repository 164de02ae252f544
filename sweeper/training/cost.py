"""What a network costs: parameters and floating-point operations, counted; and how fast this machine is at them."""

import contextlib
import functools
import math
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeper.model.build import build, is_of_this_package, with_any_values
from sweeper.model.modes import beside_the_compiler
from sweeper.model.output import as_output
from sweeper.study import Network
from sweeper.training.counted import known
from sweeper.training.operations import Counter, Operations, SmallCounter, count
from sweeper.training.threads import one_thread

LIGHT_GFLOP = 20.0  # of a network that used all its weights at each sample: such a one takes a second, others far less


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
            return count(network, clips_for(network, 1, length), SmallCounter)
    try:
        network = countable(config, length)
        return count(network, clips_for(network, 1, length))
    except Exception:  # whatever a network does to a tensor without values: the CPU's error is the telling one
        try:
            network = build(config, seed=0, load=False)
            # As for operators that torch compiles whenever they are called, such as `torch.cond`.
            return count(network, clips_for(network, 1, length), beside_the_compiler(Counter))
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
