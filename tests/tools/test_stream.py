"""A streamed file is the file that training reads, in pieces."""

import tracemalloc

import numpy as np
import pytest
import soundfile

from sweeper.audio import reader
from sweeper.audio.reader import AudioError


def streamed(path, rate):
    return np.concatenate(list(reader.stream(path, rate)))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_a_clip_is_the_same_to_the_last_bit(tmp_path, rate):
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.9, 0.9, (3 * rate + 17, 2)), rate)
    np.testing.assert_array_equal(streamed(path, 16000), reader.read(path, 16000))


@pytest.mark.parametrize("target", [8000, 44100, 48000])
def test_pieces_join_without_a_seam(tmp_path, monkeypatch, target):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.9, 0.9, 50_000), 44100)
    whole = reader.read(path, target)
    monkeypatch.setattr(reader, "BLOCK", 3000)
    pieces = [len(piece) for piece in reader.stream(path, target)]
    joined = streamed(path, target)
    assert len(pieces) > 2
    np.testing.assert_array_equal(joined, whole)


def test_an_hour_needs_no_more_memory_than_a_minute(tmp_path):
    rate = 8000
    peaks = {}
    for seconds in (60, 3600):
        path = tmp_path / f"{seconds}.wav"
        soundfile.write(path, np.zeros(seconds * rate, dtype=np.int16), rate)
        tracemalloc.start()
        total = sum(len(piece) for piece in reader.stream(path, rate // 2))
        peaks[seconds] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert total == seconds * rate // 2
    assert 3600 * rate > reader.MAX_FRAMES, "longer than anything that is read whole"
    assert peaks[3600] < 2 * peaks[60]


def test_faults_that_show_at_the_end_are_told(tmp_path):
    path = tmp_path / "nan.wav"
    samples = np.zeros(100_000, dtype=np.float32)
    samples[90_000] = np.nan
    soundfile.write(path, samples, 8000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"nan\.wav: NaN or infinity at 11\.250 s"):
        streamed(path, 8000)
