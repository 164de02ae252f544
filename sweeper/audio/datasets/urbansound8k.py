"""UrbanSound8K: Salamon, Jacoby, Bello, "A Dataset and Taxonomy for Urban Sound Research", ACM MM 2014.

8732 slices of at most 4 s, cut from 1297 Freesound recordings and pre-sorted into ten folds such that slices
of one recording (`fsID`) stay together. The authors warn that other splits give results which can't be
compared.
"""

from collections import Counter
from pathlib import Path

from sweeper.audio.datasets.base import Clip, DatasetError, Definition, Download, Reading
from sweeper.audio.datasets.layouts import base_of, find_table, gather
from sweeper.audio.datasets.tables import number, rows, whole

CLASSES = (
    "air_conditioner",
    "car_horn",
    "children_playing",
    "dog_bark",
    "drilling",
    "engine_idling",
    "gun_shot",
    "jackhammer",
    "siren",
    "street_music",
)
CLIPS_PER_CLASS = (1000, 429, 1000, 1000, 1000, 1000, 374, 1000, 929, 1000)
CLIPS_PER_FOLD = (873, 888, 925, 990, 936, 823, 838, 806, 816, 837)
TABLE = "metadata/UrbanSound8K.csv"
COLUMNS = ("slice_file_name", "fsID", "fold", "classID", "class")


def read(root: Path | None) -> Reading:
    """Clips of the table, with their folds."""
    assert root is not None
    table = find_table(root, TABLE)
    files = gather(root, base_of(table), [f"audio/fold{fold}" for fold in range(1, 11)])
    clips, missing = [], []
    for line, row in rows(table, COLUMNS):
        where = f"{table}, line {line}"
        fold = number(row["fold"], where, "fold", range(1, 11))
        target = number(row["classID"], where, "classID", range(10))
        if CLASSES[target] != row["class"]:
            raise DatasetError(f"{where}: class {target} is {CLASSES[target]!r}, not {row['class']!r}")
        stem, recording = Path(row["slice_file_name"]).stem, whole(row["fsID"])
        if stem.split("-")[:2] != [recording, str(target)]:
            raise DatasetError(f"{where}: {stem!r} doesn't begin with fsID and classID, {recording}-{target}")
        if path := files.find(row["slice_file_name"], f"fold{fold}", "fold[0-9]+"):
            clips.append(Clip(stem, path, target, recording, fold))
        else:
            missing.append(stem)
    _check_counts(clips, root)
    files.found.other = [path for path in files.found.other if path != table]
    return Reading(tuple(clips), tuple(missing), files.notes("that the table does not list"))


def _check_counts(clips: list[Clip], root: Path) -> None:
    by_class = Counter(clip.target for clip in clips)
    by_fold = Counter(clip.fold for clip in clips)
    for target, published in enumerate(CLIPS_PER_CLASS):
        if by_class[target] > published:
            raise DatasetError(f"{root}: {by_class[target]} clips of {CLASSES[target]}; there are {published}")
    for fold, published in enumerate(CLIPS_PER_FOLD, 1):
        if by_fold[fold] > published:
            raise DatasetError(f"{root}: {by_fold[fold]} clips in fold {fold}; there are {published}")


DEFINITION = Definition(
    title="UrbanSound8K (Salamon, Jacoby and Bello 2014): urban sounds of at most 4 s",
    classes=CLASSES,
    size=sum(CLIPS_PER_CLASS),
    official="10 folds",
    licence="CC BY-NC 3.0",
    homepage="https://urbansounddataset.weebly.com/urbansound8k.html",
    layout="metadata/UrbanSound8K.csv, audio/fold1/ to audio/fold10/",
    read=read,
    downloads=(
        # Zenodo publishes the md5; soundata and PaddleSpeech carry the same one.
        Download(
            url="https://zenodo.org/records/1203745/files/UrbanSound8K.tar.gz",
            file_name="UrbanSound8K.tar.gz",
            megabytes=6024,
            checksum="md5:9aa69802bbf37fb986f71ec1483a196e",
        ),
    ),
)
