"""Searches whose trials cost nothing: rows as a run would commit them, scored by a made-up surface."""

import datetime
from dataclasses import replace

import optuna
import pytest

from sweeper.definition import Source
from sweeper.results.searching import Goal
from sweeper.search.suggest import Search
from tests.benchmarks.search_vs_random import arm_search, surface
from tests.results.rows import trial_row
from tests.studies import STUDY


def row_of(spec, score=None, number=0, **changes):
    """The committed row of a search's trial."""
    accuracy = surface(spec.training) if score is None else score
    ended = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=number)
    described = {"kind": "search", "stage": spec.stage, "scored_on": "validation", "params": spec.params}
    described |= {"trial_id": spec.trial_id, "finished": ended, "seed": spec.seed, "study": spec.study}
    described |= {"stopped_epoch": None, "stopped_score": None, "epochs": spec.training.epochs}
    return trial_row(spec.arm, spec.data.fold, spec.replicate, accuracy, **(described | changes))


def stopped(spec, number=0):
    """The row of a trial that was stopped early."""
    scores = {"status": "stopped", "stopped_epoch": 3, "stopped_score": 0.1}
    return row_of(spec, None, number, **scores) | {"accuracy": None, "accuracy_ema": None}


def searching(plan, space):
    """The same search in another space."""
    return replace(plan, source=Source("paper", replace(STUDY, space=space)))


@pytest.fixture
def plan():
    """The search of the full network on the demo, as planned."""
    return arm_search()


@pytest.fixture
def open_search(plan):
    """Opens the search, in a storage of its own unless one is given."""

    def open_it(rows=(), *, plan=plan, storage=None, budget=10, goal=Goal("accuracy"), design="d", **others):  # noqa: B008
        storage = storage or optuna.storages.InMemoryStorage()
        return Search(plan.name, plan.make, goal, budget=budget, storage=storage, rows=rows, design=design, **others)

    return open_it


def run(search, count=1000, tell=row_of):
    """Ask and tell up to `count` times; returns the rows."""
    rows = []
    while len(rows) < count and (spec := search.ask()) is not None:
        rows.append(tell(spec, number=len(rows)))
        search.tell(spec.trial_id, rows[-1])
    return rows
