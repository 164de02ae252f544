"""The whole augmentation: pure, keyed, per clip, finite, and the same on CPU and GPU."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from sweeper.audio.augmentation import augment, augment_each, blocks, draws
from sweeper.augmentation_config import (
    AugmentationConfig,
    MixingConfig,
    NoiseConfig,
    ResamplingConfig,
    SignalConfig,
)

PAPER = AugmentationConfig()
EVERYTHING = dataclasses.replace(
    PAPER,
    signal=SignalConfig(
        time_reversal_probability=0.5, filter_probability=0.5, room_probability=0.5, mu_law_probability=0.5
    ),
)
UNMIXED = dataclasses.replace(
    EVERYTHING,
    mixing=MixingConfig(probability=0),
    resampling=ResamplingConfig(probability=0),
)
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def clips(batch: int = 16, time: int = 2000, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(batch, 1, time, generator=torch.Generator().manual_seed(seed))


def run(x, config=PAPER, *, step=0, seed=0, epoch=20, rate=8000):
    targets = torch.eye(max(4, len(x)), device=x.device)[: len(x)]
    return augment(x, targets, config, sample_rate=rate, seed=seed, step=step, epoch=epoch)


def test_same_key_same_result_whatever_the_global_generator_does():
    x = clips()
    kept = x.clone()
    for step in range(6):
        first = run(x, EVERYTHING, step=step)
        torch.manual_seed(step)
        state = torch.get_rng_state()
        second = run(x, EVERYTHING, step=step)
        assert torch.equal(first.waveforms, second.waveforms) and torch.equal(first.targets, second.targets)
        assert first.mixed == second.mixed
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, kept)


def test_other_seeds_and_steps_give_other_results():
    x = clips()
    results = [run(x, seed=seed, step=step).waveforms for seed, step in ((0, 0), (1, 0), (0, 1), (1, 1))]
    for i, a in enumerate(results):
        for b in results[:i]:
            assert not torch.equal(a, b)


def test_a_clip_does_not_depend_on_the_others():
    x = clips()
    other = x.clone()
    other[1:] = clips(15, seed=1)
    for step in range(12):
        first, second = (run(each, UNMIXED, step=step).waveforms for each in (x, other))
        # Equal up to rounding: a batched transform may sum in another order.
        np.testing.assert_allclose(first[0], second[0], atol=1e-6)
        assert not torch.allclose(first[1:], second[1:], atol=1e-3)


def test_draws_do_not_depend_on_the_content():
    """Doubling the clips doubles the result: all is linear but the mask's noise and mixup's silence floor."""
    x, signal = clips(), SignalConfig(time_mask_probability=0)
    config = AugmentationConfig(signal=signal, mixing=MixingConfig(warmup_epochs=0))
    for step in range(12):
        np.testing.assert_allclose(
            run(2 * x, config, step=step).waveforms, 2 * run(x, config, step=step).waveforms, atol=1e-5
        )


@pytest.mark.parametrize("epoch", [0, 20])
@pytest.mark.parametrize(("batch", "time"), [(1, 800), (3, 1), (2, 2), (5, 37), (4, 1999), (2, 8000)])
def test_finite_on_silence_and_at_odd_shapes(batch, time, epoch):
    for step in range(16):
        for x in (torch.zeros(batch, 1, time), clips(batch, time)):
            result = run(x, EVERYTHING, step=step, epoch=epoch)
            assert result.waveforms.shape == x.shape and result.waveforms.dtype == torch.float32
            assert torch.isfinite(result.waveforms).all()
            assert (result.targets >= 0).all() and (result.targets <= 1).all()


@pytest.mark.parametrize("step", range(24))
def test_a_few_clips_at_a_time_as_all_at_once(step, monkeypatch):
    x = clips(13)
    results = []
    for clips_at_once in (1, 3, 13):
        monkeypatch.setattr(blocks, "_BLOCK_BYTES", clips_at_once * x[0].nbytes)
        results.append(run(x, EVERYTHING, step=step))
    for result in results[1:]:
        assert torch.equal(result.targets, results[0].targets)
        # Rounding may carry a sample over the edge of a mu-law level; all others agree.
        close = torch.isclose(result.waveforms, results[0].waveforms, atol=1e-5)
        assert close.float().mean() > 0.99


def test_off_changes_nothing_and_presets_say_what_they_do():
    x = clips()
    for step in range(4):
        result = run(x, AugmentationConfig.off(), step=step)
        assert torch.equal(result.waveforms, x) and not result.mixed
        assert not run(x, AugmentationConfig.signal_only(), step=step).mixed
    off, signal_only = AugmentationConfig.off(), AugmentationConfig.signal_only()
    assert signal_only.signal == PAPER.signal and signal_only.noise == off.noise
    assert all(value == 0 for key, value in dataclasses.asdict(off.signal).items() if "probability" in key)


def test_warm_up_then_mixing():
    x = clips(4, 100)
    assert not any(run(x, step=step, epoch=11).mixed for step in range(8))
    assert all(run(x, step=step, epoch=12).mixed for step in range(8))


def test_inputs_are_checked():
    for bad in (torch.zeros(2, 100), torch.zeros(2, 2, 100), torch.zeros(0, 1, 100)):
        with pytest.raises(ValueError, match=r"\[batch, 1, time\]"):
            augment(bad, torch.eye(2), PAPER, sample_rate=8000, seed=0, step=0, epoch=0)
    with pytest.raises(ValueError, match="float64"):
        run(clips().double())
    with pytest.raises(ValueError, match=r"\[batch, classes\]"):
        augment(clips(2), torch.eye(3), PAPER, sample_rate=8000, seed=0, step=0, epoch=0)


def test_autocast_does_not_reach_in():
    x = clips()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = run(x, EVERYTHING).waveforms
    assert torch.equal(inside, run(x, EVERYTHING).waveforms)


def test_config_is_canonical_json_and_comes_back():
    text = json.dumps(dataclasses.asdict(PAPER), sort_keys=True, allow_nan=False)
    data = json.loads(text)
    again = AugmentationConfig(
        signal=SignalConfig(**data["signal"]),
        noise=NoiseConfig(**data["noise"]),
        resampling=ResamplingConfig(**data["resampling"]),
        mixing=MixingConfig(**data["mixing"]),
        stft_sizes=data["stft_sizes"],
    )
    assert again == PAPER and hash(again) == hash(PAPER)
    assert json.dumps(dataclasses.asdict(again), sort_keys=True) == text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SignalConfig(gain_probability=1.5), "gain_probability = 1.5"),
        (lambda: SignalConfig(gain_low=2.0), "gain_low = 2.0 is above SignalConfig.gain_high = 1.3"),
        (lambda: SignalConfig(time_mask_s=-1), "time_mask_s = -1"),
        (lambda: SignalConfig(filter_taps=14), "odd"),
        (lambda: SignalConfig(room_low_s=0), "room_low_s"),
        (lambda: NoiseConfig(snr_low_db=40), "snr_low_db = 40"),
        (lambda: NoiseConfig(pink=-1), "pink = -1"),
        (lambda: ResamplingConfig(factors=()), "factors"),
        (lambda: MixingConfig(mixup=0, time_mix=0, frequency_mix=0, phase_mix=0), "weight 0"),
        (lambda: MixingConfig(label_threshold=2), "label_threshold"),
        (lambda: AugmentationConfig(stft_sizes=(1,)), "stft_sizes"),
    ],
)
def test_config_refuses_nonsense(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_nothing_reads_values_and_nothing_is_left_on_the_host():
    """On the meta device, whose tensors have no values: reading one, or mixing devices, is an error."""
    x, targets = torch.empty(16, 1, 2000, device="meta"), torch.empty(16, 10, device="meta")
    with pytest.raises(RuntimeError, match="meta"):
        x.sum().item()
    for step in range(60):
        result = augment(x, targets, EVERYTHING, sample_rate=8000, seed=0, step=step, epoch=20)
        assert result.waveforms.is_meta and result.waveforms.shape == x.shape
        assert result.targets.is_meta and result.targets.shape == targets.shape


@pytest.fixture(params=["one by one", "at once"])
def several(request, monkeypatch):
    """How the numbers of several runs are drawn: on a CPU, and elsewhere."""
    monkeypatch.setattr(draws, "_apart", lambda _device: request.param == "one by one")


@pytest.mark.parametrize("clips_on", [0, 1, 2])
def test_several_runs_draw_what_each_draws(several, clips_on):
    runs = tuple(draws.Draws(seed, 3) for seed in (5, 6, 7))
    for counts in ((4, 0, 3), (1, 1, 1), (2, 5, 0)):
        shapes = [[3, 5, 7] for _ in counts]
        for shape, count in zip(shapes, counts, strict=True):
            shape[clips_on] = count
        shape = [3, 5, 7]
        shape[clips_on] = sum(counts)
        for kind in ("uniform", "normal"):
            found = getattr(draws.SeveralDraws(runs, counts), kind)("name", shape, clips_on=clips_on)
            each = [getattr(run, kind)("name", own) for run, own in zip(runs, shapes, strict=True)]
            torch.testing.assert_close(found, torch.cat(each, clips_on), rtol=0, atol=1e-6)


def test_several_runs_are_augmented_as_each_is(several):
    x, targets, seeds = clips(24).view(3, 8, 1, 2000), torch.eye(8).repeat(3, 1, 1), (5, 6, 7)
    config, mixed = dataclasses.replace(EVERYTHING, mixing=MixingConfig(probability=0.5)), []
    for step in range(40):
        found = augment_each(x, targets, config, sample_rate=8000, seeds=seeds, step=step, epoch=20)
        for number, (one, seed) in enumerate(zip(found, seeds, strict=True)):
            alone = run(x[number], config, step=step, seed=seed)
            # Rounding may carry a sample over the edge of a mu-law level.
            assert ((one.waveforms - alone.waveforms).abs() < 1e-4).float().mean() > 0.99
            assert torch.equal(one.targets, alone.targets) and one.mixed == alone.mixed
        mixed += [one.mixed for one in found]
    assert 0 < sum(mixed) < len(mixed)


@cuda
@pytest.mark.parametrize("step", range(12))
def test_cpu_and_gpu_agree(step):
    x = clips(32, 8000)
    on_cpu, on_gpu = run(x, EVERYTHING, step=step), run(x.cuda(), EVERYTHING, step=step)
    assert on_cpu.mixed == on_gpu.mixed and torch.equal(on_cpu.targets, on_gpu.targets.cpu())
    # Rounding may carry a sample over the edge of a mu-law level; all others agree.
    difference = (on_cpu.waveforms - on_gpu.waveforms.cpu()).abs()
    assert (difference < 1e-4).float().mean() > 0.99
    plain = run(x, step=step).waveforms - run(x.cuda(), step=step).waveforms.cpu()
    # Phase mix has no limit where a bin is nearly zero and its phase is rounding.
    assert plain.abs().mean() < 1e-5


@cuda
def test_nothing_waits_for_the_gpu():
    x = clips(32, 8000).cuda()
    targets = torch.eye(32, device="cuda")

    def all_steps() -> None:
        for step in range(40):
            augment(x, targets, EVERYTHING, sample_rate=8000, seed=0, step=step, epoch=20)

    all_steps()
    torch.cuda.set_sync_debug_mode("error")
    try:
        all_steps()
    finally:
        torch.cuda.set_sync_debug_mode("default")
