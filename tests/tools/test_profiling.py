"""What is measured is there, and of the right size."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from sweeper.augmentation_config import AugmentationConfig
from sweeper.search_spaces.recipes import paper, quick
from sweeper.tools import profile as profiling
from sweeper.tools.profile import peak_training_memory, profile
from sweeper.training import cost
from tests.networks import BODIES, Tiny
from tests.studies import ARMS, PAPER

CPU = torch.device("cpu")


def test_an_arm_is_measured_in_a_process_that_does_not_inherit_our_peak():
    ballast = bytearray(1_500_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    del ballast
    assert profiling._peak_bytes(CPU) > 1.5e9
    (measured,) = profile(PAPER, [ARMS["detail-only"]], quick())
    assert measured.arm == "detail-only"
    assert measured.batch == 16
    assert measured.parameters > 10_000
    assert 0 < measured.gflops < 0.1
    assert 0 < measured.latency_median <= measured.latency_p95
    assert measured.clips_per_second > 0
    assert 50e6 < measured.inference_bytes <= measured.training_bytes < 1.5e9


def spec(recipe, batch, dataset_free=False):
    made = profiling._spec(PAPER, ARMS["full"], recipe, dataset_free)
    return replace(made, training=replace(made.training, batch_size=batch))


def test_the_estimate_grows_with_the_batch_and_holds_the_weights():
    two, four, eight = (peak_training_memory(spec(paper(), batch), CPU) for batch in (2, 4, 8))
    assert eight - four == pytest.approx(2 * (four - two), rel=0.01), "what a clip needs is the same in every batch"
    weights = 2 * two - four
    assert 5 * 4 * 10e6 < weights < 5 * 4 * 14e6 + 2 * profiling.SCRATCH_BYTES


def test_the_estimate_is_near_what_training_needs():
    # A size at which a batch outweighs what torch itself takes.
    large = spec(replace(quick(), seconds=16.0), 16)
    with profiling.ProcessPoolExecutor(1, mp_context=profiling.get_context("spawn")) as pool:
        before = pool.submit(profiling._peak_bytes, CPU).result()
        measured = pool.submit(profiling._measure, large).result().training_bytes - before
    assert 0.6 * measured < peak_training_memory(large, CPU) < 1.6 * measured


def test_on_a_cpu_the_batch_is_what_seconds_allow():
    assert profiling._spec(PAPER, ARMS["full"], quick(), False).training.batch_size == 16
    if not torch.cuda.is_available():
        assert profiling._spec(PAPER, ARMS["full"], paper(), False).training.batch_size == 2


def test_dataset_free_leaves_out_augmentation_alone():
    with_, without = (profiling._spec(PAPER, ARMS["full"], paper(), free).training for free in (False, True))
    assert with_.augmentation.mixing.warmup_epochs == 0, "all but the first epochs mix"
    off = AugmentationConfig.off()
    assert without.augmentation == replace(off, mixing=replace(off.mixing, warmup_epochs=0))
    assert replace(without, augmentation=with_.augmentation) == with_


def test_a_network_that_looks_at_values_is_estimated_from_a_few_clips(monkeypatch):
    class Looks(nn.Module):
        def forward(self, x):
            return x.relu() if float(x.detach().mean()) < 9 else x

    class Blind(nn.Module):
        def forward(self, x):
            return x.relu()

    monkeypatch.setitem(BODIES, "looks", Looks)
    monkeypatch.setitem(BODIES, "blind", Blind)
    clip = {"classes": 10, "sample_rate": 8000, "samples": 8000}
    bodies = [replace(spec(quick(), 64), model=Tiny(body=body, **clip)) for body in ("looks", "blind")]
    looks, blind = (peak_training_memory(trial, CPU) - profiling.SCRATCH_BYTES for trial in bodies)
    assert looks == pytest.approx(blind, rel=0.01)


@pytest.mark.parametrize("batch", [2, 16, 256])
def test_the_estimate_is_the_same_with_few_clips_and_on_the_meta_device(batch, monkeypatch):
    trial = spec(quick(), batch)
    few = profiling._estimated_memory(trial)
    monkeypatch.setattr(cost, "LIGHT_GFLOP", 0.0)
    assert few == pytest.approx(profiling._estimated_memory(trial), rel=0.1)


def test_without_names_one_arm_is_measured_and_the_others_are_estimated_from_it():
    arms = [ARMS[name] for name in ("detail-only", "full", "garm")]
    small, full, garm = profile(PAPER, arms, quick(), quickly=True)
    assert full.estimated == frozenset()
    for estimated in (small, garm):
        assert {"latency_median", "clips_per_second", "training_bytes"} <= estimated.estimated
    assert small.gflops < garm.gflops < full.gflops
    assert small.parameters < garm.parameters < full.parameters
    assert small.latency_median < garm.latency_median < full.latency_median
    assert small.clips_per_second > garm.clips_per_second > full.clips_per_second
    assert 0 < small.inference_bytes <= small.training_bytes <= full.training_bytes


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU trains such networks in no time")
def test_a_network_that_would_train_for_minutes_is_timed_on_shorter_clips(monkeypatch):
    monkeypatch.setattr(profiling, "LONG_GFLOP", 1e-6)
    monkeypatch.setattr(profiling, "fit", None)
    found = profiling._measure(spec(quick(), 16))
    assert found.estimated == {"clips_per_second", "training_bytes"}
    assert found.clips_per_second > 0 and found.training_bytes > found.inference_bytes
