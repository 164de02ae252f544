"""Random numbers as a pure function of (seed, step, name, counter).

A counter-based generator (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") has no
state: draw number i under a key is a hash of both. So a run resumes without a generator to restore,
two arms with the same seed see the same draws whatever they compute in between, and the integers are
the same on every device. The host can therefore know what the device will do (which clips, how
strongly) without asking it, which is what keeps augmentation free of synchronisation.

The hash is two rounds of a 32-bit mixer (xor-shift and multiply, as in the finaliser of MurmurHash3)
with the constants of the hash-prospector project, github.com/skeeto/hash-prospector: bias 0.107 of an
ideal permutation. Integers agree bit for bit across devices; normal draws agree up to the rounding of
log, cos and sin. On a CPU NumPy hashes: it knows uint32, and its operations on few numbers
cost less than torch's.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_BLOCK = 1 << 15
"""So many numbers are drawn at a time on a CPU: what is in between stays in its cache."""


@dataclass(frozen=True)
class Draws:
    """Keyed random draws of one training step.

    The same (seed, step, name, shape) always gives the same numbers; different names are independent.
    Under data parallelism every rank needs a seed of its own.
    """

    seed: int
    step: int

    def among(self, chosen: Tensor) -> Draws:
        """Those of the clips ``chosen``, bool ``[batch]``: of one run, the same."""
        return self

    def uniform(
        self, name: str, shape: Sequence[int], device: torch.device | str = "cpu", *, clips_on: int = 0
    ) -> Tensor:
        """Uniform float32 draws in the open interval (0, 1), in steps of 2^-23; ``clips_on`` is for `SeveralDraws`."""
        return _uniform(self._hash(name, torch.arange(math.prod(shape), dtype=torch.int32, device=device))).view(*shape)

    def normal(
        self, name: str, shape: Sequence[int], device: torch.device | str = "cpu", *, clips_on: int = 0
    ) -> Tensor:
        """Standard normal float32 draws, by Box and Muller (1958); at most 6.8 in magnitude."""
        count = math.prod(shape)
        pairs = (count + 1) // 2
        counters = torch.arange(2 * pairs, dtype=torch.int32, device=device).view(2, pairs)
        result = torch.empty(2, pairs, device=device)
        block = _BLOCK if result.device.type == "cpu" else max(1, pairs)
        for start in range(0, pairs, block):
            part = slice(start, start + block)
            bits = self._hash(name, counters[:, part])
            _normal(bits[0], bits[1], result[:, part])
        return result.view(-1)[:count].view(*shape)

    def permutation(self, name: str, count: int) -> Tensor:
        """A random permutation of ``range(count)``, int64 ``[count]`` on the CPU."""
        return torch.argsort(self.uniform(name, (count,)), stable=True)

    def _hash(self, name: str, counters: Tensor) -> Tensor:
        """32 bits of each counter, int32 ``[...]``, in place: first word of the key, mix, second word, mix."""
        keys = self.keys(name)
        if counters.device.type == "cpu":
            bits = counters.numpy().view(np.uint32)
            for start in range(0, bits.shape[-1], _BLOCK):
                _hash_by_numpy(bits[..., start : start + _BLOCK], keys)
        else:
            _hash_by_torch(counters, [_int32(key) for key in keys])
        return counters

    def keys(self, name: str) -> list[int]:
        """The two words of 32 bits that the draws of this name hang on."""
        digest = hashlib.blake2b(f"{self.seed}/{self.step}/{name}".encode(), digest_size=8).digest()
        return [int.from_bytes(word, "little") for word in (digest[:4], digest[4:])]


@dataclass(frozen=True)
class SeveralDraws:
    """The draws of several runs, whose clips follow one another in one batch: each run's are those of its ``Draws``.

    Attributes:
        runs: what each run draws from.
        clips: how many clips each run has.
    """

    runs: tuple[Draws, ...]
    clips: tuple[int, ...]

    def among(self, chosen: Tensor) -> SeveralDraws:
        """Those of the clips ``chosen``, bool ``[batch]`` on the CPU."""
        return SeveralDraws(self.runs, tuple(int(of_run.sum()) for of_run in torch.split(chosen, list(self.clips))))

    def uniform(
        self, name: str, shape: Sequence[int], device: torch.device | str = "cpu", *, clips_on: int = 0
    ) -> Tensor:
        """As ``Draws.uniform``; on the axis ``clips_on`` of ``shape`` the clips of all runs follow one another."""
        shapes = self._shapes(shape, clips_on)
        if _apart(device):
            parts = [run.uniform(name, of_run, device) for run, of_run in zip(self.runs, shapes, strict=True)]
        else:
            counts = [math.prod(of_run) for of_run in shapes]
            drawn = torch.split(_uniform(self._hash(name, counts, device)), counts)
            parts = [part.view(of_run) for part, of_run in zip(drawn, shapes, strict=True)]
        return torch.cat(parts, clips_on)

    def normal(
        self, name: str, shape: Sequence[int], device: torch.device | str = "cpu", *, clips_on: int = 0
    ) -> Tensor:
        """As ``Draws.normal``; see ``uniform``."""
        shapes = self._shapes(shape, clips_on)
        if _apart(device):
            parts = [run.normal(name, of_run, device) for run, of_run in zip(self.runs, shapes, strict=True)]
        else:
            counts = [math.prod(of_run) for of_run in shapes]
            pairs = [(count + 1) // 2 for count in counts]
            twice = [2 * count for count in pairs]
            halves = torch.split(self._hash(name, twice, device), [count for count in pairs for _ in range(2)])
            result = torch.empty(2, sum(pairs), device=device)
            _normal(torch.cat(halves[::2]), torch.cat(halves[1::2]), result)
            rows = zip(*(torch.split(row, pairs) for row in result), strict=True)
            drawn = torch.split(torch.cat([half for both in rows for half in both]), twice)
            parts = [part[:count].view(of_run) for part, count, of_run in zip(drawn, counts, shapes, strict=True)]
        return torch.cat(parts, clips_on)

    def _shapes(self, shape: Sequence[int], clips_on: int) -> list[list[int]]:
        """The part of a shape that is each run's."""
        shapes = [list(shape) for _ in self.runs]
        for of_run, clips in zip(shapes, self.clips, strict=True):
            of_run[clips_on] = clips
        return shapes

    def _hash(self, name: str, counts: Sequence[int], device: torch.device | str) -> Tensor:
        """Bits of so many numbers of each run, one run after another: int32 ``[sum of counts]``."""
        starts = np.cumsum([0, *counts[:-1]])
        keys = np.array([run.keys(name) for run in self.runs], dtype=np.uint32).view(np.int32)
        host = torch.from_numpy(np.column_stack([keys, starts, counts]).astype(np.int32).T.copy())
        *of_runs, repeats = to_device(host, torch.device(device))
        first, second, start = torch.stack(of_runs).repeat_interleave(repeats, dim=1, output_size=sum(counts))
        counters = torch.arange(sum(counts), dtype=torch.int32, device=device).sub_(start)
        _hash_by_torch(counters, [first, second])
        return counters


def _apart(device: torch.device | str) -> bool:
    """Whether runs draw one after another: where operations are few, not where they are short."""
    return torch.device(device).type == "cpu"


def _uniform(bits: Tensor) -> Tensor:
    # 23 random bits and a half step: exact in float32, so never rounded up to 1.
    return bits.bitwise_right_shift_(9).bitwise_and_(0x7FFFFF).float().add_(0.5).mul_(2.0**-23)


def _normal(bits: Tensor, others: Tensor, out: Tensor) -> None:
    """Of two times ``[pairs]`` bits as many numbers, ``[2, pairs]``."""
    # The offset keeps the logarithm finite; 1 + 2^-33 is 1 in float32, so it never turns positive.
    radius = bits.bitwise_and_(0x7FFFFFFF).float().mul_(2.0**-31).add_(2.0**-33).log_().mul_(-2.0).sqrt_()
    angle = others.float().mul_(math.pi * 2.0**-31)  # -pi to pi
    torch.mul(radius, torch.cos(angle), out=out[0])
    torch.mul(radius, angle.sin_(), out=out[1])


_MIXER = ((16, 0x21F0AAAD), (15, 0xD35A2D97), (15, None))  # `x ^= x >> shift; x *= factor`, three times


def _hash_by_numpy(x: np.ndarray, keys: Sequence[int]) -> None:
    scratch = np.empty(x.shape, np.uint32)
    for key in keys:
        x ^= np.uint32(key)
        for shift, factor in _MIXER:
            x ^= np.right_shift(x, shift, out=scratch)
            if factor is not None:
                x *= np.uint32(factor)


def _int32(bits: int) -> Tensor:
    """A constant as a 0-d tensor: as an operand it costs a third of a Python number, on any device."""
    return torch.tensor(bits - (bits >> 31 << 32), dtype=torch.int32)


# Signed, as torch has no full uint32 arithmetic: the bits are the same. Masks make its arithmetic shifts logical ones.
_MIXER_OF_TORCH = [
    (_int32(shift), _int32((1 << 32 - shift) - 1), None if factor is None else _int32(factor))
    for shift, factor in _MIXER
]


def _hash_by_torch(x: Tensor, keys: Sequence[Tensor]) -> None:
    scratch = torch.empty_like(x)
    for key in keys:
        x.bitwise_xor_(key)
        for shift, mask, factor in _MIXER_OF_TORCH:
            torch.bitwise_right_shift(x, shift, out=scratch)
            x.bitwise_xor_(scratch.bitwise_and_(mask))
            if factor is not None:
                x.mul_(factor)


def choose(uniform: Tensor, weights: Sequence[float]) -> Tensor:
    """Turn uniform draws into indices of ``weights``, drawn in proportion to them; int64, same shape."""
    cumulative = torch.tensor(weights, dtype=torch.float64).cumsum(0)
    index = torch.bucketize(uniform.double() * cumulative[-1], cumulative, right=True)
    return index.clamp_(max=max(i for i, weight in enumerate(weights) if weight > 0))


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy small host values to ``device`` without waiting for the work queued there."""
    # From pageable memory CUDA first waits for the stream; from pinned memory the copy just queues.
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def select(chosen: Tensor, device: torch.device, *values: Tensor) -> list[Tensor]:
    """Indices and ``values`` (each ``[batch]``) of the ``chosen`` clips (bool ``[batch]``), on ``device``."""
    return [to_device(value[chosen], device) for value in (torch.arange(len(chosen)), *values)]
