"""Parameters in slabs: an optimiser, clipping and checkpoints do with them what they do without."""

import copy

import torch
from torch import nn

from sweeper.training import checkpoint, slabs
from sweeper.training.ema import EMA
from sweeper.training.optimiser import optimiser
from sweeper.training_config import EMAConfig, TrainingConfig

CONFIG = TrainingConfig(weight_decay=0.1, max_lr=1e-2)


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = {"conv": nn.Conv1d(1, 4, 3), "norm": nn.GroupNorm(1, 4), "rnn": nn.LSTM(6, 5), "head": nn.Linear(5, 2)}
    return nn.ModuleDict(layers)


def step(module: nn.Module, laid: slabs.Slabs, adamw: torch.optim.Optimizer, seed: int) -> None:
    x = torch.randn(3, 1, 8, generator=torch.Generator().manual_seed(seed))
    laid.zero_grad()
    module["head"](module["rnn"](module["norm"](module["conv"](x)))[0]).square().sum().backward()
    laid.take_grad([member.grad for member in laid.members])
    nn.utils.clip_grad_norm_(laid.wholes(), 0.5)
    adamw.step()


def trained(lay, steps: int):
    module = network()
    laid = lay(module)
    ema = EMA(module, EMAConfig(decay=0.5), laid if lay is slabs.together else None)
    adamw = optimiser(laid, CONFIG)
    for seed in range(steps):
        step(module, laid, adamw, seed)
        ema.update()
    return module, ema, adamw, laid


def test_names_shapes_and_values_stay():
    module = network()
    before = copy.deepcopy(module.state_dict())
    laid = slabs.together(module)
    after = module.state_dict()
    assert list(before) == list(after) and all(torch.equal(before[name], after[name]) for name in before)
    assert sorted(len(slab.members) for slab in laid) == [4, 6]


def test_training_is_that_of_parameters_apart():
    ours, theirs = (checkpoint.gather(*trained(lay, 3)) for lay in (slabs.together, slabs.apart))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], msg=lambda text, name=name: f"{name}: {text}")


def test_a_checkpoint_of_parameters_apart_is_continued_in_slabs():
    module, ema, adamw, laid = trained(slabs.together, 1)
    state = {name: value.clone() for name, value in checkpoint.gather(*trained(slabs.apart, 3)).items()}
    checkpoint.scatter(dict(state), module, ema, adamw, laid)
    again = checkpoint.gather(module, ema, adamw, laid)
    assert again.keys() == state.keys() and all(torch.equal(again[name], state[name]) for name in state)
    step(module, laid, adamw, 7)
    expected = trained(slabs.apart, 3)
    step(expected[0], expected[3], expected[2], 7)
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, expected[0].state_dict()[name])
