"""Which files of a folder are taken, and what is said of those that are not.

Whatever libsndfile reads is taken, by its name's ending; links are followed; what is hidden is not looked at. All else
is counted and named, so that no recording is missing without a word.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from unicodedata import normalize

from sweeper.audio.datasets.base import DatasetError, shorten
from sweeper.audio.datasets.copies import same_recording

# libsndfile's formats whose length is sure (see `sweeper.audio.containers`), and their endings: of a clip in several
# formats the first is taken.
FORMATS = {
    "WAV": (".wav", ".wave", ".bwf"),
    "FLAC": (".flac",),
    "RF64": (".rf64",),
    "W64": (".w64",),
    "AIFF": (".aiff", ".aif", ".aifc"),
    "CAF": (".caf",),
    "AU": (".au", ".snd"),
    "NIST": (".sph", ".nist"),
    "VOC": (".voc",),
    "SVX": (".svx", ".8svx"),
    "AVR": (".avr",),
    "PAF": (".paf",),
    "PVF": (".pvf",),
    "SDS": (".sds",),
    "IRCAM": (".ircam",),
    "OGG": (".ogg", ".oga", ".opus"),
    "MP3": (".mp3",),
}
# Recordings all the same: a class of these would otherwise be gone.
UNREADABLE = {
    ".3gp", ".aac", ".ac3", ".alac", ".amr", ".ape", ".avi", ".dsf", ".dts", ".gsm", ".m4a", ".m4b", ".mka",
    ".mkv", ".mov", ".mp1", ".mp2", ".mp4", ".mpc", ".mpeg", ".mpg", ".mpga", ".ra", ".sd2", ".shn", ".spx",
    ".tta", ".weba", ".webm", ".wma", ".wmv", ".wv", ".wve", ".xi",
}  # fmt: skip
# What systems put beside people's files, in lower case; and all that begins with a dot.
HIDDEN = (
    "__macosx", "@eadir", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "lost+found",
    "__pycache__",
)  # fmt: skip
COMPANIONS = ("Thumbs.db", "desktop.ini", "Icon\r")
MOST = 500_000  # entries that are looked through before a folder is taken for the wrong one
COMPARED = 50  # files that are listened to before the others are taken for copies, too


@cache
def suffixes() -> dict[str, int]:
    """The endings of what is read on this machine, in lower case, with their rank."""
    import soundfile

    known = soundfile.available_formats()
    endings = [ending for name, several in FORMATS.items() if name in known for ending in several]
    return {ending: rank for rank, ending in enumerate(endings)}


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is not looked at."""
    return name.startswith(".") or name.lower() in HIDDEN


def key(name: str) -> str:
    """A name as it is compared: macOS writes `é` as two characters, most tables as one."""
    return normalize("NFC", text(name))


def text(name: str) -> str:
    """A name as an id: bytes that are not UTF-8 as escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


@dataclass
class Found:
    """The files of a folder, folder by folder.

    Attributes:
        root: what the others lie below.
        folders: those that were looked into.
        audio: files that can be read, by their names.
        other: files of other kinds, links that lead nowhere, and folders that were not looked into.
        hidden: hidden folders, and hidden files with the ending of audio.
        loops: links to a folder that they lie in.
        copies: files left out in favour of one of the same name, as `(left out, taken)`.
    """

    root: Path
    folders: list[Path] = field(default_factory=list)
    audio: list[Path] = field(default_factory=list)
    other: list[Path] = field(default_factory=list)
    hidden: list[Path] = field(default_factory=list)
    loops: list[Path] = field(default_factory=list)
    copies: list[tuple[Path, Path]] = field(default_factory=list)

    def notes(self) -> tuple[str, ...]:
        """What was not taken, a sentence for each kind."""
        notes = []
        if self.other:
            kinds = Counter(path.suffix.lower() or "without ending" for path in self.other)
            common = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
            counted = shorten((f"{count} {kind}" for kind, count in common), 6)
            way = "; what is a recording can be converted: ffmpeg -i OLD NEW.flac" if kinds.keys() & UNREADABLE else ""
            notes.append(f"{_files(self.other)} not taken ({counted}): {self._listed(self.other)}{way}")
        if self.hidden:
            notes.append(f"{len(self.hidden)} hidden folders or files not looked at: {self._listed(self.hidden)}")
        if self.loops:
            notes.append(
                f"{len(self.loops)} links to a folder that they lie in, not followed: {self._listed(self.loops)}"
            )
        if self.copies:
            pairs = (f"{self.name(left)} (taken: {self.name(taken)})" for left, taken in self.copies)
            notes.append(
                f"{_files(self.copies)} not taken, as copies of others of the same name: {shorten(pairs)}; rename "
                "what is a recording of its own"
            )
        return tuple(notes)

    def name(self, path: Path) -> str:
        """The path below the root."""
        return path.relative_to(self.root).as_posix()

    def _listed(self, paths: Iterable[Path]) -> str:
        return shorten(sorted(map(self.name, paths)))


def _files(several: Sequence[object]) -> str:
    return f"{len(several)} file{'s' * (len(several) > 1)}"


def collect(root: Path, folders: Sequence[Path] | None = None, most: int | None = None) -> Found:
    """What lies below `root`; or directly in `folders`, which lie below it and need not exist.

    Args:
        root: a folder.
        folders: where to look, without their subfolders.
        most: entries after which it stops.

    Raises:
        DatasetError: a folder that can't be read, or more entries than `most`.
    """
    found = Found(root)
    if folders is None:
        _walk(found, root, most)
    else:
        for folder in folders:
            for entry in entries(folder):
                if _is_folder(entry) and not is_hidden(entry.name):
                    found.other.append(folder / entry.name)
                else:
                    _sort(found, folder / entry.name, _is_folder(entry))
    return found


def _walk(found: Found, root: Path, most: int | None) -> None:
    waiting, seen = [root], 0
    while waiting:
        folder = waiting.pop()
        found.folders.append(folder)
        below = []
        for entry in entries(folder):
            path, is_folder = folder / entry.name, _is_folder(entry)
            seen += 1
            if not is_folder or is_hidden(entry.name):
                _sort(found, path, is_folder)
            elif entry.is_symlink() and _leads_back(path, found.root):
                found.loops.append(path)
            else:
                below.append(path)
        if most is not None and seen > most:
            raise DatasetError(f"{root}: more than {most} files and folders in it; pass the data set's own folder")
        waiting += reversed(below)


def entries(folder: Path) -> list["os.DirEntry[str]"]:
    """What lies in a folder, by name; nothing where there is no such folder.

    Raises:
        DatasetError: it can't be read.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DatasetError(f"{folder}: {(error.strerror or str(error)).lower()}; make it readable") from None


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself: the reader says so


def _sort(found: Found, path: Path, is_folder: bool) -> None:
    name = path.name
    audio = path.suffix.lower() in suffixes()
    if name.startswith("._") or name in COMPANIONS:
        return
    if is_hidden(name):
        if is_folder or audio:
            found.hidden.append(path)
    else:
        (found.audio if audio else found.other).append(path)


def _leads_back(link: Path, root: Path) -> bool:
    """Whether a link is to one of the folders on the way to it."""
    target = link.stat()
    way = link.parent
    while True:
        if os.path.samestat(target, way.stat()):
            return True
        if way == root:
            return False
        way = way.parent


def by_id(found: Found, paths: Iterable[Path]) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Files by clip id, and notes on them. The id is the path below the root without its ending: a FLAC copy shares it.

    Files with the same id are one clip if they hold the same recording: the format that comes first in `FORMATS` is
    taken, the others go to `found.copies`. If not, each is a clip, and all but the first keep the ending in their id.
    """
    several: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        several[text(found.name(path.with_suffix("")))].append(path)
    chosen, pairs = {}, []
    for clip_id, files in several.items():
        first, *rest = sorted(files, key=preference)
        chosen[clip_id] = first
        pairs += [(path, first) for path in rest]
    some = pairs[:: -(-len(pairs) // COMPARED)] if pairs else []
    same = {pair: same_recording(*pair) for pair in some}
    if not all(same.values()):  # else all are taken for copies, as when a folder was exported in two formats
        same |= {pair: same_recording(*pair) for pair in pairs if pair not in same}
    found.copies += [pair for pair in pairs if same.get(pair, True)]
    own = [path for path, first in pairs if not same.get((path, first), True)]
    chosen |= {text(found.name(path)): path for path in own}
    if not own:
        return chosen, ()
    listed = shorten(map(found.name, own))
    return chosen, (f"{_files(own)} beside another recording of the same name, so named with the ending: {listed}",)


def preference(path: Path) -> tuple[int, bool, str]:
    """What to sort by, so that of files for one clip the one to take comes first."""
    return suffixes()[path.suffix.lower()], path.suffix != path.suffix.lower(), path.name
