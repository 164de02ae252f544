"""Telling that two clips are the same audio: exactly, or but for level, file format and sample rate.

Exact: a hash of the decoded samples. Near: signs of energy differences along time and frequency, after Haitsma
and Kalker, "A Highly Robust Audio Fingerprinting System", ISMIR 2002, over a grid of 32 times × 16 bands
spanning the clip. A change of level, a lossy copy or resampling leave the signs alone; unrelated clips agree in
about half of them. Signs of differences too small to mean anything (silence, padding) are 0 and don't count. A
clip cut at another position is not recognised.
"""

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FRAMES, BANDS = 33, 17
BITS = (FRAMES - 1) * (BANDS - 1)
WINDOW = 0.064  # s, at each of the 33 times
LOWEST, HIGHEST = 150.0, 3600.0  # Hz: within every rate from 8 kHz
MEANINGFUL_DB = 1.0
NEAR = 0.8  # agreement minus disagreement, as a share of the bits that count in both; unrelated clips: around 0
ENOUGH_BITS = BITS // 4


def content_hash(samples: NDArray[np.float32], sample_rate: int) -> bytes:
    """16 bytes that say whether two decoded clips, `[time]`, are identical."""
    digest = hashlib.sha256(f"{sample_rate} Hz".encode())
    digest.update(np.ascontiguousarray(samples, dtype="<f4").data)
    return digest.digest()[:16]


def fingerprint(samples: NDArray[np.int16], sample_rate: int) -> NDArray[np.int8]:
    """Signs of energy differences, int8 `[512]` (−1, 0 or 1), of a clip `[time]` at `sample_rate` Hz."""
    width = max(32, min(round(WINDOW * sample_rate), 2 * len(samples) // FRAMES))
    size = 1 << (width - 1).bit_length()
    if len(samples) < width:
        samples = np.pad(samples, (0, width - len(samples)))
    starts = np.linspace(0, len(samples) - width, FRAMES).astype(np.int64)
    frames = np.lib.stride_tricks.sliding_window_view(samples, width)[starts] * _window(width)
    spectrum = np.fft.rfft(frames, size)
    energy = np.log10((spectrum.real**2 + spectrum.imag**2) @ _bands(size, sample_rate) + width)
    change = np.diff(np.diff(10 * energy, axis=0), axis=1).ravel()
    return np.asarray(np.sign(change) * (np.abs(change) > MEANINGFUL_DB), dtype=np.int8)


@lru_cache(maxsize=16)
def _window(width: int) -> NDArray[np.float32]:
    return np.hanning(width).astype(np.float32)


@lru_cache(maxsize=16)
def _bands(size: int, sample_rate: int) -> NDArray[np.float32]:
    """What share of each frequency bin belongs to each band, `[size / 2 + 1, 17]`: the same energy at any rate."""
    edges = np.geomspace(LOWEST, min(HIGHEST, 0.45 * sample_rate), BANDS + 1) * size / sample_rate + 0.5
    bins = np.arange(size // 2 + 1)[:, None]
    return np.diff(np.clip(edges - bins, 0, 1), axis=1).astype(np.float32)


def near_pairs(a: NDArray[np.int8], b: NDArray[np.int8], at_a_time: int = 512) -> list[tuple[int, int]]:
    """Index pairs `(i, j)` such that `a[i]` and `b[j]`, fingerprints `[clips, 512]`, are near duplicates."""
    pairs: list[tuple[int, int]] = []
    signs, counted = b.T.astype(np.float32), (b != 0).T.astype(np.float32)
    for start in range(0, len(a), at_a_time):
        block = a[start : start + at_a_time]
        both = (block != 0).astype(np.float32) @ counted
        agreement = block.astype(np.float32) @ signs
        near = (both >= ENOUGH_BITS) & (agreement >= NEAR * both)
        pairs.extend((start + int(i), int(j)) for i, j in zip(*np.nonzero(near), strict=True))
    return pairs
