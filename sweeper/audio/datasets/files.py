"""What the readers of all layouts share: finding the folder, its audio files and its table."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from sweeper.audio.datasets.base import DatasetError, shorten

SUFFIXES = (".wav", ".flac")


def find_root(root: Path, marker: str) -> Path:
    """The folder that holds `marker` (a glob): `root`, its only such child, or its parent.

    Archives unpack into a folder of their own, and people point at `audio/` itself; both are clear enough.

    Raises:
        DatasetError: none of them holds it, or several children do.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; pass the data set's folder with --data DIR")
    if _holds(root, marker):
        return root
    children = [child for child in sorted(root.iterdir()) if child.is_dir() and _holds(child, marker)]
    if len(children) > 1:
        names = shorten(str(child.name) for child in children)
        raise DatasetError(f"{root}: several folders look like the data set ({names}); pass one of them")
    if children:
        return children[0]
    parent = root.resolve().parent
    if _holds(parent, marker):
        return parent
    raise DatasetError(f"{root}: no {marker} in it; is this the data set's folder?")


def _holds(folder: Path, marker: str) -> bool:
    return next(folder.glob(marker), None) is not None


def audio_files(folder: Path) -> dict[str, Path]:
    """Audio files directly in `folder` by stem; of a .wav and a .flac of one name, the .wav.

    Only names are looked at: a file that can't be opened is the audio reader's to report. Hidden files are
    left out (macOS adds `._name.wav` to archives).
    """
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found: dict[str, Path] = {}
    for name in names:
        path = folder / name
        stem, suffix = path.stem, path.suffix.lower()
        if suffix not in SUFFIXES or name.startswith("."):
            continue
        if stem not in found or suffix == ".wav":
            found[stem] = path
    return found


def require_audio(found: int, root: Path) -> None:
    """Stop early, with the folder's name, where a layout is right and empty.

    Raises:
        DatasetError: nothing was found.
    """
    if not found:
        raise DatasetError(f"{root}: no audio in it (looked for {' and '.join(SUFFIXES)} files in the authors' layout)")


def rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a csv table as `(line, {column: value})`.

    Raises:
        DatasetError: not text, a column missing, or a row cut short.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            if missing := [c for c in columns if c not in (table.fieldnames or ())]:
                raise DatasetError(f"{path}: no column {missing[0]!r}; expected {', '.join(columns)}")
            for row in table:
                if any(row[c] is None for c in columns):
                    raise DatasetError(f"{path}, line {table.line_num}: too few fields; is the file cut short?")
                yield table.line_num, {c: row[c].strip() for c in columns}
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: not a csv table ({error}); restore the data set's own file") from None


def number(text: str, where: str, allowed: range) -> int:
    """An integer field.

    Raises:
        DatasetError: not a number, or not one of `allowed`.
    """
    try:
        value = int(text)
    except ValueError:
        raise DatasetError(f"{where}: {text!r} is not a number") from None
    if value not in allowed:
        raise DatasetError(f"{where}: {value} is not in {allowed.start} to {allowed.stop - 1}")
    return value
