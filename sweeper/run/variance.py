"""`sweeper run variance`: the reference, with seeds that vary one source at a time, every one with every other."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from sweeper.plan import STUDY_SEED, Plan, TrialSpec, derive_seed
from sweeper.results.variance import SOURCES, VARIANCE
from sweeper.run.ablations import sweep
from sweeper.run.checks import check_begin
from sweeper.run.describe import describe_data, expected_cost
from sweeper.run.options import OK, Outcome, Say, VarianceOptions, resumable
from sweeper.run.prepare import prepare_run
from sweeper.run.words import count


def run_variance(options: VarianceOptions, say: Say) -> Outcome:
    """Plan, train what is missing, commit, derive the components.

    Args:
        options: the command line.
        say: prints one line.

    Raises:
        DatasetError, LeakError, PlanError, StudyError: one line each, for the user.
    """
    run = prepare_run(options)
    study = run.results
    plan = crossed(run.plan(options.split, 1), options.seeds)
    done = study.finished()
    missing = tuple(trial for trial in plan.trials if trial.trial_id not in done)
    say(
        f"study {study.name}: {run.source.study.reference}, {count(len(run.folds), 'fold')} × "
        f"{' × '.join(f'{options.seeds} of {source}' for source in SOURCES)} = {count(len(plan.trials), 'trial')}, "
        f"{len(plan.trials) - len(missing)} of them already committed"
    )
    for line in describe_data(plan.trials[0], run.folds, run):
        say(line)
    if len(run.folds) == 1:
        say("one fold: how much folds differ is not told; name several with --folds")
    check_begin(options, study, plan.describe(), missing)
    if options.dry_run:
        for line in expected_cost(missing, run.dataset):
            say(line)
        return Outcome(OK, None)
    with resumable(study):
        store = run.open(options, say)
        study.write_plan({**plan.describe(), **run.facts(options, store), VARIANCE: {"seeds": options.seeds}})
        if not missing:
            say(f"Nothing to do: all {len(plan.trials)} trials are committed in {study}. No training was done.")
            return Outcome(OK, study)
        return Outcome(sweep(options, missing, store, study, say)[0], study)


def crossed(plan: Plan, seeds: int) -> Plan:
    """A plan with a trial per fold in which every seed of each source meets every seed of the others.

    The l-th seed of a source is that of an ablation's l-th replicate on the fold. What has no source of its own, such
    as dropout, has another seed in each trial. A trial's replicate is these l, digit by digit.
    """

    def trials(spec: TrialSpec) -> Iterator[TrialSpec]:
        where = STUDY_SEED, spec.data.dataset, spec.data.fold
        levels = [derive_seed(*where, level) for level in range(seeds)]
        for cell in product(range(seeds), repeat=len(SOURCES)):
            chosen = [levels[level] for level in cell]
            own = tuple(zip(SOURCES, chosen, strict=True))
            number = int("".join(map(str, cell)))  # stays where seeds are added
            yield replace(spec, kind="variance", replicate=number, seed=derive_seed(*where, *chosen), seeds=own)

    return replace(plan, trials=tuple(trial for spec in plan.trials for trial in trials(spec)))
