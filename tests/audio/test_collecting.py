"""Which files become clips: all that can be read, none twice, and what is not taken is counted and named."""

import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sweeper.audio.datasets import DatasetError, load
from sweeper.audio.datasets.files import FORMATS, suffixes
from sweeper.audio.store import prepare

ROOT = Path(__file__).resolve().parents[2]


def write(path: Path, seed: int = 0, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # noise under 1 kHz, which lossy formats keep
    samples = np.random.default_rng(seed).uniform(-1, 1, 1500).repeat(4) * 0.4
    soundfile.write(path, samples, 8000, **options)
    return path


@pytest.fixture
def zoo(tmp_path) -> Path:
    for animal in ("cat", "dog"):
        for i in range(6):
            write(tmp_path / "zoo" / animal / f"{i}.wav", seed=i + 10 * (animal == "dog"))
    return tmp_path / "zoo"


def ids(zoo: Path) -> set[str]:
    return {clip.clip_id for clip in load("folder", zoo).clips}


def notes(zoo: Path) -> str:
    return "\n".join(load("folder", zoo).notes)


def test_the_digest_of_a_folder_is_what_it_was(tmp_path):
    """Literal values of the version before other formats were read: results of then go on."""
    zoo = tmp_path / "zoo"

    def noise(path: Path, seed: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = (np.arange(1500 + 10 * seed, dtype=np.int64) * (2_654_435_761 + 2 * seed) >> 16) % 20_011 - 10_000
        soundfile.write(path, samples.astype(np.int16), 8000)

    for i in range(12):
        noise(zoo / ("dog", "Käfer")[i % 2] / "deep er" / f"a.b {i}.{'flac' if i % 3 else 'wav'}", i)
    noise(zoo / "dog/deep er/a.b 0.flac", 0)  # a copy
    noise(zoo / "dog/0.WAV", 20)
    store = prepare(load("folder", zoo), 8000, tmp_path, progress=False)
    assert store.digest == "7777180359d412b56e16db1f635f62eb2744f008fe624c22d350c6f5526804de"
    files = sorted(clip.path.relative_to(zoo).as_posix() for clip in store.dataset.clips)
    table = "file,group\n" + "".join(f"{name},g{i // 2}\n" for i, name in enumerate(files))
    (zoo / "groups.csv").write_text(table, "utf-8")
    store = prepare(load("folder", zoo), 16000, tmp_path, progress=False)
    assert store.digest == "7d74db605fa742cdf904af361c54447b0b54d440bb3e03566c12ef6d88a1ff3c"


@pytest.mark.parametrize("container", FORMATS)
def test_what_soundfile_reads_is_taken(zoo, tmp_path, container):
    endings = [ending for ending in FORMATS[container] if ending in suffixes()]
    assert endings
    for ending in endings:
        for i in range(6):
            subtype = {"NIST": "PCM_16", "AVR": "PCM_16", "SDS": "PCM_16", "IRCAM": "PCM_16"}.get(container)
            write(zoo / "owl" / f"{i}{ending.upper()}", seed=20 + i, format=container, subtype=subtype)
        dataset = load("folder", zoo)
        assert dataset.classes == ("cat", "dog", "owl")
        assert len(prepare(dataset, 8000, tmp_path / "cache", progress=False)) == 18
        shutil.rmtree(zoo / "owl")


def test_hidden_folders_and_companions_are_not_clips(zoo):
    for place in ("dog/.ipynb_checkpoints", "dog/deep/.git/a", "__MACOSX/dog", "dog/@eaDir", ".cache/dog"):
        write(zoo / place / "0-checkpoint.wav")
    for name in ("._0.wav", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (zoo / "dog" / name).write_bytes(b"\0\5\x16\7")
    write(zoo / "dog/.hidden.wav")
    assert ids(zoo) == {f"{animal}/{i}" for animal in ("cat", "dog") for i in range(6)}
    said = notes(zoo)
    assert "6 hidden folders or files not looked at: .cache, __MACOSX, dog/.hidden.wav and 3 more" in said
    assert "not taken" not in said


@pytest.mark.parametrize("name", ["$RECYCLE.BIN", "System Volume Information", "lost+found", "__pycache__", "#recycle"])
def test_folders_of_the_system_are_no_classes(zoo, name):
    write(zoo / name / "0.wav")
    write(zoo / "dog" / name / "0.wav")
    assert load("folder", zoo).classes == ("cat", "dog")
    assert "2 hidden folders or files not looked at" in notes(zoo)


def test_what_is_not_taken_is_counted_and_named(zoo):
    for name in ("dog/6.m4a", "dog/deep/7.m4a", "dog/notes.txt", "README", "cat/8.WMA"):
        (zoo / name).parent.mkdir(exist_ok=True)
        (zoo / name).write_bytes(b"?")
    write(zoo / "stray.wav")
    (zoo / "dog/gone").symlink_to(zoo / "nowhere")
    (zoo / "empty").mkdir()
    said = notes(zoo)
    assert (
        "7 files not taken (2 .m4a, 2 without ending, 1 .txt, 1 .wav, 1 .wma): README, cat/8.WMA, dog/6.m4a and 4"
        in said
    )
    assert "what is a recording can be converted: ffmpeg -i OLD NEW.flac" in said
    assert "1 folders without audio are no classes: empty" in said
    assert len(ids(zoo)) == 12


def test_a_class_of_recordings_that_cannot_be_read_is_no_class_left_out(zoo):
    (zoo / "owl").mkdir()
    for i in range(3):
        (zoo / f"owl/{i}.m4a").write_bytes(b"?")
    with pytest.raises(DatasetError, match=r"owl: none of its 3 recordings \(\.m4a\) can be read; convert them"):
        load("folder", zoo)


def test_links_are_followed_and_loops_named(zoo, tmp_path):
    for i in range(3):
        write(tmp_path / "elsewhere" / f"far {i}.wav", seed=50 + i)
    (zoo / "dog/linked").symlink_to(tmp_path / "elsewhere")
    (zoo / "dog/one.wav").symlink_to(write(tmp_path / "single.wav", seed=60))
    (zoo / "dog/loop").symlink_to(zoo)
    (tmp_path / "elsewhere/back").symlink_to(zoo / "dog")
    found = ids(zoo)
    assert {"dog/linked/far 0", "dog/linked/far 2", "dog/one"} < found
    assert len(found) == 12 + 4
    assert "2 links to a folder that they lie in, not followed: dog/linked/back, dog/loop" in notes(zoo)
    (zoo / "owl").symlink_to(tmp_path / "elsewhere")
    assert load("folder", zoo).classes == ("cat", "dog", "owl")


def test_names_that_differ_in_their_endings_case_alone(zoo):
    write(zoo / "dog/0.WAV", seed=70)
    assert ids(zoo) >= {"dog/0", "dog/0.WAV"}
    assert len(ids(zoo)) == 13
    assert "1 file beside another recording of the same name, so named with the ending: dog/0.WAV" in notes(zoo)
    shutil.copy(zoo / "dog/0.wav", zoo / "dog/0.WAV")
    assert len(ids(zoo)) == 12
    assert "1 file not taken, as copies of others of the same name: dog/0.WAV (taken: dog/0.wav)" in notes(zoo)


@pytest.mark.parametrize("ending", ["flac", "ogg", "mp3", "aiff"])
def test_a_copy_in_another_format_is_one_clip_and_another_recording_is_two(zoo, ending):
    for i in range(3):
        write(zoo / f"dog/{i}.{ending}", seed=10 + i)
    assert len(ids(zoo)) == 12
    assert f"3 files not taken, as copies of others of the same name: dog/0.{ending} (taken: dog/0.wav)" in notes(zoo)
    for i in range(3):
        write(zoo / f"dog/{i}.{ending}", seed=80 + i)
    assert ids(zoo) >= {"dog/0", f"dog/0.{ending}"}
    assert len(ids(zoo)) == 15


def test_a_tree_that_is_there_twice_is_told(zoo):
    shutil.copytree(zoo / "dog", zoo / "dog copy")
    said = notes(zoo)
    assert "6 of 18 files repeat another byte for byte: dog copy/0.wav" in said or "dog/0.wav = dog copy/0.wav" in said
    shutil.rmtree(zoo / "dog copy")
    shutil.copytree(zoo, zoo.parent / "copy")
    (zoo.parent / "copy").rename(zoo / "dog/zoo")
    assert "12 of 24 files repeat another byte for byte" in notes(zoo)


def test_an_official_splits_sides_are_not_called_classes(zoo):
    shutil.copytree(zoo, zoo.parent / "both/train")
    shutil.copytree(zoo, zoo.parent / "both/test")
    with pytest.raises(
        DatasetError, match=r"its folders test, train are parts of a split and no classes; .*path,label,split"
    ):
        load("folder", zoo.parent / "both")


def test_one_folder_too_high_says_which_to_pass(zoo):
    with pytest.raises(DatasetError, match=r"if its folders cat, dog are the classes, pass --data \S+/zoo"):
        load("folder", zoo.parent)


def test_several_folders_too_high_says_which_to_pass(zoo, tmp_path):
    inner = tmp_path / "a/b/c"
    inner.mkdir(parents=True)
    zoo.rename(inner / "zoo")
    with pytest.raises(DatasetError, match=r"if its folders cat, dog are the classes, pass --data \S+/a/b/c/zoo"):
        load("folder", tmp_path / "a")


def test_a_path_that_no_system_takes():
    with pytest.raises(DatasetError, match=r"^x{200}…: file name too long; pass another with --data$"):
        load("folder", Path("x" * 5000))


def test_a_file_in_place_of_a_folder(zoo):
    (zoo / "clips.csv").write_text("path,label\n")
    with pytest.raises(DatasetError, match="is it a table, for --dataset table"):
        load("folder", zoo / "clips.csv")


LATIN_1 = b"caf\xe9.wav"


@pytest.fixture
def latin(zoo) -> Path:
    try:
        write(zoo / "cafe.wav", seed=90).rename(zoo / "dog" / os.fsdecode(LATIN_1))
    except OSError:
        pytest.skip("this disk takes UTF-8 names only")
    return zoo


def test_a_name_that_is_not_utf8_has_an_id_that_can_be_written(latin, tmp_path):
    store = prepare(load("folder", latin), 8000, tmp_path / "cache", progress=False)
    assert r"dog/caf\xe9" in store.clips.ids
    assert prepare(load("folder", latin), 8000, tmp_path / "cache", progress=False).digest == store.digest
    (latin / "dog" / os.fsdecode(LATIN_1)).write_bytes(b"text")
    with pytest.raises(DatasetError, match=r"caf\\xe9\.wav: neither WAV"):
        prepare(load("folder", latin), 8000, tmp_path / "cache", progress=False)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_groups_of_a_name_that_is_not_utf8(latin, encoding):
    names = [f"{animal}/{i}.wav" for animal in ("cat", "dog") for i in range(6)] + ["dog/café.wav"]
    (latin / "groups.csv").write_bytes(("file,group\n" + "".join(f"{n},g{n[-5]}\n" for n in names)).encode(encoding))
    assert {clip.clip_id: clip.group for clip in load("folder", latin).clips}[r"dog/caf\xe9"] == "gé"


def test_check_prints_names_that_are_not_utf8(latin, tmp_path):
    environment = os.environ | {"SWEEPER_CACHE": str(tmp_path / "cache"), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "sweeper", "data", "check", "folder", "--data", str(latin)]
    for content, code in ((None, 0), (b"text", 1)):
        if content is not None:
            (latin / "dog" / os.fsdecode(LATIN_1)).write_bytes(content)
        run = subprocess.run(command, capture_output=True, cwd=ROOT, env=environment, check=False)
        assert run.returncode == code, run.stderr
        assert run.stderr == b""
        assert (rb"caf\xe9.wav: neither WAV" in run.stdout) == (content is not None)


def test_a_table_in_composed_characters_beside_files_in_decomposed_ones(tmp_path):
    zoo = tmp_path / "zoo"
    decomposed = [unicodedata.normalize("NFD", name) for name in ("Käfer", "Bär")]
    for name in decomposed:
        for i in range(6):
            write(zoo / name / f"{name} {i}.wav", seed=i)
    rows = "".join(f"{name}/{name} {i}.wav,g{i}\n" for name in ("Käfer", "Bär") for i in range(6))
    (zoo / "groups.csv").write_text("file,group\n" + rows, "utf-8")
    dataset = load("folder", zoo)
    assert {clip.group for clip in dataset.clips} == {f"g{i}" for i in range(6)}
    assert set(dataset.classes) == set(decomposed)  # ids and classes of today stay


def test_groups_of_files_that_were_converted_since(zoo):
    names = sorted(f"{animal}/{i}.wav" for animal in ("cat", "dog") for i in range(6))
    (zoo / "groups.csv").write_text("file,group\n" + "".join(f"{n},g{i}\n" for i, n in enumerate(names)))
    for path in list(zoo.rglob("*.wav"))[::2]:
        soundfile.write(path.with_suffix(".flac"), *soundfile.read(path))
        path.unlink()
    assert {clip.group for clip in load("folder", zoo).clips} == {f"g{i}" for i in range(12)}


def test_two_folders_of_one_name_in_other_characters(zoo):
    for form in ("NFC", "NFD"):
        write(zoo / unicodedata.normalize(form, "Käfer") / "0.wav")
    with pytest.raises(
        DatasetError, match=r"2 class folders are all named .*'Ka\\u0308fer', 'K\\xe4fer'.*put their files"
    ):
        load("folder", zoo)


def test_a_folder_that_cannot_be_read(zoo):
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (zoo / "dog").chmod(0)
    try:
        with pytest.raises(DatasetError, match="dog: permission denied; make it readable"):
            load("folder", zoo)
    finally:
        (zoo / "dog").chmod(0o755)


def test_one_clip_in_each_class_is_told_with_the_numbers(tmp_path):
    for name in "abc":
        write(tmp_path / name / "0.wav")
    with pytest.raises(DatasetError, match=r"3 clips in 3 classes, one in each: .*add clips, 5 or more to a class"):
        load("folder", tmp_path)


def test_fewer_folds_where_there_are_fewer_groups_or_clips(zoo):
    names = sorted(f"{animal}/{i}.wav" for animal in ("cat", "dog") for i in range(6))
    (zoo / "groups.csv").write_text("file,group\n" + "".join(f"{n},g{i % 3}\n" for i, n in enumerate(names)))
    assert "3 folds and not 5: 3 groups" in notes(zoo)
    assert load("folder", zoo).folds == (1, 2, 3)
    (zoo / "groups.csv").write_text("file,group\n" + "".join(f"{n},one\n" for n in names))
    with pytest.raises(DatasetError, match=r"only one group: .*name more groups"):
        load("folder", zoo)
    (zoo / "groups.csv").unlink()
    for i in range(2, 6):
        (zoo / f"cat/{i}.wav").unlink()
        (zoo / f"dog/{i}.wav").unlink()
    assert "2 folds and not 5: 2 clips in the largest class" in notes(zoo)
    (zoo / "cat/1.wav").unlink()
    assert "1 class has clips in one fold only, which tests them untrained: cat" in notes(zoo)
