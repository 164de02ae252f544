"""CREMA-D: Cao, Cooper, Keutmann, Gur, Nenkova, Verma, IEEE Trans. Affective Computing 5(4), 2014.

91 actors speak twelve sentences in six emotions: 7442 clips at 16 kHz. The authors prescribe no split. Ours is
by actor: actor 1001 is in fold 1, 1002 in fold 2, …, 1006 in fold 1 again, whoever else is present.
"""

import re
from pathlib import Path

from sweeper.audio.datasets.base import Clip, Definition, Download, Reading
from sweeper.audio.datasets.layouts import find_root, gather

CLASSES = ("anger", "disgust", "fear", "happy", "neutral", "sad")
CODES = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
FOLDS = 5
FIRST_ACTOR, LAST_ACTOR = 1001, 1091
# actor, sentence, emotion, level; one published name has X for XX
NAME = re.compile(r"(1[0-9]{3})_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX|X)")


def read(root: Path | None) -> Reading:
    """Clips in `AudioWAV/`; which of them are missing can't be said by name, the authors publish no list."""
    assert root is not None
    files = gather(root, find_root(root, "AudioWAV"), ("AudioWAV",))
    clips = []
    for stem in sorted(files.stems):
        match = NAME.fullmatch(stem)
        if match is None or not FIRST_ACTOR <= int(match[1]) <= LAST_ACTOR:
            continue
        path = files.find(stem)
        assert path is not None
        fold = (int(match[1]) - FIRST_ACTOR) % FOLDS + 1
        clips.append(Clip(stem, path, CODES.index(match[3]), match[1], fold))
    return Reading(tuple(clips), notes=files.notes())


DEFINITION = Definition(
    title="CREMA-D (Cao et al. 2014): acted emotions, 91 actors",
    classes=CLASSES,
    size=7442,
    official="5 folds by actor",
    licence="ODbL 1.0",
    homepage="https://github.com/CheyneyComputerScience/CREMA-D",
    layout="AudioWAV/",
    read=read,
    downloads=(
        # The archive is small, but holds git-lfs pointers; each names the sha256 of its real file, which is then
        # got and checked.
        Download(
            url="https://github.com/CheyneyComputerScience/CREMA-D/archive/refs/heads/master.tar.gz",
            file_name="CREMA-D-master.tar.gz",
            megabytes=600,
            checksum=None,
        ),
    ),
    lfs_url="https://media.githubusercontent.com/media/CheyneyComputerScience/CREMA-D/master/",
    group_name="actor",
)
