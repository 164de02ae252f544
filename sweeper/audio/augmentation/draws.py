"""Random numbers as a pure function of (seed, step, name, counter).

A counter-based generator (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") has no
state: draw number i under a key is a hash of both. So a run resumes without a generator to restore,
two arms with the same seed see the same draws whatever they compute in between, and the integers are
the same on every device. The host can therefore know what the device will do (which clips, how
strongly) without asking it, which is what keeps augmentation free of synchronisation.

The hash is two rounds of a 32-bit mixer (xor-shift and multiply, as in the finaliser of MurmurHash3)
with the constants of the hash-prospector project, github.com/skeeto/hash-prospector: bias 0.107 of an
ideal permutation. Integers agree bit for bit across devices; normal draws agree up to the rounding of
log, cos and sin.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def _int32(value: int) -> Tensor:
    """A constant as a 0-d tensor: as an operand it costs a third of a Python number, on any device."""
    return torch.tensor(value, dtype=torch.int32)


# Signed 32-bit integers, since torch has no full uint32 arithmetic; the bits are the same.
_MULTIPLIERS = _int32(0x21F0AAAD), _int32(0xD35A2D97 - (1 << 32))
_SHIFTS = _int32(16), _int32(15)
_MASKS = _int32((1 << 16) - 1), _int32((1 << 17) - 1)  # turn torch's arithmetic shifts into logical ones


@dataclass(frozen=True)
class Draws:
    """Keyed random draws of one training step.

    The same (seed, step, name, shape) always gives the same numbers; different names are independent.
    Under data parallelism every rank needs a seed of its own.
    """

    seed: int
    step: int

    def uniform(self, name: str, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        """Uniform float32 draws in the open interval (0, 1), in steps of 2^-23."""
        bits = self._bits(name, math.prod(shape), device)
        # 23 random bits and a half step: exact in float32, so never rounded up to 1.
        mantissa = bits.bitwise_right_shift_(9).bitwise_and_(0x7FFFFF)
        return mantissa.float().add_(0.5).mul_(2.0**-23).view(*shape)

    def normal(self, name: str, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        """Standard normal float32 draws, by Box and Muller (1958); at most 6.8 in magnitude."""
        count = math.prod(shape)
        pairs = (count + 1) // 2
        bits = self._bits(name, 2 * pairs, device).view(2, pairs)
        # The offset keeps the logarithm finite; 1 + 2^-33 is 1 in float32, so it never turns positive.
        radius = bits[0].bitwise_and(0x7FFFFFFF).float().mul_(2.0**-31).add_(2.0**-33)
        radius = radius.log_().mul_(-2.0).sqrt_()
        angle = bits[1].float().mul_(math.pi * 2.0**-31)  # -pi to pi
        result = torch.empty(2, pairs, device=device)
        torch.mul(radius, torch.cos(angle), out=result[0])
        torch.mul(radius, angle.sin_(), out=result[1])
        return result.view(-1)[:count].view(*shape)

    def permutation(self, name: str, count: int) -> Tensor:
        """A random permutation of ``range(count)``, int64 ``[count]`` on the CPU."""
        return torch.argsort(self.uniform(name, (count,)), stable=True)

    def _bits(self, name: str, count: int, device: torch.device | str) -> Tensor:
        """``count`` hashed 32-bit integers: counter -> mix -> second key word -> mix."""
        digest = hashlib.blake2b(f"{self.seed}/{self.step}/{name}".encode(), digest_size=8).digest()
        first, second = (int.from_bytes(word, "little", signed=True) for word in (digest[:4], digest[4:]))
        x = torch.arange(count, dtype=torch.int32, device=device)
        scratch = torch.empty_like(x)
        _mix(x.bitwise_xor_(_int32(first)), scratch)
        _mix(x.bitwise_xor_(_int32(second)), scratch)
        return x


def _mix(x: Tensor, scratch: Tensor) -> None:
    """Permute 32-bit integers in place: ``x ^= x >> 16; x *= a; x ^= x >> 15; x *= b; x ^= x >> 15``."""
    _xor_shift(x, 0, scratch)
    _xor_shift(x.mul_(_MULTIPLIERS[0]), 1, scratch)
    _xor_shift(x.mul_(_MULTIPLIERS[1]), 1, scratch)


def _xor_shift(x: Tensor, which: int, scratch: Tensor) -> None:
    torch.bitwise_right_shift(x, _SHIFTS[which], out=scratch)
    x.bitwise_xor_(scratch.bitwise_and_(_MASKS[which]))


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
