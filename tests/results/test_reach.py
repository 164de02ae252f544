"""What a design can find, with the spread that trials have shown."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sweeper.results import reach
from sweeper.results.reach import Design, Spread, earlier_trials, spread_of, steps_to
from sweeper.results.score_grid import ScoreGrid
from sweeper.results.store import Study
from tests.results.rows import grid, plan_of, study_of

DESIGN = Design(arms=4, folds=1, seeds=3, test_train_ratio=0.25, folds_in_all=5)


def made(folds, seeds, fold_sd, seed_sd, arms=40):
    """A grid of many arms, whose blocks share what must not count as spread."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(arms, 1, 1)) + rng.normal(size=(1, folds, seeds)) + 3 * rng.normal(size=(1, folds, 1))
    scores = scores + fold_sd * np.sqrt(0.9) * rng.normal(size=(arms, folds, 1))
    scores = scores + seed_sd * rng.normal(size=(arms, folds, seeds))
    names = tuple(f"arm{i}" for i in range(arms))
    return ScoreGrid(names, 0, tuple(range(folds)), tuple(range(seeds)), scores, 1 / 9, 10, None)


def test_the_spread_is_what_was_put_in():
    both = spread_of(made(10, 5, fold_sd=2.0, seed_sd=1.0))
    assert (both.fold, both.seed) == pytest.approx((2.0, 1.0), rel=0.1)
    one_fold = spread_of(made(1, 10, fold_sd=2.0, seed_sd=1.0))
    assert one_fold.seed == pytest.approx(1.0, rel=0.1)
    assert one_fold.fold is None
    one_seed = spread_of(made(10, 1, fold_sd=2.0, seed_sd=1.0))
    assert one_seed.fold == pytest.approx(math.hypot(2.0, 1 / math.sqrt(0.9)), rel=0.1)
    assert one_seed.seed is None
    assert spread_of(made(1, 1, 1.0, 1.0)) is None


def test_blocks_with_holes_are_left_out():
    whole = made(1, 6, 0.0, 1.0)
    scores = whole.scores.copy()
    scores[3, 0, 2] = np.nan
    rest = replace(whole, seeds=(0, 1, 3, 4, 5), scores=np.delete(whole.scores, 2, axis=2))
    assert spread_of(replace(whole, scores=scores)) == spread_of(rest)


def test_more_seeds_find_less_and_the_last_step_finds_the_target():
    steps = steps_to(DESIGN, Spread(seed=0.02, fold=None), 0.01)
    assert [design.seeds for design, _ in steps][:2] == [3, 10]
    sizes = [size for _, size in steps]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == pytest.approx(0.01, rel=0.1)
    assert {design.folds for design, _ in steps} == {1}
    assert DESIGN.claim.startswith("on this split")


def test_nothing_is_added_to_a_design_that_finds_the_target():
    assert [design for design, _ in steps_to(DESIGN, Spread(0.001, None), 0.01)] == [DESIGN]


def test_several_folds_grow_to_all_and_no_further_where_overlap_sets_the_limit():
    few = replace(DESIGN, folds=3, seeds=2)
    steps = steps_to(few, Spread(seed=0.01, fold=0.03), 0.005)
    assert [(design.folds, design.seeds) for design, _ in steps] == [(3, 2), (5, 2)]
    assert steps[-1][1] < steps[0][1]
    steps = steps_to(few, Spread(seed=0.03, fold=0.0), 0.01)
    assert steps[-1][0].folds == 5
    assert steps[-1][1] == pytest.approx(0.01, rel=0.15)


def test_spread_is_told_by_the_study_itself_or_the_sibling_that_knows_most(tmp_path):
    design = {"recipe": "quick"}

    def study(name, design, **sizes):
        trials = grid(**sizes)
        return study_of(tmp_path / name, trials, plan_of(trials) | {"design": design})

    own = study("own", design, folds=(1,))
    study("more", design, folds=(1, 2, 3))
    study("less", design, folds=(1,))
    study("other", {"recipe": "paper"}, folds=(1, 2, 3, 4, 5))
    (tmp_path / "damaged" / "trials").mkdir(parents=True)
    (tmp_path / "damaged" / "plan.json").write_text("{")
    assert earlier_trials(own, tmp_path, design).study == "this study"
    new = Study(tmp_path / "new")
    told = earlier_trials(new, tmp_path, design)
    assert told.study == "more"
    assert (told.spread.df, told.spread.fold_df) == (11 * 3 + 11 * 2, 11 * 2)
    assert earlier_trials(new, tmp_path, {"recipe": "small"}) is None


def test_scores_that_are_all_alike_or_parallel_show_no_spread_where_no_clips_are_known():
    whole = replace(made(1, 4, fold_sd=0.0, seed_sd=1.0), resolution=None)
    alike = np.broadcast_to(whole.scores[:1], whole.scores.shape)
    assert spread_of(replace(whole, scores=alike)) is None, "copies of one arm"
    parallel = replace(whole, scores=alike + 0.1 * np.arange(len(alike))[:, None, None])
    assert spread_of(parallel) is None
    assert spread_of(replace(parallel, resolution=0.01)).seed == pytest.approx(0.01 / math.sqrt(12))


def test_power_is_that_of_the_rule():
    assert reach.POWER == 0.8
    assert math.isinf(replace(DESIGN, seeds=1).detectable(Spread(1.0, None)))


def test_arms_with_few_seeds_do_not_hide_what_the_others_show():
    whole = made(1, 6, 0.0, 1.0)
    for arm, seeds in ((3, 1), (4, 2)):
        scores = whole.scores.copy()
        scores[arm, 0, seeds:] = np.nan
        names = tuple(name for name in whole.arms if name != f"arm{arm}")
        others = replace(whole, arms=names, scores=np.delete(whole.scores, arm, axis=0))
        assert spread_of(replace(whole, scores=scores)) == spread_of(others)
