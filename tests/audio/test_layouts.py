"""Data sets in layouts that others made of them: the same clips as in their authors', or what to look for."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sweeper.audio.datasets import DatasetError, definition, load, ravdess
from sweeper.audio.datasets.base import Dataset

US8K = [(f"{100 + fold}-{target}-0-{i}", fold, target) for fold in (1, 2, 10) for target in (0, 1) for i in (0, 1)]
ESC50 = [(f"{fold}-{fold}00{i}-A-{target}", fold, target) for fold in range(1, 6) for target in (0, 10) for i in (1, 2)]


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(path.stem.encode())
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, 80 + seed % 7), 8000)
    return path


def us8k_table(separator: str = ",") -> str:
    lines = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
    for name, fold, target in US8K:
        label = ("air_conditioner", "car_horn")[target]
        lines.append(f"{name}.wav,{name.split('-')[0]},0,1,1,{fold},{target},{label}")
    return "\n".join(lines).replace(",", separator) + "\n"


def esc50_table() -> str:
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for name, fold, target in ESC50:
        lines.append(f"{name}.wav,{fold},{target},{'dog' if target == 0 else 'rain'},True,{name.split('-')[1]},A")
    return "\n".join(lines) + "\n"


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def us8k(root: Path, table: str = "metadata/UrbanSound8K.csv", audio: str = "audio/fold{fold}") -> Path:
    put(root / table, us8k_table())
    for name, fold, _target in US8K:
        write(root / audio.format(fold=fold) / f"{name}.wav")
    return root


def esc50(root: Path, table: str = "meta/esc50.csv", *audio: str) -> Path:
    put(root / table, esc50_table())
    for place in audio or ("audio",):
        for name, _fold, _target in ESC50:
            write(root / place / f"{name}.wav")
    return root


def labels(dataset: Dataset) -> list[tuple[str, int, str, int]]:
    return [(clip.clip_id, clip.target, clip.group, clip.fold) for clip in dataset.clips]


@pytest.mark.parametrize(
    ("table", "audio", "given"),
    [
        ("UrbanSound8K.csv", "fold{fold}", ""),  # Kaggle
        ("UrbanSound8K.csv", "audio/fold{fold}", ""),
        ("metadata/UrbanSound8K.csv", "fold{fold}", ""),
        ("metadata/UrbanSound8K.csv", "audio/Fold{fold}", ""),
        ("metadata/UrbanSound8K.csv", "audio", ""),  # all in one folder
        ("UrbanSound8K.csv", "", ""),
        ("urbansound8k.csv", "wav", ""),
        ("a/b/UrbanSound8K/metadata/UrbanSound8K.csv", "a/b/UrbanSound8K/audio/fold{fold}", ""),
        ("metadata/UrbanSound8K.csv", "audio/fold{fold}", "metadata"),
        ("metadata/UrbanSound8K.csv", "audio/fold{fold}", "audio/fold1"),
        ("metadata/UrbanSound8K.csv", "a/b/c", "a/b/c"),
    ],
)
def test_urbansound8k_in_other_layouts(tmp_path, table, audio, given):
    expected = labels(load("urbansound8k", us8k(tmp_path / "authors")))
    assert len(expected) == len(US8K)
    other = us8k(tmp_path / "others", table, audio)
    assert labels(load("urbansound8k", other / given)) == expected


@pytest.mark.parametrize(
    ("table", "audio", "given"),
    [
        ("esc50.csv", ("audio/audio",), ""),  # Kaggle
        ("esc50.csv", ("audio/audio/44100",), ""),
        ("esc50.csv", ("audio",), ""),
        ("meta/ESC50.csv", ("audio/44100",), ""),
        ("esc50.csv", ("audio/audio/44100",), "audio/audio/44100"),
    ],
)
@pytest.mark.parametrize("name", ["esc50", "esc10"])
def test_esc50_in_other_layouts(tmp_path, name, table, audio, given):
    expected = labels(load(name, esc50(tmp_path / "authors")))
    assert len(expected) == len(ESC50)
    assert labels(load(name, esc50(tmp_path / "others", table, *audio) / given)) == expected


def test_esc50_at_two_sample_rates(tmp_path):
    """As on Kaggle: the same clips once more below, at other rates."""
    root = esc50(tmp_path, "esc50.csv", "audio/audio/44100", "audio/audio/16000")
    for path in (root / "audio/audio/16000").iterdir():
        soundfile.write(path, np.zeros(50), 4000)
    with pytest.raises(
        DatasetError, match=r"16000/1-1001-A-0\.wav and audio/audio/44100/1-1001-A-0\.wav differ; pass"
    ) as error:
        load("esc50", root)
    assert "expected in it: meta/esc50.csv, audio/" in str(error.value)
    for place in ("44100", "16000"):
        dataset = load("esc50", root / "audio/audio" / place)
        assert {clip.path.parent.name for clip in dataset.clips} == {place}
    for path in list((root / "audio/audio/44100").iterdir()):
        shutil.copy(path, root / "audio/audio")
    dataset = load("esc50", root)
    assert {clip.path.parent.name for clip in dataset.clips} == {"audio"}
    assert any(note.startswith("40 files not taken, as copies of others") for note in dataset.notes)


def test_a_tree_that_is_there_twice_counts_once(tmp_path):
    root = us8k(tmp_path / "a", "UrbanSound8K.csv", "fold{fold}")
    expected = labels(load("urbansound8k", root))
    for name, fold, _target in US8K:
        (root / f"copy/fold{fold}").mkdir(parents=True, exist_ok=True)
        shutil.copy(root / f"fold{fold}/{name}.wav", root / f"copy/fold{fold}/{name}.wav")
    dataset = load("urbansound8k", root)
    assert labels(dataset) == expected
    assert any("12 files not taken, as copies of others of the same name: copy/fold1" in note for note in dataset.notes)


def test_a_clip_in_another_folds_folder_is_not_used(tmp_path):
    root = us8k(tmp_path)
    (root / "audio/fold1/101-0-0-0.wav").rename(root / "audio/fold2/101-0-0-0.wav")
    dataset = load("urbansound8k", root)
    assert dataset.missing == ("101-0-0-0",)
    assert any("1 files in another folder than where they belong left out" in note for note in dataset.notes)


def test_files_that_a_table_does_not_list_are_counted(tmp_path):
    root = us8k(tmp_path)
    write(root / "audio/fold1/999-0-0-0.wav")
    (root / "audio/fold1/101-0-0-0.m4a").write_bytes(b"?")
    notes = load("urbansound8k", root).notes
    assert any(
        note.startswith("1 files that the table does not list left out, such as audio/fold1/999") for note in notes
    )
    assert any(note.startswith("1 file not taken (1 .m4a): audio/fold1/101-0-0-0.m4a; ") for note in notes)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_tables_from_a_spreadsheet(tmp_path, separator):
    expected = labels(load("urbansound8k", us8k(tmp_path / "authors")))
    root = us8k(tmp_path / "others")
    rows = [line.split(",") for line in us8k_table().splitlines()]
    rows[1:] = [
        [name, f"{source}.0", *rest[:3], f"{rest[3]}.0", f"{rest[4]}.0", rest[5]] for name, source, *rest in rows[1:]
    ]
    text = "\r\n".join(separator.join(row) for row in rows) + f"\r\n{separator * 7}\r\n"
    (root / "metadata/UrbanSound8K.csv").write_bytes(text.encode("utf-16"))
    assert labels(load("urbansound8k", root)) == expected


@pytest.mark.parametrize("true", ["TRUE", "True", "1", "1.0", "yes"])
def test_esc10_however_truth_is_written(tmp_path, true):
    root = esc50(tmp_path)
    put(root / "meta/esc50.csv", esc50_table().replace("True", true))
    assert len(load("esc10", root).clips) == len(ESC50)


def test_the_cell_is_named(tmp_path):
    root = esc50(tmp_path)
    put(root / "meta/esc50.csv", esc50_table().replace("True", "WAHR"))
    with pytest.raises(
        DatasetError, match=r"esc50\.csv, line 2: 'WAHR' is neither True nor False \(column 'esc10'\); write"
    ):
        load("esc10", root)
    put(root / "meta/esc50.csv", esc50_table().replace("True", "False"))
    with pytest.raises(DatasetError, match="none of the clips that esc10 consists of is there"):
        load("esc10", root)
    (root / "meta/esc50.csv").rename(root / "meta/esc50.xlsx")
    with pytest.raises(DatasetError, match=r"esc50\.xlsx: a spreadsheet's own format; save it as esc50\.csv"):
        load("esc50", root)


def speech(root: Path, place: str = "Actor_{actor:02}") -> Path:
    for actor in (1, 2, 3, 24):
        for name in ravdess.published(actor)[:5]:
            write(root / place.format(actor=actor) / f"{name}.wav")
    return root


@pytest.mark.parametrize("place", ["", "wavs", "a/b/c", "Audio_Speech_Actors_01-24/Actor_{actor:02}", "actors/{actor}"])
def test_ravdess_in_other_layouts(tmp_path, place):
    expected = labels(load("ravdess", speech(tmp_path / "authors")))
    assert len(expected) == 20
    assert labels(load("ravdess", speech(tmp_path / "others", place))) == expected


def test_ravdess_as_on_kaggle_is_not_doubled(tmp_path):
    expected = labels(load("ravdess", speech(tmp_path)))
    speech(tmp_path / "audio_speech_actors_01-24")
    assert labels(load("ravdess", tmp_path)) == expected
    flat = speech(tmp_path / "flat", "")
    shutil.copytree(speech(tmp_path / "copy", ""), flat / "copy")
    dataset = load("ravdess", flat)
    assert labels(dataset) == expected
    assert any(note.startswith("20 files not taken, as copies") for note in dataset.notes)


@pytest.mark.parametrize(
    ("name", "authors", "files"),
    [
        ("cremad", "AudioWAV", ["1001_IEO_ANG_LO", "1002_ITH_SAD_X", "1091_DFA_NEU_XX"]),
        ("fsdd", "recordings", ["0_george_0", "9_theo_49", "3_lucas_12"]),
    ],
)
@pytest.mark.parametrize("place", ["", "wav", "archive/data"])
def test_names_that_say_all_in_other_layouts(tmp_path, name, authors, files, place):
    for file in files:
        write(tmp_path / "authors" / authors / f"{file}.wav")
        write(tmp_path / "others" / place / f"{file}.wav")
    expected = labels(load(name, tmp_path / "authors"))
    assert len(expected) == 3
    assert labels(load(name, tmp_path / "others")) == expected
    assert labels(load(name, tmp_path / "authors" / authors)) == expected


def test_a_flat_folder_beside_the_authors_is_the_users_choice(tmp_path):
    write(tmp_path / "AudioWAV/1001_IEO_ANG_LO.wav")
    write(tmp_path / "mine/1002_ITH_SAD_X.wav")
    assert [clip.clip_id for clip in load("cremad", tmp_path / "mine").clips] == ["1002_ITH_SAD_X"]


def test_cremads_mp3_copies_are_left_where_they_are(tmp_path):
    for name in ("1001_IEO_ANG_LO", "1002_ITH_SAD_X"):
        write(tmp_path / "AudioWAV" / f"{name}.wav")
        write(tmp_path / "AudioMP3" / f"{name}.mp3")
    assert {clip.path.suffix for clip in load("cremad", tmp_path).clips} == {".wav"}
    shutil.rmtree(tmp_path / "AudioWAV")
    assert {clip.path.suffix for clip in load("cremad", tmp_path).clips} == {".mp3"}


@pytest.mark.parametrize("name", ["urbansound8k", "esc50", "esc10", "ravdess", "cremad", "fsdd", "folder"])
def test_a_foreign_folder_is_told_what_is_expected(tmp_path, name):
    with pytest.raises(DatasetError) as caught:
        load(name, tmp_path)
    assert f"(expected in it: {definition(name).layout})" in str(caught.value)
    (tmp_path / "x.zip").write_bytes(b"PK")
    with pytest.raises(DatasetError, match="file"):
        load(name, tmp_path / "x.zip")


def test_what_macos_left_is_no_second_data_set(tmp_path):
    speech(tmp_path / "RAVDESS")
    (tmp_path / "__MACOSX/Actor_01").mkdir(parents=True)
    assert len(load("ravdess", tmp_path).clips) == 20
