"""When is the paper's value reproduced, and when can't that be asked?"""

import math

import pytest

from sweeper.audio.datasets import definition
from sweeper.results import verdict as module
from sweeper.results.verdict import protocol_differences, verdict
from sweeper.search_spaces.published import published_accuracy
from tests.results.rows import trial_row

PAPER = {"dataset": "urbansound8k", "split": "paper", "recipe": "paper", "epochs": 1500}
SIZES = {"train_clips": 6986, "test_clips": 1746}


def test_the_papers_data_set_is_ours():
    assert definition(module.PAPER_DATASET).size == module.PAPER_CLIPS
    assert module.PAPER_TEST_CLIPS == 1746


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ()),
        (
            {"dataset": "demo", "split": "official", "recipe": "quick"},
            ("data set demo", "official split", "recipe quick"),
        ),
        ({"split": "official"}, ("official split",)),
        ({"epochs": 3}, ("3 epochs",)),
        ({"train_clips": 467, "test_clips": 117}, ("584 of 8732 clips",)),
    ],
)
def test_every_departure_from_the_protocol_is_named(changes, expected):
    assert protocol_differences(trial_row("full", **(PAPER | SIZES | changes))) == expected


def row(mean, half, arm="garm", n=3, planned=3):
    return {"arm": arm, "n": n, "planned": planned, "mean": mean} | {
        "ci_low": None if half is None else mean - half,
        "ci_high": None if half is None else mean + half,
    }


def test_the_verdict_weighs_the_errors_of_both_sides():
    published = published_accuracy("garm")
    theirs = 1.96 * math.sqrt(published * (1 - published) / 1746)
    margin = math.hypot(0.01, theirs)
    assert verdict(row(published + 0.99 * margin, 0.01), ()).startswith("reproduced: ours differs by +1.8 ± 1.8")
    assert verdict(row(published - 1.01 * margin, 0.01), ()).startswith("not reproduced: ours differs by -1.8 ± 1.8")


@pytest.mark.parametrize(
    ("made", "departures", "expected"),
    [
        (row(0.9, 0.1), ("recipe quick",), "not comparable: recipe quick"),
        (row(0.9, 0.1, n=1), (), "not comparable: 2 of 3 trials are missing"),
        (row(0.9, None, n=1, planned=1), (), "not comparable: one run has no interval"),
        (row(0.9, 0.1, arm="eat"), (), ""),
    ],
)
def test_what_cannot_be_compared_says_why(made, departures, expected):
    assert verdict(made, departures) == expected
