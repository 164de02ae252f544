"""UrbanSound8K: Salamon, Jacoby, Bello, "A Dataset and Taxonomy for Urban Sound Research", ACM MM 2014.

8732 slices of at most 4 s, cut from 1297 Freesound recordings and pre-sorted into ten folds such that slices
of one recording (`fsID`) stay together. The authors warn that other splits give results which can't be
compared.
"""

from collections import Counter
from pathlib import Path

from sweeper.audio.datasets.base import Clip, DatasetError, Definition, Download, Reading
from sweeper.audio.datasets.files import audio_files, find_root, number, require_audio, rows

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
    root = find_root(root, TABLE)
    files = {fold: audio_files(root / "audio" / f"fold{fold}") for fold in range(1, 11)}
    require_audio(sum(len(found) for found in files.values()), root)
    clips, missing = [], []
    for line, row in rows(root / TABLE, COLUMNS):
        where = f"{root / TABLE}, line {line}"
        fold = number(row["fold"], where, range(1, 11))
        target = number(row["classID"], where, range(10))
        if CLASSES[target] != row["class"]:
            raise DatasetError(f"{where}: class {target} is {CLASSES[target]!r}, not {row['class']!r}")
        stem = Path(row["slice_file_name"]).stem
        if stem.split("-")[:2] != [row["fsID"], str(target)]:
            raise DatasetError(f"{where}: {stem!r} doesn't begin with fsID and classID, {row['fsID']}-{target}")
        if path := files[fold].get(stem):
            clips.append(Clip(stem, path, target, row["fsID"], fold))
        else:
            missing.append(stem)
    _check_counts(clips, root)
    return Reading(tuple(clips), tuple(missing))


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
