"""Table 5's metrics against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as oracle

from sweeper.training.metrics import confusion_matrix, metrics


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 7, 60)
    predicted = np.where(rng.random(60) < 0.5, targets, rng.integers(0, 6, 60))  # class 6 is never guessed
    ours = metrics(confusion_matrix(targets, predicted, 7))
    options = {"average": "macro", "zero_division": 0}
    assert ours.accuracy == pytest.approx(oracle.accuracy_score(targets, predicted))
    assert ours.precision == pytest.approx(oracle.precision_score(targets, predicted, **options))
    assert ours.recall == pytest.approx(oracle.recall_score(targets, predicted, **options))
    assert ours.f1 == pytest.approx(oracle.f1_score(targets, predicted, **options))


def test_counts_of_workers_add_up():
    rng = np.random.default_rng(0)
    targets, predicted = rng.integers(0, 4, (2, 101))
    whole = confusion_matrix(targets, predicted, 4)
    halves = confusion_matrix(targets[:37], predicted[:37], 4) + confusion_matrix(targets[37:], predicted[37:], 4)
    np.testing.assert_array_equal(whole, halves)


def test_no_clips_is_an_error():
    with pytest.raises(ValueError, match="no clips"):
        metrics(np.zeros((3, 3), dtype=int))


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_averages_are_scikit_learns(average):
    rng = np.random.default_rng(1)
    targets = rng.choice(5, 200, p=[0.5, 0.2, 0.2, 0.1, 0.0])
    predicted = np.where(rng.random(200) < 0.7, targets, rng.integers(0, 4, 200))
    found = metrics(confusion_matrix(targets, predicted, 6), average)
    expected = oracle.precision_recall_fscore_support(targets, predicted, average=average, zero_division=0)[:3]
    assert (found.precision, found.recall, found.f1) == pytest.approx(expected)
