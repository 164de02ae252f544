"""What a data set is, before anything is decoded."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

VALIDATION = -1  # the fold of clips that an official split selects on


class DatasetError(ValueError):
    """Data that can't be used as asked; the message is one line: what, where, and what to do about it.

    Every error that `sweeper.audio` means for the user is one of these.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


@dataclass(frozen=True)
class Clip:
    """One labelled recording.

    Attributes:
        clip_id: its name in the data set, without folder and suffix, so that a FLAC copy has the same id.
        path: the file.
        target: index into the data set's classes.
        group: what must never be separated by a split (source recording, actor, speaker).
        fold: the authors' fold, from 1; 0 where the official split never tests the clip, and `VALIDATION` where it
            never tests it and selects on it.
    """

    clip_id: str
    path: Path
    target: int
    group: str
    fold: int


@dataclass(frozen=True)
class Dataset:
    """The clips of a data set that are present, with all that splits, tables and reports need to know of it.

    Attributes:
        name: as on the command line.
        classes: class names; `Clip.target` points into them.
        clips: sorted by fold, then id.
        folds: the folds that the official split tests on, one after the other.
        synthetic: whether its sounds are made up; every table must then say so.
        licence: of the recordings.
        notes: what a reader of results must know, one sentence each ("584 of 8732 clips present, …").
        missing: ids of clips that the data set's own index names and that have no file.
        group_name: what a group is, in words: "recording", "actor", "speaker".
        separates_groups: whether the official split keeps groups apart. False only where its
            author prescribes otherwise (FSDD); such a split is run, and labelled.
    """

    name: str
    classes: tuple[str, ...]
    clips: tuple[Clip, ...]
    folds: tuple[int, ...]
    synthetic: bool
    licence: str
    notes: tuple[str, ...]
    missing: tuple[str, ...] = ()
    group_name: str = "recording"
    separates_groups: bool = True


@dataclass(frozen=True)
class Download:
    """A file that a data set's authors publish.

    Attributes:
        url: its address.
        file_name: the name to keep it under.
        megabytes: roughly, for the reader's patience.
        checksum: `"md5:…"` or `"sha256:…"` as published; None where the file's bytes
            aren't fixed, and then later downloads are held to the checksum of the first.
    """

    url: str
    file_name: str
    megabytes: int
    checksum: str | None


@dataclass(frozen=True)
class Definition:
    """A data set as its authors describe it, and how to read their layout.

    Attributes:
        title: full name, and who made it.
        classes: class names; empty where the folder decides.
        size: clips in the complete data set; None where the folder decides.
        official: the official split in a few words.
        licence: name of the licence.
        homepage: where the licence and the description stand.
        layout: what lies in its folder, in one line.
        read: from the folder to the clips that are present and the ids that are missing.
        downloads: what `data fetch` gets.
        lfs_url: where the real files are that git-lfs pointers in the download stand for, by path below it.
        group_name: see `Dataset`.
        separates_groups: see `Dataset`.
        synthetic: see `Dataset`.
    """

    title: str
    classes: tuple[str, ...]
    size: int | None
    official: str
    licence: str
    homepage: str
    layout: str
    read: "Callable[[Path | None], Reading]"
    downloads: tuple[Download, ...] = ()
    lfs_url: str | None = None
    group_name: str = "recording"
    separates_groups: bool = True
    synthetic: bool = False


@dataclass(frozen=True)
class Reading:
    """What a reader found; `classes` only where the folder decides them."""

    clips: tuple[Clip, ...]
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


def shorten(names: Iterable[str], shown: int = 3) -> str:
    """`"a, b, c and 5 more"`, printable."""
    listed = list(names)
    rest = len(listed) - shown
    return printable(", ".join(listed[:shown])) + (f" and {rest} more" if rest > 0 else "")


def printable(text: str) -> str:
    """`text` in one line of UTF-8: control characters, and bytes of names that are not UTF-8, as escapes."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else character.encode("unicode_escape").decode("ascii")
