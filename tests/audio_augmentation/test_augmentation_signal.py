"""The signal set and the optional effects: each against its definition, and against plain NumPy per clip."""

import numpy as np
import pytest
import torch
import torchaudio.functional
from scipy import signal as scipy_signal

from sweeper.audio.augmentation import effects, filters, signal
from sweeper.audio.augmentation.draws import Draws
from sweeper.augmentation_config import AugmentationConfig, SignalConfig

OFF = AugmentationConfig.off().signal
RATE = 1000  # 0.1 s are 100 samples
NAMES = ("gain", "polarity", "time_shift", "time_mask", "segment_gain", "cyclic_shift")


def clips(batch: int = 16, time: int = 1000, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, 1, time, generator=torch.Generator().manual_seed(seed))


def only(name: str, probability: float = 1.0) -> SignalConfig:
    return SignalConfig(**{f"{each}_probability": probability * (each == name) for each in NAMES})


def test_gain_and_polarity():
    x = clips(3)
    assert torch.equal(signal.gain(x, torch.tensor([0.5, 1.0, 2.0]))[2], 2 * x[2])
    assert torch.equal(signal.polarity(x, torch.tensor([True, False, True]))[:2], torch.stack((-x[0], x[1])))


@pytest.mark.parametrize("time", [1, 2, 7, 1000])
def test_shifts_against_numpy(time):
    x, shift = clips(5, time), torch.tensor([0, 1, -1, time // 2, -(time // 3)])
    rolled, moved = signal.cyclic_shift(x, shift), signal.time_shift(x, shift, max_shift=max(1, time // 2))
    for i, by in enumerate(shift.tolist()):
        clip = x[i, 0].numpy()
        np.testing.assert_array_equal(rolled[i, 0], np.roll(clip, by))
        expected = np.zeros_like(clip)
        for t in range(time):
            if 0 <= t - by < time:
                expected[t] = clip[t - by]
        np.testing.assert_array_equal(moved[i, 0], expected)


def test_clips_are_rotated_one_by_one_as_they_are_at_once():
    """The second is what a GPU does."""
    x, start = torch.randn(7, 1, 50), torch.tensor([0, 1, 49, 25, 7, 0, 13])
    assert torch.equal(signal._clip_by_clip(x, start), signal._at_once(x, start))


def test_segment_gain_and_time_mask_touch_their_segment_alone():
    x, start, factor = clips(3), torch.tensor([0, 500, 900]), torch.tensor([0.5, 1.3, 0.0])
    noise = 1e-6 * clips(3, 100, seed=1)
    scaled, masked = signal.segment_gain(x, start, 100, factor), signal.time_mask(x, start, noise)
    for i, begin in enumerate(start.tolist()):
        inside = slice(begin, begin + 100)
        expected = x[i, 0].clone()
        expected[inside] *= factor[i]
        assert torch.equal(scaled[i, 0], expected)
        expected = x[i, 0].clone()
        expected[inside] = noise[i, 0]
        assert torch.equal(masked[i, 0], expected)


def reference_signal_set(x: np.ndarray, draws: Draws, config: SignalConfig, rate: int) -> np.ndarray:
    """The set in plain NumPy: every clip on its own, every augmentation in its turn. Masks hold NaN.

    Masks are filled last, as documented: they turn with the clip, and later gains and zeros don't reach them.
    """
    batch, time = x.shape
    tables = draws.uniform("signal", (4, 6, batch)).double().numpy()
    names = ("time_shift", "time_mask", "segment_gain", "cyclic_shift", "gain", "polarity")
    out = []
    for i in range(batch):
        clip, mask = x[i].astype(np.float64), np.zeros(time, bool)
        on, order, strength, place = tables[:, :, i]
        for j in np.argsort(order):
            if on[j] >= getattr(config, f"{names[j]}_probability"):
                continue
            if names[j] == "gain":
                clip *= config.gain_low + (config.gain_high - config.gain_low) * strength[j]
            elif names[j] == "polarity":
                clip = -clip
            elif names[j] == "cyclic_shift":
                by = int(strength[j] * time * config.cyclic_shift_share)
                clip, mask = np.roll(clip, by), np.roll(mask, by)
            elif names[j] == "time_shift":
                longest = round(config.time_shift_s * rate)
                by = int(strength[j] * (2 * longest + 1)) - longest
                pad = np.zeros(abs(by))
                clip = np.concatenate((pad, clip[: time - by]) if by > 0 else (clip[-by:], pad))
                mask = np.roll(mask, by)
            elif names[j] == "segment_gain":
                length = round(config.segment_gain_s * rate)
                begin = int(place[j] * (time - length + 1))
                low, high = config.segment_gain_low, config.segment_gain_high
                clip[begin : begin + length] *= low + (high - low) * strength[j]
            else:
                length = round(config.time_mask_s * rate)
                begin = int(place[j] * (time - length + 1))
                mask[begin : begin + length] = True
        out.append(np.where(mask, np.nan, clip))
    return np.stack(out)


@pytest.mark.parametrize("time", [1000, 1001, 131])
@pytest.mark.parametrize("step", range(4))
def test_one_pass_equals_six_in_each_clips_own_order(time, step):
    x, config, draws = clips(64, time), SignalConfig(), Draws(5, step)
    fused = signal.signal_set(x, draws, config, RATE)[:, 0].numpy()
    expected = reference_signal_set(x[:, 0].numpy(), draws, config, RATE)
    masked = np.isnan(expected)
    np.testing.assert_allclose(fused[~masked], expected[~masked], rtol=1e-6)
    assert masked.any()
    assert np.abs(fused[masked]).max() < 1e-5
    assert np.std(fused[masked]) == pytest.approx(1e-6, rel=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_probability_and_off(name):
    x = clips(64)
    steps, p = 40, 0.3
    changed = sum(
        (signal.signal_set(x, Draws(0, step), only(name, p), RATE) != x).any(dim=-1).sum().item()
        for step in range(steps)
    )
    count = steps * len(x)
    assert abs(changed - p * count) < 5 * np.sqrt(p * (1 - p) * count)
    assert torch.equal(signal.signal_set(x, Draws(0, 0), OFF, RATE), x)


def test_ranges_are_reached_and_kept():
    ones = torch.ones(4000, 1, 500)
    gains = signal.signal_set(ones, Draws(0, 0), only("gain"), RATE)[:, 0, 0]
    assert 0.5 <= gains.min() < 0.501 and 1.299 < gains.max() <= 1.3
    segments = signal.signal_set(ones, Draws(0, 1), only("segment_gain"), RATE)[:, 0]
    inside = segments != 1
    assert (inside.sum(dim=1) == 100).all()
    assert 0.5 <= segments[inside].min() < 0.501 and 1.299 < segments[inside].max() <= 1.3
    assert inside[:, 0].any() and inside[:, -1].any()
    shifted = signal.signal_set(ones, Draws(0, 2), only("time_shift"), RATE)[:, 0]
    vacated = (shifted == 0).sum(dim=1)
    assert vacated.max() == 100 and vacated.min() == 0
    assert (shifted[:, 0] == 0).any() and (shifted[:, -1] == 0).any()
    masked = signal.signal_set(ones, Draws(0, 3), only("time_mask"), RATE)[:, 0]
    assert ((masked != 1).sum(dim=1) == 100).all()
    ramp = torch.arange(500.0).expand(4000, 1, 500)
    starts = signal.signal_set(ramp, Draws(0, 4), only("cyclic_shift"), RATE)[:, 0, 0]
    assert starts.min() == 0 and starts.max() == 499 and len(starts.unique()) > 490


def test_strength_zero_is_no_change():
    x = clips(8)
    config = SignalConfig(
        gain_low=1, gain_high=1, polarity_probability=0, time_shift_s=0, time_mask_s=0, segment_gain_s=0,
        cyclic_shift_share=0,
    )  # fmt: skip
    assert torch.equal(signal.signal_set(x, Draws(0, 0), config, RATE), x)


def test_mu_law_against_torchaudio():
    x = (clips(4) * 0.5).clamp(-1, 1)
    ours = effects.mu_law(x, bits=8)
    theirs = torchaudio.functional.mu_law_decoding(torchaudio.functional.mu_law_encoding(x, 256), 256)
    # A sample on the edge of two levels may fall to either side.
    assert ((ours - theirs).abs() < 1e-6).float().mean() > 0.999
    assert len(ours.unique()) <= 256
    assert (effects.mu_law(torch.tensor([[[3.0, -3.0, 0.0]]])).abs() <= 1 + 1e-6).all()


def test_fir_against_scipy():
    cutoff, high = torch.tensor([0.5, 0.7, 0.1, 0.25]), torch.tensor([False, False, True, True])
    taps = filters.fir_taps(cutoff, high, 15)
    for kernel, edge, passes in zip(taps, cutoff.tolist(), high.tolist(), strict=True):
        expected = scipy_signal.firwin(15, edge, window="hamming", pass_zero=not passes)
        np.testing.assert_allclose(kernel, expected, atol=2e-6)
    x = clips(4, 301)
    filtered = filters.fir_filter(x, taps)
    for clip, kernel, result in zip(x[:, 0].numpy(), taps.numpy(), filtered[:, 0], strict=True):
        np.testing.assert_allclose(result, np.convolve(clip, kernel, mode="same"), atol=1e-5)


def test_room_decays_by_60_db_in_its_reverberation_time():
    rate, rt60 = 8000, torch.full((64,), 0.2)
    impulse = torch.zeros(64, 1, 4000)
    impulse[..., 0] = 1
    response = filters.room_response(impulse, rt60, Draws(0, 0), level_db=-6.0, longest_s=0.5, sample_rate=rate)
    np.testing.assert_allclose(response[..., 0], 1, atol=1e-5)  # the direct sound
    tail = response[:, 0, 1:].double()
    level = 10 * torch.log10(tail.square().sum(dim=1))
    np.testing.assert_allclose(level, -6.0, atol=0.01)
    energy = tail.square().mean(dim=0).numpy()
    seconds = np.arange(1, 4000) / rate
    early = seconds < 0.2
    slope = np.polyfit(seconds[early], 10 * np.log10(energy[early]), 1)[0]
    assert slope * 0.2 == pytest.approx(-60, abs=2)


def test_effects_reach_their_clips_alone():
    x = 0.3 * clips(200, 400)
    config = SignalConfig(
        time_reversal_probability=0.25,
        filter_probability=0.25,
        room_probability=0.25,
        mu_law_probability=0.25,
    )
    result = effects.random_effects(x, Draws(0, 0), config, RATE)
    untouched = (result == x).all(dim=-1).float().mean().item()
    assert abs(untouched - 0.75**4) < 5 * np.sqrt(0.75**4 * (1 - 0.75**4) / 200)
    assert torch.isfinite(result).all()
    reversal = SignalConfig(time_reversal_probability=1)
    assert torch.equal(effects.random_effects(x, Draws(0, 0), reversal, RATE), x.flip(-1))
    assert effects.random_effects(x, Draws(0, 0), SignalConfig(), RATE) is x
