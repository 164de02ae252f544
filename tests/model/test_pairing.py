"""Initial values of any module follow the seed and the name, whatever draws them and whatever else is there."""

import copy
import random
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from sweeper.model.build import build
from sweeper.model.pairing import NetworkError, construct_paired, named_tensors
from sweeper.model.shared import shared_parameters
from sweeper.study import Network
from tests.networks import BODIES, WIDTH, Faulty, Framed, Tiny

CLIP = {"classes": 3, "sample_rate": 8000, "samples": 2000}
EXTRA = {"extra.weight", "extra.bias"}


def values(module):
    return {name: value.detach().clone() for name, value in named_tensors(module)}


def assert_equal_bits(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name


@pytest.mark.parametrize("body", BODIES)
def test_an_arm_with_a_module_more_starts_with_the_same_bits(body):
    torch.manual_seed(1)
    plain = values(build(Tiny(body=body, **CLIP), seed=5))
    torch.manual_seed(2)
    again = values(build(Tiny(body=body, **CLIP), seed=5))
    assert_equal_bits(plain, again)
    more = values(build(Tiny(body=body, extra=True, **CLIP), seed=5))
    assert more.keys() - plain.keys() == EXTRA
    assert_equal_bits(plain, {name: value for name, value in more.items() if name in plain})
    other = values(build(Tiny(body=body, **CLIP), seed=6))
    assert not torch.equal(plain["frames.weight"], other["frames.weight"])
    assert not torch.equal(plain["head.bias"], other["head.bias"])


@pytest.mark.parametrize("body", sorted(BODIES.keys() - {"lazy"}))  # to which torch gives sizes only later
def test_the_laws_are_the_modules_own(body):
    """What torch would have drawn is constant where ours is, and as wide where it is not."""
    torch.manual_seed(0)
    torchs, ours = values(Framed(Tiny(body=body, **CLIP))), values(build(Tiny(body=body, **CLIP), seed=0))
    assert torchs.keys() == ours.keys()
    for name, value in torchs.items():
        if value.is_floating_point() and value.numel() > 1 and value.isfinite().all() and value.std() > 0:
            assert 0.5 < (ours[name].std() / value.std()) < 2 or value.numel() < 32, name
        else:
            assert torch.equal(ours[name], value), name


def test_no_global_generator_is_read_or_moved():
    def states():
        return torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()

    before = states()
    build(Tiny(body="transformer", **CLIP), seed=0)
    after = states()
    assert torch.equal(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2] == after[2]


def test_twins_differ_and_copies_are_copies():
    """Two layers of a kind have draws of their own; a layer that the network copies starts as its copy, as in torch."""
    twins = construct_paired(lambda: nn.ModuleDict({name: nn.Linear(9, 9) for name in "ab"}), 0)
    assert not torch.equal(twins.a.weight, twins.b.weight)
    copies = construct_paired(BODIES["copies"], 0)
    assert torch.equal(copies[0].weight, copies[2].weight)


def test_order_of_construction_does_not_matter():
    def swapped(first, second):
        module = nn.Module()
        for name in (first, second):
            setattr(module, name, nn.GRU(5, 6))
        return module

    one, other = construct_paired(lambda: swapped("a", "b"), 0), construct_paired(lambda: swapped("b", "a"), 0)
    assert_equal_bits(dict(sorted(values(one).items())), dict(sorted(values(other).items())))


def test_with_weight_norm_a_layer_starts_as_the_same_function():
    plain = construct_paired(lambda: nn.ModuleDict({"layer": nn.Conv1d(3, 4, 5)}), 0).layer
    normed = construct_paired(
        lambda: nn.ModuleDict({"layer": parametrizations.weight_norm(nn.Conv1d(3, 4, 5))}), 0
    ).layer
    torch.testing.assert_close(normed.weight, plain.weight)
    assert torch.equal(normed.bias, plain.bias)


def test_what_a_constructor_makes_constant_stays():
    applied = build(Tiny(body="applied", **CLIP), 0).body
    assert not applied[2].weight.any()
    assert applied[0].weight.std().item() == pytest.approx(0.02, rel=0.3)
    assert not applied[0].bias.any()


def test_a_law_that_reads_other_weights_reads_the_paired_ones():
    body = build(Tiny(body="by-hand", **CLIP), 3).body
    torch.testing.assert_close(body.linear.weight @ body.linear.weight.T, torch.eye(WIDTH))
    assert body.scale.std() > 0


@dataclass(frozen=True, kw_only=True)
class Tuned(Network):
    """Its body is pre-trained and frozen, its head drawn anew by `load`."""

    frozen: bool = True

    def build(self):
        return Framed(Tiny(body="linear", classes=self.classes))

    def load(self, module):
        with torch.no_grad():
            module.body.weight.fill_(0.5)
        module.body.requires_grad_(not self.frozen)
        nn.init.normal_(module.head.weight, std=7.0)


def test_pre_trained_values_come_after_the_draws():
    loaded = build(Tuned(**CLIP), 0)
    assert (loaded.body.weight == 0.5).all()
    assert not loaded.body.weight.requires_grad
    assert loaded.head.weight.std() > 3
    plain, unfrozen = build(Tiny(body="linear", **CLIP), 0), build(Tuned(frozen=False, **CLIP), 0)
    assert torch.equal(loaded.frames.weight, plain.frames.weight)
    assert torch.equal(loaded.head.weight, unfrozen.head.weight)
    assert not build(Tuned(**CLIP), 0, load=False).body.weight.eq(0.5).any()


def test_lazy_layers_have_sizes_and_statistics_that_no_clip_moved():
    module = build(Tiny(body="lazy", **CLIP), 0)
    assert module.training and all(part.training for part in module.modules())
    norm = module.body[1].layer
    assert type(norm) is nn.BatchNorm1d
    assert not norm.running_mean.any() and norm.num_batches_tracked == 0


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("numpy values", "Wrong: scale is random, but not drawn by torch"),
        ("no value", "Wrong: scale has values that nothing wrote"),
        ("random shape", r"other parameters each time that it is built \(scale\)"),
        ("random draws", "other random numbers each time"),
        ("shared", "Wrong: norm.weight is the same tensor each time that it is built"),
        ("expanded", "Wrong: scale has several places in the same memory"),
        ("default", r"calls torch.set_default_dtype\(torch.float64\), which other networks would find so"),
        ("no gradients", r"calls torch.set_grad_enabled\(False\)"),
    ],
)
def test_what_cannot_be_paired_is_refused_by_name(fault, message):
    with pytest.raises(NetworkError, match=message):
        build(Faulty(fault=fault, **CLIP), 0)
    assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()


def test_build_must_return_a_module_on_the_cpu():
    @dataclass(frozen=True, kw_only=True)
    class Odd(Network):
        meta: bool = False

        def build(self):
            return nn.Linear(2, 2, device="meta") if self.meta else torch.zeros(2)

    with pytest.raises(NetworkError, match=r"Odd.build\(\) returned a Tensor; expected a torch.nn.Module"):
        build(Odd(), 0)
    with pytest.raises(NetworkError, match="weight is on the device meta; build on the CPU"):
        build(Odd(meta=True), 0)


def test_shared_parameters_are_counted():
    plain, more = (build(Tiny(body="gru", extra=extra, **CLIP), 0) for extra in (False, True))
    shared = shared_parameters(more, plain)
    assert (shared.parameters, shared.shared, shared.renamed) == (10, 8, ())
    assert shared.describe("full") == "shares 8 of 10 parameters with full"
    assert shared_parameters(plain, copy.deepcopy(plain)).shared == 8
    assert shared_parameters(plain, build(Tiny(body="gru", **CLIP), 1)).shared == 0


def test_layers_under_other_numbers_are_told():
    def stack(*layers):
        return construct_paired(lambda: nn.ModuleDict({"net": nn.Sequential(*(layer() for layer in layers))}), 0)

    def convolution():
        return nn.Conv1d(4, 4, 3)

    full = stack(convolution, nn.ReLU, lambda: nn.BatchNorm1d(4), convolution, lambda: nn.Conv1d(4, 2, 1))
    arm = stack(convolution, nn.ReLU, convolution, lambda: nn.Conv1d(4, 2, 1))
    shared = shared_parameters(arm, full)
    assert (shared.parameters, shared.shared) == (6, 2)
    # net.3 of the arm is no convolution of four channels, as net.3 of the full network is: only its weights count.
    assert shared.renamed == (
        ("net.2.weight", "net.3.weight"),
        ("net.2.bias", "net.3.bias"),
        ("net.3.weight", "net.4.weight"),
        ("net.3.bias", "net.4.bias"),
    )
    assert (
        "4 more may be the same layers under other numbers (net.2.weight is net.3.weight in full)"
        in shared.describe("full")
    )


COMPILES = """
import sys, torch
from torch import nn
from sweeper.model.modes import compiler_is_there
from sweeper.model.pairing import NetworkError, construct_paired

def doubled(x):
    return x * 2 + torch.randn(8)

class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.plain = nn.Linear(4, 4)
        self.weight = nn.Parameter(torch.compile(doubled, backend="eager")(torch.randn(8)))

def fails():
    raise KeyError("x")

assert not compiler_is_there()
first = construct_paired(Own, 0)
assert compiler_is_there()
again = construct_paired(Own, 0)
alone = construct_paired(lambda: nn.ModuleDict({"plain": nn.Linear(4, 4)}), 0)
assert torch.equal(first.weight, again.weight) and torch.equal(first.plain.weight, alone.plain.weight)
try:
    construct_paired(fails, 0)
except KeyError:
    print("as it should")
"""


def test_a_network_that_runs_what_it_compiles_while_it_is_built_is_paired_as_others_are():
    done = subprocess.run([sys.executable, "-c", COMPILES], capture_output=True, text=True, check=False)
    assert done.stdout == "as it should\n", done.stderr
