"""From decoded clips to batches on the device: order, crops, padding, level.

Order and crops are a function of (seed, epoch) alone, so every arm of a block sees the same batches, and a resumed
trial needs no generator state. Gathering is one fancy index on a GPU (the clips live there as int16 where they fit)
and a memory copy per clip on a CPU.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sweeper.audio.augmentation.draws import to_device
from sweeper.audio.clips import Clips
from sweeper.plan import derive_seed

PEAK = 0.95  # full scale = 1; EAT's public code normalises each clip to this peak
RESIDENT_SHARE = 0.4  # of the GPU memory that this process can still get that the clips may take


@dataclass(frozen=True)
class Batch:
    """`waveforms` `[batch, 1, time]` float32 in −1…1, `targets` `[batch]` int64, `rows` `[batch]` of the clips."""

    waveforms: Tensor
    targets: Tensor
    rows: np.ndarray


class Batches:
    """Clips cut or zero-padded to `length` samples, on `device`."""

    def __init__(self, parts: Sequence[Clips], length: int, device: torch.device) -> None:
        self.length = length
        self.device = device
        self._parts = [part for part in parts if len(part)]
        self._part = np.concatenate([np.full(len(part), i) for i, part in enumerate(self._parts)])
        self._row = np.concatenate([np.arange(len(part)) for part in self._parts])
        # The data set's order: that is what an epoch shuffles and what is scored, not the parts'. How clips are parted
        # depends on which folds a command has left to run, and what a trial finds must not.
        self.standing = np.argsort(np.concatenate([part.rows for part in self._parts]), kind="stable")
        self._lengths = np.concatenate([part.lengths for part in self._parts]).astype(np.int64)
        self._targets = torch.from_numpy(np.concatenate([part.targets for part in self._parts])).to(device)
        self._resident: tuple[Tensor, Tensor] | None = None
        if device.type == "cuda" and self._nbytes() < RESIDENT_SHARE * _free_memory(device):
            self.make_resident()

    def __len__(self) -> int:
        return len(self._row)

    def training_epoch(
        self, seed: int, epoch: int, batch_size: int, crop_seed: int | None = None
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Row indices and crop positions (0…1), `[batch]` each, of every full batch of an epoch.

        An incomplete last batch is dropped, so that batch norm never sees a batch of one; its clips differ by epoch.
        `seed` draws the order, and also the crops where `crop_seed` is None.
        """
        order, crops = self._draws(seed, epoch)
        if crop_seed is not None and crop_seed != seed:
            _, crops = self._draws(crop_seed, epoch)
        size = min(batch_size, len(self))
        steps = self.steps_per_epoch(batch_size)
        return [(order[i * size : (i + 1) * size], crops[i * size : (i + 1) * size]) for i in range(steps)]

    def _draws(self, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.Generator(np.random.Philox(derive_seed(seed, "batches", epoch)))
        return self.standing[generator.permutation(len(self))], generator.random(len(self))

    def steps_per_epoch(self, batch_size: int) -> int:
        """Batches in a training epoch: full ones only, at least one."""
        return max(1, len(self) // batch_size)

    def evaluation(self, batch_size: int, rows: slice = slice(None), crop: float = 0.5) -> Iterator[Batch]:
        """`rows` of the data set's order, by default all, by default cropped at the centre: nothing is random in it."""
        chosen = self.standing[rows]
        for start in range(0, len(chosen), batch_size):
            batch = chosen[start : start + batch_size]
            yield self.gather(batch, np.full(len(batch), crop))

    def crops(self, amount: int) -> list[float]:
        """`amount` crop positions, evenly from 0 (start) to 1 (end); `[0.5]` for one, or if no clip is too long."""
        if amount == 1 or not (self._lengths > self.length).any():
            return [0.5]
        return [index / (amount - 1) for index in range(amount)]

    def gather(self, rows: np.ndarray, crops: np.ndarray) -> Batch:
        """The clips `rows`, each cut at its crop position: 0 is the clip's start, 1 its end."""
        spare = np.maximum(self._lengths[rows] - self.length, 0)
        starts = np.minimum((crops * (spare + 1)).astype(np.int64), spare)
        if self._resident is None:
            raw = self._gather_host(rows, starts)
        else:
            raw = self._gather_resident(self._resident, rows, starts)
        index = to_device(torch.from_numpy(rows), self.device)
        return Batch(normalise(raw).unsqueeze(1), self._targets[index], rows)

    def _gather_host(self, rows: np.ndarray, starts: np.ndarray) -> Tensor:
        # Pinned for a GPU: from other memory the copy would wait for all that is queued there, so each batch would be
        # gathered while the GPU stands still. torch reuses pinned memory only once copies from it are done.
        batch = torch.zeros(len(rows), self.length, dtype=torch.int16, pin_memory=self.device.type == "cuda")
        out = batch.numpy()
        for i, (row, start) in enumerate(zip(rows, starts, strict=True)):
            part = self._parts[self._part[row]]
            length = min(self._lengths[row] - start, self.length)
            offset = part.offsets[self._row[row]] + start
            out[i, :length] = part.samples[offset : offset + length]
        return batch.to(self.device, non_blocking=True)

    def _nbytes(self) -> int:
        return sum(part.samples.nbytes for part in self._parts)

    def make_resident(self) -> None:
        """Copy the clips to the device once; from then on gathering a batch moves nothing but indices."""
        flat = torch.cat([torch.tensor(part.samples, device=self.device) for part in self._parts])
        bases = np.cumsum([0, *(part.samples.size for part in self._parts)])[:-1]
        offsets = np.concatenate([part.offsets + b for part, b in zip(self._parts, bases, strict=True)])
        self._resident = flat, torch.from_numpy(offsets).to(self.device)

    def _gather_resident(self, resident: tuple[Tensor, Tensor], rows: np.ndarray, starts: np.ndarray) -> Tensor:
        flat, offsets = resident
        host = torch.from_numpy(np.stack([rows, starts, self._lengths[rows] - starts]))
        row, start, left = to_device(host, self.device).unbind()
        position = torch.arange(self.length, device=self.device)
        index = (offsets[row] + start).unsqueeze(1) + position
        inside = position < left.unsqueeze(1)
        return flat[index.clamp_(max=flat.numel() - 1)] * inside


def _free_memory(device: torch.device) -> float:
    """Bytes that this process can still get on a GPU: what is free there or in its own cache, up to its share."""
    free, total = torch.cuda.mem_get_info(device)
    used = torch.cuda.memory_allocated(device)
    reachable = free + torch.cuda.memory_reserved(device) - used
    return min(reachable, total * torch.cuda.get_per_process_memory_fraction(device) - used)


def normalise(raw: Tensor) -> Tensor:
    """Samples `[batch, time]` of full scale 32768 to float32 with each clip's peak at `PEAK`; silence stays silence."""
    waveforms = raw.float()
    peak = waveforms.abs().amax(dim=1, keepdim=True)
    return waveforms * (PEAK / peak.clamp_(min=1.0))
