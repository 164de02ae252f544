"""Batches: order, crops, padding, level."""

import numpy as np
import torch

from sweeper.training import batches as batches_module
from sweeper.training.batches import PEAK, Batches

CPU = torch.device("cpu")


def test_every_clip_once_per_epoch_and_another_order_each_time(train):
    batches = Batches(train, 2000, CPU)
    epochs = [np.concatenate([rows for rows, _ in batches.training_epoch(7, epoch, 8)]) for epoch in range(3)]
    for rows in epochs:
        assert sorted(rows) == list(range(24))
    assert not np.array_equal(epochs[0], epochs[1])
    again = np.concatenate([rows for rows, _ in batches.training_epoch(7, 1, 8)])
    np.testing.assert_array_equal(epochs[1], again)


def test_ragged_last_batches_are_left_out(train):
    batches = Batches(train, 2000, CPU)
    plan = batches.training_epoch(0, 0, 10)
    assert [len(rows) for rows, _ in plan] == [10, 10]
    assert batches.steps_per_epoch(10) == 2
    assert [len(rows) for rows, _ in batches.training_epoch(0, 0, 100)] == [24]


def test_gathering_cuts_and_pads(train):
    batches = Batches(train, 2000, CPU)
    clips = [part.waveform(row) for part in train for row in range(len(part))]
    rows = np.arange(24)
    for crop in (0.0, 0.5, 0.999999):
        batch = batches.gather(rows, np.full(24, crop))
        assert batch.waveforms.shape == (24, 1, 2000)
        for row in rows:
            clip = clips[row].astype(np.float64)
            spare = max(len(clip) - 2000, 0)
            start = {0.0: 0, 0.5: (spare + 1) // 2, 0.999999: spare}[crop]
            expected = np.zeros(2000)
            piece = clip[start : start + 2000]
            expected[: len(piece)] = piece * PEAK / np.abs(piece).max()
            np.testing.assert_allclose(batch.waveforms[row, 0].numpy(), expected, atol=1e-6)
    targets = np.concatenate([part.targets for part in train])
    np.testing.assert_array_equal(batch.targets.numpy(), targets)


def test_the_resident_path_gathers_the_same(train):
    """What a GPU would do, on the CPU: one flat tensor and an index."""
    host, resident = Batches(train, 2000, CPU), Batches(train, 2000, CPU)
    resident.make_resident()
    for rows, crops in host.training_epoch(3, 0, 8):
        torch.testing.assert_close(
            resident.gather(rows, crops).waveforms, host.gather(rows, crops).waveforms, rtol=0, atol=0
        )


def test_silence_stays_silence(train):
    silent = train[0].take(range(2))
    silent.samples.setflags(write=True) if not silent.samples.flags.writeable else None
    quiet = type(silent)(**{**vars(silent), "samples": np.zeros_like(silent.samples)})
    waveforms = Batches([quiet], 2000, CPU).gather(np.arange(2), np.zeros(2)).waveforms
    assert torch.equal(waveforms, torch.zeros_like(waveforms))


def test_evaluation_sees_every_clip_in_order(train):
    rows = np.concatenate([batch.rows for batch in Batches(train, 2000, CPU).evaluation(7)])
    np.testing.assert_array_equal(rows, np.arange(24))


def test_clips_go_to_the_gpu_by_what_this_process_can_still_get(monkeypatch):
    state = {"mem_get_info": (30, 100), "memory_reserved": 50, "memory_allocated": 10}
    for name, value in state.items():
        monkeypatch.setattr(torch.cuda, name, lambda _device, value=value: value)
    for fraction, expected in ((1.0, 70), (0.5, 40)):  # 30 free and 40 of its own cache; half the card less what it has
        monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda _device, f=fraction: f)
        assert batches_module._free_memory(torch.device("cuda")) == expected


def test_crops_lie_evenly_from_the_start_to_the_end(train):
    assert Batches(train, 2000, CPU).crops(1) == [0.5]
    assert Batches(train, 2000, CPU).crops(3) == [0.0, 0.5, 1.0]
    longest = max(int(part.lengths.max()) for part in train)
    assert Batches(train, longest, CPU).crops(3) == [0.5], "where no clip is longer, all would be the same"
    batches = Batches(train, 500, CPU)
    at = [next(batches.evaluation(24, crop=crop)).waveforms for crop in batches.crops(2)]
    lengths = np.concatenate([part.lengths for part in train])
    differs = [not torch.equal(first, last) for first, last in zip(*at, strict=True)]
    assert differs == (lengths > 500).tolist()


def test_crops_may_have_a_seed_of_their_own(train):
    batches = Batches(train, 2000, CPU)
    plain, same, other = (batches.training_epoch(7, 1, 8, crops) for crops in (None, 7, 8))
    for (rows, crops), (again, equal), (order, moved) in zip(plain, same, other, strict=True):
        assert (rows == again).all() and (crops == equal).all()
        assert (rows == order).all() and (crops != moved).all()
