"""`sweeper run ablations`: data, plan, what is missing, sweep; in that order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from sweeper import signals
from sweeper.audio.fold_data import cut
from sweeper.audio.store import ClipStore
from sweeper.execution.time_left import Course
from sweeper.plan import Plan, Source, TrialSpec
from sweeper.results.budget import BUDGET, Spending, read_stop
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.run.budget import budget_facts, cut_before, describe_stop, read_budget
from sweeper.run.checks import check_begin, check_numbers
from sweeper.run.conclusion import describe_conclusion
from sweeper.run.describe import describe, describe_reach, expected_cost
from sweeper.run.floor import keeping_floor
from sweeper.run.options import (
    FAILED,
    OK,
    AblationOptions,
    Outcome,
    RunOptions,
    Say,
    interrupted,
    machine,
    resumable,
)
from sweeper.run.prepare import Run, prepare_run
from sweeper.run.words import count


@dataclass(frozen=True)
class Grid:
    """A planned grid, checked: what was asked, what it comes to, and the trials that are not committed yet.

    `extended`: what the plan shall say of how the study grew, see `extensions`.
    """

    options: AblationOptions
    run: Run
    plan: Plan
    missing: tuple[TrialSpec, ...]
    extended: Mapping[str, Any]


def run_ablations(options: AblationOptions, say: Say) -> Outcome:
    """Plan, train what is missing, commit, derive the tables.

    Args:
        options: the command line.
        say: prints one line.

    Raises:
        DatasetError, LeakError, PlanError, StudyError: one line each, for the user.
    """
    check_numbers(options)  # here, too: what follows may look at repositories first
    budget = read_budget(options)
    if options.code:
        from sweeper.run.code import run_code  # which begins and sweeps as below

        return run_code(options, say)
    if options.until is not None:
        from sweeper.run.until_decided import run_until_decided  # SciPy is slow

        return run_until_decided(options, prepare_run(options), say, budget)
    grid = plan_grid(options, say)
    study = grid.run.results
    if options.dry_run:
        for lines in (
            describe_reach(grid.plan, grid.run.dataset, study, options.results),
            describe_conclusion(grid.plan, grid.run.dataset, study, options, budget),
            expected_cost(grid.missing, grid.run.dataset),
        ):
            for line in lines:
                say(line)
        return Outcome(OK, None)
    planned = {trial.trial_id for trial in grid.plan.trials}
    spending = None if budget is None or not grid.missing else Spending(study, budget, grid.plan.trials)
    if budget is not None and spending is not None and not spending.affords(grid.missing[0]):
        stop = spending.stop()
        old = study.read_plan() or {"trials": ()}
        left = stop.left & {trial["trial_id"] for trial in old["trials"]}
        if left:  # a command that was interrupted may not have come to write it down
            study.write_plan(old | {BUDGET: budget.record(replace(stop, left=left | cut_before(study, planned)))})
        say(f"Nothing to do: {describe_stop(stop)}. No training was done.")
        return Outcome(OK, study)
    with resumable(study):
        store = begin(grid, say, budget_facts(study, budget, planned) if grid.missing else {})
        code = train(grid, store, say, spending)
        if spending is not None and spending.refused and not signals.asked():
            stop = spending.stop()
            record = spending.budget.record(replace(stop, left=stop.left | cut_before(study, planned)))
            study.write_plan(grid.plan.describe() | {"data_digest": store.digest, BUDGET: record})
            say(f"{describe_stop(stop)}.")
        return Outcome(code, study)


def plan_grid(options: AblationOptions, say: Say, known: Source | None = None) -> Grid:
    """Plan a grid and say what is about to run; `known` as for `prepare_run`.

    Raises:
        DatasetError, PlanError, StudyError: one line each, for the user.
    """
    run = prepare_run(options, known)
    plan = run.plan(options.split, options.seeds)
    done = run.results.finished()
    extended = extensions(run.results, plan, done)
    missing = tuple(trial for trial in plan.trials if trial.trial_id not in done)
    for line in describe(plan, len(missing), run):  # first: what follows takes seconds
        say(line)
    check_begin(options, run.results, plan.describe(), missing)
    return Grid(options, run, plan, missing, extended)


def begin(grid: Grid, say: Say, facts: Mapping[str, Any] = MappingProxyType({})) -> ClipStore:
    """Decode the clips and write the plan, with further `facts`.

    Raises:
        DatasetError, LeakError, StudyError: as `Run.open`.
    """
    run, options, study = grid.run, grid.options, grid.run.results
    store = run.open(options, say)
    study.write_plan({**grid.plan.describe(), **run.facts(options, store), **grid.extended, **facts})
    return store


def train(grid: Grid, store: ClipStore, say: Say, spending: Spending | None = None) -> int:
    """Run what is missing of a grid that has begun, and beside it compute the floor; returns the exit code.

    Raises:
        PlanError, StudyError: one line each, for the user.
    """
    options, study = grid.options, grid.run.results
    floor = keeping_floor(study, store, options.split, grid.run.folds)
    if grid.missing:
        return sweep(options, grid.missing, store, study, say, spending=spending, meanwhile=floor)[0]
    floor(say)
    say(f"Nothing to do: all {len(grid.plan.trials)} trials are committed in {study}. No training was done.")
    return OK


def extensions(study: Study, plan: Plan, done: set[str]) -> dict[str, Any]:
    """What the plan records if the study now gains blocks after results could be seen; empty where it does not.

    Raises:
        StudyError: the study is sequential: a fixed number of seeds would bypass its planned looks.
    """
    old = study.read_plan() or {}
    if old.get("sequential"):
        raise StudyError(
            f"{study} goes on until its arms are decided: use --until decided, or --study NAME to start another study"
        )
    trials = [trial for trial in old.get("trials", ()) if trial.get("kind", "ablation") == "ablation"]
    blocks = {(trial["fold"], trial["replicate"]) for trial in trials}
    if (stop := read_stop(old)) is not None:  # what was there then was shown as a whole study
        blocks -= stop.cut(old)
    more = {(trial.data.fold, trial.replicate) for trial in plan.trials} - blocks
    seen = sum(trial["trial_id"] in done for trial in trials)
    if not (more and seen):
        return {}
    return {"extended": [*old.get("extended", ()), {"blocks": len(blocks), "to": len(blocks | more), "finished": seen}]}


def sweep(
    options: RunOptions,
    missing: Sequence[TrialSpec],
    store: ClipStore,
    study: Study,
    say: Say,
    course: Course | None = None,
    spending: Spending | None = None,
    meanwhile: Callable[[Say], None] | None = None,
) -> tuple[int, set[str]]:
    """Run planned trials, all scored on test clips or all on validation clips.

    Returns:
        the exit code, and the ids of those that neither finished nor failed: they are left to another command, or to
        this one's next time.
    """
    folds = cut(store, options.split, sorted({trial.data.fold for trial in missing}), selecting=missing[0].selects)
    from sweeper.execution.sweep import run_sweep  # Ray takes seconds to import: wrong input is told without it

    failures = run_sweep(missing, folds, study, store, machine(options), course, spending, meanwhile)
    left = {trial.trial_id for trial in missing} - study.finished() - {f.spec.trial_id for f in failures}
    for failure in failures:
        spec = failure.spec
        say(f"failed: {spec.arm}, fold {spec.data.fold}, seed {spec.replicate}: {failure.error}")
    if left and signals.asked():
        say(f"Interrupted with {len(left)} of {len(missing)} trials to go. The same command continues.")
        return interrupted(), left
    if left and not (spending is not None and spending.refused):
        say(f"{count(len(left), 'trial')} left to the other command, which is at it; if that is lost, run this again.")
    return FAILED if failures else OK, left
