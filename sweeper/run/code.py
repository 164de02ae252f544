"""`sweeper run ablations --code …`: commits as arms, on the same blocks, compared with the first one.

Each commit's file says its own network, arms and recipe. An arm of a commit is named by the commit's hash, which stays
where a branch moves; trials are named by what they compute, so a commit that computes what another one does adds none.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sweeper.definition import PlanError, Source, canonical_json, plain
from sweeper.plan import Plan, TrialSpec, Variant, build_plan, select_arms, variant
from sweeper.run.ablations import Grid, begin, extensions, train
from sweeper.run.checks import check_begin
from sweeper.run.commits import Commit, sources
from sweeper.run.describe import describe, describe_reach, expected_cost
from sweeper.run.networks import check_networks
from sweeper.run.options import OK, AblationOptions, Outcome, Say, resumable
from sweeper.run.prepare import Run, choose_recipe, prepare_run, results_name
from sweeper.study import Arm, Recipe
from sweeper.study_file import save
from sweeper.switches import flat_fields


@dataclass(frozen=True)
class _At:
    """A commit, its study, the recipe there, and its arms, as they are declared and resolved, in one order for all."""

    commit: Commit
    source: Source
    recipe: Recipe
    arms: tuple[Arm, ...]
    variants: tuple[Variant, ...]


def run_code(options: AblationOptions, say: Say) -> Outcome:
    """Plan the commits' arms, train what is missing, commit, derive the tables.

    Raises:
        DatasetError, LeakError, PlanError, StudyError: one line each, for the user.
    """
    others = {"--until": options.until, "--peers": options.peers, "--budget": options.budget}
    for name, given in others.items():
        if given:
            raise PlanError(f"{name} does not go with --code: leave one of them out")
    if len(options.code) < 2:
        raise PlanError(f"--code {' '.join(options.code)}: name two commits at least; the first is the reference")
    with sources(Path(options.source).expanduser(), options.code) as found:
        grid, facts = _plan(options, found, say)
        study = grid.run.results
        if options.dry_run:
            reach = describe_reach(grid.plan, grid.run.dataset, study, options.results)
            for line in [*reach, *expected_cost(grid.missing, grid.run.dataset)]:
                say(line)
            return Outcome(OK, None)
    with resumable(study):
        store = begin(grid, say, facts)
        for _, source in found:
            if source.code:
                save(source.code, study.storage)
        return Outcome(train(grid, store, say), study)


def _plan(options: AblationOptions, found: Sequence[tuple[Commit, Source]], say: Say) -> tuple[Grid, dict[str, Any]]:
    """The grid of all commits, checked, and what the study's plan says of them."""
    first = found[0][1]
    asked = options.arms or options.table != "all"
    arms = select_arms(first.study, options.table, options.arms or (() if asked else (first.study.reference,)))
    names = tuple(arm.name for arm in arms)
    recipe = choose_recipe(first, options.recipe, demo=options.dataset == "demo")
    name = options.study or f"{results_name(options.design, replace(first, argument='file'), options, recipe)}-code"
    options = replace(options, arms=names, table="all", study=name, recipe=recipe.name)
    run = prepare_run(options, first)
    at = [_resolved(commit, source, options, run) for commit, source in found]
    notes = [note for each in at[1:] for note in _beside(each, at[0])]
    plans = [
        build_plan(
            study=name,
            source=each.source,
            arms=each.arms,
            recipe=each.recipe,
            dataset=run.dataset.name,
            split=options.split,
            folds=run.folds,
            classes=len(run.dataset.classes),
            replicates=options.seeds,
        )
        for each in at
    ]
    old = run.results.read_plan() or {}
    trials, same = _trials(at, plans, old)
    if len({trial.arm for trial in trials}) == len(names) and not old:
        raise PlanError(
            f"--code {' '.join(options.code)}: network and training of {', '.join(names)} are the same code in all of "
            "them (comments and layout don't count), so there is nothing to compare"
        )
    notes = [*(each.commit.label + f" is {each.commit.name}" for each in at), *run.notes, *notes]
    notes += [f"{arm} is the same code as {other}: it has no trials of its own" for arm, other in same.items()]
    run = replace(run, notes=tuple(dict.fromkeys(notes)), source=replace(first, argument=options.source))
    plan = Plan(
        name, tuple(trials), _design(plans[0], at[0], names), _definition(plans[0], at, names, options.source, old)
    )
    done = run.results.finished()
    missing = tuple(trial for trial in plan.trials if trial.trial_id not in done)
    for line in describe(plan, len(missing), run):
        say(line)
    check_begin(options, run.results, plan.describe(), missing)
    grid = Grid(options, run, plan, missing, extensions(run.results, plan, done))
    return grid, {"commits": _facts(at, names, same, old)}


def _resolved(commit: Commit, source: Source, options: AblationOptions, run: Run) -> _At:
    """A commit's arms, which must hear the same clips.

    Raises:
        PlanError: an arm or the recipe is not there, can't be trained, or hears other clips.
    """
    classes = len(run.dataset.classes)
    study = source.study
    if source is run.source:
        found = tuple(variant(study, arm, run.recipe, classes) for arm in run.arms)
        return _At(commit, source, run.recipe, run.arms, found)
    try:
        recipe = choose_recipe(source, options.recipe, demo=False)
        arms = tuple(sorted(select_arms(study, names=options.arms), key=lambda arm: options.arms.index(arm.name)))
    except PlanError as error:
        raise PlanError(f"--code {commit.asked}: {error}") from None
    if options.epochs is not None:
        recipe = replace(recipe, training=replace(recipe.training, epochs=options.epochs))
    if (heard := (recipe.sample_rate, recipe.seconds)) != (base := (run.recipe.sample_rate, run.recipe.seconds)):
        raise PlanError(
            f"--code {commit.asked}: its recipe {recipe.name!r} hears {heard[1]:g} s at {heard[0]} Hz, and that of "
            f"{options.code[0]} {base[1]:g} s at {base[0]} Hz: other clips can't be compared block by block"
        )
    check_networks(source, recipe, arms, classes, options.workers_per_trial)
    return _At(commit, source, recipe, arms, tuple(variant(study, arm, recipe, classes) for arm in arms))


def _beside(each: _At, first: _At) -> list[str]:
    """What a commit has in common with the first one: initial values, a first step; and where recipes differ."""
    from sweeper.model.build import build  # torch takes seconds to import: wrong names are told without it
    from sweeper.model.shared import shared_parameters
    from sweeper.training.check import same_step

    notes = []
    for mine, base in zip(each.variants, first.variants, strict=True):
        which = each.commit.asked + (f" ({mine.name})" if len(each.variants) > 1 else "")
        ours, theirs = flat_fields(mine.training), flat_fields(base.training)
        if differing := sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)):
            notes.append(f"{which}: trained otherwise than at {first.commit.asked}: {', '.join(differing)}")
        shared = shared_parameters(build(mine.network, 0), build(base.network, 0))
        notes.append(f"{which}: {shared.describe(first.commit.asked)}")
        if shared.shared == shared.parameters and same_step(mine.network, base.network, base.training):
            notes.append(f"{which}: does the same as {first.commit.asked} in a first training step")
    return notes


def _arm(commit: Commit, arm: str, names: Sequence[str]) -> str:
    return commit.name if len(names) == 1 else f"{arm}@{commit.name}"


def _trials(at: Sequence[_At], plans: Sequence[Plan], old: Mapping[str, Any]) -> tuple[list[TrialSpec], dict[str, str]]:
    """The commits' trials, block by block, each computation once; and which arms compute what another one does."""
    arms = len(at[0].variants)
    names = [found.name for found in at[0].variants]
    known = {trial["trial_id"]: str(trial["arm"]) for trial in old.get("trials", ()) if old.get("commits")}
    same: dict[str, str] = {}
    for each, plan in zip(at, plans, strict=True):
        for trial in plan.trials[:arms]:
            mine = _arm(each.commit, trial.arm, names)
            if (other := known.setdefault(trial.trial_id, mine)) != mine:
                same[mine] = other
    trials = []
    for block in range(len(plans[0].trials) // arms):
        for each, plan in zip(at, plans, strict=True):
            for trial in plan.trials[block * arms : (block + 1) * arms]:
                own = {"commit": each.commit.sha} if each.commit is not at[0].commit else {}
                switches = canonical_json(plain(own | json.loads(trial.switches)))
                if (name := _arm(each.commit, trial.arm, names)) not in same:
                    trials.append(replace(trial, arm=name, switches=switches))
    return trials, same


def _design(first: Plan, at: _At, names: Sequence[str]) -> dict[str, Any]:
    """What all trials share: the data, and what they are compared with."""
    reference = _arm(at.commit, _reference(at, names), names)
    return {**first.design, "commits": {"reference": reference, "arms": list(names)}}


def _reference(at: _At, names: Sequence[str]) -> str:
    return at.source.study.reference if at.source.study.reference in names else names[0]


def _definition(
    first: Plan, at: Sequence[_At], names: Sequence[str], argument: str, old: dict[str, Any]
) -> dict[str, Any]:
    """The study as data: an arm of each commit; those of commits that were asked for earlier stay."""
    told = dict(first.definition)
    of_arms = {arm["name"]: arm["switches"] for arm in told["arms"]} if len(names) > 1 else {}
    columns = list(dict.fromkeys(switch for name in names for switch in of_arms.get(name, {})))
    arms = [
        {
            "name": _arm(each.commit, name, names),
            "removes": each.commit.label,
            "network": {},
            "training": {},
            "switches": ({} if each is at[0] else {"commit": each.commit.label}) | of_arms.get(name, {}),
            "published": None,
        }
        for each in at
        for name in names
    ]
    known = {arm["name"] for arm in arms}
    earlier = old["definition"]["arms"] if old.get("commits") else []
    arms += [arm for arm in earlier if arm["name"] not in known]
    table = {"name": "all", "title": f"Commits of {Path(argument).name}", "arms": [arm["name"] for arm in arms]}
    return told | {
        "argument": argument,
        "reference": _arm(at[0].commit, _reference(at[0], names), names),
        "switches": {"commit": at[0].commit.label} | {name: told["switches"][name] for name in columns},
        "order": ["commit", *columns],
        "arms": arms,
        "tables": [table | {"against": "", "columns": [[name, name] for name in ("commit", *columns)]}],
        "protocol": None,
        "aliases": [],
    }


def _facts(at: Sequence[_At], names: Sequence[str], same: Mapping[str, str], old: Mapping[str, Any]) -> dict[str, Any]:
    """Which commits there are, for the study's plan."""
    of = [
        {name: getattr(each.commit, name) for name in ("name", "asked", "sha", "subject")} | {"code": each.source.code}
        for each in at
    ]
    known = {commit["name"] for commit in of}
    earlier = [commit for commit in old.get("commits", {}).get("of", ()) if commit.get("name") not in known]
    return {"arms": list(names), "of": [*of, *earlier], "same": {**old.get("commits", {}).get("same", {}), **same}}
