"""Variance components: unbiased, with intervals that hold, and nothing claimed of noise."""

import numpy as np
import pytest

from sweeper.statistics.components import FOLD, REST, crossed_components

SOURCES = ("a", "b", "c")


def scores(rng, folds=3, seeds=2, fold=0.0, rest=1.0, **of):
    y = rest * rng.normal(size=(folds, seeds, seeds, seeds))
    y += fold * rng.normal(size=(folds, 1, 1, 1))
    for axis, name in enumerate(SOURCES):
        shape = [folds, 1, 1, 1]
        shape[axis + 1] = seeds
        y += of.get(name, 0.0) * rng.normal(size=shape)
    return y


def found(y, **options):
    return {part.name: part for part in crossed_components(y, SOURCES, rng=np.random.default_rng(0), **options)}


def many(studies, **options):
    rng = np.random.default_rng(1)
    return [found(scores(rng, **options)) for _ in range(studies)]


def test_they_are_right_on_average_and_intervals_hold():
    truth = {FOLD: 4.0, "a": 1.0, "b": 0.25, "c": 0.0, REST: 1.0}
    drawn = many(150, fold=2.0, a=1.0, b=0.5)
    for name, variance in truth.items():
        told = [study[name] for study in drawn]
        assert np.mean([part.variance for part in told]) == pytest.approx(variance, abs=0.15 + 0.2 * variance), name
        inside = np.mean([part.low <= variance <= part.high for part in told])
        assert inside >= 0.9, name


def test_what_is_noise_is_not_claimed():
    claims = [any(part.significant for part in study.values()) for study in many(150)]
    assert np.mean(claims) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 150)


def test_what_is_large_is_found():
    assert np.mean([study["b"].significant for study in many(40, folds=4, seeds=3, b=2.0)]) > 0.9
    assert np.mean([study[FOLD].significant for study in many(40, folds=8, fold=4.0)]) > 0.9


def test_one_fold_tells_nothing_of_folds():
    study = found(scores(np.random.default_rng(0), folds=1))
    assert FOLD not in study and list(study) == ["a", "b", "c", REST]
    assert sum(part.share for part in study.values()) == pytest.approx(1.0)


def test_degrees_of_freedom():
    study = found(scores(np.random.default_rng(0), folds=5, seeds=3))
    assert {name: part.df for name, part in study.items()} == {FOLD: 4, "a": 10, "b": 10, "c": 10, REST: 100}


def test_equal_scores_show_nothing():
    study = found(np.full((3, 2, 2, 2), 0.5), resolution=0.01)
    assert not any(part.significant for part in study.values())
    assert not any(part.significant for part in found(np.full((3, 2, 2, 2), 0.5)).values())


@pytest.mark.parametrize("shape", [(3, 2, 2), (3, 2, 2, 3), (3, 1, 1, 1), (0, 2, 2, 2)])
def test_other_designs_are_refused(shape):
    with pytest.raises(ValueError, match="scores: expected"):
        found(np.zeros(shape))
    with pytest.raises(ValueError, match="finite"):
        found(np.full((3, 2, 2, 2), np.nan))
