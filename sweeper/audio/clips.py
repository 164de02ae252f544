"""Decoded clips as a few flat arrays: the unit that a shared object store holds once for all trials."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Clips:
    """Decoded mono clips, one after the other, each at its true length.

    Clip `i` is `samples[offsets[i] : offsets[i] + lengths[i]]`. Every field is a plain contiguous array
    without Python objects, so that pickle protocol 5 hands all of them over out of band: a process that reads the
    clips from a shared object store maps them and copies nothing.

    Attributes:
        samples: int16 `[total]`, full scale 32768.
        offsets: int64 `[clips]`, where each clip starts, in samples.
        lengths: int32 `[clips]`, in samples.
        targets: int64 `[clips]`, class indices.
        ids: str `[clips]`, names that don't depend on where the files lie.
        groups: str `[clips]`, what must not be separated (source recording, speaker).
        rows: int64 `[clips]`, where each stands in its data set, by which clips that come in several parts have an
            order that does not depend on how they were parted.
        sample_rate: in Hz.
    """

    samples: NDArray[np.int16]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int32]
    targets: NDArray[np.int64]
    ids: NDArray[np.str_]
    groups: NDArray[np.str_]
    rows: NDArray[np.int64]
    sample_rate: int

    def __len__(self) -> int:
        return len(self.offsets)

    def waveform(self, row: int) -> NDArray[np.int16]:
        """The samples of one clip: a view, `[time]`."""
        start = int(self.offsets[row])
        return self.samples[start : start + int(self.lengths[row])]

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "Clips":
        """The clips `rows`, in that order: a view where they are consecutive, a copy where not.

        Raises:
            IndexError: a row that isn't there.
        """
        index = np.asarray(rows, dtype=np.int64)
        if index.size and (index.min() < 0 or index.max() >= len(self)):
            raise IndexError(f"rows {index.min()} to {index.max()} of {len(self)} clips")
        if index.size and np.array_equal(index, np.arange(index[0], index[0] + index.size)):
            return self._run(int(index[0]), int(index[-1]) + 1)
        lengths = self.lengths[index]
        ends = np.cumsum(lengths, dtype=np.int64)
        samples = np.empty(int(ends[-1]) if index.size else 0, dtype=np.int16)
        for row, end, length in zip(index, ends, lengths, strict=True):
            samples[end - length : end] = self.waveform(row)
        return Clips(
            samples=samples,
            offsets=ends - lengths,
            lengths=lengths,
            targets=self.targets[index],
            ids=self.ids[index],
            groups=self.groups[index],
            rows=self.rows[index],
            sample_rate=self.sample_rate,
        )

    def _run(self, first: int, stop: int) -> "Clips":
        start = int(self.offsets[first])
        end = int(self.offsets[stop - 1]) + int(self.lengths[stop - 1])
        rows = slice(first, stop)
        return Clips(
            samples=self.samples[start:end],
            offsets=self.offsets[rows] - start,
            lengths=self.lengths[rows],
            targets=self.targets[rows],
            ids=self.ids[rows],
            groups=self.groups[rows],
            rows=self.rows[rows],
            sample_rate=self.sample_rate,
        )
