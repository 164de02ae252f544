"""Your own recordings: a folder per class, and optionally `groups.csv` with the columns `file` and `group`.

`file` is the path below the data folder (`dog/rex 1.wav`), `group` whatever must not be separated: the source
recording, the speaker, the machine. Without the table each file is a group of its own, and the study says so.
"""

from collections import defaultdict
from pathlib import Path

from sweeper.audio.datasets.base import Clip, DatasetError, Definition, Reading, shorten
from sweeper.audio.datasets.copies import repeated
from sweeper.audio.datasets.drawn import draw_folds
from sweeper.audio.datasets.files import UNREADABLE, Found, by_id, collect, key, suffixes, text
from sweeper.audio.datasets.layouts import LayoutError
from sweeper.audio.datasets.tables import rows

GROUPS = "groups.csv"
SIDES = ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation")


def read(root: Path | None) -> Reading:
    """Clips by class folder (subfolders included); the id is the path below `root` without its ending."""
    assert root is not None
    if not root.is_dir():
        hint = "it is a file: is it a table, for --dataset table?" if root.is_file() else "no such folder"
        raise LayoutError(f"{root}: {hint}; pass the folder that holds a folder per class")
    found = collect(root)
    direct = [path for path in found.audio if path.parent == root]
    found.other = [path for path in (*direct, *found.other) if path != root / GROUPS]
    paths, several = by_id(found, (path for path in found.audio if path.parent != root))
    classes = {clip_id: path.relative_to(root).parts[0] for clip_id, path in paths.items()}
    _check_layout(found, direct, set(classes.values()))
    names = tuple(sorted(set(map(text, classes.values()))))
    ids = sorted(paths)
    targets = [names.index(text(classes[i])) for i in ids]
    table = root / GROUPS
    groups = _groups(table, paths, found) if table.exists() else {i: i for i in ids}
    folds, notes = draw_folds(root, targets, [groups[i] for i in ids], "groups")
    clips = (Clip(i, paths[i], t, groups[i], f) for i, t, f in zip(ids, targets, folds, strict=True))
    ungrouped = () if table.exists() else (f"no {GROUPS}: every file counts as a recording of its own",)
    return Reading(
        tuple(clips),
        notes=(
            *ungrouped,
            *notes,
            *several,
            *_twice(found, paths),
            *_empty(found, set(classes.values())),
            *found.notes(),
        ),
        classes=names,
    )


def _check_layout(found: Found, direct: list[Path], classes: set[str]) -> None:
    """Stop where the folders can't be the classes.

    Raises:
        DatasetError: no audio, or in no class folder; one class; a split; a class of files that can't be read.
    """
    root = found.root
    if not classes and direct:
        raise LayoutError(f"{root}: audio files lie directly in it; put those of each class in a folder of its own")
    unreadable: dict[str, list[Path]] = defaultdict(list)
    for path in found.other:
        name = path.relative_to(root).parts[0]
        if path.suffix.lower() in UNREADABLE and path.parent != root and name not in classes:
            unreadable[name].append(path)
    for name, files in unreadable.items():
        endings = ", ".join(sorted({path.suffix.lower() for path in files}))
        raise DatasetError(
            f"{root / name}: none of its {len(files)} recordings ({endings}) can be read; convert them "
            "(ffmpeg -i OLD NEW.flac) or take the folder away"
        )
    if not classes:
        raise LayoutError(f"{root}: no audio in it (looked for {', '.join(list(suffixes())[:6])} and other files)")
    if len(classes) < 2:
        only = classes.pop()
        place, inner = _fork(found, root / only)
        hint = f"; if its folders {shorten(inner)} are the classes, pass --data {place}" if inner else ""
        raise DatasetError(f"{root}: only one class folder with audio, {text(only)!r}; classification needs two{hint}")
    if all(name.casefold() in SIDES for name in classes):
        raise DatasetError(
            f"{root}: its folders {shorten(sorted(classes))} are parts of a split and no classes; list the clips in a "
            "table with the columns path,label,split for --dataset table"
        )
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(classes):
        alike[key(name)].append(name)
    if double := [names for names in alike.values() if len(names) > 1]:
        raise DatasetError(
            f"{root}: {len(double[0])} class folders are all named {double[0][0]!r}, in other characters of Unicode "
            f"({double[0][0]!a}, {double[0][1]!a}); put their files into one"
        )


def _fork(found: Found, place: Path) -> tuple[Path, list[str]]:
    """The first folder from `place` on down that has several, and their names; none where each has one at most."""
    while inner := sorted(path for path in found.folders if path.parent == place):
        if len(inner) > 1:
            return place, [path.name for path in inner]
        place = inner[0]
    return place, []


def _groups(table: Path, paths: dict[str, Path], found: Found) -> dict[str, str]:
    by_file = {name: clip_id for clip_id, path in paths.items() for name in _names(found.name(path.with_suffix("")))}
    by_file |= {name: clip_id for clip_id, path in paths.items() for name in _names(found.name(path))}
    left_out = {name for path, _taken in found.copies for name in _names(found.name(path))}
    groups: dict[str, str] = {}
    for line, row in rows(table, ("file", "group")):
        name = key(row["file"].replace("\\", "/").removeprefix("./"))
        clip_id = by_file.get(name) or by_file.get(name.rpartition(".")[0])  # a FLAC copy under its old name
        if clip_id is None and name in left_out:
            continue
        if clip_id is None:
            raise DatasetError(f"{table}, line {line}: no file {row['file']!r} below {found.root} (column 'file')")
        if not row["group"]:
            raise DatasetError(f"{table}, line {line}: {row['file']!r} has an empty group (column 'group'); name one")
        if groups.setdefault(clip_id, row["group"]) != row["group"]:
            raise DatasetError(
                f"{table}, line {line}: {row['file']!r} is in group {row['group']!r} here and in "
                f"{groups[clip_id]!r} above; keep one"
            )
    if without := sorted(paths.keys() - groups.keys()):
        listed = shorten(found.name(paths[clip_id]) for clip_id in without)
        raise DatasetError(f"{table}: no group for {len(without)} files: {listed}; add a line for each")
    return groups


def _names(name: str) -> set[str]:
    """How a table may write a file's name; one that is not UTF-8 as the table's encoding would have it."""
    written = {key(name)}
    if not name.isascii() and any(0xDC80 <= ord(character) <= 0xDCFF for character in name):
        content = name.encode("utf-8", "surrogateescape")
        written.add(key(content.decode("latin-1")))
        written.add(key(content.decode("cp1252", "replace")))
    return written


def _twice(found: Found, paths: dict[str, Path]) -> tuple[str, ...]:
    pairs = repeated(paths.values())
    if not pairs:
        return ()
    listed = shorten(f"{found.name(path)} = {found.name(first)}" for path, first in pairs)
    return (f"{len(pairs)} of {len(paths)} files repeat another byte for byte: {listed}; is a folder there twice?",)


def _empty(found: Found, classes: set[str]) -> tuple[str, ...]:
    without = sorted({path.name for path in found.folders if path.parent == found.root} - classes)
    return (f"{len(without)} folders without audio are no classes: {shorten(without)}",) if without else ()


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
