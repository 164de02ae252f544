"""How fast the clip store is built, against a plain loop: `python tests/benchmarks/decode.py FOLDER...`.

The plain loop is what a data set class does without thinking: one core, soundfile, channels averaged,
torchaudio's resampling, int16. The store does the same on all cores, and also hashes, fingerprints and writes.
Both run in turns and the best of each counts, so that a busy machine disturbs both alike. Few recordings are repeated:
they are read from the page cache by both.
"""

import argparse
import tempfile
import time
from pathlib import Path

import soundfile
import torch
import torchaudio

from sweeper.audio.build import available_cores
from sweeper.audio.datasets.base import Clip, Dataset
from sweeper.audio.store import prepare


def plain_loop(paths: list[Path], sample_rate: int) -> int:
    total = 0
    for path in paths:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        waveform = torchaudio.functional.resample(torch.from_numpy(samples.mean(axis=1)), rate, sample_rate)
        total += len((waveform * 32768).round().clamp(-32768, 32767).to(torch.int16).numpy())
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--sample-rate", type=int, default=16_000, help="Hz")
    parser.add_argument("--clips", type=int, default=8732, help="as many as UrbanSound8K has")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    paths = sorted(p for f in arguments.folders for p in f.rglob("*") if p.suffix in (".wav", ".flac"))
    paths = [paths[i % len(paths)] for i in range(arguments.clips)]  # repeated up to the size asked for
    clips = tuple(Clip(str(i), path, 0, str(i), 1) for i, path in enumerate(paths))
    dataset = Dataset("decode", ("any",), clips, (1,), False, "", ())
    plain, store = [], []
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as cache:
            start = time.perf_counter()
            built = prepare(dataset, arguments.sample_rate, cache=Path(cache), progress=False)
            store.append(time.perf_counter() - start)
            expected = int(built.clips.lengths.sum())
        torch.set_num_threads(1)
        start = time.perf_counter()
        assert abs(plain_loop(paths, arguments.sample_rate) - expected) <= len(paths)  # they round lengths differently
        plain.append(time.perf_counter() - start)
    rate = f"{len(paths)} clips to {arguments.sample_rate} Hz"
    print(f"{rate}: plain loop, one core   {min(plain):6.2f} s  {len(paths) / min(plain):6.0f} clips/s")
    print(
        f"{rate}: store, {available_cores()} cores          {min(store):6.2f} s  {len(paths) / min(store):6.0f} clips/s"
    )
    print(f"ratio {min(plain) / min(store):.1f}")


if __name__ == "__main__":
    main()
