"""How many points a space has, where it has an end."""

from dataclasses import replace

import pytest

from sweeper.search.points import points
from tests.search.conftest import run, searching

RATES = (1e-4, 3e-4, 1e-3)


def choice(trial, base):
    return replace(base, max_lr=trial.suggest_categorical("max_lr", RATES))


def grid(trial, base):
    base = replace(base, max_lr=trial.suggest_float("max_lr", 0.1, 0.3, step=0.1))
    return replace(base, batch_size=trial.suggest_int("batch_size", 8, 17, step=4))


def conditional(trial, base):
    """Five points: the rate is asked for again, and the size only with the first two of them."""
    base = choice(trial, base)
    if choice(trial, base).max_lr < RATES[2]:
        base = replace(base, batch_size=trial.suggest_int("batch_size", 8, 9))
    return base


def idle(trial, base):
    """Three points: the switch sets nothing."""
    trial.suggest_categorical("switch", (False, True))
    return choice(trial, base)


def rounded(trial, base):
    """Three points, which nothing tells."""
    return replace(base, max_lr=round(trial.suggest_float("max_lr", 0.1, 0.3), 1))


def endless_at_its_end(trial, base):
    if choice(trial, base).max_lr == RATES[-1]:
        base = replace(base, label_smoothing=trial.suggest_float("label_smoothing", 0.0, 0.1))
    return base


def broken(trial, base):
    raise RuntimeError(f"{trial}: no")


def idle_switches(trial, base):
    for number in range(20):
        trial.suggest_categorical(f"switch{number}", (False, True))
    return choice(trial, base)


@pytest.mark.parametrize(
    ("space", "most"), [(choice, 3), (grid, 9), (conditional, 5), (idle, 3), (lambda _trial, base: base, 1)]
)
def test_a_space_of_choices_and_steps_is_counted(plan, space, most):
    search = searching(plan, space)
    assert search.most(30) == most
    assert search.most(2) == min(2, most)
    assert len(points(search.make, 30)) == most


@pytest.mark.parametrize("space", [rounded, endless_at_its_end, broken, idle_switches])
def test_a_space_that_cant_be_counted_is_taken_to_have_enough(plan, space):
    assert searching(plan, space).most(30) == 30


def test_counting_takes_no_longer_than_the_trials_that_are_wanted(plan):
    asked = []

    def wide(trial, base):
        asked.append(trial)
        size = trial.suggest_int("batch_size", 8, 10**9)
        return replace(base, batch_size=size, max_lr=trial.suggest_categorical("max_lr", RATES))

    assert searching(plan, wide).most(30) == 30
    assert len(asked) == 30


@pytest.mark.parametrize("space", [choice, grid, conditional, idle, rounded])
def test_a_search_tries_each_point_once_and_ends(plan, open_search, space):
    """It had asked Optuna for another one, for ever."""
    search = open_search(budget=30, plan=searching(plan, space))
    rows = run(search)
    most = 3 if space is rounded else searching(plan, space).most(30)
    assert len({row["trial_id"] for row in rows}) == len(rows) == most
    assert (search.left, search.budget) == (0, most)
    assert search.ask() is None


def test_what_tpe_leaves_out_is_tried_as_well(plan, open_search):
    """With as many trials as points, it returns for ever to the best ones."""

    def wide(trial, base):
        return replace(base, max_lr=trial.suggest_categorical("max_lr", tuple(1e-4 * n for n in range(1, 31))))

    search = open_search(budget=30, plan=searching(plan, wide))
    assert len(run(search)) == 30
    assert search.budget == 30


def test_a_search_that_is_taken_up_again_counts_what_was_tried(plan, open_search):
    small = searching(plan, choice)
    rows = run(open_search(budget=2, plan=small))
    search = open_search(rows, budget=30, plan=small)
    assert len(run(search)) == 1
    assert search.budget == 3
