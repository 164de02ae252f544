"""Shared by the audio tests: a cache of their own, the real recordings where there are any, and small made-up
clips."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sweeper.audio.datasets.base import Clip, Dataset
from sweeper.audio.store import ClipStore, ClipTable

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test touches the user's cache; tests share one, as commands on one machine do."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("SWEEPER_CACHE")
    os.environ["SWEEPER_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["SWEEPER_CACHE"]
    else:
        os.environ["SWEEPER_CACHE"] = before


@pytest.fixture
def pack() -> Callable[[str], Path]:
    """The folder of a pack of real recordings, `pack("mini/esc50")`; the test is skipped where it is not
    there."""

    def find(name: str) -> Path:
        folder = SHARED / name
        if not folder.is_dir():
            pytest.skip(f"real recordings are not here: no {name} in ../shared/data")
        return folder

    return find


@pytest.fixture
def sound() -> Callable[..., np.ndarray]:
    """`sound(seconds, rate)`: float noise within ±0.5, another one for each `seed`."""

    def make(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * rate))

    return make


@pytest.fixture
def collection(tmp_path: Path, sound: Callable[..., np.ndarray]) -> Callable[..., Dataset]:
    """`collection(n)`: a data set of `n` short noisy files: 2 classes, groups of two clips, folds 1 to 3."""

    def make(count: int = 12, rate: int = 8000) -> Dataset:
        clips = []
        for i in range(count):
            path = tmp_path / "clips" / f"{i:03}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, sound(0.05 + 0.01 * i, rate, seed=i), rate)
            clips.append(Clip(f"{i:03}", path, i % 2, f"g{i // 2}", 1 + i * 3 // count))
        return Dataset("collection", ("a", "b"), tuple(clips), (1, 2, 3), True, "none", ())

    return make


@pytest.fixture(scope="session")
def table_store() -> Callable[..., ClipStore]:
    """A store with a table and no samples, for what only looks at labels: `(targets, groups, folds)`."""

    def make(
        targets: list[int],
        groups: list[str],
        folds: list[int] | None = None,
        hashes: np.ndarray | None = None,
        separates_groups: bool = True,
    ) -> ClipStore:
        n = len(targets)
        folds = folds or [1] * n
        order = np.argsort(folds, kind="stable")
        fingerprints = np.random.default_rng(0).choice([-1, 1], (n, 512)).astype(np.int8)
        if hashes is None:
            hashes = np.arange(1, n + 1, dtype=np.uint64)[:, None].repeat(2, axis=1).view(np.uint8)
        table = ClipTable(
            ids=np.array([f"c{i:04}" for i in order]),
            groups=np.array(groups)[order],
            targets=np.array(targets, dtype=np.int64)[order],
            folds=np.array(folds, dtype=np.int64)[order],
            offsets=np.arange(n, dtype=np.int64),
            lengths=np.ones(n, dtype=np.int32),
            hashes=hashes[order],
            fingerprints=fingerprints[order],
        )
        clips = tuple(
            Clip(str(table.ids[i]), Path("none.wav"), int(table.targets[i]), str(table.groups[i]), int(table.folds[i]))
            for i in range(n)
        )
        classes = tuple(f"class {i}" for i in range(max(targets) + 1))
        present = tuple(sorted(set(folds) - {0}))
        dataset = Dataset("made", classes, clips, present, True, "none", (), separates_groups=separates_groups)
        return ClipStore(Path("nowhere"), dataset, 8000, "0" * 64, (), table)

    return make
