"""`run ablations --until decided`: block by block, until looks, all planned beforehand, have decided each arm."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sweeper import signals
from sweeper.audio.fold_data import cut
from sweeper.audio.store import ClipStore
from sweeper.plan import Plan, PlanError, TrialSpec
from sweeper.results.budget import BUDGET, Budget, Spending
from sweeper.results.deciding import Deciding
from sweeper.results.looks import SEQUENTIAL, Sequential, plan_sequential, read_sequential
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.run.budget import budget_facts, describe_stop
from sweeper.run.checks import check_begin
from sweeper.run.conclusion import describe_conclusion
from sweeper.run.describe import describe_data, expected_cost
from sweeper.run.floor import keeping_floor
from sweeper.run.options import (
    FAILED,
    OK,
    AblationOptions,
    Outcome,
    Say,
    interrupted,
    machine,
    resumable,
)
from sweeper.run.prepare import Run
from sweeper.run.words import count


def run_until_decided(options: AblationOptions, run: Run, say: Say, budget: Budget | None = None) -> Outcome:
    """Train block by block what the next look needs, until no arm is left that further blocks could decide.

    Raises:
        PlanError, StudyError: one line, for the user.
    """
    if options.seeds != AblationOptions.seeds:
        raise PlanError(f"--seeds {options.seeds}: with --until decided, seeds come one by one; give --max-seeds")
    if options.peers:
        raise PlanError("--until decided: peers are compared with no arm; give them a study of their own")
    study, plan = run.results, run.plan(options.split, options.max_seeds)
    arms = [arm.name for arm in run.arms]
    reference = run.source.study.reference
    if len(arms) < 2 or reference not in arms:
        raise PlanError(f"--until decided: nothing to decide, which needs {reference} and another arm")
    old = study.read_plan()
    facts = _planned(old, arms, reference, run.folds, options.max_seeds, study)
    state = read_sequential(facts)
    assert state is not None
    most = state.most(options.max_seeds)
    specs = _grid(plan, arms, run.folds)
    first = [of_arm[0] for of_arm in specs]
    check_begin(options, study, plan.describe(), first)
    for line in [_describe(state, options, study), *describe_data(first[0], run.folds, run)]:
        say(line)
    if options.dry_run:
        say(f"looks after {', '.join(str(look) for look in state.schedule.looks if look <= most)} blocks")
        conclusion = describe_conclusion(plan, run.dataset, study, options, budget)
        if len(conclusion) > 1:
            say("at most, as an arm that is decided gets no further trial:")
        for line in conclusion:
            say(line)
        say("for one block of all arms:")
        for line in expected_cost(first, run.dataset):
            say(line)
        return Outcome(OK, None)
    with resumable(study):
        store = run.open(options, say)
        asked = {spec.trial_id for of_arm in specs for spec in of_arm}
        base = plan.describe() | run.facts(options, store) | facts | budget_facts(study, budget, asked) | {"trials": []}
        study.write_plan(base)
        floor = keeping_floor(study, store, options.split, run.folds)
        wanted = [spec for of_arm in specs for spec in of_arm[:most]]
        spending = None if budget is None else Spending(study, budget, wanted)
        return Outcome(_sweep(options, specs, store, study, say, base, most, spending, floor), study)


def _sweep(
    options: AblationOptions,
    specs: Sequence[Sequence[TrialSpec]],
    store: ClipStore,
    study: Study,
    say: Say,
    base: dict[str, Any],
    most: int,
    spending: Spending | None,
    floor: Callable[[Say], None],
) -> int:
    trial_ids = [[spec.trial_id for spec in of_arm[:most]] for of_arm in specs]
    margin = options.margin / 100

    def deciding(tell: Say) -> Deciding:
        return Deciding(study, trial_ids, most=most, margin=margin, say=tell)

    here = deciding(say)
    if spending is not None and spending.over() and here.step().look:
        floor(say)
        _stop(study, spending, base, say)
        return OK
    if not here.step().look:
        floor(say)
        say(f"Nothing to do: no arm is left that --max-seeds {options.max_seeds} would decide. No training was done.")
        return OK
    from sweeper.execution.until_decided import run_until_decided as run_trials  # Ray takes seconds to import

    def add(trials: Sequence[TrialSpec]) -> None:
        study.write_plan(base | {"trials": described(trials)})

    failures = run_trials(
        [of_arm[:most] for of_arm in specs],
        cut(store, options.split, sorted({spec.data.fold for spec in specs[0]}), selecting=False),
        study,
        store,
        machine(options),
        deciding=deciding,
        plan=add,
        coming=[specs[arm][block] for arm, block in here.left()],
        spending=spending,
        meanwhile=floor,
    )
    for failure in failures:
        spec = failure.spec
        say(f"failed: {spec.arm}, fold {spec.data.fold}, seed {spec.replicate}: {failure.error}")
    if signals.asked():
        say("Interrupted before all arms were decided. The same command continues.")
        return interrupted()
    if spending is not None and spending.refused:
        _stop(study, spending, base, say)
    elif failures:
        say("No look was taken of an arm while a trial of it failed. The same command tries again, and takes it.")
    return FAILED if failures else OK


def _stop(study: Study, spending: Spending, base: dict[str, Any], say: Say) -> None:
    """Write down that the budget ended the study, and say what it left open."""
    plan = study.read_plan() or {}
    state, planned = read_sequential(plan), {trial["trial_id"] for trial in plan.get("trials", ())}
    assert state is not None
    stop = spending.stop()
    stop = replace(stop, left=stop.left & planned)
    study.write_plan(base | {BUDGET: spending.budget.record(stop)})
    decided = {arm for arm, (_, said) in state.said().items() if said.decided} | {state.arms[state.reference]}
    left = [arm for arm in state.arms if arm not in decided]
    short = "" if stop.spent >= spending.budget.device_hours else " What was left pays for no further look."
    say(f"{describe_stop(stop)}.{short}")
    say(f"Not decided: {', '.join(left) or 'none'}. A stop by cost spends none of the error.")


def described(trials: Sequence[TrialSpec]) -> list[dict[str, Any]]:
    """Trials for `plan.json`."""
    return list(Plan("", tuple(trials), {}, {"reference": ""}).describe()["trials"])


def _grid(plan: Plan, arms: Sequence[str], folds: Sequence[int]) -> list[list[TrialSpec]]:
    """The trials `[arms][blocks]`."""
    place = {(spec.arm, spec.replicate, spec.data.fold): spec for spec in plan.trials}
    seeds = len(plan.trials) // len(arms) // len(folds)
    return [[place[arm, seed, fold] for seed in range(seeds) for fold in folds] for arm in arms]


def _planned(
    old: dict[str, Any] | None, arms: Sequence[str], reference: str, folds: Sequence[int], seeds: int, study: Study
) -> dict[str, Any]:
    """The looks of a study: as its first command planned them, or planned now.

    Raises:
        StudyError: it is not a sequential study, or one of other arms or folds.
    """
    remedy = "use --study NAME to start another study"
    if old is None or (not old.get(SEQUENTIAL) and not old["trials"]):
        return {SEQUENTIAL: plan_sequential(arms, reference, folds, seeds)}
    state = read_sequential(old)
    if state is None:
        raise StudyError(f"{study} was planned as a fixed study, and may have been looked at: {remedy}")
    if set(state.arms) != set(arms):
        raise StudyError(f"{study} decides among {', '.join(state.arms)}, and its arms can't change: {remedy}")
    if state.folds != tuple(folds):
        raise StudyError(f"{study} has the folds {','.join(map(str, state.folds))}, which can't change: {remedy}")
    return {SEQUENTIAL: old[SEQUENTIAL], "looks": old.get("looks", [])}


def _describe(state: Sequential, options: AblationOptions, study: Study) -> str:
    folds = count(len(state.folds), "fold")
    taken = f", {count(len(state.taken), 'look')} taken" if state.taken else ""
    return (
        f"study {study.name}: {count(len(state.arms), 'arm')} × {folds}, seeds until each arm is decided at "
        f"±{options.margin:g} points, at most {options.max_seeds}{taken}"
    )
