"""The data set `table`: clips as a table lists them, with its folds or sides."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from sweeper.audio import splits
from sweeper.audio.datasets import DatasetError, load
from sweeper.audio.datasets.base import VALIDATION
from sweeper.audio.fold_data import cut
from sweeper.audio.splits import LeakError
from sweeper.audio.store import prepare
from sweeper.cli.main import main as cli


def write(path: Path, seed: int = 0, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, 500 + seed), 8000, **options)
    return path


@pytest.fixture
def frame(tmp_path) -> pd.DataFrame:
    """Thirty clips of two classes, two to a group, ten groups to a fold."""
    rows = []
    for i in range(30):
        path = write(tmp_path / f"sound s/{'abc'[i % 3]}/{i}.{('wav', 'ogg', 'flac')[i % 3]}", seed=i)
        fold, side = 1 + i // 2 % 5, ("train", "validation", "test")[i // 2 % 3]
        rows.append((str(path.relative_to(tmp_path)), ("dog", "cat")[i % 2], f"g{i // 2}", fold, side))
    return pd.DataFrame(rows, columns=["path", "label", "group", "fold", "split"])


@pytest.fixture
def table(tmp_path):
    def save(frame: pd.DataFrame, name: str = "clips.csv", **options) -> Path:
        path = tmp_path / name
        if name.endswith(".csv"):
            frame.to_csv(path, index=False, **options)
        else:
            frame.to_parquet(path, index=False, **options)
        return path

    return save


@pytest.mark.parametrize("name", ["clips.csv", "clips.parquet"])
def test_folds_of_the_table_are_the_official_ones(table, frame, name, tmp_path):
    dataset = load("table", table(frame.drop(columns="split"), name))
    assert dataset.classes == ("cat", "dog")
    assert dataset.folds == (1, 2, 3, 4, 5)
    assert dataset.clips[0].clip_id == "sound s/a/0"
    by_id = {clip.clip_id: clip for clip in dataset.clips}
    for row in frame.itertuples():
        clip = by_id[Path(row.path).with_suffix("").as_posix()]
        assert (dataset.classes[clip.target], clip.group, clip.fold) == (row.label, row.group, row.fold)
        assert clip.path == tmp_path / row.path
    assert dataset.notes == ()
    store = prepare(dataset, 8000, tmp_path / "cache", progress=False)
    assert len(store) == 30
    sides = splits.split(store, "official", 2)
    assert set(store.clips.folds[sides.test]) == {2}
    assert set(store.clips.folds[sides.validation]) == {3}


@pytest.mark.parametrize("name", ["clips.csv", "clips.parquet"])
def test_columns_that_are_not_used_are_named(table, frame, name):
    frame = frame.drop(columns="split").rename(columns={"group": "Speaker", "label": "Label"})
    assert load("table", table(frame, name)).notes == (
        "no column group: every file counts as a recording of its own",
        "not used: column Speaker",
    )
    more = frame.assign(group=frame["Speaker"], **{"Room ": 1})
    assert load("table", table(more, name)).notes[0].replace("Room ", "Room") == "not used: columns Speaker, Room"


@pytest.mark.parametrize("name", ["clips.csv", "clips.parquet"])
def test_train_validation_and_test_of_the_table(table, frame, name, tmp_path):
    dataset = load("table", table(frame.drop(columns="fold"), name))
    assert dataset.folds == (1,)
    store = prepare(dataset, 8000, tmp_path / "cache", progress=False)
    expected = {side: set(frame[frame.split == side].group) for side in ("train", "validation", "test")}
    sides = splits.split(store, "official", 1)
    for side, rows in (("train", sides.train), ("validation", sides.validation), ("test", sides.test)):
        assert len(rows) == 10
        assert set(store.clips.groups[rows]) == expected[side]
    selecting = cut(store, "official", [1], selecting=True)[1]
    assert {g for part in selecting.train for g in part.groups} == expected["train"]
    assert {g for part in selecting.scored for g in part.groups} == expected["validation"]
    assert VALIDATION in store.clips.folds


def test_validation_may_be_left_to_be_drawn(table, frame, tmp_path):
    frame["split"] = frame["split"].replace("validation", "train")
    dataset = load("table", table(frame.drop(columns="fold")))
    sides = splits.split(prepare(dataset, 8000, tmp_path / "cache", progress=False), "official", 1)
    assert len(sides.test) == 10
    assert 2 <= len(sides.validation) <= 6


@pytest.mark.parametrize("columns", [["group"], []])
def test_folds_are_drawn_where_there_are_none(table, frame, columns):
    dataset = load("table", table(frame[["label", *columns, "path"]]))
    assert dataset.folds == (1, 2, 3, 4, 5)
    by_group: dict[str, set[int]] = {}
    for clip in dataset.clips:
        by_group.setdefault(clip.group, set()).add(clip.fold)
    assert len(by_group) == (15 if columns else 30)
    assert all(len(folds) == 1 for folds in by_group.values())
    assert dataset.notes == (() if columns else ("no column group: every file counts as a recording of its own",))


def test_the_digest_does_not_depend_on_where_the_files_lie(table, frame, tmp_path):
    frame = frame.drop(columns="split")
    relative = prepare(load("table", table(frame)), 8000, tmp_path / "cache", progress=False).digest
    assert (
        prepare(load("table", table(frame, "c.parquet")), 8000, tmp_path / "cache", progress=False).digest == relative
    )
    frame["path"] = [str(tmp_path / path) for path in frame["path"]]
    absolute = load("table", table(frame))
    assert absolute.clips[0].clip_id == "a/0"  # below what all have in common
    other = tmp_path / "tables"
    other.mkdir()
    frame["path"] = [os.path.relpath(path, other) for path in frame["path"]]
    assert len(load("table", table(frame, "tables/c.csv")).clips) == 30


def test_a_spreadsheets_table(table, frame, tmp_path):
    path = table(frame.drop(columns="split"), sep=";", encoding="utf-16")
    content = path.read_text("utf-16").replace(";1\n", ";1,0\n").replace("path;label;group", "Path ; LABEL;Group")
    path.write_text(content + ";;;\n;;;\n", "utf-16")
    assert load("table", path).folds == (1, 2, 3, 4, 5)


def test_files_are_found_however_their_names_are_written(table, frame, tmp_path):
    write(tmp_path / unicodedata.normalize("NFD", "Vögel/ä.wav"), seed=40)
    write(tmp_path / "b/c.flac", seed=41)
    more = pd.DataFrame([("Vögel\\ä.wav", "dog", "x", 1), ("./b/c.wav", "cat", "y", 2)], columns=frame.columns[:4])
    dataset = load("table", table(pd.concat([frame.drop(columns="split"), more])))
    paths = {clip.clip_id: clip.path for clip in dataset.clips}
    assert len(paths) == 32
    assert paths["b/c"].name == "c.flac"


def test_files_of_one_name_and_several_endings_keep_them(table, frame, tmp_path):
    write(tmp_path / "sound s/a/0.flac", seed=50)
    more = pd.DataFrame([("sound s/a/0.flac", "dog", "g0", 1)], columns=frame.columns[:4])
    ids = {clip.clip_id for clip in load("table", table(pd.concat([frame.drop(columns="split"), more]))).clips}
    assert {"sound s/a/0.wav", "sound s/a/0.flac", "sound s/b/1"} < ids


def change(row: int, column: str, value: object):
    def edit(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.astype({column: object})
        frame.loc[row, column] = value
        return frame

    return edit


def rename(**names):
    return lambda frame: frame.rename(columns=names)


WRONG = {
    "no such file": (
        change(3, "path", "gone.wav"),
        r"line 5: no file 'gone\.wav' below \S+ \(column 'path'\); correct",
    ),
    "a file twice": (
        change(3, "path", "sound s/a/0.wav"),
        r"line 5: 'sound s/a/0\.wav' is in line 2, too \(column 'path'\); keep one row",
    ),
    "no path": (change(3, "path", ""), r"line 5: an empty field \(column 'path'\); fill it"),
    "no label": (change(3, "label", None), r"line 5: an empty field \(column 'label'\); fill it"),
    "no group": (change(3, "group", " "), r"line 5: an empty field \(column 'group'\)"),
    "no fold": (change(3, "fold", ""), r"line 5: an empty field \(column 'fold'\)"),
    "fold 0": (change(3, "fold", 0), r"line 5: fold 0 \(column 'fold'\); folds are numbered from 1"),
    "fold x": (change(3, "fold", "x"), r"line 5: 'x' is not a number \(column 'fold'\); write 1 to 1000"),
    "fold 1.5": (change(3, "fold", 1.5), r"line 5: '1\.5' is not a number \(column 'fold'\)"),
    "no column path": (rename(path="file"), "no column 'path'; expected path, label, found file, label, group, fold"),
    "no column label": (rename(label="class"), "no column 'label'; expected path, label, found path, class"),
    "one label": (
        lambda frame: frame.assign(label="dog"),
        "all 30 rows have the label 'dog'; classification needs two",
    ),
    "both": (lambda frame: frame.assign(split="train"), "has the columns fold and split; keep the one that is meant"),
    "nothing": (lambda frame: frame[:0], "no rows; a row for each file is expected, with path, label"),
    "a side": (
        lambda frame: change(3, "split", "holdout")(frame.drop(columns="fold").assign(split="train")),
        r"line 5: 'holdout' is not train, validation or test \(column 'split'\); write one of them",
    ),
    "no test": (
        lambda frame: frame.drop(columns="fold").assign(split="Train"),
        "none of the 30 rows has 'test' in the column 'split'; some must",
    ),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("file", ["clips.csv", "clips.parquet"])
def test_what_is_wrong_is_named_by_row_column_and_value(table, frame, name, file):
    edit, reason = WRONG[name]
    frame = edit(frame.drop(columns="split"))
    if file.endswith(".parquet"):
        reason = reason.replace("line 5", "row 4").replace("line 2", "row 1")
        frame = frame.astype({column: str for column in frame.columns if frame[column].dtype == object})
        frame = frame.replace({"None": None, "nan": None})
    path = table(frame, file)
    with pytest.raises(DatasetError, match=reason) as caught:
        load("table", path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_what_is_no_table(tmp_path, frame):
    with pytest.raises(DatasetError, match="no folder for table: pass --data FILE"):
        load("table", None)
    with pytest.raises(DatasetError, match=r"is a folder; pass the table, .* or use --dataset folder"):
        load("table", tmp_path)
    with pytest.raises(DatasetError, match="no such file; pass the table with --data FILE"):
        load("table", tmp_path / "gone.csv")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(DatasetError, match=r"bad\.parquet: not a Parquet file that can be read"):
        load("table", tmp_path / "bad.parquet")


def test_groups_on_both_sides_are_refused_before_decoding(table, frame):
    frame.loc[0, "fold"] = 2
    dataset = load("table", table(frame.drop(columns="split")))
    with pytest.raises(LeakError, match=r"1 of \d+ test clips share a recording with training \(recordings g0\)"):
        splits.check(dataset, "official", [1])
    splits.check(dataset, "grouped", [1])


def test_one_fold_is_refused_before_decoding(table, frame):
    dataset = load("table", table(frame.drop(columns="split").assign(fold=1)))
    with pytest.raises(splits.SplitError, match="no clips on the training side; use --split paper"):
        splits.check(dataset, "official", dataset.folds)


def test_labels_that_differ_in_case_alone_are_told(table, frame):
    dataset = load("table", table(change(3, "label", "Dog")(frame.drop(columns="split"))))
    assert any(
        "labels that differ in case alone are classes of their own: Dog and dog" in note for note in dataset.notes
    )


def test_the_commands_take_it(table, frame, capsys):
    path = str(table(frame.drop(columns="fold")))
    assert cli(["data", "list"]) == 0
    assert "columns path,label[,group] and [,fold] or [,split]" in capsys.readouterr().out
    assert cli(["data", "check", "table", "--data", path]) == 0
    assert "class  validation  train only  fold 1  all" in capsys.readouterr().out
    assert cli(["data", "prepare", "table", "--data", path, "--sample-rate", "8000"]) == 0
    assert "official 1: 10 train, 10 validation, 10 test; no recording on both sides" in capsys.readouterr().out
    command = ["run", "ablations", "--dataset", "table", "--data", path, "--recipe", "quick", "--dry-run"]
    assert cli([*command, "--results", str(Path(path).parent / "results")]) == 0
    assert "data: table, 30 clips, 2 classes, official split, test folds 1" in capsys.readouterr().out
