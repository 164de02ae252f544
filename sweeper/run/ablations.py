"""`sweeper run ablations`: data, plan, what is missing, sweep; in that order."""

from collections.abc import Sequence

from sweeper import signals
from sweeper.audio.sides import cut
from sweeper.audio.store import ClipStore, prepare
from sweeper.plan import TrialSpec, build_plan, select_arms
from sweeper.results.store import Study, study_of
from sweeper.run.describe import count, describe, describe_reach, expected_cost
from sweeper.run.options import (
    FAILED,
    OK,
    AblationOptions,
    Outcome,
    RunOptions,
    Say,
    check,
    choose_folds,
    choose_recipe,
    data_facts,
    interrupted,
    load,
    machine,
    study_name,
)


def run_ablations(options: AblationOptions, say: Say) -> Outcome:
    """Plan, train what is missing, commit, derive the tables.

    Args:
        options: the command line.
        say: prints one line.

    Raises:
        DatasetError, LeakError, PlanError, StudyError: one line each, for the user.
    """
    check(options)
    recipe = choose_recipe(options)
    arms = select_arms(options.table, options.arms)  # a wrong name is told before anything slow
    dataset = load(options)
    folds = choose_folds(options, dataset, few=dataset.name == "demo")
    plan = build_plan(
        study=options.study or study_name("ablations", options, recipe),
        arms=arms,
        recipe=recipe,
        dataset=dataset.name,
        split=options.split,
        folds=folds,
        classes=len(dataset.classes),
        replicates=options.seeds,
        peers=options.peers,
    )
    study = study_of(options.results, plan.study)
    done = study.finished()
    missing = [trial for trial in plan.trials if trial.trial_id not in done]
    for line in describe(plan, len(missing), dataset, recipe):
        say(line)
    if options.dry_run:
        for line in [*describe_reach(plan, dataset, study, options.results), *expected_cost(missing, dataset)]:
            say(line)
        return Outcome(OK, None)
    study.create()
    store = prepare(dataset, recipe.sample_rate, bad_clips=options.bad_clips)
    study.write_plan(plan.describe() | data_facts(dataset, store, options.split))
    if not missing:
        say(f"Nothing to do: all {len(plan.trials)} trials are committed in {study}. No training was done.")
        return Outcome(OK, study)
    return Outcome(sweep(options, missing, store, study, say), study)


def sweep(options: RunOptions, missing: Sequence[TrialSpec], store: ClipStore, study: Study, say: Say) -> int:
    """Run planned trials, all scored on test clips or all on validation clips; returns the exit code."""
    folds = cut(store, options.split, sorted({trial.data.fold for trial in missing}), selecting=missing[0].selects)
    from sweeper.execution.sweep import run_sweep  # Ray takes seconds to import: wrong input is told without it

    failures = run_sweep(missing, folds, study, store, machine(options))
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
