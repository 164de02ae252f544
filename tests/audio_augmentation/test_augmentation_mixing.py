"""The four mixings and the labels of mixed batches: against their definitions and plain NumPy per clip."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.audio.augmentation import mixing
from sweeper.audio.augmentation.draws import Draws
from sweeper.audio.augmentation.stft import istft, stft
from sweeper.augmentation_config import MixingConfig

KINDS = ("mixup", "time_mix", "frequency_mix", "phase_mix")


def clips(batch: int = 8, time: int = 4000, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(batch, 1, time, generator=torch.Generator().manual_seed(seed))


def rotated(batch: int) -> torch.Tensor:
    """Every clip's partner is its neighbour."""
    return (torch.arange(batch) + 1) % batch


def only(kind: str, **others: float) -> MixingConfig:
    return MixingConfig(**{each: float(each == kind) for each in KINDS}, **{"warmup_epochs": 0, **others})


def test_mixup_against_its_definition_in_db():
    x = clips() * torch.logspace(-1, 0.5, 8).view(-1, 1, 1)
    lam = torch.linspace(0.1, 1, 8)
    partner = rotated(8)
    mixed = mixing.mixup(x, partner, lam)[:, 0].double().numpy()
    plain = x[:, 0].double().numpy()
    for i, j in enumerate(partner.tolist()):
        level_i, level_j = (10 * np.log10(max(np.mean(plain[k] ** 2), 1e-5)) for k in (i, j))
        share = lam[i].item()
        p = 1 / (1 + 10 ** ((level_i - level_j) / 20) * (1 - share) / share)
        expected = (p * plain[i] + (1 - p) * plain[j]) / np.sqrt(p**2 + (1 - p) ** 2)
        np.testing.assert_allclose(mixed[i], expected, atol=1e-6)


def test_mixup_shares_are_audible_and_power_is_kept():
    """Two tones of other frequencies: each one's level in the sum is measured on its own."""
    t = torch.arange(8000) / 8000
    loud, quiet = torch.sin(2 * torch.pi * 400 * t), 0.1 * torch.sin(2 * torch.pi * 1000 * t)
    x = torch.stack((loud, quiet)).unsqueeze(1)
    lam = torch.tensor([0.7, 0.7])
    mixed = mixing.mixup(x, torch.tensor([1, 0]), lam)[:, 0]
    spectrum = torch.fft.rfft(mixed).abs()
    ratio = spectrum[:, 400] / spectrum[:, 1000]
    np.testing.assert_allclose(ratio, [0.7 / 0.3, 0.3 / 0.7], rtol=1e-4)
    alike = torch.stack((loud, 10 * quiet)).unsqueeze(1)
    mixed = mixing.mixup(alike, torch.tensor([1, 0]), torch.tensor([0.7, 0.2]))
    np.testing.assert_allclose(mixed.square().mean(-1), alike.square().mean(-1), rtol=1e-4)


def test_mixup_at_lambda_one_is_the_clip():
    x = clips()
    np.testing.assert_allclose(mixing.mixup(x, rotated(8), torch.ones(8)), x, rtol=1e-6)


@pytest.mark.parametrize("time", [4000, 4001, 1])
def test_time_mix_takes_an_end_of_the_partner(time):
    x = clips(8, time)
    lam, suffix = torch.linspace(0.5, 1, 8), torch.arange(8) % 2 == 0
    mixed = mixing.time_mix(x, rotated(8), lam, suffix)
    for i in range(8):
        expected = x[i, 0].clone()
        count = int(time * (1 - lam[i]))
        inside = slice(time - count, time) if suffix[i] else slice(0, count)
        expected[inside] = x[(i + 1) % 8, 0, inside]
        assert torch.equal(mixed[i, 0], expected)
        assert count <= time / 2


def test_frequency_mix_takes_bands_of_the_partner():
    """Tones below and above the middle: the lower half of one clip meets the upper half of the other."""
    t = torch.arange(8000) / 8000
    tones = [torch.sin(2 * torch.pi * f * t) for f in (500, 3500, 700, 3300)]
    x = torch.stack((tones[0] + tones[1], tones[2] + tones[3])).unsqueeze(1)
    lam = torch.tensor([0.5, 0.5])
    for top in (True, False):
        mixed = mixing.frequency_mix(x, torch.tensor([1, 0]), lam, torch.tensor([top, top]), 256)
        level = torch.fft.rfft(mixed[:, 0]).abs()[:, [500, 3500, 700, 3300]] / 4000
        from_own = torch.tensor([[1.0, 0, 0, 1], [0, 1, 1, 0]])
        np.testing.assert_allclose(level, from_own if top else 1 - from_own, atol=0.02)


@pytest.mark.parametrize(("time", "size"), [(4000, 128), (4001, 256), (60, 128)])
def test_frequency_and_phase_mix_against_numpy(time, size):
    x, lam, top = (
        clips(4, time),
        torch.tensor([0.5, 0.66, 0.87, 1.0]),
        torch.tensor([True, False, True, False]),
    )
    partner = rotated(4)
    spectra = stft(x, size).numpy()
    banded, phased = spectra.copy(), spectra.copy()
    for i, j in enumerate(partner.tolist()):
        bins = spectra.shape[-1]
        count = int(bins * (1 - lam[i]))
        inside = slice(bins - count, bins) if top[i] else slice(0, count)
        banded[i, ..., inside] = spectra[j, ..., inside]
        share = lam[i].item()
        phase = share * np.angle(spectra[i]) + (1 - share) * np.angle(spectra[j])
        phased[i] = np.abs(spectra[i]) * np.exp(1j * phase)
    np.testing.assert_allclose(
        mixing.frequency_mix(x, partner, lam, top, size), istft(torch.from_numpy(banded), time), atol=1e-6
    )
    np.testing.assert_allclose(
        mixing.phase_mix(x, partner, lam, size), istft(torch.from_numpy(phased), time), atol=1e-5
    )


def test_mixing_with_all_of_oneself_changes_nothing():
    x = clips()
    partner, ones = rotated(8), torch.ones(8)
    assert torch.equal(mixing.time_mix(x, partner, ones, ones > 0), x)
    np.testing.assert_allclose(mixing.frequency_mix(x, partner, ones, ones > 0, 256), x, atol=1e-6)
    np.testing.assert_allclose(mixing.phase_mix(x, partner, ones, 256), x, atol=1e-6)
    np.testing.assert_allclose(mixing.phase_mix(x, torch.arange(8), 0.3 * ones, 256), x, atol=1e-6)


def test_union_of_labels():
    targets = torch.eye(4)
    partner = torch.tensor([1, 0, 2, 0])
    union = mixing.union_targets(targets, partner, torch.tensor([0.5, 0.95, 0.5, 0.899]))
    assert union.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1]]
    smooth = 0.9 * targets + 0.1 / 4
    union = mixing.union_targets(smooth, partner, torch.full((4,), 0.5))
    assert union.max() <= 1 and union[0].tolist() == pytest.approx([0.925, 0.925, 0.025, 0.025])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(0, 10**6))
def test_union_targets_stay_label_weights(batch, seed):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.rand(batch, 5, generator=generator)
    weight = torch.rand(batch, generator=generator)
    partner = torch.randperm(batch, generator=generator)
    union = mixing.union_targets(targets, partner, weight)
    assert (union >= targets).all() and (union <= torch.maximum(targets, targets[partner])).all()
    assert torch.equal(union[weight >= 0.9], targets[weight >= 0.9])


@pytest.mark.parametrize("kind", KINDS)
def test_labels_follow_lambda(kind):
    """The share of clips with a partner's label is the probability that the label weight is below 0.9."""
    batch, steps = 400, 5
    lowest = {"mixup": 0.1, "time_mix": 0.5, "frequency_mix": 0.5, "phase_mix": 0.0}[kind]
    threshold = 0.8 if kind == "phase_mix" else 0.9  # 0.5 + lambda / 2 < 0.9
    expected = (threshold - lowest) / (1 - lowest)
    both = 0
    for step in range(steps):
        x, targets = clips(batch, 64), torch.eye(batch)
        _, union, mixed = mixing.random_mixing(x, targets, Draws(0, step), only(kind), stft_size=16, epoch=0)
        assert mixed and torch.equal(union.diagonal(), torch.ones(batch))
        own = (Draws(0, step).permutation("partner", batch) == torch.arange(batch)).sum().item()
        both += (union.sum(dim=1) == 2).sum().item() + own * expected
    count = batch * steps
    assert abs(both - expected * count) < 5 * np.sqrt(expected * (1 - expected) * count)


def test_one_mixing_per_batch_by_weight_after_the_warm_up():
    x, targets, config = clips(4, 64), torch.eye(4), MixingConfig(warmup_epochs=12, probability=0.5)
    same, labels, mixed = mixing.random_mixing(x, targets, Draws(0, 0), config, stft_size=16, epoch=11)
    assert same is x and labels is targets and not mixed
    count = sum(
        mixing.random_mixing(x, targets, Draws(0, step), config, stft_size=16, epoch=12)[2] for step in range(400)
    )
    assert abs(count - 200) < 5 * 10
    kinds = [mixing.choose(Draws(0, step).uniform("mixing", (2,))[1], [1.0] * 4).item() for step in range(400)]
    assert np.abs(np.bincount(kinds, minlength=4) - 100).max() < 5 * np.sqrt(400 * 3 / 16)


@pytest.mark.parametrize("kind", KINDS)
def test_silent_clips_and_a_batch_of_one(kind):
    x = torch.stack((torch.zeros(1, 500), clips(1, 500)[0]))
    for step in range(4):
        mixed, _, _ = mixing.random_mixing(x, torch.eye(2), Draws(0, step), only(kind), stft_size=64, epoch=0)
        assert torch.isfinite(mixed).all()
        alone, _, _ = mixing.random_mixing(x[1:], torch.eye(1), Draws(0, step), only(kind), stft_size=64, epoch=0)
        # A clip mixed with itself stays, up to mixup's power normalisation of two like clips.
        scale = (alone.norm() / x[1:].norm()).item()
        np.testing.assert_allclose(alone, scale * x[1:], atol=1e-6)
        assert scale == pytest.approx(1, rel=1e-5) or kind == "mixup"
