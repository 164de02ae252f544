"""Your own recordings: a folder per class, and optionally `groups.csv` with the columns `file` and `group`.

`file` is the path below the data folder (`dog/rex 1.wav`), `group` whatever must not be separated: the source
recording, the speaker, the machine. Without the table each file is a group of its own, and the study says so.

Folds are scikit-learn's, with a fixed seed: StratifiedGroupKFold where there are groups, else
StratifiedKFold.
"""

import os
import warnings
from collections import Counter
from pathlib import Path

from sweeper.audio.datasets.base import Clip, DatasetError, Definition, Reading, shorten
from sweeper.audio.datasets.files import audio_files, require_audio, rows

GROUPS = "groups.csv"
FOLDS = 5


def read(root: Path | None) -> Reading:
    """Clips by class folder (subfolders included); the id is the path below `root` without its suffix."""
    assert root is not None
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; pass the folder that holds a folder per class")
    paths: dict[str, Path] = {}
    classes: dict[str, str] = {}
    for entry in sorted(child for child in root.iterdir() if not child.name.startswith(".") and child.is_dir()):
        for folder, subfolders, _files in os.walk(entry):
            subfolders.sort()
            for path in audio_files(Path(folder)).values():
                clip_id = path.relative_to(root).with_suffix("").as_posix()
                paths[clip_id], classes[clip_id] = path, entry.name
    if not paths and audio_files(root):
        raise DatasetError(f"{root}: audio files lie directly in it; put those of each class in a folder of its own")
    require_audio(len(paths), root)
    names = tuple(sorted(set(classes.values())))
    if len(names) < 2:
        raise DatasetError(f"{root}: only one class folder with audio, {names[0]!r}; classification needs two")
    ids = sorted(paths)
    targets = [names.index(classes[i]) for i in ids]
    table = root / GROUPS
    groups = _groups(table, paths, root) if table.exists() else {i: i for i in ids}
    folds = _folds(targets, [groups[i] for i in ids])
    notes = () if table.exists() else (f"no {GROUPS}: every file counts as a recording of its own",)
    clips = (Clip(i, paths[i], t, groups[i], f) for i, t, f in zip(ids, targets, folds, strict=True))
    return Reading(tuple(clips), notes=notes, classes=names)


def _groups(table: Path, paths: dict[str, Path], root: Path) -> dict[str, str]:
    by_file = {path.relative_to(root).as_posix(): clip_id for clip_id, path in paths.items()}
    groups: dict[str, str] = {}
    for line, row in rows(table, ("file", "group")):
        clip_id = by_file.get(row["file"].replace("\\", "/"))
        if clip_id is None:
            raise DatasetError(f"{table}, line {line}: no file {row['file']!r} below {root}")
        if not row["group"]:
            raise DatasetError(f"{table}, line {line}: {row['file']!r} has an empty group")
        groups[clip_id] = row["group"]
    if without := sorted(by_file.keys() - {name for name, clip_id in by_file.items() if clip_id in groups}):
        raise DatasetError(f"{table}: no group for {len(without)} files: {shorten(without)}")
    return groups


def _folds(targets: list[int], groups: list[str]) -> list[int]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    count = min(FOLDS, len(set(groups)))
    if count < 2:
        raise DatasetError("only one group: nothing can be tested on what wasn't trained on; name more groups")
    grouped = len(set(groups)) < len(groups)
    count = max(2, min(count, max(Counter(targets).values())))
    splitter = (StratifiedGroupKFold if grouped else StratifiedKFold)(count, shuffle=True, random_state=0)
    folds = [0] * len(targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rare classes are said in the data set's notes
        for fold, (_train, test) in enumerate(splitter.split(targets, targets, groups), 1):
            for row in test:
                folds[row] = fold
    return folds


DEFINITION = Definition(
    title="Your own recordings: a folder per class, optionally groups.csv",
    classes=(),
    size=None,
    official="5 folds, stratified, groups kept together",
    licence="your own",
    homepage="",
    layout="CLASS/*.wav, optionally groups.csv (file,group)",
    read=read,
)
