"""Predictions are those that were committed; long files are windows of the clip's length."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from sweeper.tools.predict import WINDOWS_AT_ONCE, predict
from sweeper.training import weights
from sweeper.training.batches import PEAK

LENGTH, HOP, RATE = 4000, 2000, 8000


def write(path, samples):
    soundfile.write(path, np.asarray(samples, dtype=np.int16), RATE)
    return path


@pytest.mark.parametrize(("averaged", "column"), [(False, "probabilities"), (True, "probabilities_ema")])
def test_a_clip_gets_its_committed_prediction(trained, averaged, column):
    committed = pd.read_parquet(trained.predictions)
    assert len(committed) == 18
    classifier = weights.load(trained.weights, averaged=averaged)
    for row in committed.itertuples():
        prediction = predict(classifier, trained.files[row.clip_id])
        # Not bit for bit: the trial predicted in batches, for which the processor may choose other kernels.
        np.testing.assert_allclose(prediction.probabilities, getattr(row, column), rtol=0, atol=5e-6)
        assert len(prediction.windows) == 1


@pytest.mark.parametrize(
    ("samples", "starts"),
    [
        (1, [0]),
        (LENGTH - 1, [0]),
        (LENGTH, [0]),
        (LENGTH + 1, [0, HOP]),
        (LENGTH + HOP, [0, HOP]),
        (LENGTH + HOP + 1, [0, HOP, 2 * HOP]),
        (LENGTH * 11, [HOP * i for i in range(21)]),
    ],
)
def test_windows_cover_a_file_and_end_with_it(tmp_path, recorder, samples, starts):
    content = np.random.default_rng(0).integers(1, 10_000, samples)
    prediction = predict(recorder, write(tmp_path / "file.wav", content))
    assert prediction.starts.tolist() == [start / RATE for start in starts]
    assert prediction.seconds == samples / RATE
    heard = torch.cat(recorder.network.heard).squeeze(1).numpy()
    assert heard.shape == (len(starts), LENGTH)
    for window, start in zip(heard, starts, strict=True):
        expected = np.zeros(LENGTH)
        part = content[start : start + LENGTH]
        expected[: len(part)] = part * (PEAK / part.max())
        np.testing.assert_allclose(window, expected, atol=1e-6)


def test_probabilities_are_the_mean_over_windows(tmp_path, recorder):
    content = np.zeros(3 * LENGTH)
    content[:500] = 10_000  # in the first window's front half, and nowhere else
    prediction = predict(recorder, write(tmp_path / "file.wav", content))
    assert prediction.windows.shape == (5, 2)
    np.testing.assert_allclose(prediction.windows[1:], 0.5)
    front = 1 / (1 + np.exp(-10 * PEAK * 500 / HOP))
    assert prediction.windows[0, 0] == pytest.approx(front)
    assert prediction.probabilities[0] == pytest.approx((front + 4 * 0.5) / 5)
    assert prediction.probabilities.sum() == pytest.approx(1)


def test_windows_reach_the_network_a_few_at_a_time(tmp_path, recorder):
    predict(recorder, write(tmp_path / "file.wav", np.ones(LENGTH * 20)))
    assert max(len(batch) for batch in recorder.network.heard) == WINDOWS_AT_ONCE


def test_an_hour_is_predicted(tmp_path, recorder):
    recorder.network.keep = False
    prediction = predict(recorder, write(tmp_path / "hour.wav", np.ones(3600 * RATE, dtype=np.int16)))
    assert prediction.seconds == 3600
    assert len(prediction.windows) == 2 * 3600 / 0.5 - 1
