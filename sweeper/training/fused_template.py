"""The network that several networks' values are computed with, under `torch.func.vmap`."""

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sweeper.model.network import DualBranchNet
from sweeper.model.pairing import named_tensors
from sweeper.model.stacked import linear, on_stacks
from sweeper.study import Output
from sweeper.training.fused_draws import CannotFuse, SeedsDraws


class Template:
    """A copy of `network` whose parameters and buffers are put in anew for each call.

    `torch.func.functional_call` does it too, but takes a tenth of a small network's step, and loses values where a
    layer has two names.
    """

    def __init__(self, network: nn.Module, draws: SeedsDraws) -> None:
        self._network, self._draws = copy.deepcopy(network), draws
        self._buffers = len(list(self._network.buffers()))
        numbers = {id(tensor): number for number, (_, tensor) in enumerate(named_tensors(self._network))}
        # Of tied values, each place.
        self._places: list[tuple[dict[str, Any], str, int]] = [
            (owner, name, numbers[id(tensor)])
            for module in self._network.modules()
            for owner in (module._parameters, module._buffers)
            for name, tensor in owner.items()
            if tensor is not None
        ]
        for module in self._network.modules():
            if isinstance(module, nn.RNNBase) and type(module) in (nn.LSTM, nn.GRU, nn.RNN):
                module.forward = partial(_recurrent, module, draws)  # vmap has no rule for it
            elif type(module) is nn.Linear:
                module.forward = partial(_linear, module)  # type: ignore[method-assign]

    def __call__(self, values: Sequence[Tensor], clips: Tensor, seeds: Sequence[int]) -> tuple[Any, list[Tensor]]:
        """Answers `[networks, ...]` in training.

        Args:
            values: parameters, then buffers, as `named_tensors` orders them, `[networks, ...]`. Buffers are moved.
            clips: `[networks, batch, 1, time]`.
            seeds: of what each network draws.

        Returns:
            The answers, and the buffers; a network may have put others in their places.
        """
        self._draws.start(seeds)
        # The network of the arms tells where it draws; to follow all operations of it would take time.
        with self._draws.where_told() if isinstance(self._network, DualBranchNet) else self._draws.everywhere():
            answers, buffers = torch.func.vmap(self._one, randomness="different")(list(values), clips)
        return answers, buffers

    def _one(self, values: list[Tensor], clips: Tensor) -> tuple[Tensor | Output, list[Tensor]]:
        for owner, name, number in self._places:
            owner[name] = values[number]
        answer = self._network(clips)
        found = {number: owner[name] for owner, name, number in self._places}
        return answer, [found[number] for number in range(len(values) - self._buffers, len(values))]


def _linear(module: nn.Linear, input: Tensor) -> Tensor:  # named as torch has it
    return linear(input, module.weight, module.bias)


_RECURRENT = {"LSTM": torch.lstm, "GRU": torch.gru, "RNN_TANH": torch.rnn_tanh, "RNN_RELU": torch.rnn_relu}


def _recurrent(module: nn.RNNBase, draws: SeedsDraws, x: Any, state: Any = None) -> tuple[Tensor, Any]:
    """What a `torch.nn.LSTM`, `GRU` or `RNN` returns, under vmap."""
    if not isinstance(x, Tensor) or x.ndim != 3:
        raise CannotFuse(f"its {module.mode} is given something other than a batch of equally long sequences")
    if state is None:
        directions = 2 if module.bidirectional else 1
        shape = directions * module.num_layers, x.shape[0 if module.batch_first else 1]
        cell = x.new_zeros(*shape, module.hidden_size)
        state = (x.new_zeros(*shape, module.proj_size or module.hidden_size), cell) if module.mode == "LSTM" else cell
    states = state if isinstance(state, tuple) else (state,)
    call = _RECURRENT[module.mode]
    flags = module.num_layers, module.dropout, module.training, module.bidirectional, module.batch_first

    def one(x: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        own, weights = values[: len(states)], values[len(states) :]
        return call(x, own if len(own) > 1 else own[0], list(weights), module.bias, *flags)  # type: ignore[no-any-return,operator]

    weights = [getattr(module, name) for name in module._flat_weights_names]
    y, *after = on_stacks(draws.one_by_one(one), x, *states, *weights)
    return y, tuple(after) if len(after) > 1 else after[0]
