"""The packs of real recordings: counts, labels and folds, decoded whole; and the leak audit of each split."""

from collections import Counter

import numpy as np
import pytest

from sweeper.audio.datasets import load
from sweeper.audio.splits import folds_of, split
from sweeper.audio.store import prepare

# pack, data set, clips, groups, clips by fold
PACKS = [
    ("urbansound8k", "urbansound8k", 584, 341, {1: 150, 2: 150, 3: 134, 10: 150}),
    ("esc50", "esc50", 531, 393, {1: 58, 2: 61, 3: 58, 4: 296, 5: 58}),
    ("esc50", "esc10", 294, 220, {1: 58, 2: 61, 3: 58, 4: 59, 5: 58}),
    ("ravdess", "ravdess", 600, 10, dict.fromkeys((1, 2, 3, 4, 5), 120)),
    ("cremad", "cremad", 11, 5, {1: 6, 2: 1, 5: 4}),
    ("fsdd", "fsdd", 3000, 6, {0: 2700, 1: 300}),
    ("mini/urbansound8k", "urbansound8k", 40, 40, dict.fromkeys((1, 2, 3, 10), 10)),
    ("mini/esc50", "esc50", 30, 30, dict.fromkeys((1, 2, 3, 4, 5), 6)),
    ("mini/ravdess", "ravdess", 32, 4, {1: 16, 2: 16}),
]

# as they were before other formats were read: trials of then go on
DIGESTS = {
    ("urbansound8k", "urbansound8k"): "4771ac6f36fceed38aec4efcf143096ccb425e659580126bcbe60a97296d4172",
    ("esc50", "esc50"): "5212106f5787c5a139bf07c6fc54e53e9d2055d96a7e1d3c240cf6d64f977c98",
    ("esc50", "esc10"): "fecdea398e9b9692d9b6ae944999fc34147dd04b5ca78b8edf8e629e2706b25b",
    ("ravdess", "ravdess"): "07681a333b8bb87310aaf78841f4f5b3c836764fe81d230e0d33367a87f68006",
    ("cremad", "cremad"): "1490778420712359e1f78982c291b46bf410cf298669ae9dcf988c7955536d54",
    ("fsdd", "fsdd"): "34e1ff69aa8f986dc0b1ab4e96932be07797d2d85cf2c950e7ebc21a2fa2bb80",
    ("mini/urbansound8k", "urbansound8k"): "56629dd066cf7602b64ab07bbe611f01cd0852df1fca4dfffc09371b5e93d1b8",
    ("mini/esc50", "esc50"): "2946c26e177cc3eb2b939c4294cb283723c409b426842bcaf34a80100e6a8a18",
    ("mini/ravdess", "ravdess"): "bbd2d17e1534890493fd45ba6d6076fbdbf0defaadfd5af34a1a0a54e4bcbb27",
}


@pytest.mark.parametrize(("folder", "name", "clips", "groups", "by_fold"), PACKS)
def test_counts_and_folds(pack, folder, name, clips, groups, by_fold):
    dataset = load(name, pack(folder))
    assert len(dataset.clips) == clips
    assert len({clip.group for clip in dataset.clips}) == groups
    assert Counter(clip.fold for clip in dataset.clips) == by_fold
    assert dataset.folds == tuple(sorted(set(by_fold) - {0}))
    if name != "fsdd":
        assert dataset.notes[0].startswith(f"{clips} of ")


@pytest.mark.parametrize(("folder", "name", "clips", "groups", "by_fold"), PACKS)
def test_every_clip_decodes_at_its_true_length(pack, folder, name, clips, groups, by_fold):
    store = prepare(load(name, pack(folder)), 8000, progress=False)
    assert len(store) == clips
    assert store.digest == DIGESTS[folder, name]
    assert not store.skipped
    seconds = store.clips.lengths / 8000
    longest = {"urbansound8k": 4.01, "esc50": 5.01, "esc10": 5.01, "ravdess": 6.0, "cremad": 6.0, "fsdd": 3.0}[name]
    assert 0.04 < seconds.min() <= seconds.max() <= longest
    assert (store.clips.fingerprints != 0).any(axis=1).all()


def test_labels_agree_with_the_file_names(pack):
    """Each layout repeats the label in the file's name; the readers take it from the table, where there is
    one."""
    for clip in load("urbansound8k", pack("urbansound8k")).clips:
        assert (clip.group, str(clip.target)) == tuple(clip.path.stem.split("-")[:2])
        assert clip.path.parent.name == f"fold{clip.fold}"
    for clip in load("esc50", pack("esc50")).clips:
        fold, source, _take, target = clip.path.stem.split("-")
        assert (clip.fold, clip.group, clip.target) == (int(fold), source, int(target))
    dataset = load("cremad", pack("cremad"))
    codes = dict(ANG="anger", DIS="disgust", FEA="fear", HAP="happy", NEU="neutral", SAD="sad")
    assert all(dataset.classes[clip.target] == codes[clip.path.stem.split("_")[2]] for clip in dataset.clips)
    assert len({clip.target for clip in dataset.clips}) == 6


@pytest.mark.parametrize(("folder", "name"), sorted({(folder, name) for folder, name, *_rest in PACKS}))
def test_official_splits_keep_recordings_apart(pack, folder, name):
    store = prepare(load(name, pack(folder)), 8000, progress=False)
    for fold in store.dataset.folds:
        sides = split(store, "official", fold)
        assert sides.audit.shared_groups == (() if name != "fsdd" else tuple(sorted(set(store.clips.groups))))
        assert not sides.audit.exact_duplicates
        assert not sides.audit.near_duplicates
        assert len(sides.train) + len(sides.validation) + len(sides.test) == len(store)


def test_fsdd_says_that_speakers_are_shared(pack):
    store = prepare(load("fsdd", pack("fsdd")), 8000, progress=False)
    expected = (
        "not leakage-safe: 300 of 300 test clips share a speaker with training, as the data set's author prescribes"
    )
    assert split(store, "official", 1).audit.message == expected
    for fold in folds_of(store.dataset, "grouped"):
        assert split(store, "grouped", fold).audit.message == ""


def test_urbansound8ks_random_split_is_labelled(pack):
    store = prepare(load("urbansound8k", pack("urbansound8k")), 8000, progress=False)
    audit = split(store, "paper", 1).audit
    assert audit.test_clips == 117
    assert audit.leaking_clips > 40
    assert audit.message == (
        f"not leakage-safe: {audit.leaking_clips} of 117 test clips share a recording with training"
    )


def test_ravdess_actor_07_says_one_sentence_twice(pack):
    store = prepare(load("ravdess", pack("ravdess")), 8000, progress=False)
    contents = Counter(row.tobytes() for row in store.clips.hashes)
    twice = [str(store.clips.ids[i]) for i, row in enumerate(store.clips.hashes) if contents[row.tobytes()] > 1]
    assert twice == ["03-01-03-01-02-01-07", "03-01-03-01-02-02-07"]


def test_a_random_split_that_separates_the_twins_is_told(pack):
    store = prepare(load("ravdess", pack("ravdess")), 8000, progress=False)
    audits = [split(store, "paper", 1, seed).audit for seed in range(8)]
    apart = [audit for audit in audits if audit.exact_duplicates]
    assert apart  # a third of all seeds
    assert all("1 of 120 test clips are also in training" in audit.message for audit in apart)


def test_flac_and_wav_packs_share_their_ids_labels_and_audio(pack):
    flac = prepare(load("urbansound8k", pack("urbansound8k")), 22050, progress=False)
    wav = prepare(load("urbansound8k", pack("mini/urbansound8k")), 22050, progress=False)
    rows = {str(clip_id): row for row, clip_id in enumerate(flac.clips.ids)}
    whole, part = flac.part(np.arange(len(flac))), wav.part(np.arange(len(wav)))
    for i, clip_id in enumerate(wav.clips.ids):
        row = rows[str(clip_id)]
        assert flac.clips.targets[row] == wav.clips.targets[i]
        assert np.array_equal(flac.clips.hashes[row], wav.clips.hashes[i])
        assert np.array_equal(whole.waveform(row), part.waveform(i))
