"""Lenth's method against a published analysis."""

import itertools

import numpy as np
import pytest

from sweeper.statistics import effects, lenth

# D. Montgomery, Design and Analysis of Experiments, the 2^4 experiment on a filtration rate, in standard order.
FILTRATION = np.array([45, 71, 48, 65, 68, 60, 80, 65, 43, 100, 45, 104, 75, 86, 70, 96])
LEVELS = np.array([bits[::-1] for bits in itertools.product([-1, 1], repeat=4)])


def test_published_example():
    found = effects(FILTRATION[:, None, None], LEVELS, test_train_ratio=0, folds_in_all=1)
    estimate = dict(zip(found.names, found.estimate, strict=True))
    assert (estimate["A"], estimate["A × C"], estimate["A × D"]) == (21.625, -18.125, 16.625)
    judged = lenth(found.estimate)
    assert judged.pse == pytest.approx(2.625)
    assert judged.margin == pytest.approx(6.748, abs=1e-3)
    assert judged.simultaneous_margin == pytest.approx(13.699, abs=1e-3)
    active = [name for name, star in zip(found.names, judged.active, strict=True) if star]
    assert active == ["A", "D", "A × C", "A × D"]
    possible = [name for name, star in zip(found.names, judged.possibly_active, strict=True) if star]
    assert possible == ["A", "C", "D", "A × C", "A × D"]


def test_the_paper_shows_no_effect():
    accuracy = np.array([87.55, 89.17, 89.04, 89.29, 88.67, 88.54, 89.29, 90.91])
    cube = np.array(list(itertools.product([-1, 1], repeat=3)))
    judged = lenth(effects(accuracy[:, None, None], cube, test_train_ratio=0, folds_in_all=1).estimate)
    assert not judged.possibly_active.any() and judged.margin > 3


def test_noise_alone_is_seldom_called_an_effect():
    noise = np.random.default_rng(0).normal(size=(2000, 15))
    judged = [lenth(row) for row in noise]
    assert np.mean([found.active.any() for found in judged]) < 0.06
    assert 0.01 < np.mean([found.possibly_active.mean() for found in judged]) < 0.06  # cautious, as is known of it


def test_nothing_but_zeros():
    judged = lenth([0.0, 0.0, 0.0])
    assert judged.pse == 0 and not judged.active.any() and not judged.possibly_active.any()


def test_too_few_effects():
    with pytest.raises(ValueError, match="at least 3 effects, got 2"):
        lenth([1.0, 2.0])


def test_the_noise_is_not_less_than_what_rounding_makes():
    judged = lenth([0.0, 0.01, 0.0], floor=0.004)
    assert judged.pse == 0.004 and not judged.active.any()
    assert lenth([0.0, 0.01, 0.0]).active.any()
