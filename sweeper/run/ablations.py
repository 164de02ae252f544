"""`sweeper run ablations`: data, plan, what is missing, sweep; in that order."""

from collections.abc import Sequence
from typing import Any

from sweeper import signals
from sweeper.audio.fold_data import cut
from sweeper.audio.store import ClipStore
from sweeper.execution.time_left import Course
from sweeper.plan import Plan, TrialSpec, build_plan
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
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
    if options.until is not None:
        from sweeper.run.until_decided import run_until_decided  # SciPy is slow

        return run_until_decided(options, run, say)
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
    extended = extensions(study, plan, done)
    for line in describe(plan, len(missing), run):  # first: what follows takes seconds
        say(line)
    check_begin(options, study, plan.describe()["design"], missing)
    if options.dry_run:
        for line in [*describe_reach(plan, run.dataset, study, options.results), *expected_cost(missing, run.dataset)]:
            say(line)
        return Outcome(OK, None)
    with resumable(study):
        store = run.open(options, say)
        study.write_plan(plan.describe() | run.facts(options, store) | extended)
        if not missing:
            say(f"Nothing to do: all {len(plan.trials)} trials are committed in {study}. No training was done.")
            return Outcome(OK, study)
        return Outcome(sweep(options, missing, store, study, say), study)


def extensions(study: Study, plan: Plan, done: set[str]) -> dict[str, Any]:
    """What the plan shall say of how the study grew, after results could be seen, by blocks; nothing where it did not.

    Raises:
        StudyError: its looks were planned, which fixed seeds would pass by.
    """
    old = study.read_plan() or {}
    if old.get("sequential"):
        raise StudyError(
            f"{study} goes on until its arms are decided: use --until decided, or --study NAME to start another study"
        )
    trials = [trial for trial in old.get("trials", ()) if trial.get("kind", "ablation") == "ablation"]
    blocks = {(trial["fold"], trial["replicate"]) for trial in trials}
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
