"""The keyed generator: against a plain-Python hash, and against the distributions it promises."""

import hashlib

import numpy as np
import pytest
import torch
from scipy import stats

from sweeper.audio.augmentation import draws
from sweeper.audio.augmentation.draws import Draws, choose


def hash_in_python(seed: int, step: int, name: str, counter: int) -> int:
    """The documented hash in unbounded integers, written without torch."""
    digest = hashlib.blake2b(f"{seed}/{step}/{name}".encode(), digest_size=8).digest()
    x = counter
    for word in (digest[:4], digest[4:]):
        x ^= int.from_bytes(word, "little")
        x ^= x >> 16
        x = x * 0x21F0AAAD & 0xFFFFFFFF
        x ^= x >> 15
        x = x * 0xD35A2D97 & 0xFFFFFFFF
        x ^= x >> 15
    return x


@pytest.mark.parametrize(("seed", "step", "name"), [(0, 0, "a"), (2**63, 17, "noise"), (-5, 10**9, "")])
def test_uniform_is_the_documented_hash(seed, step, name):
    drawn = Draws(seed, step).uniform(name, (70_000,))
    for i in (0, 1, 2, 1000, 69_999):
        assert drawn[i].item() == ((hash_in_python(seed, step, name, i) >> 9) + 0.5) / 2**23


def test_on_a_gpu_the_hash_is_the_same():
    """Its arithmetic, which knows no uint32, run here on the CPU."""
    words = [0x9E3779B9, 0x7F4A7C15]
    counters = torch.arange(70_000, dtype=torch.int32)
    draws._hash_by_torch(counters, words)
    expected = torch.arange(70_000, dtype=torch.int32)
    draws._hash_by_numpy(expected.numpy().view(np.uint32), words)
    assert torch.equal(counters, expected)


def test_values_are_pinned():
    """Old runs stay reproducible: these numbers may never change."""
    uniform = Draws(1, 2).uniform("pinned", (4,)).tolist()
    assert uniform == [((hash_in_python(1, 2, "pinned", i) >> 9) + 0.5) / 2**23 for i in range(4)]
    assert uniform == [0.41029685735702515, 0.8494617342948914, 0.4537048935890198, 0.9701147675514221]


@pytest.mark.parametrize("step", range(3))
def test_uniform_distribution(step):
    drawn = Draws(7, step).uniform("u", (200_000,)).double().numpy()
    assert drawn.min() > 0 and drawn.max() < 1
    assert abs(drawn.mean() - 0.5) < 5 * np.sqrt(1 / 12 / len(drawn))
    assert abs(drawn.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / len(drawn))
    assert stats.kstest(drawn, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("step", range(3))
def test_normal_distribution(step):
    drawn = Draws(7, step).normal("n", (200_000,)).double().numpy()
    assert np.isfinite(drawn).all()
    assert abs(drawn.mean()) < 5 / np.sqrt(len(drawn))
    assert abs(drawn.var() - 1) < 5 * np.sqrt(2 / len(drawn))
    assert abs(stats.kurtosis(drawn)) < 5 * np.sqrt(24 / len(drawn))
    assert stats.kstest(drawn, "norm").pvalue > 1e-4


def test_every_bit_is_fair_and_pairs_of_bits_are_independent():
    words = Draws(3, 0)._hash("bits", torch.arange(1 << 16, dtype=torch.int32)).numpy().view(np.uint32)
    bits = (words[:, None] >> np.arange(32, dtype=np.uint32)) & 1
    z = (bits.mean(axis=0) - 0.5) * 2 * np.sqrt(len(words))
    assert np.abs(z).max() < 5
    correlation = np.corrcoef(bits.T)[np.triu_indices(32, 1)]
    assert np.abs(correlation).max() < 5 / np.sqrt(len(words))


def test_one_input_bit_flips_half_of_the_output_bits():
    """Avalanche over counters: the property that makes a counter enough of a state."""
    words = Draws(3, 0)._hash("bits", torch.arange(1 << 16, dtype=torch.int32)).numpy().view(np.uint32)
    for bit in range(16):
        flipped = words ^ words[np.arange(len(words)) ^ (1 << bit)]
        share = np.unpackbits(flipped.view(np.uint8)).mean()
        assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(32 * len(words) / 2)


@pytest.mark.parametrize("draw", ["uniform", "normal"])
def test_streams_are_uncorrelated(draw):
    """Neighbouring seeds, steps and names, and neighbouring clips and samples of one draw."""
    count = 50_000
    keys = [(0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 2, "a"), (0, 0, "b"), (0, 0, "aa"), (1, 1, "a")]
    streams = [getattr(Draws(seed, step), draw)(name, (count,)).numpy() for seed, step, name in keys]
    streams += [streams[0][np.arange(count) - lag] for lag in (1, 2, 1000, 8000)]
    correlation = np.corrcoef(np.array(streams))[np.triu_indices(len(streams), 1)]
    # Lagged copies overlap with each other; all pairs are still different draws.
    assert np.abs(correlation).max() < 5 / np.sqrt(count)


def test_steps_are_uncorrelated_for_one_clip():
    series = torch.stack([Draws(0, step).uniform("a", (8,)) for step in range(2000)]).numpy()
    correlation = np.corrcoef(np.concatenate((series[:-1].T, series[1:].T)))[np.triu_indices(16, 1)]
    assert np.abs(correlation).max() < 5 / np.sqrt(1999)
    assert stats.kstest(series.ravel(), "uniform").pvalue > 1e-4


def test_draws_need_and_touch_no_global_state():
    first = Draws(1, 1).normal("a", (3, 5))
    torch.manual_seed(123)
    state = torch.get_rng_state()
    assert torch.equal(Draws(1, 1).normal("a", (3, 5)), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == (3, 5)


def test_permutation():
    drawn = [Draws(0, step).permutation("p", 6).tolist() for step in range(1200)]
    assert all(sorted(p) == list(range(6)) for p in drawn)
    counts = np.array([[sum(p[i] == j for p in drawn) for j in range(6)] for i in range(6)])
    assert stats.chisquare(counts.ravel()).pvalue > 1e-4
    assert Draws(0, 0).permutation("p", 1).tolist() == [0]


def test_choose_follows_the_weights():
    uniform = Draws(0, 0).uniform("c", (40_000,))
    share = np.bincount(choose(uniform, [0, 1, 0, 3, 0]).numpy(), minlength=5) / len(uniform)
    np.testing.assert_allclose(share, [0, 0.25, 0, 0.75, 0], atol=0.012)
    edges = torch.tensor([2.0**-24, 1 - 2.0**-24])
    assert choose(edges, [0, 1, 2, 0]).tolist() == [1, 2]
