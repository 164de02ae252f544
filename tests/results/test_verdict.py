"""When does a difference agree with the paper's, and when can't that be asked?"""

import math

import pytest

from sweeper.audio.datasets import definition
from sweeper.results.study_arms import study_arms
from sweeper.results.verdict import protocol_differences, published_half_width, verdict
from sweeper.search_spaces.published import published_accuracy
from tests.results.rows import trial_row

PAPER = {"dataset": "urbansound8k", "split": "paper", "recipe": "paper", "epochs": 1500}
SIZES = {"train_clips": 6986, "test_clips": 1746}


PROTOCOL = study_arms({}).protocol
LARGE = PROTOCOL | {"clips": 5 * 10**9}


def test_the_papers_data_set_is_ours():
    assert definition(PROTOCOL["dataset"]).size == PROTOCOL["clips"]
    assert round(PROTOCOL["test_share"] * PROTOCOL["clips"]) == 1746


def test_values_of_several_data_sets_have_a_protocol_on_each():
    protocol = study_arms({}, "esc50").protocol
    row = trial_row("full", **(PAPER | {"dataset": "esc50", "train_clips": 1600, "test_clips": 400}))
    assert protocol_differences(row, protocol) == ()
    assert protocol_differences(row, PROTOCOL) == ("data set esc50",)
    assert protocol_differences(row | {"test_clips": 40}, protocol) == ("1640 of 2000 clips",)


def test_without_a_protocol_nothing_compares():
    (why,) = protocol_differences(trial_row("full", **(PAPER | SIZES)), {})
    assert why == "the study does not say how the published values were measured"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ()),
        (
            {"dataset": "demo", "split": "official", "recipe": "quick"},
            ("data set demo", "official split", "recipe quick"),
        ),
        ({"recipe": "literal"}, ()),
        ({"split": "official"}, ("official split",)),
        ({"epochs": 3}, ("3 epochs",)),
        ({"train_clips": 467, "test_clips": 117}, ("584 of 8732 clips",)),
    ],
)
def test_every_departure_from_the_protocol_is_named(changes, expected):
    assert protocol_differences(trial_row("full", **(PAPER | SIZES | changes)), PROTOCOL) == expected


FULL = {"arm": "full", "published": published_accuracy("full"), "published_diff": None, "sd": 0.004}
GARM = published_accuracy("garm") - published_accuracy("full")  # -1.74 points


def row(diff, half, arm="garm", n=3, planned=3, sd=0.003):
    published = published_accuracy(arm)
    return {"arm": arm, "n": n, "planned": planned, "diff": diff, "sd": None if half is None else sd} | {
        "diff_low": None if half is None else diff - half,
        "diff_high": None if half is None else diff + half,
        "published": published,
        "published_diff": None if published is None else published - FULL["published"],
    }


def test_the_papers_error_is_of_both_its_shares_and_of_one_retraining_of_each():
    garm, full = published_accuracy("garm"), published_accuracy("full")
    expected = 1.96 * math.sqrt((garm * (1 - garm) + full * (1 - full)) / 1746 + 0.003**2 + 0.004**2)
    assert published_half_width(garm, full, 0.005, 1746) == pytest.approx(expected)
    found = verdict(row(GARM, 0.002), FULL, (), PROTOCOL)
    assert found == f"inconclusive: -1.7 ± 0.2 points to the reference, published -1.7 ± {100 * expected:.1f}"


@pytest.mark.parametrize(
    ("diff", "half", "expected"),
    [
        (-0.08, 0.002, "contradicted"),  # far from the paper's -1.74
        (0.06, 0.002, "contradicted"),  # the other sign
        (-0.08, 0.08, "inconclusive"),  # the same, too noisy to tell
        (GARM, 0.002, "inconclusive"),  # just the same, but the paper's own error is too large to say so
    ],
)
def test_differences_are_compared_with_both_sides_errors(diff, half, expected):
    assert verdict(row(diff, half), FULL, (), PROTOCOL).startswith(f"{expected}: ")


def test_consistent_needs_precision_on_both_sides():
    exact = {"sd": 1e-4}
    assert verdict(row(GARM, 0.002) | exact, FULL | exact, (), LARGE).startswith("consistent: ")


def test_more_noise_never_makes_it_consistent():
    exact = {"sd": 1e-4}
    for diff in (GARM, GARM + 0.01, GARM - 0.015, 0.0, 0.03):
        words = [
            verdict(row(diff, half) | exact, FULL | exact, (), LARGE).partition(":")[0]
            for half in (0.001, 0.003, 0.01, 0.03, 0.1, 0.5)
        ]
        after = words[words.index("inconclusive") :] if "inconclusive" in words else []
        assert "consistent" not in after, (diff, words)
        assert words[-1] == "inconclusive"


@pytest.mark.parametrize(
    ("made", "departures", "expected"),
    [
        (row(-0.02, 0.1), ("recipe quick",), "not comparable: recipe quick"),
        (row(-0.02, 0.1, n=1), (), "not comparable: 2 of 3 trials are missing"),
        (row(-0.02, None, n=1, planned=1), (), "not comparable: one run has no interval"),
        (row(-0.02, 0.1, arm="eat"), (), ""),
        (row(-0.02, 0.1, arm="full") | {"published_diff": None}, (), ""),
    ],
)
def test_what_cannot_be_compared_says_why(made, departures, expected):
    assert verdict(made, FULL, departures, PROTOCOL) == expected
