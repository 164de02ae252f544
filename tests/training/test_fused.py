"""Several seeds as one program: each gets what it would alone, up to rounding, whatever is fused with it."""

import itertools
import math
import warnings
from dataclasses import replace

import pytest
import torch
from torch.utils._pytree import tree_leaves

from sweeper.model import attention, batch_norm, convolution, transformer
from sweeper.model.build import build
from sweeper.training import fit as fit_module
from sweeper.training import fused as fused_module
from sweeper.training import fused_check
from sweeper.training.batches import Batches
from sweeper.training.fit import Diverged, Fitted, TrialLeft, fit
from sweeper.training.fused_check import Choice, check, choose, compare
from sweeper.training.fused_draws import CannotFuse, SeedsDraws
from sweeper.training.fused_stack import Stack
from sweeper.training.fused_template import Template
from sweeper.training_config import EMAConfig
from tests.studies import ARMS
from tests.training import golden
from tests.training.fusing import CPU, ROUNDING, alone, assert_same, timeless, together, trials

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:There is a performance drop"),  # pytest drops the module's own filter
]


@pytest.mark.parametrize("arm", ARMS)
def test_each_seed_of_an_arm_gets_what_it_would_alone(arm):
    specs = trials(arm)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # vmap warns of operations that it takes apart
        found = together(specs)
    expected = alone(specs)
    assert timeless(expected[0]) != pytest.approx(timeless(expected[1]), rel=ROUNDING)
    assert_same(expected, found)


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("fast", [True, False], ids=["a CPU's operations", "a GPU's"])
def test_networks_at_once_are_networks_one_by_one(arm, fast, monkeypatch):
    """To fifteen digits: answers, gradients and what batch norm keeps. Without dropout."""
    for module in (attention, batch_norm, convolution, transformer):
        monkeypatch.setattr(module, "is_fast", lambda _x: fast)
    networks = [build(spec.model, spec.seed).double().train() for spec in trials(arm, dropout=0.0)]
    template = Template(networks[0], SeedsDraws(CPU))
    parameters = [
        torch.stack(values).detach().requires_grad_()
        for values in zip(*(n.parameters() for n in networks), strict=True)
    ]
    buffers = [torch.stack(values) for values in zip(*(n.buffers() for n in networks), strict=True)]
    clips = torch.randn(2, 5, 1, 2000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    answers, buffers = template([*parameters, *buffers], clips, [1, 2])
    found = list(tree_leaves(answers))
    gradients = torch.autograd.grad(sum(value.square().sum() for value in found), parameters)
    for number, network in enumerate(networks):
        expected = list(tree_leaves(network(clips[number])))
        sum(value.square().sum() for value in expected).backward()
        for one, other in zip(
            (*expected, *(parameter.grad for parameter in network.parameters()), *network.buffers()),
            (*found, *gradients, *buffers),
            strict=True,
        ):
            torch.testing.assert_close(other[number], one, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "training",
    [
        {"ema": EMAConfig(0.9, unit="epoch"), "clip_norm": None, "schedule": "constant", "distillation": None},
        {"augmentation": replace(golden.RECIPE.training.augmentation.off()), "decay_all": True, "weight_decay": 0.1},
    ],
    ids=["epochs", "decay"],
)
def test_so_it_does_by_other_recipes(training):
    specs = trials(dropout=0.0, **training)
    assert_same(alone(specs), together(specs))


def test_gradients_are_clipped_by_each_seeds_own_norm():
    """One trap of fusing: one optimiser, with one norm for all."""
    specs = trials("semantic-only", clip_norm=0.5)
    batches = Batches([golden.clips()], 2000, CPU)
    loose = [replace(spec, training=replace(spec.training, clip_norm=None)) for spec in specs]
    stacks = [
        Stack([fit_module._Run(spec, batches, CPU, fit_module.ALONE) for spec in some]) for some in (specs, loose)
    ]
    for stack in stacks:
        stack.step(*zip(*(run.planned()[0] for run in stack.runs), strict=True))
    clipped, plain = (torch.cat([whole.grad.flatten(1) for whole in stack.wholes], 1) for stack in stacks)
    norms = plain.norm(dim=1, keepdim=True)
    assert (norms > 0.5).all()
    assert norms[0] != pytest.approx(float(norms[1]), rel=0.01)
    torch.testing.assert_close(clipped, plain * 0.5 / norms)


class Killed(Exception):
    """Stands in for a kill."""


def killed_at(monkeypatch, owner, name, step):
    plain, count = getattr(owner, name), itertools.count()

    def fatal(*args):
        if next(count) == step:
            raise Killed
        return plain(*args)

    monkeypatch.setattr(owner, name, fatal)


@pytest.mark.parametrize("kill_at", [1, 2, 3])
@pytest.mark.parametrize("first", ["fused", "apart"])
def test_killed_one_way_it_goes_on_the_other_way(first, kill_at, tmp_path, monkeypatch):
    specs = trials("detail-only")
    undisturbed = alone(specs)
    states = [tmp_path / str(spec.replicate) for spec in specs]
    with monkeypatch.context() as patch:
        for module in (fit_module, fused_module):
            patch.setattr(module, "CHECKPOINT_SECONDS", -1.0)  # after every step
        if first == "fused":
            killed_at(patch, Stack, "step", kill_at)
            with pytest.raises(Killed):
                together(specs, states=states)
        else:
            for spec, state in zip(specs, states, strict=True):
                with patch.context() as each:
                    killed_at(each, fit_module._Run, "_step", kill_at)
                    with pytest.raises(Killed):
                        fit(spec, [golden.clips()], device=CPU, state=state)
    trained = []
    for owner, name in ((Stack, "step"), (fit_module._Run, "_step")):
        plain = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args, plain=plain: (trained.append(1), plain(*args))[1])
    if first == "fused":
        found = [
            fit(spec, [golden.clips()], device=CPU, state=state) for spec, state in zip(specs, states, strict=True)
        ]
    else:
        found = together(specs, states=states)
    assert len(trained) == (4 - kill_at) * (2 if first == "fused" else 1), "a resumed trial repeats nothing"
    assert_same(undisturbed, found)


def test_seeds_that_stand_at_different_steps_catch_up(tmp_path, monkeypatch):
    specs = trials("semantic-only", seeds=3)
    undisturbed = alone(specs)
    states = [tmp_path / "0", None, tmp_path / "2"]
    with monkeypatch.context() as patch:
        patch.setattr(fit_module, "CHECKPOINT_SECONDS", -1.0)
        for which, step in ((0, 3), (2, 1)):
            with patch.context() as each:
                killed_at(each, fit_module._Run, "_step", step)
                with pytest.raises(Killed):
                    fit(specs[which], [golden.clips()], device=CPU, state=states[which])
    at_once = []
    plain = Stack.step
    monkeypatch.setattr(Stack, "step", lambda stack, *args: (at_once.append(len(stack.runs)), plain(stack, *args)))
    found = together(specs, states=states)
    assert at_once == [1, 2, 2, 3]
    assert_same(undisturbed, found)


def test_they_are_left_together_and_a_finished_one_is_not_trained_again(tmp_path):
    specs = trials("semantic-only")
    states, kept, seen = [tmp_path / "0", tmp_path / "1"], [], []
    asked = itertools.count(1)
    with pytest.raises(TrialLeft):
        together(
            specs,
            states=states,
            on_state=kept.append,
            on_epoch=lambda which, epoch: seen.append((which, epoch.epoch)),
            wish=lambda: "leave" if next(asked) == 3 else "",
        )
    assert (kept, seen) == ([0, 1], [(0, 0), (1, 0)])
    found = together(specs, states=states, wish=lambda: "keep")
    assert_same(alone(specs), found)
    again = together(specs, states=states)
    assert [timeless(one) for one in again] == [timeless(one) for one in found]


def test_seconds_are_a_trials_share():
    fitted = together(trials("semantic-only"))
    assert fitted[0].seconds == fitted[1].seconds == pytest.approx(sum(point.seconds for point in fitted[0].curve))


def test_what_they_leave_has_memory_of_its_own():
    first, second = together(trials("full"))
    storages = [
        {value.untyped_storage().data_ptr() for value in network.state_dict().values()}
        for network in (first.network, first.averaged, second.network, second.averaged)
    ]
    assert not set.intersection(*storages)
    assert len(set.union(*storages)) == sum(map(len, storages))


def test_one_that_diverges_leaves_the_others_as_they_are(monkeypatch):
    specs = trials("semantic-only", seeds=3)
    plain = fit_module._Run.close_epoch

    def close_epoch(run, loss, hits, clips):
        ill = run.spec.replicate == 1 and run.epoch == 1
        return plain(run, math.nan if ill else loss, hits, clips)

    expected = alone([specs[0], specs[2]])
    monkeypatch.setattr(fit_module._Run, "close_epoch", close_epoch)
    found = together(specs)
    assert isinstance(found[1], Diverged)
    assert len(found[1].curve) == 1
    assert_same(expected, [found[0], found[2]])


def test_other_reasons():
    with pytest.raises(CannotFuse, match="differ by more than their seeds"):
        check([*trials("full", seeds=1), *trials("garm", seeds=1)], CPU)
    with pytest.raises(CannotFuse, match="compiles"):
        check(trials("full", compile=True), CPU)


def test_both_ways_are_measured_before_one_is_taken():
    specs = trials("semantic-only")
    measured = compare(specs, [golden.clips()], CPU)
    assert measured.apart > 0
    assert measured.gain == measured.apart / measured.fused
    assert choose(specs[:1], [golden.clips()], CPU) == Choice(False, "there is one trial")


@pytest.mark.parametrize(("gain", "fuse"), [(1.5, True), (0.5, False)])
def test_they_are_fused_where_that_is_faster(gain, fuse, monkeypatch):
    monkeypatch.setattr(fused_check, "compare", lambda *_: fused_check.Comparison(gain, 1.0))
    choice = choose(trials("semantic-only"), [golden.clips()], CPU)
    assert choice.fuse == fuse
    assert f"{gain:.2f} times" in choice.why


def test_they_are_not_where_memory_does_not_last(monkeypatch):
    def compare(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(fused_check, "compare", compare)
    assert "memory" in choose(trials("semantic-only"), [golden.clips()], CPU).why


def test_results_are_of_the_same_kind():
    (fitted,) = together(trials("semantic-only", seeds=1))
    assert isinstance(fitted, Fitted)
    assert all(not parameter.requires_grad for parameter in fitted.averaged.parameters())
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in fitted.network.parameters())
