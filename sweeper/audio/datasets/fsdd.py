"""FSDD, the Free Spoken Digit Dataset: Jackson et al., version 1.0.10.

Six speakers say each digit fifty times, at 8 kHz. Its author's test set is recordings 0 to 4 of every speaker
and digit, the other forty-five train. So every speaker stands on both sides *by design*: the split measures
how well known voices are understood, and its tables say so. The split by speaker is `grouped`.
"""

import re
from itertools import product
from pathlib import Path

from sweeper.audio.datasets.base import Clip, Definition, Download, Reading
from sweeper.audio.datasets.layouts import find_root, gather

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
RECORDINGS = 50
TEST_RECORDINGS = 5
NAME = re.compile(r"([0-9])_([a-z]+)_([0-9]{1,2})")


def read(root: Path | None) -> Reading:
    """Clips in `recordings/`: fold 1 is the author's test set, fold 0 all that is never tested."""
    assert root is not None
    files = gather(root, find_root(root, "recordings"), ("recordings",))
    clips = []
    for stem in sorted(files.stems):
        match = NAME.fullmatch(stem)
        if match is None or match[2] not in SPEAKERS or int(match[3]) >= RECORDINGS:
            continue
        path = files.find(stem)
        assert path is not None
        fold = 1 if int(match[3]) < TEST_RECORDINGS else 0
        clips.append(Clip(stem, path, int(match[1]), match[2], fold))
    present = {clip.clip_id for clip in clips}
    published = (f"{d}_{s}_{i}" for s, d, i in product(SPEAKERS, range(10), range(RECORDINGS)))
    missing = tuple(stem for stem in published if stem not in present)
    return Reading(tuple(clips), missing, files.notes())


DEFINITION = Definition(
    title="Free Spoken Digit Dataset 1.0.10 (Jackson et al.): ten digits, six speakers",
    classes=CLASSES,
    size=3000,
    official="recordings 0 to 4 are the test",
    licence="CC BY-SA 4.0",
    homepage="https://github.com/Jakobovski/free-spoken-digit-dataset",
    layout="recordings/",
    read=read,
    downloads=(
        # GitHub makes this archive on demand and doesn't promise its bytes, so no checksum is pinned.
        Download(
            url="https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz",
            file_name="free-spoken-digit-dataset-1.0.10.tar.gz",
            megabytes=16,
            checksum=None,
        ),
    ),
    group_name="speaker",
    separates_groups=False,
)
