"""The embedded data set: the same bytes everywhere, grouped and balanced, learnable but not trivial."""

import hashlib
import shutil
import subprocess
import sys
import time
from collections import Counter

import numpy as np

from sweeper.audio.datasets import demo, load
from sweeper.audio.places import cache_folder
from sweeper.audio.splits import split
from sweeper.audio.store import prepare


def content() -> str:
    digest = hashlib.sha256()
    for target in range(len(demo.SOUNDS)):
        digest.update(demo.synthesise(target, 1, 0, 0).astype("<i2").tobytes())
    return digest.hexdigest()


def test_a_clip_is_a_function_of_its_numbers_in_any_process():
    code = "import test_demo; print(test_demo.content())"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=cache_folder(),
        env={"PYTHONPATH": f"{demo.__file__.rsplit('/sweeper/', 1)[0]}:{__file__.rsplit('/', 1)[0]}", "PATH": ""},
    )
    assert run.stdout.strip() == content()


def test_classes_folds_and_groups():
    dataset = load("demo", None)
    assert len(dataset.clips) == 600
    assert dataset.synthetic
    assert dataset.notes[0].startswith("synthetic")
    assert set(Counter((clip.target, clip.fold) for clip in dataset.clips).values()) == {12}
    folds_of_group = {clip.group: set() for clip in dataset.clips}
    for clip in dataset.clips:
        folds_of_group[clip.group].add(clip.fold)
    assert all(len(folds) == 1 for folds in folds_of_group.values())
    assert len(folds_of_group) == 5 * 10 * demo.RECORDINGS


def test_clips_differ_and_none_is_silent_or_clipped():
    store = prepare(load("demo", None), 8000, progress=False)
    clips = store.part(np.arange(len(store)))
    assert len(np.unique(store.clips.hashes, axis=0)) == 600
    for row in range(len(clips)):
        waveform = clips.waveform(row).astype(int)
        assert len(waveform) == 8000
        assert 2000 < np.max(np.abs(waveform)) < 32767
        assert np.count_nonzero(np.abs(waveform) == np.max(np.abs(waveform))) <= 2


def test_it_is_made_in_seconds_and_once():
    shutil.rmtree(cache_folder() / f"demo-{demo.VERSION}", ignore_errors=True)
    start = time.process_time()
    dataset = load("demo", None)
    assert time.process_time() - start < 6  # 2 s alone; the margin is for shared machines
    before = dataset.clips[0].path.stat().st_mtime_ns
    assert load("demo", None).clips[0].path.stat().st_mtime_ns == before


def test_a_lost_file_is_made_again_with_the_same_content():
    dataset = load("demo", None)
    lost = dataset.clips[7].path
    content = lost.read_bytes()
    lost.unlink()
    load("demo", None)
    assert lost.read_bytes() == content
    assert not [path for path in cache_folder().iterdir() if path.name.startswith(f"demo-{demo.VERSION}.tmp")]


def test_a_plain_spectrum_classifies_it_above_chance_and_below_perfection():
    """Nearest class mean of band energies: a floor that any network should pass, and a ceiling that isn't 100
    %."""
    store = prepare(load("demo", None), 8000, progress=False)
    sides = split(store, "official", 1)

    def features(rows: np.ndarray) -> np.ndarray:
        clips = store.part(rows)
        spectra = np.abs(np.fft.rfft([clips.waveform(i) for i in range(len(clips))], axis=1)) ** 2
        bands = np.add.reduceat(spectra, np.unique(np.geomspace(8, 3900, 24).astype(int)), axis=1)
        logs = np.log(bands)
        return logs - logs.mean(axis=1, keepdims=True)

    targets = store.clips.targets
    means = np.stack([features(sides.training[targets[sides.training] == k]).mean(axis=0) for k in range(10)])
    distance = ((features(sides.test)[:, None] - means) ** 2).sum(axis=2)
    accuracy = np.mean(distance.argmin(axis=1) == targets[sides.test])
    assert 0.25 < accuracy < 0.8
