"""ESC-10: the ten classes that the table of ESC-50 marks, under a freer licence (see `esc50`)."""

from dataclasses import replace
from pathlib import Path

from sweeper.audio.datasets import esc50
from sweeper.audio.datasets.base import Definition, Reading

ESC50_TARGETS = (0, 1, 10, 11, 12, 20, 21, 38, 40, 41)


def read(root: Path | None) -> Reading:
    """The clips that ESC-50's table marks as ESC-10, with targets 0 to 9 in ESC-50's order."""
    reading = esc50.read_table(root, esc10=True)
    clips = tuple(replace(clip, target=ESC50_TARGETS.index(clip.target)) for clip in reading.clips)
    return replace(reading, clips=clips)


DEFINITION = Definition(
    title="ESC-10 (Piczak 2015): the ten classes of ESC-50 that its table marks",
    classes=tuple(esc50.CLASSES[target] for target in ESC50_TARGETS),
    size=400,
    official="5 folds",
    licence="CC BY 3.0",
    homepage=esc50.DEFINITION.homepage,
    layout=esc50.DEFINITION.layout,
    read=read,
    downloads=esc50.DEFINITION.downloads,
)
