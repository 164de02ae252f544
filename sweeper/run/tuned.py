"""`sweeper run tuned-ablations`: a search of the same budget for every arm, then the grid with each arm's own winner.

Every fold has searches of its own: a search on fold 1 that used fold 2's clips for validation may not choose what is
tested on fold 2.
"""

import functools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from sweeper.plan import Plan, PlanError, TrialSpec, Tuning, build_plan
from sweeper.results.searching import Found, read_searches, write_searches
from sweeper.results.store import Study
from sweeper.run.ablations import sweep
from sweeper.run.checks import check_begin
from sweeper.run.describe import describe, describe_reach, expected_cost
from sweeper.run.floor import keeping_floor
from sweeper.run.options import OK, Outcome, Say, TunedOptions, resumable
from sweeper.run.prepare import Run, prepare_run
from sweeper.run.search import (
    SearchStages,
    arm_searches,
    describe_searches,
    describe_space,
    expected_trials,
    search_design,
    write_search_plan,
)
from sweeper.run.words import count
from sweeper.search.plan import ArmSearch


def run_tuned(options: TunedOptions, say: Say) -> Outcome:
    """Search for every arm and fold, then run the grid; see `run_search` and `run_ablations`.

    Raises:
        DatasetError, LeakError, PlanError, StudyError: one line each, for the user.
    """
    run = prepare_run(options)
    searches = arm_searches(run, options)
    study = run.results
    # The winners hold for the whole grid, so what named them belongs to the design: it can't change half-way.
    budget = {name: getattr(options, name) for name in ("trials", "top", "replicates")}
    design = search_design(searches[0], options) | {"budget": budget}
    trials = _expected(searches, options, study)
    for line in describe_searches(searches, options, run):  # first: what follows takes seconds
        say(line)
    check_begin(options, study, {"design": design}, trials)
    if options.dry_run:
        _describe_dry(searches, trials, options, run, say)
        return Outcome(OK, None)
    with resumable(study):
        store = run.open(options, say)
        facts = run.facts(options, store) | {"design": design, "fixed_study": run.fixed}
        write_search_plan(study, searches, options, facts)
        with ExitStack() as stack:
            seeker = SearchStages(
                options, searches, study, store, say, stack, functools.partial(_expected, searches, options, study)
            )
            code = seeker.name_winners()
            write_searches(study, read_searches(study))
            if seeker.named():
                found = seeker.found()
                plan = _grid(searches, found, options)
                # From now on these are the winners, whatever a replicate that failed scores when it is tried again.
                winners = [
                    {"arm": f.arm, "fold": f.fold, "params": f.winner.params} for f in found.values() if f.winner
                ]
                grid = {"trials": plan.describe()["trials"], "winners": winners}
                write_search_plan(study, searches, options, facts | grid)
                done = study.finished()
                missing = [trial for trial in plan.trials if trial.trial_id not in done]
                keeping_floor(study, store, options.split, run.folds)(say)
                say(f"grid: {count(len(plan.trials), 'trial')} with each arm's winner, {len(missing)} to run")
                if missing:
                    seeker.start()
                    code = max(code, sweep(options, missing, store, study, say, seeker.course("", len(missing)))[0])
        return Outcome(code, study)


def _expected(searches: Sequence[ArmSearch], options: TunedOptions, study: Study) -> list[TrialSpec]:
    """Trials like those that are still to come, of the searches and of the grid."""
    if like := expected_trials(searches, options, study, finals=0):
        return [*like, *_plan(searches, options, None).trials]
    found, done = {(f.arm, f.fold): f for f in read_searches(study)}, study.finished()
    return [trial for trial in _grid(searches, found, options).trials if trial.trial_id not in done]


def _grid(searches: Sequence[ArmSearch], found: Mapping[tuple[str, int], Found], options: TunedOptions) -> Plan:
    """The ablation grid with each arm's winner.

    Raises:
        PlanError: a winner differs from the recipe in more than was searched.
    """
    params, trainings = {}, {}
    for search in searches:
        winner = found[search.key].winner
        if winner is None:
            raise PlanError(f"{search.arm.name}, fold {search.data.fold}: no winner, as no replicate is complete")
        params[search.key], trainings[search.key] = winner.params, search.training(winner.params)
    return _plan(searches, options, Tuning(searches[0].scope, params, trainings))


def _plan(searches: Sequence[ArmSearch], options: TunedOptions, tuning: Tuning | None) -> Plan:
    first = searches[0]
    return build_plan(
        study=first.study,
        source=first.source,
        arms=list({search.arm.name: search.arm for search in searches}.values()),
        recipe=first.recipe,
        dataset=first.data.dataset,
        split=first.data.split,
        folds=sorted({search.data.fold for search in searches}),
        classes=first.classes,
        replicates=options.seeds,
        tuning=tuning,
    )


def _describe_dry(
    searches: Sequence[ArmSearch], trials: Sequence[TrialSpec], options: TunedOptions, run: Run, say: Say
) -> None:
    grid = _plan(searches, options, None)
    reach = describe_reach(grid, run.dataset, run.results, options.results)
    for line in [*describe_space(searches[0]), f"then the grid: {describe(grid, len(grid.trials), run)[0]}", *reach]:
        say(line)
    for line in expected_cost(trials, run.dataset):
        say(line)
