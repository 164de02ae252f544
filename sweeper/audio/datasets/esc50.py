"""ESC-50: Piczak, "ESC: Dataset for Environmental Sound Classification", ACM MM 2015.

2000 clips of 5 s in 50 classes, in five folds such that clips from one Freesound recording (`src_file`) stay
together.
"""

from collections import Counter
from pathlib import Path

from sweeper.audio.datasets.base import Clip, DatasetError, Definition, Download, Reading
from sweeper.audio.datasets.layouts import base_of, find_table, gather
from sweeper.audio.datasets.tables import number, rows, truth, whole

CLASSES = (
    "dog", "rooster", "pig", "cow", "frog", "cat", "hen", "insects", "sheep", "crow",
    "rain", "sea_waves", "crackling_fire", "crickets", "chirping_birds",
    "water_drops", "wind", "pouring_water", "toilet_flush", "thunderstorm",
    "crying_baby", "sneezing", "clapping", "breathing", "coughing",
    "footsteps", "laughing", "brushing_teeth", "snoring", "drinking_sipping",
    "door_wood_knock", "mouse_click", "keyboard_typing", "door_wood_creaks", "can_opening",
    "washing_machine", "vacuum_cleaner", "clock_alarm", "clock_tick", "glass_breaking",
    "helicopter", "chainsaw", "siren", "car_horn", "engine",
    "train", "church_bells", "airplane", "fireworks", "hand_saw",
)  # fmt: skip
CLIPS_PER_CLASS_AND_FOLD = 8
TABLE = "meta/esc50.csv"
COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file")


def read(root: Path | None) -> Reading:
    """Clips of the table, with their folds."""
    return read_table(root, esc10=False)


def read_table(root: Path | None, *, esc10: bool) -> Reading:
    """Clips of the table; with `esc10`, only those it marks. Targets are ESC-50's in either case."""
    assert root is not None
    table = find_table(root, TABLE)
    files = gather(root, base_of(table), ("audio",))
    clips, missing = [], []
    for line, row in rows(table, COLUMNS):
        where = f"{table}, line {line}"
        fold = number(row["fold"], where, "fold", range(1, 6))
        target = number(row["target"], where, "target", range(50))
        if CLASSES[target] != row["category"]:
            raise DatasetError(f"{where}: class {target} is {CLASSES[target]!r}, not {row['category']!r}")
        stem = Path(row["filename"]).stem
        path = files.find(row["filename"])
        if esc10 and not truth(row["esc10"], where, "esc10"):
            continue
        if path is not None:
            clips.append(Clip(stem, path, target, whole(row["src_file"]), fold))
        else:
            missing.append(stem)
    for (fold, target), count in Counter((clip.fold, clip.target) for clip in clips).items():
        if count > CLIPS_PER_CLASS_AND_FOLD:
            raise DatasetError(f"{root}: {count} clips of {CLASSES[target]} in fold {fold}; there are 8")
    files.found.other = [path for path in files.found.other if path != table]
    return Reading(tuple(clips), tuple(missing), files.notes("that the table does not list"))


DEFINITION = Definition(
    title="ESC-50 (Piczak 2015): environmental sounds of 5 s",
    classes=CLASSES,
    size=2000,
    official="5 folds",
    licence="CC BY-NC 3.0 (the ESC-10 classes: CC BY 3.0)",
    homepage="https://github.com/karolpiczak/ESC-50",
    layout="meta/esc50.csv, audio/",
    read=read,
    downloads=(
        # GitHub makes this archive on demand; the checksums that others published for it differ, so none is
        # pinned.
        Download(
            url="https://github.com/karolpiczak/ESC-50/archive/master.zip",
            file_name="ESC-50-master.zip",
            megabytes=645,
            checksum=None,
        ),
    ),
)
