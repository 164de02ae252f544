"""Clips per second of the batched augmentation beside per-clip pipelines of the same recipe, in one run.

    python -m tests.benchmarks.augmentation [--seconds-per-cell 4]

"As EAT's public code" is what its data loader and trainer do (`eat_pipeline`); "per clip, NumPy" does the same with
less: real transforms, shifts by whole samples, torchaudio's usual resampling. Both run on one core. All have the
allocator that a sweep's workers have, which makes each of them faster. Rounds of all competitors alternate, so that a
busy machine slows all of them; each cell is a median over the rounds.
"""

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torchaudio.functional

from sweeper.audio.augmentation import augment
from sweeper.augmentation_config import AugmentationConfig, MixingConfig
from tests.benchmarks.eat_pipeline import Eat
from tests.benchmarks.step_against import cpu_name, of_a_worker

SETTINGS = (("1 s at 8 kHz", 32, 8_000, 8_000), ("4 s at 22.05 kHz", 64, 88_200, 22_050))
CLASSES = 10
STFT_SIZES = {8_000: (128, 256, 512), 22_050: (512, 1024, 2048)}


class PerClip:
    """The recipe, one clip at a time."""

    def __init__(self, sample_rate: int, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.rate = sample_rate
        self.tenth = sample_rate // 10

    def batch(self, clips: np.ndarray, targets: np.ndarray, mixing: bool) -> tuple[np.ndarray, np.ndarray]:
        """Augment clips `[batch, time]` and targets `[batch, classes]`."""
        rng = self.rng
        clips = np.stack([self.noise(self.signal(clip)) for clip in clips])
        if rng.random() < 0.5:
            factor = rng.choice([(4, 5), (9, 10), (11, 10), (6, 5)])
            clips = np.stack([self.resample(clip, *factor) for clip in clips])
        if not mixing:
            return clips, targets
        partner = rng.permutation(len(clips))
        mix = (self.mixup, self.time_mix, self.frequency_mix, self.phase_mix)[rng.integers(4)]
        size = int(rng.choice(STFT_SIZES[self.rate]))
        mixed, labels = [], []
        for i, j in enumerate(partner):
            clip, weight = mix(clips[i], clips[j], size)
            mixed.append(clip)
            labels.append(np.minimum(targets[i] + targets[j] * (weight < 0.9), 1))
        return np.stack(mixed), np.stack(labels)

    def signal(self, clip: np.ndarray) -> np.ndarray:
        rng, tenth, n = self.rng, self.tenth, len(clip)
        clip = clip.copy()
        for kind in rng.permutation(6):
            if rng.random() >= 0.5:
                continue
            if kind == 0:
                clip *= rng.uniform(0.5, 1.3)
            elif kind == 1:
                clip *= -1
            elif kind == 2:
                shift = rng.integers(-tenth, tenth + 1)
                empty = np.zeros(abs(shift), clip.dtype)
                clip = np.concatenate((empty, clip[: n - shift]) if shift > 0 else (clip[-shift:], empty))
            elif kind == 3:
                start = rng.integers(n - tenth + 1)
                clip[start : start + tenth] = 1e-6 * rng.standard_normal(tenth, dtype=np.float32)
            elif kind == 4:
                start = rng.integers(n - tenth + 1)
                clip[start : start + tenth] *= rng.uniform(0.5, 1.3)
            else:
                clip = np.roll(clip, rng.integers(n))
        return clip

    def noise(self, clip: np.ndarray) -> np.ndarray:
        rng, n = self.rng, len(clip)
        if rng.random() >= 0.5:
            return clip
        kind = rng.integers(8)
        if kind == 7:
            return self.phase_noise(clip)
        if kind < 5:
            noise = rng.standard_normal(n, dtype=np.float32)
            exponent = (0.0, -0.5, -1.0, 0.5, 1.0)[kind]
            if exponent:
                spectrum = np.fft.rfft(noise)
                noise = np.fft.irfft(spectrum * np.arange(1, len(spectrum) + 1) ** exponent, n)
        elif kind == 5:
            noise = rng.uniform(-1, 1, n)
        else:
            noise = np.sin(2 * np.pi * (rng.uniform(0, 50) * np.arange(n) / self.rate + rng.random()))
        snr = rng.uniform(30, 35)
        scale = 10 ** (-snr / 20) * np.sqrt(np.mean(clip**2) / np.mean(noise**2))
        return clip + (scale * noise).astype(np.float32)

    def phase_noise(self, clip: np.ndarray) -> np.ndarray:
        size = int(self.rng.choice(STFT_SIZES[self.rate]))
        spectrum = self.stft(clip, size)
        angle = torch.from_numpy(self.rng.standard_normal(spectrum.shape, dtype=np.float32))
        return self.istft(spectrum * torch.polar(torch.ones(()), self.rng.uniform(0.01, 0.02) * angle), clip)

    def resample(self, clip: np.ndarray, new: int, old: int) -> np.ndarray:
        n = len(clip)
        out = torchaudio.functional.resample(torch.from_numpy(clip), old, new).numpy()
        if len(out) < n:
            return np.pad(out, (0, n - len(out)))
        start = self.rng.integers(len(out) - n + 1)
        return out[start : start + n]

    def mixup(self, a: np.ndarray, b: np.ndarray, _: int) -> tuple[np.ndarray, float]:
        lam = self.rng.uniform(0.1, 1)
        level_a, level_b = (10 * np.log10(max(np.mean(x**2), 1e-5)) for x in (a, b))
        p = np.float32(1 / (1 + 10 ** ((level_a - level_b) / 20) * (1 - lam) / lam))
        return (p * a + (1 - p) * b) / np.sqrt(p**2 + (1 - p) ** 2), lam

    def time_mix(self, a: np.ndarray, b: np.ndarray, _: int) -> tuple[np.ndarray, float]:
        lam = self.rng.uniform(0.5, 1)
        count = int(len(a) * (1 - lam))
        if self.rng.random() < 0.5:
            return np.concatenate((b[:count], a[count:])), lam
        return np.concatenate((a[: len(a) - count], b[len(a) - count :])), lam

    def frequency_mix(self, a: np.ndarray, b: np.ndarray, size: int) -> tuple[np.ndarray, float]:
        lam = self.rng.uniform(0.5, 1)
        own, other = self.stft(a, size), self.stft(b, size)
        count = int(len(own) * (1 - lam))
        if self.rng.random() < 0.5:
            own[:count] = other[:count]
        else:
            own[len(own) - count :] = other[len(own) - count :]
        return self.istft(own, a), lam

    def phase_mix(self, a: np.ndarray, b: np.ndarray, size: int) -> tuple[np.ndarray, float]:
        lam = self.rng.random()
        own, other = self.stft(a, size), self.stft(b, size)
        phase = lam * own.angle() + (1 - lam) * other.angle()
        return self.istft(torch.polar(own.abs(), phase), a), 0.5 + lam / 2

    @staticmethod
    def stft(clip: np.ndarray, size: int) -> torch.Tensor:
        window = torch.hann_window(size)
        return torch.stft(torch.from_numpy(clip), size, size // 2, window=window, return_complex=True)

    @staticmethod
    def istft(spectrum: torch.Tensor, clip: np.ndarray) -> np.ndarray:
        size = 2 * (len(spectrum) - 1)
        return torch.istft(spectrum, size, size // 2, window=torch.hann_window(size), length=len(clip)).numpy()


Competitor = Callable[[], None]


def batched(waveforms: torch.Tensor, targets: torch.Tensor, rate: int, threads: int, mixing: bool) -> Competitor:
    """One call augments one batch, on the waveforms' device."""
    config = AugmentationConfig()
    if not mixing:
        config = replace(config, mixing=MixingConfig(probability=0.0))
    step = 0

    def run() -> None:
        nonlocal step
        torch.set_num_threads(threads)
        step += 1
        augment(waveforms, targets, config, sample_rate=rate, seed=0, step=step, epoch=config.mixing.warmup_epochs)

    return run


def per_clip(waveforms: torch.Tensor, targets: torch.Tensor, rate: int, mixing: bool) -> Competitor:
    """One call augments one batch, clip by clip, on one core."""
    pipeline = PerClip(rate)
    clips, labels = waveforms.squeeze(1).numpy(), targets.numpy()

    def run() -> None:
        torch.set_num_threads(1)
        pipeline.batch(clips, labels, mixing)

    return run


def eat(waveforms: torch.Tensor, rate: int, mixing: bool) -> Competitor:
    """One call augments one batch as EAT's public code does, on one core."""
    pipeline = Eat(rate)

    def run() -> None:
        torch.set_num_threads(1)
        pipeline.batch(waveforms.squeeze(1), mixing)

    return run


def clips_per_second(
    competitors: dict[str, Competitor], batch: int, seconds: float, rounds: int = 7
) -> dict[str, float]:
    """Median clips per second over alternating rounds; every round ends when its work is done."""

    def finish() -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    measured: dict[str, list[float]] = {name: [] for name in competitors}
    for run in competitors.values():
        for _ in range(3):  # warm-up: caches, FFT plans, the allocator
            run()
    for _ in range(rounds):
        for name, run in competitors.items():
            finish()
            start, batches = time.perf_counter(), 0
            # Several batches at once, so that a device's queue fills as it does in training.
            while time.perf_counter() - start < seconds / rounds:
                for _ in range(4):
                    run()
                finish()
                batches += 4
            measured[name].append(batch * batches / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in measured.items()}


def main() -> None:
    """Measure and print one table per setting, of batches that are mixed and of batches that are not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds-per-cell", type=float, default=4.0)
    seconds = parser.parse_args().seconds_per_cell
    environment = of_a_worker()
    if any(os.environ.get(name) != value for name, value in environment.items()):
        os.execve(sys.executable, [sys.executable, "-m", __spec__.name, *sys.argv[1:]], {**os.environ, **environment})
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device: those rows are missing"
    print(f"torch {torch.__version__}, {platform.machine()}, {cpu_name()}, {cores} cores, {gpu}")
    for title, batch, length, rate in SETTINGS:
        for mixing in (False, True):
            results = clips_per_second(_competitors(batch, length, rate, cores, mixing), batch, seconds)
            name = f"{title}, batch of {batch}, {'mixed' if mixing else 'not mixed'}"
            print(f"\n| {name} | clips/s | ms/batch | times EAT's |\n|---|---:|---:|---:|")
            for way, value in results.items():
                times = value / results["as EAT's public code, one core"]
                print(f"| {way} | {value:.0f} | {1000 * batch / value:.1f} | {times:.1f} |", flush=True)


def _competitors(batch: int, length: int, rate: int, cores: int, mixing: bool) -> dict[str, Competitor]:
    waveforms = 0.1 * torch.randn(batch, 1, length, generator=torch.Generator().manual_seed(0))
    targets = torch.eye(CLASSES)[torch.arange(batch) % CLASSES]
    found = {
        "as EAT's public code, one core": eat(waveforms, rate, mixing),
        "per clip, NumPy, one core": per_clip(waveforms, targets, rate, mixing),
        "batched, one core": batched(waveforms, targets, rate, 1, mixing),
        f"batched, {cores} cores": batched(waveforms, targets, rate, cores, mixing),
    }
    if torch.cuda.is_available():
        found["batched, CUDA"] = batched(waveforms.cuda(), targets.cuda(), rate, 1, mixing)
    return found


if __name__ == "__main__":
    main()
