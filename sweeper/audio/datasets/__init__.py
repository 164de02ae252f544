"""The data sets. Each file of this package reads one, in its authors' own layout.

To add one, write its file with a `DEFINITION` and add its name to `NAMES`.
"""

import errno
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from sweeper.audio.datasets.base import Clip, Dataset, DatasetError, Definition, Reading, shorten
from sweeper.audio.places import data_folder

__all__ = ["NAMES", "Clip", "Dataset", "DatasetError", "definition", "load"]

LONGEST = 200  # letters of a path in a message
NAMES = (
    "demo",
    "urbansound8k",
    "esc50",
    "esc10",
    "ravdess",
    "cremad",
    "fsdd",
    "folder",
    "table",
)


def definition(name: str) -> Definition:
    """What is known of a data set before looking at any file.

    Raises:
        DatasetError: no such data set.
    """
    if name not in NAMES:
        raise DatasetError(f"unknown data set {name!r}; the data sets are: {', '.join(NAMES)}")
    found: Definition = import_module(f"sweeper.audio.datasets.{name}").DEFINITION
    return found


def load(name: str, root: Path | None) -> Dataset:
    """Read a data set's tables and file names; no audio is decoded.

    Args:
        name: one of `NAMES`.
        root: its folder; None for `demo`, and for one that `data fetch` got.

    Raises:
        DatasetError: unknown name, no folder, a folder without audio or in another layout, or tables that
            contradict the data set's own definition.
    """
    from sweeper.audio.datasets.layouts import LayoutError  # with NumPy, which the names of data sets need not

    known = definition(name)
    if known.synthetic and root is not None:
        raise DatasetError(f"{name} is synthesised and takes no folder; leave out --data {root}")
    if not known.synthetic and root is None:
        root = data_folder(name)
        if not root.is_dir():
            what = "FILE" if name == "table" else "DIR"
            fetch = f", or get it with: python -m sweeper data fetch {name}" if known.downloads else ""
            raise DatasetError(f"no folder for {name}: pass --data {what}{fetch}")
    try:
        reading = known.read(root)
    except LayoutError as error:
        raise DatasetError(f"{error} (expected in it: {known.layout})") from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        place = str(error.filename or root)
        shown = place if len(place) <= LONGEST else f"{place[:LONGEST]}…"
        raise DatasetError(f"{shown}: {(error.strerror or str(error)).lower()}; pass another with --data") from None
    clips = tuple(sorted(reading.clips, key=lambda clip: (clip.fold, clip.clip_id)))
    if twice := [clip_id for clip_id, n in Counter(clip.clip_id for clip in clips).items() if n > 1]:
        raise DatasetError(f"{root}: {len(twice)} clips are listed twice: {shorten(twice)}")
    if not clips:
        which = f"lists has a file: {shorten(reading.missing)}" if reading.missing else "consists of is there"
        raise DatasetError(f"{root}: none of the clips that {name} {which} (expected in it: {known.layout})")
    folds = tuple(sorted({clip.fold for clip in clips if clip.fold > 0}))
    return Dataset(
        name=name,
        classes=known.classes or reading.classes,
        clips=clips,
        folds=folds,
        synthetic=known.synthetic,
        licence=known.licence,
        notes=_notes(known, reading, clips, folds),
        missing=reading.missing,
        group_name=known.group_name,
        separates_groups=known.separates_groups,
    )


def _notes(known: Definition, reading: Reading, clips: tuple[Clip, ...], folds: tuple[int, ...]) -> tuple[str, ...]:
    notes = list(reading.notes)
    if known.synthetic:
        notes.insert(0, "synthetic: these sounds were made by a program")
    if known.size is not None and len(clips) < known.size:
        listed = ", ".join(map(str, folds))
        notes.insert(0, f"{len(clips)} of {known.size} clips present, folds {listed}")
    if reading.missing:
        notes.append(f"{len(reading.missing)} listed clips have no file: {shorten(reading.missing)}")
    if rare := _rare(known.classes or reading.classes, clips, folds):
        notes.append(f"{_classes(rare, 'is', 'are')} not in every fold: {shorten(rare)}")
    if alone := _alone(known.classes or reading.classes, clips, folds):
        notes.append(
            f"{_classes(alone, 'has', 'have')} clips in one fold only, which tests them untrained: {shorten(alone)}"
        )
    if not known.separates_groups:
        notes.append(f"the official split has the same {known.group_name}s on both sides, as its author prescribes")
    return tuple(notes)


def _alone(classes: tuple[str, ...], clips: tuple[Clip, ...], folds: tuple[int, ...]) -> list[str]:
    where: dict[int, set[int]] = {}
    for clip in clips:
        where.setdefault(clip.target, set()).add(clip.fold)
    return [classes[target] for target, found in sorted(where.items()) if len(found) == 1 and found <= set(folds)]


def _rare(classes: tuple[str, ...], clips: tuple[Clip, ...], folds: tuple[int, ...]) -> list[str]:
    """Classes that some fold lacks, so that they are tested without training, or trained without a test."""
    present = {(clip.target, clip.fold) for clip in clips}
    return [name for target, name in enumerate(classes) if any((target, fold) not in present for fold in folds)]


def _classes(names: Sequence[str], one: str, several: str) -> str:
    return f"1 class {one}" if len(names) == 1 else f"{len(names)} classes {several}"
