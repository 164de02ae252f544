"""Reading the authors' layouts: what is there, what is missing, and what contradicts the data set's own
definition."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sweeper.audio.datasets import NAMES, DatasetError, definition, load, ravdess
from sweeper.audio.store import StoreError, prepare

US8K_HEADER = "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
ESC_HEADER = "filename,fold,target,category,esc10,src_file,take\n"


def write(path: Path, seconds: float = 0.01) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(len(path.name)).uniform(-1, 1, round(8000 * seconds)), 8000)


def urbansound8k(root: Path, rows: str, files: tuple[str, ...]) -> Path:
    (root / "metadata").mkdir(parents=True)
    (root / "metadata/UrbanSound8K.csv").write_text(US8K_HEADER + rows)
    for name in files:
        write(root / "audio" / name)
    return root


def esc50(root: Path, rows: str, files: tuple[str, ...]) -> Path:
    (root / "meta").mkdir(parents=True)
    (root / "meta/esc50.csv").write_text(ESC_HEADER + rows)
    for name in files:
        write(root / "audio" / name)
    return root


@pytest.mark.parametrize("name", NAMES)
def test_every_definition_is_complete(name):
    known = definition(name)
    assert known.title
    assert known.licence
    assert known.layout
    assert len(set(known.classes)) == len(known.classes)
    assert all(item.url.startswith("https://") for item in known.downloads)
    assert (known.size is None) == (not known.classes)


def test_published_sizes_add_up():
    from sweeper.audio.datasets import urbansound8k as u

    assert sum(u.CLIPS_PER_CLASS) == sum(u.CLIPS_PER_FOLD) == 8732
    assert sum(len(ravdess.published(actor)) for actor in ravdess.ACTORS) == 1440


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(DatasetError, match="unknown data set 'esc51'; the data sets are: demo, urbansound8k, esc50"):
        load("esc51", None)


@pytest.mark.parametrize("name", ["urbansound8k", "esc50", "esc10", "ravdess", "cremad", "fsdd", "folder"])
def test_missing_empty_and_foreign_folders(name, tmp_path):
    with pytest.raises(DatasetError, match="pass --data DIR"):
        load(name, None)
    with pytest.raises(DatasetError, match="no such folder"):
        load(name, tmp_path / "gone")
    with pytest.raises(DatasetError, match=r"is this the data set's folder|no audio") as caught:
        load(name, tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_missing_data_names_the_command_that_gets_it():
    with pytest.raises(DatasetError, match="python -m sweeper data fetch esc50"):
        load("esc50", None)


def test_a_layout_without_audio(tmp_path):
    for name in ("metadata", "audio/fold1", "meta", "Actor_01", "AudioWAV", "recordings"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "metadata/UrbanSound8K.csv").write_text(US8K_HEADER)
    (tmp_path / "meta/esc50.csv").write_text(ESC_HEADER)
    for name in ("urbansound8k", "esc50", "ravdess", "cremad", "fsdd", "folder"):
        with pytest.raises(DatasetError, match="no audio in it"):
            load(name, tmp_path)


def test_urbansound8k_takes_flac_for_wav_and_lists_what_is_missing(tmp_path):
    rows = "1-3-0-0.wav,1,0,4,1,10,3,dog_bark\n1-3-0-1.wav,1,4,8,1,10,3,dog_bark\n22-8-0-0.wav,22,0,4,2,1,8,siren\n"
    root = urbansound8k(tmp_path / "u", rows, ("fold10/1-3-0-0.flac", "fold1/22-8-0-0.wav"))
    dataset = load("urbansound8k", root)
    assert [(c.clip_id, c.target, c.group, c.fold) for c in dataset.clips] == [
        ("22-8-0-0", 8, "22", 1),
        ("1-3-0-0", 3, "1", 10),
    ]
    assert dataset.missing == ("1-3-0-1",)
    assert dataset.folds == (1, 10)
    assert dataset.notes[0] == "2 of 8732 clips present, folds 1, 10"
    assert "1 listed clips have no file: 1-3-0-1" in dataset.notes


def test_a_wav_is_preferred_to_a_flac_and_hidden_files_are_left_out(tmp_path):
    rows = "1-3-0-0.wav,1,0,4,1,1,3,dog_bark\n"
    root = urbansound8k(tmp_path, rows, ("fold1/1-3-0-0.flac", "fold1/1-3-0-0.wav", "fold1/._1-3-0-0.wav"))
    assert [clip.path.name for clip in load("urbansound8k", root).clips] == ["1-3-0-0.wav"]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("1-3-0-0.wav,1,0,4,1,11,3,dog_bark\n", "line 2: 11 is not in 1 to 10"),
        ("1-3-0-0.wav,1,0,4,1,x,3,dog_bark\n", "line 2: 'x' is not a number"),
        ("1-3-0-0.wav,1,0,4,1,1,3,siren\n", "class 3 is 'dog_bark', not 'siren'"),
        ("1-3-0-0.wav,2,0,4,1,1,3,dog_bark\n", "doesn't begin with fsID and classID, 2-3"),
        ("1-3-0-0.wav,1,0\n", "line 2: too few fields"),
        ("1-3-0-0.wav,1,0,4,1,1,3,dog_bark\n" * 2, "listed twice: 1-3-0-0"),
        ("9-3-0-0.wav,9,0,4,1,1,3,dog_bark\n", "none of the clips .* has a file: 9-3-0-0"),
    ],
)
def test_urbansound8k_tables_that_contradict_themselves(tmp_path, rows, reason):
    root = urbansound8k(tmp_path / "u", rows, ("fold1/1-3-0-0.wav",))
    with pytest.raises(DatasetError, match=reason):
        load("urbansound8k", root)


def test_more_clips_than_published(tmp_path):
    names = [f"1-1-0-{i}" for i in range(430)]
    rows = "".join(f"{name}.wav,1,0,4,1,{1 + i % 10},1,car_horn\n" for i, name in enumerate(names))
    root = urbansound8k(tmp_path, rows, ())
    for i, name in enumerate(names):  # only names are looked at
        path = root / f"audio/fold{1 + i % 10}/{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(DatasetError, match="430 clips of car_horn; there are 429"):
        load("urbansound8k", root)


def test_a_table_that_is_not_a_table(tmp_path):
    root = urbansound8k(tmp_path, "", ("fold1/1-3-0-0.wav",))
    table = root / "metadata/UrbanSound8K.csv"
    table.write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(DatasetError, match="not a csv table"):
        load("urbansound8k", root)
    table.write_text("name,label\na,b\n")
    with pytest.raises(DatasetError, match="no column 'slice_file_name'"):
        load("urbansound8k", root)


def test_esc10_is_the_marked_part_of_esc50(tmp_path):
    rows = (
        "1-100-A-0.wav,1,0,dog,True,100,A\n2-200-A-41.wav,2,41,chainsaw,True,200,A\n2-200-B-2.wav,2,2,pig,False,200,B\n"
    )
    root = esc50(tmp_path, rows, ("1-100-A-0.wav", "2-200-A-41.flac", "2-200-B-2.wav"))
    assert [clip.target for clip in load("esc50", root).clips] == [0, 41, 2]
    dataset = load("esc10", root)
    assert [(c.clip_id, dataset.classes[c.target]) for c in dataset.clips] == [
        ("1-100-A-0", "dog"),
        ("2-200-A-41", "chainsaw"),
    ]


def test_esc50_wrong_class_name(tmp_path):
    root = esc50(tmp_path, "1-1-A-0.wav,1,0,cat,True,1,A\n", ("1-1-A-0.wav",))
    with pytest.raises(DatasetError, match="class 0 is 'dog', not 'cat'"):
        load("esc50", root)


def test_ravdess_folds_are_by_actor_and_balanced_by_gender():
    by_fold: dict[int, list[int]] = {}
    for actor in ravdess.ACTORS:
        by_fold.setdefault(ravdess.fold_of(actor), []).append(actor)
    assert sorted(by_fold) == [1, 2, 3, 4, 5]
    for actors in by_fold.values():
        assert sum(actor % 2 for actor in actors) * 2 == len(actors)


def test_ravdess_leaves_out_song_and_video(tmp_path):
    for name in ("03-01-05-01-01-01-03", "03-02-05-01-01-01-03", "01-01-05-01-01-01-03"):
        write(tmp_path / "Actor_03" / f"{name}.wav")
    dataset = load("ravdess", tmp_path)
    assert [(c.clip_id, dataset.classes[c.target], c.group) for c in dataset.clips] == [
        ("03-01-05-01-01-01-03", "angry", "Actor_03")
    ]
    assert len(dataset.missing) == 1439


def test_cremad_names(tmp_path):
    for name in ("1001_IEO_ANG_LO", "1091_DFA_NEU_XX", "1002_ITH_SAD_X", "1001_DFA_XXX_XX", "2001_DFA_ANG_XX"):
        write(tmp_path / "AudioWAV" / f"{name}.wav")
    dataset = load("cremad", tmp_path)
    assert [(c.clip_id, c.group, c.fold) for c in dataset.clips] == [
        ("1001_IEO_ANG_LO", "1001", 1),
        ("1091_DFA_NEU_XX", "1091", 1),
        ("1002_ITH_SAD_X", "1002", 2),
    ]
    assert any(note.startswith("2 files with foreign names left out") for note in dataset.notes)


def test_cremads_git_lfs_pointers_are_named_with_the_way_out(tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 83244\n"
    (tmp_path / "AudioWAV").mkdir()
    (tmp_path / "AudioWAV/1001_IEO_ANG_LO.wav").write_text(pointer)
    with pytest.raises(StoreError, match="git-lfs pointer, not audio; run 'git lfs install && git lfs pull'"):
        prepare(load("cremad", tmp_path), 16000, progress=False)


def test_fsdd_tests_recordings_0_to_4_of_the_same_speakers(tmp_path):
    for name in ("0_george_0", "0_george_4", "0_george_5", "9_yweweler_49", "9_nobody_3", "9_theo_50"):
        write(tmp_path / "recordings" / f"{name}.wav")
    dataset = load("fsdd", tmp_path)
    assert {clip.clip_id: clip.fold for clip in dataset.clips} == {
        "0_george_0": 1,
        "0_george_4": 1,
        "0_george_5": 0,
        "9_yweweler_49": 0,
    }
    assert dataset.folds == (1,)
    assert not dataset.separates_groups
    assert any("same speakers on both sides" in note for note in dataset.notes)


@pytest.fixture
def zoo(tmp_path) -> Path:
    for animal in ("dog", "cat"):
        for i in range(10):
            write(tmp_path / "zoo" / animal / "deep er" / f"{animal} n° {i}.wav", 0.01 + 0.001 * i)
    return tmp_path / "zoo"


def test_folder_without_groups(zoo):
    dataset = load("folder", zoo)
    assert dataset.classes == ("cat", "dog")
    assert len(dataset.clips) == 20
    assert dataset.folds == (1, 2, 3, 4, 5)
    assert set(Counter((c.target, c.fold) for c in dataset.clips).values()) == {2}
    assert dataset.notes == ("no groups.csv: every file counts as a recording of its own",)
    assert "dog/deep er/dog n° 3" in {clip.clip_id for clip in dataset.clips}


def test_folder_with_groups(zoo):
    files = [path.relative_to(zoo).as_posix() for path in sorted(zoo.rglob("*.wav"))]
    (zoo / "groups.csv").write_text("file,group\n" + "".join(f"{name},g{i // 2}\n" for i, name in enumerate(files)))
    dataset = load("folder", zoo)
    assert len({clip.group for clip in dataset.clips}) == 10
    assert all(n == 1 for n in Counter(g for g, _f in {(c.group, c.fold) for c in dataset.clips}).values())
    assert not dataset.notes


def test_folder_groups_that_do_not_match(zoo):
    table = zoo / "groups.csv"
    table.write_text("file,group\nowl/1.wav,a\n")
    with pytest.raises(DatasetError, match=r"line 2: no file 'owl/1\.wav'"):
        load("folder", zoo)
    table.write_text("file,group\ndog/deep er/dog n° 0.wav,a\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="no group for 19 files"):
        load("folder", zoo)


def test_folder_in_the_wrong_shape(zoo):
    with pytest.raises(DatasetError, match="only one class folder with audio, 'deep er'"):
        load("folder", zoo / "dog")
    with pytest.raises(DatasetError, match="put those of each class in a folder of its own"):
        load("folder", zoo / "dog" / "deep er")


def test_a_folder_that_links_to_itself(zoo):
    (zoo / "dog" / "loop").symlink_to(zoo)
    assert len(load("folder", zoo).clips) == 20


def test_the_root_may_be_given_one_level_above_or_below(zoo, tmp_path):
    root = urbansound8k(tmp_path / "x" / "UrbanSound8K", "1-3-0-0.wav,1,0,4,1,1,3,dog_bark\n", ("fold1/1-3-0-0.wav",))
    for given in (root, root.parent, root / "audio"):
        assert len(load("urbansound8k", given).clips) == 1
    shutil.copytree(root, root.parent / "copy")
    with pytest.raises(DatasetError, match="several folders look like the data set"):
        load("urbansound8k", root.parent)


def test_demo_takes_no_folder(tmp_path):
    with pytest.raises(DatasetError, match="synthesised and takes no folder"):
        load("demo", tmp_path)
