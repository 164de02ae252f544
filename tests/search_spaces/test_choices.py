"""Every choice is on the page, with whose it is; and what the page says is what runs."""

import inspect
from dataclasses import fields
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.optim.lr_scheduler import OneCycleLR

from sweeper.model.config import SIZES, EATConfig
from sweeper.search_spaces.choices import COMMAND, NETWORK, RECIPE, TORCH, choice_of, page
from sweeper.search_spaces.recipes import literal, paper
from sweeper.study import FILLED, HEADS
from sweeper.switches import flat_fields
from sweeper.training.batches import PEAK
from tests.studies import STUDY

PAGE = Path(__file__).parents[2] / "search_spaces" / "CHOICES.md"


def test_the_page_is_current():
    assert PAGE.read_text("utf-8") == page(), f"write it again: {COMMAND} > {PAGE.relative_to(PAGE.parents[1])}"


def test_every_field_is_on_it_and_nothing_else():
    training = flat_fields(paper().training)
    assert training.keys() == flat_fields(literal().training).keys()
    used = {choice_of(name, RECIPE) for name in (*training, "sample_rate", "seconds")}
    assert used >= set(RECIPE.values()), "a choice of what is no field"
    assert NETWORK.keys() == {f.name for f in fields(SIZES["paper"])} - {*FILLED, HEADS}
    text = page()
    assert all(f"| {name} |" in text for name in (*training, *NETWORK))
    with pytest.raises(KeyError):
        choice_of("somebody's", RECIPE)


def test_a_value_of_its_own_in_literal_says_whose_it_is():
    mine, theirs = flat_fields(paper().training), flat_fields(literal().training)
    differing = {name for name in mine if mine[name] != theirs[name]}
    assert differing == {name for name in mine if choice_of(name, RECIPE).literal}


def test_what_is_called_torchs_default_is_torchs():
    def default(what, name):
        return inspect.signature(what).parameters[name].default

    training = literal().training
    expected = {
        "pct_start": default(OneCycleLR, "pct_start"),
        "momentum": (default(OneCycleLR, "base_momentum"), default(OneCycleLR, "max_momentum")),
        "betas": default(torch.optim.AdamW, "betas"),
        "label_smoothing": default(F.cross_entropy, "label_smoothing"),
    }
    assert {name: getattr(training, name) for name in expected} == expected
    assert default(OneCycleLR, "cycle_momentum") is True
    called = {name for name in flat_fields(training) if TORCH in (choice_of(name, RECIPE).source,
                                                                  choice_of(name, RECIPE).literal)}  # fmt: skip
    # Without a default to look up: no clipping, decay on all, float32, an average without a warm-up.
    assert called == {*expected, "clip_norm", "decay_all", "precision", "ema.warmup"}
    assert default(torch.nn.TransformerEncoderLayer, "dim_feedforward") == 2048
    assert default(torch.nn.TransformerEncoderLayer, "norm_first") is False
    assert default(torch.nn.TransformerEncoderLayer, "dropout") == SIZES["paper"].dropout


def test_what_is_called_eats_is_eats():
    eat, network = EATConfig(), SIZES["paper"]
    for name in ("transformer_width", "heads", "feedforward", "dropout"):
        assert getattr(network, name) == getattr(eat, name)
        assert NETWORK[name].source == "EAT"
    assert f"each clip's peak is {PEAK:g} | EAT" in page()


def test_literal_is_a_recipe_of_the_papers_study_and_held_against_it():
    assert [recipe.name for recipe in STUDY.recipes] == ["quick", "words", "small", "literal", "paper"], (
        "the last is the default"
    )
    assert STUDY.protocol.recipe == ("paper", "literal")
    assert (literal().network, literal().sample_rate, literal().seconds, literal().training.epochs) == (
        *(paper().network, paper().sample_rate, paper().seconds),
        1500,
    )
