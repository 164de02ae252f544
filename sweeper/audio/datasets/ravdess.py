"""RAVDESS, speech: Livingstone and Russo, PLoS ONE 13(5), 2018.

24 actors speak two sentences in eight emotions, twice, at two intensities (neutral at one): 60 clips each.
The authors prescribe no split. Ours is by actor: actors 1 and 2, 3 and 4, … (odd numbers are men, even ones
women) go to folds 1, 2, 3, 4, 5, 1, 2, … in pairs, so that each fold has as many men as women, and an actor's
fold doesn't depend on who else is present.
"""

import re
from itertools import product
from pathlib import Path

from sweeper.audio.datasets.base import Clip, Definition, Download, Reading
from sweeper.audio.datasets.layouts import find_root, gather

CLASSES = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
ACTORS = range(1, 25)
FOLDS = 5
PLACES = "Actor_[0-9][0-9]"
# modality (03: audio only), channel (01: speech), emotion, intensity, sentence, repetition, actor
NAME = re.compile(r"03-01-(0[1-8])-(0[12])-(0[12])-(0[12])-([0-9]{2})")


def fold_of(actor: int) -> int:
    """Fold 1 to 5 of an actor 1 to 24."""
    return (actor - 1) // 2 % FOLDS + 1


def published(actor: int) -> list[str]:
    """The ids of an actor's 60 clips."""
    grid = product(range(1, 9), (1, 2), (1, 2), (1, 2))
    return [f"03-01-{e:02}-{i:02}-{s:02}-{r:02}-{actor:02}" for e, i, s, r in grid if not (e == 1 and i == 2)]


def read(root: Path | None) -> Reading:
    """Speech clips in `Actor_01/` to `Actor_24/`; files of other modalities are left out."""
    assert root is not None
    files = gather(root, find_root(root, PLACES), (PLACES,))
    clips, missing = [], []
    for actor in ACTORS:
        for stem in published(actor):
            if path := files.find(stem, f"Actor_{actor:02}", "Actor_[0-9]+"):
                match = NAME.fullmatch(stem)
                assert match is not None
                clips.append(Clip(stem, path, int(match[1]) - 1, f"Actor_{actor:02}", fold_of(actor)))
            else:
                missing.append(stem)
    return Reading(tuple(clips), tuple(missing), files.notes())


DEFINITION = Definition(
    title="RAVDESS speech (Livingstone and Russo 2018): acted emotions, 24 actors",
    classes=CLASSES,
    size=1440,
    official="5 folds by actor",
    licence="CC BY-NC-SA 4.0",
    homepage="https://zenodo.org/records/1188976",
    layout="Actor_01/ to Actor_24/",
    read=read,
    downloads=(
        # The md5 as Zenodo shows it.
        Download(
            url="https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip",
            file_name="Audio_Speech_Actors_01-24.zip",
            megabytes=208,
            checksum="md5:bc696df654c87fed845eb13823edef8a",
        ),
    ),
    group_name="actor",
)
