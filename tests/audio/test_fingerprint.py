"""Exact and near duplicates: found through level, format and rate; not found where there are none."""

import numpy as np
import pytest
import soundfile

from sweeper.audio.datasets import load
from sweeper.audio.datasets.base import Clip, Dataset
from sweeper.audio.fingerprint import BITS, content_hash, fingerprint, near_pairs
from sweeper.audio.leaks import audit
from sweeper.audio.reader import decode, resample, to_int16
from sweeper.audio.store import prepare


def speechlike(seed: int, rate: int = 16000) -> np.ndarray:
    """Noise bursts with moving resonances, float32 `[2 s]`."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(2 * rate) / rate
    wave = sum(
        np.sin(2 * np.pi * np.cumsum(f + 100 * np.sin(2 * np.pi * r * seconds + p)) / rate)
        * np.interp(seconds, np.linspace(0, 2, 9), rng.uniform(0, 1, 9))
        for f, r, p in zip(rng.uniform(200, 3000, 8), rng.uniform(1, 5, 8), rng.uniform(0, 6, 8), strict=True)
    )
    return (0.05 * wave + 0.003 * rng.standard_normal(len(seconds))).astype(np.float32)


def test_the_hash_is_of_samples_and_rate():
    samples = speechlike(0)
    assert content_hash(samples, 16000) == content_hash(samples[::1].copy(), 16000)
    other = samples.copy()
    other[-1] += 2**-15
    assert len({content_hash(s, r) for s, r in ((samples, 16000), (other, 16000), (samples, 8000))}) == 3


@pytest.mark.parametrize("change", ["level", "rate", "noise", "µ-law"])
def test_a_copy_is_recognised_through(change, tmp_path):
    originals = [speechlike(seed) for seed in range(30)]
    changed, rate = originals, 16000
    if change == "level":
        changed = [0.3 * wave for wave in originals]
    elif change == "rate":
        changed, rate = [resample(wave, 16000, 11025) for wave in originals], 11025
    elif change == "noise":
        rng = np.random.default_rng(1)
        changed = [wave + 1e-4 * rng.standard_normal(len(wave)).astype(np.float32) for wave in originals]
    else:
        path = tmp_path / "a.wav"
        changed = []
        for wave in originals:
            soundfile.write(path, wave, 16000, subtype="ULAW")
            changed.append(decode(path).samples)
    a = np.stack([fingerprint(to_int16(wave), 16000) for wave in originals])
    b = np.stack([fingerprint(to_int16(wave), rate) for wave in changed])
    assert near_pairs(a, b) == [(i, i) for i in range(30)]


def test_silence_padding_and_noise_look_like_nothing():
    rng = np.random.default_rng(0)
    silence = np.zeros(16000, dtype=np.int16)
    beep = silence.copy()
    beep[:400] = to_int16(0.5 * np.sin(np.arange(400, dtype=np.float32)))
    boop = silence.copy()
    boop[:400] = to_int16(0.5 * np.sin(0.3 * np.arange(400, dtype=np.float32)))
    noise = [to_int16(0.1 * rng.standard_normal(16000).astype(np.float32)) for _ in range(40)]
    prints = np.stack([fingerprint(s, 16000) for s in (silence, silence, beep, boop, *noise)])
    assert not prints[0].any()
    assert [(i, j) for i, j in near_pairs(prints, prints) if i != j] == []


@pytest.mark.parametrize("length", [1, 2, 33, 100, 4000])
def test_short_clips_have_fingerprints_too(length):
    samples = to_int16(np.random.default_rng(0).uniform(-1, 1, length).astype(np.float32))
    for rate in (1000, 8000, 192000):
        assert fingerprint(samples, rate).shape == (BITS,)


def test_blocks_do_not_matter():
    prints = np.random.default_rng(0).choice([-1, 1], (50, BITS)).astype(np.int8)
    pairs = near_pairs(prints, prints)
    assert pairs == near_pairs(prints, prints, at_a_time=7) == [(i, i) for i in range(50)]


def test_the_audit_finds_planted_duplicates(tmp_path):
    """Test clip 0 is in training, 1 is there at another level, 2 is silent on both sides; the rest are
    new."""
    waves = [speechlike(seed) for seed in range(12)]
    waves[6], waves[7] = waves[0], 0.4 * waves[1]
    waves[2] = waves[8] = np.zeros(16000, dtype=np.float32)
    clips = []
    for i, wave in enumerate(waves):
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, wave, 16000)
        clips.append(Clip(f"{i:02}", path, i % 2, f"g{i}", 1 + i // 6))
    dataset = Dataset("planted", ("a", "b"), tuple(clips), (1, 2), True, "", ())
    store = prepare(dataset, 16000, tmp_path / "cache", progress=False)
    found = audit(store, np.arange(6, 12), np.arange(6), by_design=False)
    assert found.exact_duplicates == (("00", "06"),)
    assert found.near_duplicates == (("01", "07"),)
    assert not found.safe
    assert found.message == "not leakage-safe: 1 of 6 test clips are also in training"


def test_on_real_clips_copies_at_another_rate_are_found_and_nothing_else(pack):
    flac, wav = load("ravdess", pack("ravdess")), load("ravdess", pack("mini/ravdess"))
    originals = {clip.clip_id: clip for clip in flac.clips}

    def look(clip: Clip) -> np.ndarray:
        recording = decode(clip.path)
        return fingerprint(to_int16(recording.samples), recording.sample_rate)

    a = np.stack([look(clip) for clip in wav.clips])  # 48 kHz, some stereo
    b = np.stack([look(originals[clip.clip_id]) for clip in wav.clips])  # 22,050 Hz
    assert near_pairs(a, b) == [(i, i) for i in range(len(wav.clips))]
