"""The leak audit: what stands on both sides of a split, so that its score says less than it seems to."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweeper.audio.datasets.base import DatasetError, shorten
from sweeper.audio.fingerprint import near_pairs
from sweeper.audio.store import ClipStore


class LeakError(DatasetError):
    """An official split that isn't leakage-safe; the message says what leaks and what to do."""


@dataclass(frozen=True)
class LeakAudit:
    """What training (validation included) and test have in common.

    Attributes:
        test_clips: how many clips are tested on.
        shared_groups: groups with clips on both sides.
        leaking_clips: how many test clips belong to such a group.
        exact_duplicates: `(test id, training id)` of clips with identical decoded audio; silence doesn't count.
        near_duplicates: the same for clips that differ in level, file format or sample rate alone.
        group_name: what a group is, in words.
        by_design: whether the data set's author prescribes that groups are on both sides.
    """

    test_clips: int
    shared_groups: tuple[str, ...]
    leaking_clips: int
    exact_duplicates: tuple[tuple[str, str], ...]
    near_duplicates: tuple[tuple[str, str], ...]
    group_name: str
    by_design: bool

    @property
    def safe(self) -> bool:
        """No group and no identical audio on both sides; near duplicates are for a listener to judge."""
        return not self.shared_groups and not self.exact_duplicates

    @property
    def message(self) -> str:
        """For every table with a number from this split; empty where it is leakage-safe."""
        parts = []
        if self.shared_groups:
            shared = f"{self.leaking_clips} of {self.test_clips} test clips share a {self.group_name} with training"
            parts.append(shared + (", as the data set's author prescribes" if self.by_design else ""))
        if self.exact_duplicates:
            count = len({test for test, _train in self.exact_duplicates})
            parts.append(f"{count} of {self.test_clips} test clips are also in training")
        return "not leakage-safe: " + "; ".join(parts) if parts else ""

    def refuse(self, name: str) -> None:
        """Stop an official split that leaks and isn't meant to.

        Raises:
            LeakError: groups or identical clips on both sides.
        """
        if self.safe or self.by_design:
            return
        if self.shared_groups:
            what = f"{self.group_name}s {shorten(self.shared_groups)}"
        else:
            what = "clips " + shorten(f"{test} = {train}" for test, train in self.exact_duplicates)
        raise LeakError(
            f"{name}: the official split is {self.message} ({what}); correct the folds or remove the clips, "
            "or use --split grouped"
        )


def audit(
    store: ClipStore, training: NDArray[np.int64], test: NDArray[np.int64], by_design: bool, *, near: bool = True
) -> LeakAudit:
    """Compare the two sides of a split, rows of the store's table; near duplicates, which take longest, if asked."""
    clips = store.clips
    both = np.intersect1d(clips.groups[training], clips.groups[test])
    heard_training, heard_test = training[store.heard[training]], test[store.heard[test]]
    known: dict[bytes, int] = {clips.hashes[row].tobytes(): int(row) for row in heard_training}
    exact = [(int(row), known[content]) for row in heard_test if (content := clips.hashes[row].tobytes()) in known]
    repeated = {row for row, _other in exact}
    similar = near_pairs(clips.fingerprints[heard_test], clips.fingerprints[heard_training]) if near else []
    nearly = [(int(heard_test[i]), int(heard_training[j])) for i, j in similar if int(heard_test[i]) not in repeated]

    def ids(pairs: list[tuple[int, int]]) -> tuple[tuple[str, str], ...]:
        return tuple((str(clips.ids[a]), str(clips.ids[b])) for a, b in pairs)

    return LeakAudit(
        test_clips=len(test),
        shared_groups=tuple(str(group) for group in both),
        leaking_clips=int(np.isin(clips.groups[test], both).sum()),
        exact_duplicates=ids(exact),
        near_duplicates=ids(nearly),
        group_name=store.dataset.group_name,
        by_design=by_design,
    )
