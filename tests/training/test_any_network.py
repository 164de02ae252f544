"""Networks of every kind train as the paper's do: paired, resumable at any step, on several workers, evaluated."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sweeper.augmentation_config import AugmentationConfig
from sweeper.model.build import build
from sweeper.training import fit as fit_module
from sweeper.training.ema import EMA
from sweeper.training.fit import fit
from sweeper.training.trial import run_trial
from sweeper.training_config import EMAConfig
from tests.networks import BODIES, WIDTH, Branched, Tiny
from tests.training.conftest import CLASSES, RATE

CPU = torch.device("cpu")
CLIP = {"classes": CLASSES, "sample_rate": RATE, "samples": 2000}
KILLED_AFTER = 4


class Killed(Exception):
    """Stands in for a kill."""


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def spec(make_spec):
    def make(network, **training):
        return replace(make_spec(epochs=2, **training), model=network)

    return make


def weights(fitted):
    networks = {"raw": fitted.network, "ema": fitted.averaged}
    return {f"{name}.{key}": value for name, n in networks.items() for key, value in n.state_dict().items()}


def assert_equal_bits(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        torch.testing.assert_close(value, b[name], rtol=0, atol=0, equal_nan=False, msg=name)


@pytest.mark.parametrize("body", BODIES)
def test_killed_and_resumed_it_ends_with_the_same_bits_and_is_evaluated(
    body, spec, train, test_clips, tmp_path, monkeypatch
):
    trial = spec(Tiny(body=body, **CLIP))
    result, undisturbed = run_trial(trial, train, lambda: [test_clips], device=CPU)
    assert (
        np.isfinite(result.predictions.probabilities).all() and np.isfinite(result.predictions.probabilities_ema).all()
    )
    assert (result.gflops_per_clip is None) == (body == "orthogonal")

    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", -1.0)  # after every step
    step, done = fit_module._Run._step, iter(range(1000))

    def fatal(run, batch):
        if next(done) == KILLED_AFTER:
            raise Killed
        step(run, batch)

    monkeypatch.setattr(fit_module._Run, "_step", fatal)
    state = tmp_path / "state.safetensors"
    with pytest.raises(Killed):
        fit(trial, train, device=CPU, state=state)
    monkeypatch.setattr(fit_module._Run, "_step", step)
    torch.rand(17)
    np.random.rand()
    resumed = fit(trial, train, device=CPU, state=state)
    assert_equal_bits(weights(undisturbed), weights(resumed))
    assert [point.loss for point in undisturbed.curve] == [point.loss for point in resumed.curve]


class Transposed(nn.Module):
    """A filter bank that is kept as it was made, transposed."""

    def __init__(self):
        super().__init__()
        self.bank = nn.Parameter(torch.randn(6, WIDTH).mT)

    def reset_parameters(self):
        with torch.no_grad():
            self.bank.normal_()

    def forward(self, x):
        return (x @ self.bank) @ self.bank.mT


def test_a_parameter_that_lies_otherwise_in_memory_resumes_too(spec, train, test_clips, tmp_path, monkeypatch):
    monkeypatch.setitem(BODIES, "transposed", Transposed)
    trial = spec(Tiny(body="transposed", **CLIP))
    assert not fit(trial, train, device=CPU).network.body.bank.is_contiguous()
    undisturbed = fit(trial, train, device=CPU)
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", -1.0)
    step, done = fit_module._Run._step, iter(range(1000))

    def fatal(run, batch):
        if next(done) == KILLED_AFTER:
            raise Killed
        step(run, batch)

    monkeypatch.setattr(fit_module._Run, "_step", fatal)
    with pytest.raises(Killed):
        fit(trial, train, device=CPU, state=tmp_path / "s")
    monkeypatch.setattr(fit_module._Run, "_step", step)
    assert_equal_bits(weights(undisturbed), weights(fit(trial, train, device=CPU, state=tmp_path / "s")))


class MaxNorm(nn.Linear):
    """EEGNet's: weights of bounded length, put in their place in each pass; and statistics likewise."""

    def __init__(self):
        super().__init__(WIDTH, WIDTH)
        self.norm = Replacing(WIDTH)

    def forward(self, x):
        self.weight.data = torch.renorm(self.weight.data, 2, 0, 0.5)
        return self.norm(super().forward(x).mT).mT


class Replacing(nn.BatchNorm1d):
    def forward(self, x):
        if self.training:
            self.running_mean = 0.9 * self.running_mean + 0.1 * x.detach().mean((0, 2))
        return (x - self.running_mean[:, None]) * self.weight[:, None]


def test_the_average_follows_values_that_are_put_in_anew(monkeypatch):
    network = MaxNorm()
    ema = EMA(network, EMAConfig(0.5, warmup=False))
    weight, mean = ema.averaged.weight.clone(), ema.averaged.norm.running_mean.clone()
    for seed in range(3):
        network(torch.randn(4, 5, WIDTH, generator=torch.Generator().manual_seed(seed)))
        with torch.no_grad():
            network.weight.add_(0.1)
        ema.update()
        weight, mean = weight.lerp(network.weight.detach(), 0.5), mean.lerp(network.norm.running_mean, 0.5)
    torch.testing.assert_close(ema.averaged.weight, weight)
    torch.testing.assert_close(ema.averaged.norm.running_mean, mean)


def test_what_is_frozen_stays_and_what_is_tied_stays_tied(spec, train):
    trial = spec(Tiny(body="frozen", **CLIP))
    start = build(trial.model, trial.seed).state_dict()
    frozen = fit(trial, train, device=CPU)
    for fitted in (frozen.network, frozen.averaged):
        moved = {name for name, value in fitted.state_dict().items() if not torch.equal(value, start[name])}
        assert moved == start.keys() - {"body.below.weight", "body.below.bias"}
    tied = fit(spec(Tiny(body="tied", **CLIP)), train, device=CPU)
    for fitted in (tied.network, tied.averaged):
        assert fitted.body.first is fitted.body.second
        assert fitted.body.third.weight is fitted.body.first.weight


def test_the_average_keeps_masks_and_follows_buffers_that_are_replaced(spec, train):
    masked = fit(spec(Tiny(body="fourier", **CLIP)), train, device=CPU).averaged.body
    assert torch.equal(masked.mask, build(Tiny(body="fourier", **CLIP), 0).body.mask)
    moving = fit(spec(Tiny(body="moving", **CLIP)), train, device=CPU)
    assert moving.network.body.running.any()
    assert torch.equal(moving.averaged.body.running, moving.network.body.running)


def test_branches_are_distilled_and_a_loss_of_its_own_replaces_the_classification_loss(spec, train):
    off = AugmentationConfig.off()
    plain, own = (fit(spec(Branched(own_loss=x, **CLIP), augmentation=off), train, device=CPU) for x in (False, True))
    alone = fit(spec(Branched(own_loss=True, **CLIP), augmentation=off, distillation=None), train, device=CPU)
    assert plain.curve[0].loss != own.curve[0].loss
    # A squared error of three probabilities is at most 2; with distillation, two branches have theirs.
    assert alone.curve[0].loss < 2
    start = build(Branched(**CLIP), spec(Branched(**CLIP)).seed).heads.state_dict()
    for fitted, trained in ((own, True), (alone, False)):
        for name, value in fitted.network.heads.state_dict().items():
            assert torch.equal(value, start[name]) != trained, name


def test_an_average_per_epoch_of_replaced_buffers(spec, train):
    fitted = fit(spec(Tiny(body="moving", **CLIP), ema=EMAConfig(0.5, unit="epoch")), train, device=CPU)
    assert torch.equal(fitted.averaged.body.running, fitted.network.body.running)
