"""A search's trials read back from the rows they committed: what was tried, what it scored, which configurations lead.

The rows are the search's memory; Optuna's own study is rebuilt from them where it is missing.
"""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from sweeper.plan import Stage
from sweeper.results import schema
from sweeper.results.store import Study
from sweeper.training.metrics import Objective

Row = dict[str, Any]
Cost = Literal["gflops", "seconds"]

SEARCH_TABLE, WINNERS = "search.parquet", "winners.json"
STAGES: tuple[Stage, ...] = ("explore", "replicate", "confirm", "test")
FRESH_STAGES: tuple[Stage, ...] = ("confirm", "test")  # on seeds that decided nothing


@dataclass(frozen=True)
class Goal:
    """What a search wants: the most of `objective` on validation clips and, on request, the least of a cost.

    Costs: `gflops`, the operations of the whole training in GFLOP (backward as twice forward); `seconds`, the measured
    training time, on this machine.
    """

    objective: Objective
    cost: Cost | None = None

    def values(self, row: Row) -> tuple[float, ...]:
        """A complete row's score and, where it counts, cost."""
        score = float(row[self.objective])
        if self.cost is None:
            return (score,)
        if self.cost == "seconds":
            return score, float(row["seconds"])
        return score, 3 * float(row["gflops_per_clip"]) * row["train_clips"] * row["epochs"]


@dataclass(frozen=True)
class Candidate:
    """A configuration and its scores on seeds other than those that it was found with."""

    params: str
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean score over seeds."""
        return statistics.fmean(self.scores)


@dataclass(frozen=True)
class Found:
    """One search as its rows tell it.

    Attributes:
        arm, fold: of what.
        goal: what was wanted.
        recipe_params: the recipe's own values.
        stages: the rows of each stage, in the order in which they ended.
        leading: params of the best complete trials, the best first: those that are run again with further seeds.
        named: params of the winner with which a grid was begun; '' where none was.
    """

    arm: str
    fold: int
    goal: Goal
    recipe_params: str
    stages: Mapping[str, Sequence[Row]]
    leading: tuple[str, ...]
    named: str = ""

    @property
    def explored(self) -> Sequence[Row]:
        """The trials that looked for configurations."""
        return self.stages["explore"]

    def candidates(self, stage: Stage = "replicate") -> list[Candidate]:
        """The stage's configurations by their mean over seeds, the best first.

        Replicated ones that lead no longer (a longer search found better ones) are left out.
        """
        scores: dict[str, list[tuple[int, float]]] = {}
        for row in self.stages[stage]:
            if row["status"] == "complete":
                scores.setdefault(row["params"], []).append((row["replicate"], self.goal.values(row)[0]))
        found = [Candidate(params, tuple(score for _, score in sorted(seeds))) for params, seeds in scores.items()]
        if stage == "replicate":
            found = [candidate for candidate in found if candidate.params in self.leading]
        return sorted(found, key=lambda candidate: (-candidate.mean, candidate.params))

    @property
    def winner(self) -> Candidate | None:
        """The configuration with the best mean over the replicates' seeds; None before there are any.

        Only configurations that finished on the most seeds are considered: one that failed on a seed can't win. Once a
        grid was begun with one, it stays the winner.
        """
        found = self.candidates()
        if named := [candidate for candidate in found if candidate.params == self.named]:
            return named[0]
        seeds = max((len(candidate.scores) for candidate in found), default=0)
        return next((candidate for candidate in found if len(candidate.scores) == seeds), None)

    def scores(self, stage: Stage, params: str) -> tuple[float, ...]:
        """A configuration's scores in a stage, by seed."""
        return next((found.scores for found in self.candidates(stage) if found.params == params), ())

    def paired(self, stage: Stage, params: str) -> tuple[tuple[float, float], ...]:
        """A configuration's score and the recipe's, on each seed of a stage on which both finished."""
        ours, theirs = (
            {
                row["replicate"]: self.goal.values(row)[0]
                for row in self.stages[stage]
                if row["status"] == "complete" and row["params"] == which
            }
            for which in (params, self.recipe_params)
        )
        return tuple((ours[seed], theirs[seed]) for seed in sorted(ours.keys() & theirs.keys()))


def read_searches(study: Study, trials: pa.Table | None = None) -> tuple[Found, ...]:
    """Every search that the study's plan names, as far as it got.

    Args:
        study: whose.
        trials: its rows (`schema.TRIAL`), if they were read already.
    """
    plan = study.read_plan() or {}
    if not plan.get("searches"):
        return ()
    goal = Goal(**plan["search"]["goal"])
    top = int(plan["search"]["top"])
    rows: dict[tuple[str, int, str], list[Row]] = {}
    trials = study.trials() if trials is None else trials
    for row in trials.filter(pc.equal(trials["kind"], "search")).to_pylist():
        if row["stage"] in STAGES:
            rows.setdefault((row["arm"], row["fold"], row["stage"]), []).append(row)
    found = []
    named = {(winner["arm"], winner["fold"]): winner["params"] for winner in plan.get("winners", ())}
    for search in plan["searches"]:
        key = (search["arm"], search["fold"])
        stages: dict[str, list[Row]] = {stage: _in_order(rows.get((*key, stage), ())) for stage in STAGES}
        leading = tuple(row["params"] for row in _best(stages["explore"], goal)[:top])
        found.append(Found(*key, goal, search["recipe_params"], stages, leading, named.get(key, "")))
    return tuple(found)


def write_searches(study: Study, searches: Sequence[Found]) -> None:
    """Derive `search.parquet` and `winners.json` from what was found."""
    study.write_table(SEARCH_TABLE, [row for found in searches for row in search_table(found)], schema.SEARCH)
    winners = [
        {
            "arm": found.arm,
            "fold": found.fold,
            "objective": found.goal.objective,
            "params": json.loads(found.winner.params),
            "replicate": found.winner.scores,
            **{stage: _against_recipe(found, stage, found.winner.params) for stage in FRESH_STAGES},
        }
        for found in searches
        if found.winner is not None
    ]
    study.write_json(WINNERS, winners)


def _against_recipe(found: Found, stage: Stage, winner: str) -> dict[str, tuple[float, ...]]:
    return {"winner": found.scores(stage, winner), "recipe": found.scores(stage, found.recipe_params)}


def _in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["finished"], row["trial_id"]))


def _best(rows: Sequence[Row], goal: Goal) -> list[Row]:
    complete = [row for row in rows if row["status"] == "complete"]
    return sorted(complete, key=lambda row: -goal.values(row)[0])


def search_table(found: Found) -> list[Row]:
    """Rows of `search.parquet` (`schema.SEARCH`): the explored trials, with the Pareto front marked.

    Without a cost, the front is the best trial alone.
    """
    from sweeper.statistics.pareto import front  # with SciPy, which whoever reads searches needs not

    rows, goal = found.explored, found.goal
    complete = [row for row in rows if row["status"] == "complete"]
    points = [(goal.values(row)[1] if goal.cost else 0.0, goal.values(row)[0]) for row in complete]
    leading = {complete[i]["trial_id"] for i in front(points)}
    table = []
    for number, row in enumerate(rows):
        values = goal.values(row) if row["status"] == "complete" else ()
        table.append(
            {name: row[name] for name in ("trial_id", "study", "arm", "fold", "status", "params", "stopped_epoch")}
            | {
                "number": number,
                "objective": goal.objective,
                "score": values[0] if values else row["stopped_score"],
                "cost": values[1] if len(values) > 1 else None,
                "cost_unit": goal.cost or "",
                "pareto": row["trial_id"] in leading,
                "seconds": row["seconds"],
                "error": row["error"],
            }
        )
    return table


def read_params(row: Row) -> dict[str, Any]:
    """What a search chose for this trial."""
    return dict(json.loads(row["params"] or "{}"))
