"""`sweeper run ablations`: data, plan, what is missing, sweep; in that order."""

from collections.abc import Sequence

from sweeper import signals
from sweeper.audio.fold_data import cut
from sweeper.audio.store import ClipStore
from sweeper.execution.time_left import Course
from sweeper.plan import TrialSpec, build_plan
from sweeper.results.store import Study
from sweeper.run.checks import check_begin
from sweeper.run.describe import describe, describe_reach, expected_cost
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
from sweeper.run.prepare import prepare_run
from sweeper.run.words import count


def run_ablations(options: AblationOptions, say: Say) -> Outcome:
    """Plan, train what is missing, commit, derive the tables.

    Args:
        options: the command line.
        say: prints one line.

    Raises:
        DatasetError, LeakError, PlanError, StudyError: one line each, for the user.
    """
    run = prepare_run(options)
    plan = build_plan(
        study=run.results.name,
        source=run.source,
        arms=run.arms,
        recipe=run.recipe,
        dataset=run.dataset.name,
        split=options.split,
        folds=run.folds,
        classes=len(run.dataset.classes),
        replicates=options.seeds,
        peers=run.peers,
    )
    study = run.results
    done = study.finished()
    missing = [trial for trial in plan.trials if trial.trial_id not in done]
    for line in describe(plan, len(missing), run):  # first: what follows takes seconds
        say(line)
    check_begin(options, study, plan.describe()["design"], missing)
    if options.dry_run:
        for line in [*describe_reach(plan, run.dataset, study, options.results), *expected_cost(missing, run.dataset)]:
            say(line)
        return Outcome(OK, None)
    with resumable(study):
        store = run.open(options, say)
        study.write_plan(plan.describe() | run.facts(options, store))
        if not missing:
            say(f"Nothing to do: all {len(plan.trials)} trials are committed in {study}. No training was done.")
            return Outcome(OK, study)
        return Outcome(sweep(options, missing, store, study, say), study)


def sweep(
    options: RunOptions,
    missing: Sequence[TrialSpec],
    store: ClipStore,
    study: Study,
    say: Say,
    course: Course | None = None,
) -> int:
    """Run planned trials, all scored on test clips or all on validation clips; returns the exit code."""
    folds = cut(store, options.split, sorted({trial.data.fold for trial in missing}), selecting=missing[0].selects)
    from sweeper.execution.sweep import run_sweep  # Ray takes seconds to import: wrong input is told without it

    failures = run_sweep(missing, folds, study, store, machine(options), course)
    left = {trial.trial_id for trial in missing} - study.finished() - {f.spec.trial_id for f in failures}
    for failure in failures:
        spec = failure.spec
        say(f"failed: {spec.arm}, fold {spec.data.fold}, seed {spec.replicate}: {failure.error}")
    if left and signals.asked():
        say(f"Interrupted with {len(left)} of {len(missing)} trials to go. The same command continues.")
        return interrupted()
    if left:
        say(f"{count(len(left), 'trial')} left to the other command, which is at it; if that is lost, run this again.")
    return FAILED if failures else OK
