"""Finding a data set's clips in a folder: in its authors' layout, or in one that others made of it.

Archives unpack into a folder of their own, people point at `audio/` itself, and re-uploads move the table or have all
clips in one folder. What is clear is read: the clips are known by their names.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from sweeper.audio.datasets.base import DatasetError, shorten
from sweeper.audio.datasets.copies import equal
from sweeper.audio.datasets.files import MOST, Found, collect, entries, is_hidden, key, preference, suffixes

DEEP = 4  # folders down, and up, in which a table is looked for
TABLE_FOLDERS = ("metadata", "meta")
SPREADSHEETS = (".xlsx", ".xls", ".ods", ".numbers")


class LayoutError(DatasetError):
    """A folder that is not, or not clearly, the data set's; `datasets.load` adds what it should look like."""


def find_root(root: Path, marker: str) -> Path | None:
    """The folder that holds `marker` (a glob): `root`, its only such child, or its parent; None where none does.

    Raises:
        LayoutError: no such folder, or several children hold it.
    """
    if not root.is_dir():
        what = (
            "is a file; unpack it, and pass the folder"
            if root.is_file()
            else "no such folder; pass the data set's folder"
        )
        raise LayoutError(f"{root}: {what} with --data DIR")
    if _holds(root, marker):
        return root
    children = [child for child in _folders(root) if _holds(child, marker)]
    if len(children) > 1:
        names = shorten(child.name for child in children)
        raise LayoutError(f"{root}: several folders look like the data set ({names}); pass one of them")
    if children:
        return children[0]
    parent = root.resolve().parent
    return parent if _holds(parent, marker) else None


def find_table(root: Path, marker: str) -> Path:
    """The table that the authors put at `marker`, `metadata/NAME.csv`; or one of its name anywhere near.

    Raises:
        LayoutError: none, or several in folders of the same depth.
    """
    if (base := find_root(root, marker)) is not None:
        return base / marker
    name = Path(marker).name
    level = [root]
    for _ in range(DEEP + 1):
        if found := [file for folder in level for file in _named(folder, name)]:
            if len(found) > 1:
                listed = shorten(str(file.relative_to(root)) for file in found)
                raise LayoutError(f"{root}: several tables look like the data set's ({listed}); pass one's folder")
            return found[0]
        level = [child for folder in level for child in _folders(folder)]
    for folder in list(root.resolve().parents)[:DEEP]:
        for place in (folder, *(folder / inside for inside in TABLE_FOLDERS)):
            if found := _named(place, name):
                return found[0]
    places = (root, *(root / inside for inside in TABLE_FOLDERS))
    for file in (place / f"{Path(name).stem}{ending}" for place in places for ending in SPREADSHEETS):
        if file.exists():
            raise LayoutError(f"{file}: a spreadsheet's own format; save it as {name}")
    raise LayoutError(f"{root}: no {marker} in it; is this the data set's folder?")


def base_of(table: Path) -> Path:
    """The data set's folder, by its table's place."""
    folder = table.parent
    return folder.parent if folder.name.casefold() in TABLE_FOLDERS else folder


def gather(root: Path, base: Path | None, places: Sequence[str]) -> "Gathered":
    """The audio files in the authors' `places` below `base` (globs of folders); else whatever lies below `root`.

    Raises:
        LayoutError: no audio at all.
    """
    folders = sorted(folder for place in places for folder in base.glob(place)) if base is not None else []
    chosen = root.resolve()
    if base is not None and base.resolve() in chosen.parents and chosen not in [place.resolve() for place in folders]:
        below = collect(root, most=MOST)  # the user's choice, and not just one of the places
        if below.audio:
            return Gathered(below)
    if base is not None:
        placed = collect(base, folders)
        if placed.audio:
            return Gathered(placed)
    for folder in (root, base):
        found = collect(folder, most=MOST) if folder is not None else Found(root)
        if found.audio:
            return Gathered(found)
    endings = ", ".join(list(suffixes())[:6])
    raise LayoutError(f"{root}: no audio in it (looked for {endings} and other files)")


class Gathered:
    """Files by the names that a data set has for its clips.

    Attributes:
        found: all that was found.
        stems: files by name without folder and ending.
    """

    def __init__(self, found: Found) -> None:
        self.found = found
        self.stems: dict[str, list[Path]] = defaultdict(list)
        for path in found.audio:
            self.stems[key(path.stem)].append(path)
        self._asked: set[str] = set()
        self._elsewhere: list[Path] = []

    def find(self, name: str, folder: str = "", folders: str = "") -> Path | None:
        """The file of a clip, whatever its ending; None where there is none.

        Args:
            name: the clip's file name, with or without ending.
            folder: name of the clip's folder; a file in another folder that matches `folders` is left out.
            folders: regular expression for the names of all such folders.

        Raises:
            LayoutError: several files, equally deep, that differ.
        """
        stem = key(Path(name).stem if Path(name).suffix.lower() in suffixes() else Path(name).name)
        self._asked.add(stem)
        files = self.stems.get(stem, [])
        if folder:
            others = [
                path
                for path in files
                if path.parent.name.casefold() != folder.casefold() and re.fullmatch(folders, path.parent.name, re.I)
            ]
            files = [path for path in files if path not in others]
            self._elsewhere += others if not files else []
        if len(files) < 2:
            return files[0] if files else None
        first, *rest = sorted(files, key=lambda path: (len(path.parts), path.name != name, *preference(path), path))
        for path in rest:
            same_depth = len(path.parts) == len(first.parts) and path.parent != first.parent
            if same_depth and not equal(path, first):
                names = f"{self.found.name(first)} and {self.found.name(path)}"
                raise LayoutError(f"{self.found.root}: {names} differ; pass the folder that holds one of them")
        self.found.copies += [(path, first) for path in rest]
        return first

    def notes(self, strange: str = "with foreign names") -> tuple[str, ...]:
        """What was not taken, and what was not asked for, which is `strange`."""
        notes = []
        for paths, what in (
            ([path for stem, files in self.stems.items() if stem not in self._asked for path in files], strange),
            (self._elsewhere, "in another folder than where they belong"),
        ):
            if paths:
                notes.append(f"{len(paths)} files {what} left out, such as {shorten([self.found.name(paths[0])])}")
        return (*notes, *self.found.notes())


def _holds(folder: Path, marker: str) -> bool:
    return next(folder.glob(marker), None) is not None


def _folders(folder: Path) -> list[Path]:
    return [path for path in _inside(folder) if not is_hidden(path.name) and path.is_dir()]


def _named(folder: Path, name: str) -> list[Path]:
    return [path for path in _inside(folder) if path.name.casefold() == name.casefold()]


def _inside(folder: Path) -> list[Path]:
    try:
        return [folder / entry.name for entry in entries(folder)]
    except DatasetError:  # somebody else's
        return []
