"""Your own recordings, wherever they lie: a table, CSV or Parquet, with the columns `path` and `label`, and optionally
`group`, and `fold` or `split`.

`path` is the file's, from the table's folder on. `group` is what must not be separated: the source recording, the
speaker, the machine; without it each file is a group of its own, and the study says so. `fold` numbers the test folds
from 1. `split` says train, validation or test instead, where validation may be left to be drawn. With neither, five
folds are drawn.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sweeper.audio.datasets.base import VALIDATION, Clip, DatasetError, Definition, Reading, shorten
from sweeper.audio.datasets.drawn import draw_folds
from sweeper.audio.datasets.files import entries, key, preference, suffixes, text
from sweeper.audio.datasets.tables import column_names, number, records, refuse_error, whole

REQUIRED, OPTIONAL = ("path", "label"), ("group", "fold", "split")
MOST_FOLDS = 1000
SIDES = {
    **dict.fromkeys(("train", "training"), 0),
    **dict.fromkeys(("validation", "valid", "val", "dev"), VALIDATION),
    **dict.fromkeys(("test", "testing"), 1),
}
TRAIN, TEST = 0, 1


@dataclass(frozen=True)
class _Row:
    where: str  # file and line, for errors
    values: dict[str, str]


def read(root: Path | None) -> Reading:
    """Clips of the table; the id is the path without its ending."""
    assert root is not None
    table = list(_rows(root))
    if not table:
        raise DatasetError(f"{root}: no rows; a row for each file is expected, with {', '.join(REQUIRED)}")
    columns = table[0].values
    if "fold" in columns and "split" in columns:
        raise DatasetError(f"{root}: has the columns fold and split; keep the one that is meant")
    files = _files(root, table)
    ids = _ids(root, table, files)
    labels = [_filled(row, "label") for row in table]
    classes = tuple(sorted(set(labels)))
    if len(classes) < 2:
        raise DatasetError(f"{root}: all {len(table)} rows have the label {classes[0]!r}; classification needs two")
    targets = [classes.index(label) for label in labels]
    groups = [_filled(row, "group") for row in table] if "group" in columns else ids
    notes = [] if "group" in columns else ["no column group: every file counts as a recording of its own"]
    if unused := [name for name in column_names(root, REQUIRED) if name and name.strip().casefold() not in columns]:
        notes.append(f"not used: {'column' if len(unused) == 1 else 'columns'} {shorten(unused)}")
    if "fold" in columns:
        folds = [_fold(row) for row in table]
    elif "split" in columns:
        folds = [_side(row) for row in table]
        _check_sides(root, folds)
    else:
        folds, drawn = draw_folds(root, targets, groups, "groups")
        notes += drawn
    clips = (Clip(*values) for values in zip(ids, files, targets, groups, folds, strict=True))
    return Reading(tuple(clips), notes=(*notes, *_alike(classes)), classes=classes)


def _rows(root: Path) -> Iterator[_Row]:
    if root.is_dir():
        raise DatasetError(f"{root}: is a folder; pass the table, --data {root / 'clips.csv'}, or use --dataset folder")
    if not root.is_file():
        raise DatasetError(f"{root}: no such file; pass the table with --data FILE")
    for where, values in records(root, REQUIRED, OPTIONAL):
        yield _Row(where, values)


def _filled(row: _Row, column: str) -> str:
    if not row.values[column]:
        raise DatasetError(f"{row.where}: an empty field (column {column!r}); fill it, or take the row out")
    refuse_error(row.values[column], row.where, column)
    return whole(row.values[column])


def _fold(row: _Row) -> int:
    value = _filled(row, "fold")
    if value == "0":
        raise DatasetError(
            f"{row.where}: fold 0 (column 'fold'); folds are numbered from 1, and of clips that never test the column "
            "split says train"
        )
    return number(value, row.where, "fold", range(1, MOST_FOLDS + 1))


def _side(row: _Row) -> int:
    value = _filled(row, "split")
    if value.casefold() not in SIDES:
        raise DatasetError(
            f"{row.where}: {value!r} is not train, validation or test (column 'split'); write one of them"
        )
    return SIDES[value.casefold()]


def _check_sides(root: Path, folds: list[int]) -> None:
    counts = Counter(folds)
    for side, name in ((TRAIN, "train"), (TEST, "test")):
        if not counts[side]:
            raise DatasetError(f"{root}: none of the {len(folds)} rows has {name!r} in the column 'split'; some must")


class _Disk:
    """Folders that were looked into, each once: names, and files by name without ending, as they are compared."""

    def __init__(self) -> None:
        self._names: dict[Path, dict[str, str]] = {}
        self._stems: dict[Path, dict[str, list[str]]] = {}

    def find(self, path: Path) -> Path | None:
        """The file of this name, of another ending where there is none; in whatever characters Unicode has for it."""
        folder = self._real(path.parent)
        if folder is None:
            return None
        names = self._look(folder)
        if (name := names.get(key(path.name))) is not None:
            return folder / name
        others = [folder / name for name in self._stems[folder].get(key(path.stem), [])]
        return min(others, key=preference) if others else None

    def _real(self, folder: Path) -> Path | None:
        if folder in self._names or folder.is_dir():
            return folder
        above = self._real(folder.parent) if folder != folder.parent else None
        name = self._look(above).get(key(folder.name)) if above is not None else None
        return above / name if above is not None and name is not None else None

    def _look(self, folder: Path) -> dict[str, str]:
        if folder not in self._names:
            found = [entry.name for entry in entries(folder)]
            self._names[folder] = {key(name): name for name in found}
            stems = self._stems[folder] = {}
            for name in found:
                if Path(name).suffix.lower() in suffixes():
                    stems.setdefault(key(Path(name).stem), []).append(name)
        return self._names[folder]


def _files(root: Path, table: list[_Row]) -> list[Path]:
    """The file of each row; of another ending where that of the table isn't there, as for FLAC copies.

    Raises:
        DatasetError: a file that is missing, or in two rows.
    """
    disk = _Disk()
    files: list[Path] = []
    missing: list[_Row] = []
    rows_of: dict[Path, _Row] = {}
    for row in table:
        _filled(row, "path")
        written = row.values["path"]
        places = (Path(os.path.normpath(root.parent / name)) for name in (written, written.replace("\\", "/")))
        path = next((found for place in places if (found := disk.find(place)) is not None), None)
        if path is None:
            missing.append(row)
            continue
        if (first := rows_of.setdefault(path, row)) is not row:
            other = first.where.removeprefix(f"{root}, ")
            raise DatasetError(
                f"{row.where}: {written!r} is in {other}, too (column 'path'); keep one row for each file"
            )
        files.append(path)
    if missing:
        more = f"; nor for {len(missing) - 1} other rows" if len(missing) > 1 else ""
        raise DatasetError(
            f"{missing[0].where}: no file {missing[0].values['path']!r} below {root.parent} (column 'path'); correct "
            f"the path, or take the row out{more}"
        )
    return files


def _ids(root: Path, table: list[_Row], files: list[Path]) -> list[str]:
    """The paths as the table has them, without endings where these tell nothing apart; of absolute ones what varies."""
    absolute = [path for row, path in zip(table, files, strict=True) if Path(row.values["path"]).is_absolute()]
    base = Path(os.path.commonpath([path.parent for path in absolute])) if absolute else root.parent
    names = [Path(os.path.relpath(path, base)) for path in files]
    short = [text(name.with_suffix("").as_posix()) for name in names]
    counts = Counter(short)
    return [
        text(name.as_posix()) if counts[clip_id] > 1 else clip_id for name, clip_id in zip(names, short, strict=True)
    ]


def _alike(classes: tuple[str, ...]) -> tuple[str, ...]:
    several: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        several[key(name).casefold()].append(name)
    pairs = [" and ".join(names) for names in several.values() if len(names) > 1]
    return (f"labels that differ in case alone are classes of their own: {shorten(pairs)}",) if pairs else ()


DEFINITION = Definition(
    title="Your own recordings: a table with a row for each file",
    classes=(),
    size=None,
    official="the table's folds, or its train, validation and test; else 5 folds, stratified, groups kept together",
    licence="your own",
    homepage="",
    layout="a .csv or .parquet file with the columns path,label[,group] and [,fold] or [,split]",
    read=read,
)
