"""What searches found, as tables: each search's best trials, and the winners on seeds that decided nothing."""

import json
import statistics
from collections.abc import Sequence
from typing import Any

from sweeper.plan import Stage
from sweeper.report.cells import NONE, PaperTable, percent, points
from sweeper.results.searching import Found, Row, search_table

SHOWN = 5  # trials of each search; search.parquet has them all


def search_tables(searches: Sequence[Found]) -> list[PaperTable]:
    """A table per search, and one of their winners."""
    tables = [_explored(found) for found in searches if found.explored]
    named = [found for found in searches if found.winner is not None]
    return [*tables, _winners(named)] if named else tables


def search_notes(searches: Sequence[Found]) -> list[str]:
    """How to read the tables; nothing where nothing was searched."""
    if not searches:
        return []
    goal = searches[0].goal
    which = "of the averaged weights" if goal.objective == "accuracy_ema" else "of the last epoch's weights"
    notes = [
        f"search: scores are accuracies {which} on validation clips, which did not train; each was the best of many on "
        "one seed, so it flatters; stopped trials fell behind and are compared with none",
        "winners: n seeds chose among the best; fresh seeds and the test clips decided nothing, and the recipe was run "
        "on the same seeds",
    ]
    return [*notes, f"★: no trial scores more at no more {goal.cost}"] if goal.cost else notes


def changes(params: str, recipe_params: str) -> str:
    """In what a configuration differs from the recipe."""
    values, recipe = json.loads(params), json.loads(recipe_params)
    names = [*recipe, *(name for name in values if name not in recipe)]
    words = [_value(name, values.get(name)) for name in names if values.get(name) != recipe.get(name)]
    return ", ".join(word for word in words if word) or "the recipe"


def _value(name: str, value: Any) -> str:
    if value is None:  # switched off by another field
        return ""
    if isinstance(value, bool):
        return f"{name} {'on' if value else 'off'}"
    return f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"


def _explored(found: Found) -> PaperTable:
    rows = search_table(found)
    states = [sum(row["status"] == state for row in rows) for state in ("complete", "stopped", "failed")]
    complete = sorted((row for row in rows if row["status"] == "complete"), key=lambda row: -row["score"])
    shown = complete[:SHOWN]
    if found.goal.cost is not None:
        shown += [row for row in complete[SHOWN:] if row["pareto"]]
    cost = (found.goal.cost,) if found.goal.cost else ()
    return PaperTable(
        title=f"Search · {found.arm}, fold {found.fold}: {len(rows)} trials, of which {states[0]} complete, "
        f"{states[1]} stopped, {states[2]} failed",
        header=("trial", f"{found.goal.objective} %", *cost, *(("★",) if cost else ()), "s", "instead of the recipe"),
        rows=tuple(_trial(row, found) for row in shown),
        words=frozenset({"instead of the recipe"}),
        marks=frozenset({"★"}),
        wraps=frozenset({"instead of the recipe"}),
        least=("s",),
    )


def _trial(row: Row, found: Found) -> tuple[str, ...]:
    cost = (f"{row['cost']:.4g}", "★" if row["pareto"] else "") if found.goal.cost else ()
    what = changes(row["params"], found.recipe_params)
    return (str(row["number"]), percent(row["score"]), *cost, f"{row['seconds']:.0f}", what)


def _winners(searches: Sequence[Found]) -> PaperTable:
    return PaperTable(
        title="Winners",
        header=(
            "arm",
            "fold",
            "n",
            "mean %",
            "fresh %",
            "recipe %",
            "gain",
            "test %",
            "recipe's %",
            "test gain",
            "what",
        ),
        rows=tuple(_winner(found) for found in searches),
        words=frozenset({"arm", "what"}),
        repeats=frozenset({"fold", "n"}),
        wraps=frozenset({"what"}),
        least=("n", "mean %", "recipe %", "fresh %", "recipe's %", "test %"),
    )


def _winner(found: Found) -> tuple[str, ...]:
    winner = found.winner
    assert winner is not None
    return (
        found.arm,
        str(found.fold),
        str(len(winner.scores)),
        percent(winner.mean),
        *_against(found, "confirm", winner.params),
        *_against(found, "test", winner.params),
        changes(winner.params, found.recipe_params),
    )


def _against(found: Found, stage: Stage, winner: str) -> tuple[str, str, str]:
    """Winner, recipe and mean paired difference."""
    pairs = found.paired(stage, winner)
    if not pairs:
        return NONE, NONE, NONE
    means = tuple(map(statistics.fmean, zip(*pairs, strict=True)))
    return percent(means[0]), percent(means[1]), points(means[0] - means[1])
