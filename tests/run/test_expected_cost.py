"""What a dry run says a study will cost, whether its networks' operations can be counted or not."""

import re
from dataclasses import replace

import pytest

from sweeper.audio import datasets
from sweeper.plan import build_plan, select_arms
from sweeper.run.describe import expected_cost
from sweeper.search_spaces.recipes import quick
from sweeper.training import cost
from tests.networks import Tiny
from tests.studies import PAPER

CLIP = {"classes": 10, "sample_rate": 8000, "samples": 8000}


@pytest.fixture(scope="module")
def demo():
    return datasets.load("demo", None)


def trials(*networks):
    (spec,) = build_plan(
        study="s",
        source=PAPER,
        arms=select_arms(PAPER.study, names=["full"]),
        recipe=quick(),
        dataset="demo",
        split="official",
        folds=(1,),
        classes=10,
        replicates=1,
    ).trials
    return [replace(spec, model=network) for network in networks]


@pytest.fixture
def seconds(monkeypatch):
    """A step of one network is twice as slow as its operations tell."""
    monkeypatch.setattr(
        cost, "training_seconds_per_clip", lambda network, _: {"gru": 0.5, "orthogonal": 1.5}[network.body]
    )


def test_counted_operations_are_told_with_the_speed(demo, seconds):
    (line,) = expected_cost(trials(*[Tiny(body="gru", **CLIP)] * 2), demo)
    hours = float(re.search(r"training step, ([\d.,e+]+) (?:core|GPU)-hours", line)[1].replace(",", ""))
    clips = round(0.8 * len(demo.clips))
    assert line.startswith("expected cost: ") and "PFLOP" in line
    assert hours == pytest.approx(2 * clips * quick().training.epochs * 0.5 / 3600, rel=0.02)


def test_without_a_count_each_network_is_measured(demo, seconds):
    (line,) = expected_cost(trials(Tiny(body="gru", **CLIP), Tiny(body="orthogonal", **CLIP)), demo)
    hours = float(re.search(r"network here, ([\d.,e+]+) (?:core|GPU)-hours", line)[1].replace(",", ""))
    clips = round(0.8 * len(demo.clips))
    assert "FLOP" not in line
    assert hours == pytest.approx(clips * quick().training.epochs * (0.5 + 1.5) / 3600, rel=0.02)
