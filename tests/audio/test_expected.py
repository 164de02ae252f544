"""How much room clips are expected to need."""

from dataclasses import replace

import pytest

from sweeper.audio import datasets
from sweeper.audio.expected import MORE, expected_bytes
from sweeper.audio.store import prepare
from sweeper.run.prepare import DEMO_BYTES


@pytest.mark.parametrize("rate", [8000, 22_050])
def test_it_is_a_little_more_than_the_clips_take(rate):
    demo = datasets.load("demo", None)
    clips = 2 * int(prepare(demo, rate).clips.lengths.sum())  # two bytes a sample
    assert expected_bytes(demo, rate) == pytest.approx(MORE * clips, rel=0.02)
    assert clips < DEMO_BYTES


def test_what_cannot_be_read_is_not_known(collection, tmp_path):
    found = collection()
    assert expected_bytes(found, 8000) > 0
    damaged = tmp_path / "damaged.wav"
    damaged.write_bytes(b"RIFF")
    for path in (damaged, tmp_path / "missing.wav"):
        clips = tuple(replace(clip, path=path) for clip in found.clips)
        assert expected_bytes(replace(found, clips=clips), 8000) is None
    assert expected_bytes(replace(found, clips=()), 8000) is None
