"""Holm's adjustment against statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from sweeper.statistics import holm


@pytest.mark.parametrize("k", [1, 2, 11, 50])
def test_agrees_with_statsmodels(k):
    # Rounded, so that some are tied.
    p = np.random.default_rng(k).beta(0.4, 2, size=k).round(2)
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_a_comparison_that_failed_still_counts():
    assert holm([0.01, np.nan, 0.02]) == pytest.approx([0.03, np.nan, 0.04], nan_ok=True)
    assert holm([0.01, 0.02]) == pytest.approx([0.02, 0.02])


def test_empty_family():
    assert holm([]).shape == (0,)


def test_errors_repeat_what_was_given():
    with pytest.raises(ValueError, match=r"from 0 to 1, got 0.1 to 1.2"):
        holm([0.1, 1.2])
    with pytest.raises(ValueError, match=r"got shape \(1, 2\)"):
        holm([[0.1, 0.2]])
