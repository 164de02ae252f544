"""Clips: views where rows are consecutive, and pickles that hand their arrays over without copying them."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.audio.clips import Clips


def make(lengths: list[int]) -> Clips:
    ends = np.cumsum(lengths)
    return Clips(
        samples=np.random.default_rng(0).integers(-9, 9, int(ends[-1])).astype(np.int16),
        offsets=(ends - lengths).astype(np.int64),
        lengths=np.array(lengths, dtype=np.int32),
        targets=np.arange(len(lengths)),
        ids=np.array([f"clip {i}" for i in range(len(lengths))]),
        groups=np.array(["g"] * len(lengths)),
        rows=np.arange(len(lengths)),
        sample_rate=8000,
    )


@given(st.data())
def test_take_gives_the_same_waveforms_and_labels(data):
    clips = make(data.draw(st.lists(st.integers(1, 20), min_size=1, max_size=12)))
    rows = data.draw(st.lists(st.integers(0, len(clips) - 1), max_size=20))
    taken = clips.take(rows)
    assert len(taken) == len(rows)
    for i, row in enumerate(rows):
        assert np.array_equal(taken.waveform(i), clips.waveform(row))
        assert (taken.targets[i], taken.ids[i]) == (clips.targets[row], clips.ids[row])


def test_consecutive_rows_are_a_view_and_others_are_not():
    clips = make([3, 4, 5, 6])
    assert np.shares_memory(clips.take([1, 2]).samples, clips.samples)
    assert not np.shares_memory(clips.take([2, 1]).samples, clips.samples)
    assert clips.take([1, 2]).samples.size == 9


@pytest.mark.parametrize("rows", [[4], [-1], [0, 99]])
def test_rows_that_are_not_there(rows):
    with pytest.raises(IndexError, match="of 4 clips"):
        make([3, 4, 5, 6]).take(rows)


def test_every_array_is_pickled_out_of_band_and_only_the_part():
    clips = make([1000, 1000, 1000]).take([1])
    buffers: list[pickle.PickleBuffer] = []
    inside = pickle.dumps(clips, protocol=5, buffer_callback=buffers.append)
    assert len(inside) < 2000
    assert sum(buffer.raw().nbytes for buffer in buffers) < 2 * 1000 + 500
    again = pickle.loads(inside, buffers=buffers)
    assert np.shares_memory(again.samples, clips.samples)
    assert np.array_equal(again.ids, clips.ids)
