"""The clip store: right samples, zero copies, one build per machine, and never half a store."""

import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sweeper.audio import build, store
from sweeper.audio.check import check
from sweeper.audio.datasets.base import Dataset
from sweeper.audio.reader import decode, read
from sweeper.audio.splits import LeakError, SplitError, _inseparable, split
from sweeper.audio.store import StoreError, prepare


def waveforms(opened: store.ClipStore) -> dict[str, bytes]:
    clips = opened.part(np.arange(len(opened)))
    return {str(clips.ids[i]): clips.waveform(i).tobytes() for i in range(len(clips))}


def test_every_clip_is_what_the_reader_reads(collection, tmp_path):
    dataset = collection(12, 11025)
    opened = prepare(dataset, 8000, tmp_path / "cache", progress=False)
    assert [str(i) for i in opened.clips.ids] == [clip.clip_id for clip in dataset.clips]
    assert opened.clips.targets.tolist() == [clip.target for clip in dataset.clips]
    assert opened.clips.folds.tolist() == [clip.fold for clip in dataset.clips]
    assert waveforms(opened) == {clip.clip_id: read(clip.path, 8000).tobytes() for clip in dataset.clips}


def test_a_second_time_decodes_nothing(collection, tmp_path, monkeypatch):
    dataset = collection()
    first = prepare(dataset, 8000, tmp_path, progress=False)
    monkeypatch.setattr(build, "decode", lambda path: pytest.fail(f"decoded {path}"))
    second = prepare(dataset, 8000, tmp_path, progress=False)
    assert second.digest == first.digest
    assert waveforms(second) == waveforms(first)


def test_folds_are_views_that_reach_no_other_fold(collection, tmp_path):
    opened = prepare(collection(), 8000, tmp_path, progress=False)
    folds = opened.clips.folds
    training = opened.parts(np.flatnonzero(folds != 2))
    assert [len(part) for part in training] == [4, 4]
    (test,) = opened.parts(np.flatnonzero(folds == 2))
    content = test.samples.tobytes()
    for part in training:
        mapped = part.samples.base
        while getattr(mapped, "base", None) is not None and not isinstance(mapped.base, bytes):
            mapped = mapped.base
        whole = bytes(memoryview(mapped))  # the whole mapping, more than the array shows
        assert content[:200] not in whole
        assert not part.samples.flags.writeable
        assert not set(part.ids) & set(test.ids)


def test_scattered_rows_are_one_copy_in_order(collection, tmp_path, monkeypatch):
    opened = prepare(collection(), 8000, tmp_path, progress=False)
    rows = np.array([0, 2, 4, 6, 8, 10])
    assert len(opened.parts(rows)) == 6
    monkeypatch.setattr(store, "MAX_VIEWS", 3)
    (part,) = opened.parts(rows)
    everything = waveforms(opened)
    assert [part.waveform(i).tobytes() for i in range(6)] == [everything[f"{row:03}"] for row in rows]
    assert part.samples.size == sum(opened.clips.lengths[rows])


def test_no_rows_are_no_parts(collection, tmp_path):
    opened = prepare(collection(), 8000, tmp_path, progress=False)
    none = np.empty(0, dtype=np.int64)
    assert opened.parts(none) == []
    assert len(opened.part(none)) == 0


def test_the_digest_is_of_content_and_not_of_place_or_format(collection, tmp_path):
    dataset = collection()
    digest = prepare(dataset, 8000, tmp_path / "a", progress=False).digest
    moved = []
    for clip in dataset.clips:
        samples, rate = soundfile.read(clip.path, dtype="int16")
        path = tmp_path / "elsewhere" / f"{clip.clip_id}.flac"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, samples, rate)
        moved.append(replace(clip, path=path))
    assert prepare(replace(dataset, clips=tuple(moved)), 8000, tmp_path / "b", progress=False).digest == digest


@pytest.mark.parametrize("change", ["sample", "target", "group", "fold", "clip_id", "rate"])
def test_the_digest_changes_with_all_that_matters(collection, tmp_path, change):
    dataset, rate = collection(), 8000
    before = prepare(dataset, rate, tmp_path, progress=False)
    first, *rest = dataset.clips
    if change == "sample":
        samples, own = soundfile.read(first.path, dtype="int16")
        samples[3] += 1
        soundfile.write(first.path, samples, own)
    elif change == "rate":
        rate = 4000
    else:
        first = replace(first, **{change: {"target": 1, "group": "other", "fold": 2, "clip_id": "x"}[change]})
    after = prepare(replace(dataset, clips=(first, *rest)), rate, tmp_path, progress=False)
    assert after.digest != before.digest


def test_a_touched_file_is_another_store_with_the_same_digest(collection, tmp_path):
    dataset = collection()
    before = prepare(dataset, 8000, tmp_path, progress=False)
    os.utime(dataset.clips[0].path, (1, 1))
    after = prepare(dataset, 8000, tmp_path, progress=False)
    assert after.folder != before.folder
    assert after.digest == before.digest


def damage_truncate(folder: Path) -> None:
    with (folder / "samples").open("r+b") as file:
        file.truncate(100)


def damage_zeros(folder: Path) -> None:
    with (folder / "samples").open("r+b") as file:
        file.write(bytes(5000))


def damage_table(folder: Path) -> None:
    (folder / "table.npz").write_bytes((folder / "table.npz").read_bytes()[:-20])


def damage_json(folder: Path) -> None:
    (folder / "store.json").write_text('{"format": 1, ')


def damage_format(folder: Path) -> None:
    described = json.loads((folder / "store.json").read_text())
    (folder / "store.json").write_text(json.dumps(described | {"format": -1}))


def damage_lose(folder: Path) -> None:
    (folder / "samples").unlink()


@pytest.mark.parametrize(
    "damage", [damage_truncate, damage_zeros, damage_table, damage_json, damage_format, damage_lose]
)
def test_a_damaged_store_is_built_again(collection, tmp_path, damage):
    dataset = collection()
    before = prepare(dataset, 8000, tmp_path, progress=False)
    expected = waveforms(before)
    damage(before.folder)
    after = prepare(dataset, 8000, tmp_path, progress=False)
    assert after.folder == before.folder
    assert waveforms(after) == expected


def test_a_copied_store_is_checked_and_used(collection, tmp_path, monkeypatch):
    dataset = collection()
    before = prepare(dataset, 8000, tmp_path / "a", progress=False)
    shutil.copytree(before.folder, tmp_path / "b" / "clips" / before.folder.name, copy_function=shutil.copy)
    monkeypatch.setattr(build, "decode", lambda path: pytest.fail(f"decoded {path}"))
    assert waveforms(prepare(dataset, 8000, tmp_path / "b", progress=False)) == waveforms(before)


def test_a_build_that_fails_leaves_nothing_behind(collection, tmp_path):
    dataset = collection()
    dataset.clips[-1].path.write_bytes(b"not audio")
    with pytest.raises(StoreError, match=r"011\.wav: neither WAV nor FLAC .*--bad-clips skip"):
        prepare(dataset, 8000, tmp_path / "cache", progress=False)
    assert [path.name for path in (tmp_path / "cache" / "clips").iterdir() if path.suffix != ".lock"] == []


def test_other_files_of_the_same_names_sizes_and_times_are_another_store(collection, tmp_path):
    """As archives and images leave them, which give all files one time; in one place or in several."""
    dataset, stores = collection(), {}
    for content in (1.0, -1.0, 0.5, -1.0, 1.0):
        for place in ("here", "there"):
            clips = []
            for clip in dataset.clips:
                samples, rate = soundfile.read(clip.path)
                path = tmp_path / place / clip.path.name
                path.parent.mkdir(exist_ok=True)
                soundfile.write(path, content * samples, rate)
                os.utime(path, ns=(10**18, 10**18))
                clips.append(replace(clip, path=path))
            found = prepare(replace(dataset, clips=tuple(clips)), 8000, tmp_path / "cache", progress=False)
            assert waveforms(found) == {clip.clip_id: read(clip.path, 8000).tobytes() for clip in clips}
            assert stores.setdefault(content, found.folder) == found.folder, "wherever they lie"
    assert len(set(stores.values())) == 3


def test_a_decoder_that_rounds_differently_makes_no_other_store(collection, tmp_path, monkeypatch):
    dataset = collection()
    before = prepare(dataset, 8000, tmp_path, progress=False)

    def rounded(path):
        found = decode(path)
        return replace(found, samples=found.samples * np.float32(1.000001))

    monkeypatch.setattr(store, "decode", rounded)
    assert prepare(dataset, 8000, tmp_path, progress=False).folder == before.folder


def test_a_store_is_used_where_the_files_were_moved(collection, tmp_path, monkeypatch):
    dataset = collection()
    before = prepare(dataset, 8000, tmp_path / "cache", progress=False)
    dataset.clips[0].path.parent.rename(place := tmp_path / "moved")
    moved = replace(dataset, clips=tuple(replace(clip, path=place / clip.path.name) for clip in dataset.clips))
    monkeypatch.setattr(build, "decode", lambda path: pytest.fail(f"decoded {path}"))
    assert prepare(moved, 8000, tmp_path / "cache", progress=False).folder == before.folder


@pytest.mark.parametrize("silent", [False, True])
def test_what_a_fingerprint_does_not_hear_is_told_from_silence_by_its_samples(collection, tmp_path, silent):
    """A burst between the windows of a fingerprint, in two clips; silence would be no repetition."""
    dataset = collection()
    rate, samples = 8000, np.zeros(8000 * 20)
    if not silent:
        samples[2000:2400] = np.random.default_rng(0).uniform(-0.5, 0.5, 400)
    for clip in (dataset.clips[0], dataset.clips[-1]):
        soundfile.write(clip.path, samples, rate)
    opened = prepare(dataset, 8000, tmp_path / "cache", progress=False)
    rows = [int(np.flatnonzero(opened.clips.ids == dataset.clips[i].clip_id)[0]) for i in (0, -1)]
    assert not opened.clips.fingerprints[rows].any()
    assert opened.heard[rows].tolist() == 2 * [not silent]
    groups = _inseparable(opened)
    assert (groups[rows[0]] == groups[rows[1]]) != silent
    found = check(dataset, progress=False).duplicates
    assert found == (() if silent else ((dataset.clips[0].clip_id, dataset.clips[-1].clip_id),))
    if silent:
        assert split(opened, "official", 1).audit.safe
    else:
        with pytest.raises(LeakError, match="1 of 4 test clips are also in training"):
            split(opened, "official", 1)


def test_a_class_of_which_nothing_can_be_read_is_named(collection, tmp_path):
    dataset = collection(6)
    for clip in dataset.clips[1::2]:
        clip.path.write_bytes(b"")
    opened = prepare(dataset, 8000, tmp_path, bad_clips="skip", progress=False)
    assert opened.notes[-1].endswith("; none is left of b")
    with pytest.raises(
        SplitError, match="fold 1: all 2 training clips are of one class, 'a'; classification needs two"
    ):
        split(opened, "official", 1)


def test_skipping_lists_what_was_skipped_and_says_so(collection, tmp_path):
    dataset = collection()
    dataset.clips[3].path.write_bytes(b"not audio")
    dataset.clips[5].path.write_bytes(b"")
    opened = prepare(dataset, 8000, tmp_path, bad_clips="skip", progress=False)
    assert len(opened) == 10
    assert [clip_id for clip_id, _reason in opened.skipped] == ["003", "005"]
    assert "an empty file" in opened.skipped[1][1]
    assert opened.notes[-1] == "2 unreadable clips skipped: 003, 005"
    with pytest.raises(StoreError, match=r"003\.wav.*2 such files; --bad-clips skip"):
        prepare(dataset, 8000, tmp_path, progress=False)  # the same store, under the other policy


def test_nothing_readable_is_an_error_under_either_policy(collection, tmp_path):
    dataset = collection(3)
    for clip in dataset.clips:
        clip.path.write_bytes(b"not audio")
    for policy in ("fail", "skip"):
        with pytest.raises(StoreError, match="neither WAV nor FLAC"):
            prepare(dataset, 8000, tmp_path / "cache", bad_clips=policy, progress=False)


def test_a_cache_that_cannot_be_written_is_one_line(collection, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="set SWEEPER_CACHE"):
        prepare(collection(), 8000, tmp_path / "file", progress=False)


def test_leftovers_of_a_killed_build_are_cleared(collection, tmp_path):
    dataset = collection()
    folder = prepare(dataset, 8000, tmp_path, progress=False).folder
    shutil.rmtree(folder)
    leftover = folder.parent / f"{folder.name}.tmp-abc"
    leftover.mkdir()
    (leftover / "samples").write_bytes(b"half")
    prepare(dataset, 8000, tmp_path, progress=False)
    assert not leftover.exists()


KILLED = """
import sys, time
from pathlib import Path
from sweeper.audio import build
from sweeper.audio.datasets import load
from sweeper.audio.store import prepare
decode, seen = build.decode, []
def slow(path):
    seen.append(path)
    if len(seen) > 6:
        print("half way", flush=True)
        time.sleep(60)
    return decode(path)
build.decode = slow
prepare(load("folder", Path(sys.argv[1])), 8000, Path(sys.argv[2]), workers=1, progress=False)
"""


def test_kill_9_in_the_middle_then_the_same_command(tmp_path, sound):
    for i in range(10):
        path = tmp_path / "data" / "ab"[i % 2] / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound(0.1, 8000, seed=i), 8000)
    cache = tmp_path / "cache"
    root = Path(store.__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path / "data", cache], stdout=subprocess.PIPE, cwd=root
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"half way\n"
    process.kill()
    process.wait()
    process.stdout.close()
    from sweeper.audio.datasets import load

    opened = prepare(load("folder", tmp_path / "data"), 8000, cache, progress=False)
    assert len(opened) == 10
    names = [path.name for path in (cache / "clips").iterdir()]
    assert sorted(Path(name).suffix for name in names) == ["", ".lock"]


def build_and_count(dataset: Dataset, cache: Path, barrier, results) -> None:
    count = 0
    decode = build.decode

    def counting(path):
        nonlocal count
        count += 1
        time.sleep(0.01)
        return decode(path)

    build.decode = counting
    barrier.wait()
    opened = prepare(dataset, 8000, cache, workers=2, progress=False)
    results.put((count, opened.digest))


def test_processes_that_start_together_build_once(collection, tmp_path):
    dataset = collection()
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    processes = [context.Process(target=build_and_count, args=(dataset, tmp_path, barrier, results)) for _ in range(3)]
    for process in processes:
        process.start()
    counts, digests = zip(*(results.get(timeout=60) for _ in processes), strict=True)
    for process in processes:
        process.join()
    assert sorted(counts) == [0, 0, 12]
    assert len(set(digests)) == 1


def test_a_store_travels_as_its_folder_not_as_its_samples(collection, tmp_path):
    opened = prepare(collection(30, 22050), 22050, tmp_path, progress=False)
    pickled = pickle.dumps(opened)
    assert len(pickled) < (opened.folder / "samples").stat().st_size
    assert waveforms(pickle.loads(pickled)) == waveforms(opened)


MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
import torch
from sweeper.audio.datasets.base import Clip, Dataset
from sweeper.audio.store import prepare
folder, cache, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
paths = sorted(folder.iterdir())
clips = tuple(Clip(str(i), paths[i % len(paths)], i % 2, str(i), 1 + i * 5 // count) for i in range(count))
dataset = Dataset("big", ("a", "b"), clips, (1, 2, 3, 4, 5), True, "", ())
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
warm = Dataset("warm", ("a", "b"), clips[:20], (1,), True, "", ())
prepare(warm, 22050, cache, workers=2, progress=False)
before = peak()
store = prepare(dataset, 22050, cache, workers=2, progress=False)
built = peak()
size = (store.folder / "samples").stat().st_size
part = store.part(np.flatnonzero(store.clips.folds != 1))
total = int(np.add.reduce(part.samples, dtype=np.int64))  # touches every page
print(size, built - before, peak() - built)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_is_the_array_and_a_small_constant(tmp_path, sound):
    """UrbanSound8K in small: 700 clips of 4 s, 123 MB. Building needs no array at all, reading it no
    copy."""
    folder = tmp_path / "files"
    folder.mkdir()
    for i in range(4):
        soundfile.write(folder / f"{i}.wav", sound(4, 22050, seed=i), 22050)
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, folder, tmp_path / "cache", "700"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(store.__file__).parents[2],
    )
    size, building, reading = (int(number) for number in run.stdout.split())
    assert size > 120e6
    assert building < 40e6
    assert reading < size + 40e6
