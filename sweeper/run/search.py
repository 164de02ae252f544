"""`sweeper run search`: explore, run the best again on further seeds, name a winner, score it on yet further ones."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from sweeper import signals
from sweeper.audio.fold_data import cut
from sweeper.audio.store import ClipStore
from sweeper.definition import definition, design
from sweeper.execution.time_left import Course, TimeLeft
from sweeper.plan import PlanError, Stage, TrialSpec, canonical_json
from sweeper.results.attempts import new_run
from sweeper.results.claims import Claims
from sweeper.results.folder import Folder
from sweeper.results.searching import FRESH_STAGES, Found, Goal, read_searches, write_searches
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.run.ablations import sweep
from sweeper.run.checks import check_begin
from sweeper.run.describe import describe_data, expected_cost
from sweeper.run.options import (
    FAILED,
    OK,
    Outcome,
    Say,
    SearchOptions,
    interrupted,
    machine,
    resumable,
)
from sweeper.run.prepare import Run, prepare_run
from sweeper.run.words import count
from sweeper.search.plan import ArmSearch, plan_searches
from sweeper.space import SearchScope


def run_search(options: SearchOptions, say: Say) -> Outcome:
    """Search, replicate, name the winners, and score them on fresh seeds and then on the test clips.

    Args:
        options: the command line.
        say: prints one line.

    Raises:
        DatasetError, LeakError, PlanError, StudyError: one line each, for the user.
    """
    run = prepare_run(options)
    searches = arm_searches(run, options)
    check_cost(searches, options)
    study = run.results

    def expected() -> list[TrialSpec]:
        return expected_trials(searches, options, study, finals=2)

    trials = expected()
    for line in describe_searches(searches, options, run):  # first: what follows takes seconds
        say(line)
    check_begin(options, study, {"design": search_design(searches[0], options)}, trials)
    if options.dry_run:
        for line in describe_space(searches[0]):
            say(line)
        for line in expected_cost(trials, run.dataset):
            say(line)
        if halves(options):
            say("at most: what ASHA stops costs less")
        return Outcome(OK, None)
    with resumable(study):
        store = run.open(options, say)
        write_search_plan(study, searches, options, run.facts(options, store))
        with ExitStack() as stack:
            seeker = SearchStages(options, searches, study, store, say, stack, expected)
            code = seeker.name_winners()
            if seeker.named():
                code = max(code, seeker.score_winners())
        write_searches(study, read_searches(study))
        return Outcome(code, study)


def arm_searches(run: Run, options: SearchOptions) -> tuple[ArmSearch, ...]:
    """A search for every arm on every fold."""
    return plan_searches(
        study=run.results.name,
        source=run.source,
        arms=run.arms,
        recipe=run.recipe,
        dataset=run.dataset.name,
        split=options.split,
        folds=run.folds,
        classes=len(run.dataset.classes),
        scope=SearchScope(options.objective, options.cost),
    )


class SearchStages:
    """The stages of a study's searches, each of which runs only what is missing."""

    def __init__(
        self,
        options: SearchOptions,
        searches: Sequence[ArmSearch],
        study: Study,
        store: ClipStore,
        say: Say,
        stack: ExitStack,
        expected: Callable[[], Sequence[TrialSpec]],
    ) -> None:
        """`expected`: asked before each stage, trials like those that the whole command has still to run."""
        self.options, self.searches, self.study, self.store, self.say = options, searches, study, store, say
        self._stack, self._expected = stack, expected
        self._interrupted = False
        self._before, self._time_left = 0, TimeLeft()
        self._trials = {search.key: search.most(options.trials) for search in searches}

    def course(self, stage: Stage, trials: int) -> Course:
        """Where the next sweep, with so many trials of this stage, stands in the whole command, for the live view."""
        order = [*_STAGES]
        later = [trial for trial in self._expected() if order.index(trial.stage) > order.index(stage)]
        course = Course(stage or "grid", self._before, tuple(later), self._time_left)
        self._before += trials
        return course

    def start(self) -> None:
        """Start Ray for all stages, unless it runs; it ends with the stack."""
        from sweeper.execution.cluster import cluster

        room = 2 * 2 * int(self.store.clips.lengths.sum())  # bytes of int16 samples, of two stages one after another
        self._stack.enter_context(cluster(self.options.address, room))

    def name_winners(self) -> int:
        """Explore, and run the best again; returns the exit code."""
        code = self._explore()
        return code if code or self._interrupted else self._run("replicate", lambda found: found.leading)

    def named(self) -> bool:
        """Whether every search has spent its budget and has a winner, and nothing was interrupted."""
        return not self._interrupted and all(
            len(found.explored) >= self._trials[key] and found.winner is not None for key, found in self.found().items()
        )

    def score_winners(self) -> int:
        """Winners and the recipe on seeds that decided nothing: on validation clips, then once on test clips."""

        code = self._run("confirm", finalists)
        return code if self._interrupted else max(code, self._run("test", finalists))

    def found(self) -> dict[tuple[str, int], Found]:
        """The searches that were asked for, as far as they got, by arm and fold."""
        mine = {search.key for search in self.searches}
        return {(f.arm, f.fold): f for f in read_searches(self.study) if (f.arm, f.fold) in mine}

    def _explore(self) -> int:
        from sweeper.execution.searches import run_searches  # Ray and Optuna take seconds to import
        from sweeper.search.suggest import Search, open_storage

        if (claims := Claims(self.study, new_run())).now():
            self.say("another command is at this study, or was until a moment ago: waiting for its heartbeat")
        claimed = claims.settled().keys()
        known = self.study.finished()
        found = self.found()
        goal = goal_of(self.options)
        place = self.study.storage
        storage = open_storage(place.path if isinstance(place, Folder) else None, self.options.storage)
        opened = {}
        for search in self.searches:
            opened[search.key] = Search(
                search.name,
                search.make,
                goal,
                budget=self._trials[search.key],
                storage=storage,
                rows=found[search.key].explored,
                design=digest(search, goal, self.store.digest),
                owner="" if self.options.storage is None else self.study.identity(),
                claimed=claimed,
            )
            if values := json.loads(search.recipe_params):
                opened[search.key].enqueue(values)
        missing = self._missing(found)
        if missing and not any(search.left for search in opened.values()):
            return self._leave(missing)
        if not missing:
            self.say(f"explore: all {count(sum(self._trials.values()), 'trial')} are committed. No training was done.")
            return OK
        self.start()
        evidence = self.study.evidence
        failures = run_searches(
            opened,
            [trial for search in self.searches for trial in search.trials("explore", [search.recipe_params], 1)],
            cut(self.store, self.options.split, sorted({s.data.fold for s in self.searches}), selecting=True),
            self.study,
            self.store,
            machine(self.options),
            halve=halves(self.options),
            curves={
                key: {row["trial_id"]: points.to_pylist() for row in f.explored if (points := evidence.curve(row))}
                for key, f in found.items()
            },
            known=known,
            course=self.course("explore", sum(search.left for search in opened.values())),
        )
        for failure in failures:
            # A configuration that diverges is a finding of the search, not a failure of the run.
            self.say(f"failed: {failure.spec.arm}, {failure.spec.params}: {failure.error}")
        self._take_as_whole({key: search.budget for key, search in opened.items()})
        found = self.found()
        left = self._missing(found)
        if left > sum(self.study.row(failure.spec.trial_id) is None for failure in failures):
            if signals.asked() is None:
                return self._leave(left)
            self.say(f"Interrupted with {left} trials of the search to go. The same command continues.")
            self._interrupted = True
            return interrupted()
        if left:
            self.say(f"{count(left, 'trial')} of the search died without a result. The same command tries others.")
            return FAILED
        for f in found.values():
            if not f.leading:
                raise StudyError(f"{f.arm}, fold {f.fold}: no trial of the search is complete; see failures/")
        return OK

    def _take_as_whole(self, budgets: Mapping[tuple[str, int], int]) -> None:
        """Ask for no more trials of a search than that found its space to have."""
        for (arm, fold), trials in budgets.items():
            if trials < self._trials[arm, fold]:
                self._trials[arm, fold] = trials
                self.say(f"{arm}, fold {fold}: the search space has no more points than the {trials} that were tried")

    def _missing(self, found: Mapping[tuple[str, int], Found]) -> int:
        """How many trials of the searches are not committed."""
        return sum(max(0, self._trials[key] - len(f.explored)) for key, f in found.items())

    def _leave(self, trials: int) -> int:
        """Leave the rest of the search to the command that is at it: what comes next needs its end."""
        self.say(f"{count(trials, 'trial')} of the search left to the other command; run this again after it.")
        self._interrupted = True
        return OK

    def _run(self, stage: Stage, which: Callable[[Found], Sequence[str]]) -> int:
        found = self.found()
        trials = [t for s in self.searches for t in s.trials(stage, which(found[s.key]), self.options.replicates)]
        done = self.study.finished()
        missing = [trial for trial in trials if trial.trial_id not in done]
        if not missing:
            self.say(f"{stage}: all {count(len(trials), 'trial')} are committed. No training was done.")
            return OK
        self.say(f"{stage}: {_STAGES[stage]}; {count(len(missing), 'trial')} to run, of {len(trials)}")
        self.start()
        course = self.course(stage, len(missing))
        code, left = sweep(self.options, missing, self.store, self.study, self.say, course)
        self._interrupted = bool(left)  # also to another command: what comes next needs them all
        return code


def finalists(found: Found) -> tuple[str, ...]:
    """The winner's values and the recipe's, which may be the same."""
    winner = [] if found.winner is None else [found.winner.params]
    return tuple(dict.fromkeys([*winner, found.recipe_params]))


_STAGES: Mapping[Stage, str] = {  # in their order
    "explore": "what Optuna chooses, on validation clips",
    "replicate": "the best on further seeds, on validation clips",
    "confirm": "winner and recipe on fresh seeds, on validation clips",
    "test": "winner and recipe on fresh seeds, on the test clips, once",
    "": "the grid with each arm's winner",
}


def goal_of(options: SearchOptions) -> Goal:
    """What the search wants."""
    return Goal(options.objective, options.cost)


def check_cost(searches: Sequence[ArmSearch], options: SearchOptions) -> None:
    """Refuse to want few operations where they can't be counted.

    Raises:
        PlanError: naming the arm and what has no count.
    """
    if options.cost != "gflops":
        return
    from sweeper.training.cost import count_operations

    for search in searches:
        (trial,) = search.trials("explore", [search.recipe_params], 1)
        counted = count_operations(trial.model, trial.data.length)
        if counted.gflops is None:
            raise PlanError(f"--cost gflops: arm {trial.arm!r} has no count: {counted.note}; choose --cost seconds")


def halves(options: SearchOptions) -> bool:
    """Whether trials may be stopped early: not where cost counts too, as half a trial has no place on a front."""
    return options.halving and options.cost is None


def digest(search: ArmSearch, goal: Goal, data: str) -> str:
    """What all trials of one search have in common, as a hash."""
    (trial,) = search.trials("explore", [search.recipe_params], 1)
    shared = [trial.trial_id, data, asdict(goal), [asdict(f) for f in search.searched]]
    return hashlib.sha256(canonical_json(shared).encode()).hexdigest()[:16]


def search_design(search: ArmSearch, options: SearchOptions) -> dict[str, Any]:
    """The plan's design of a study that searches."""
    common = design(search.source, search.recipe, search.data, search.classes)
    space = {field.name: field.range for field in search.searched}
    return common | {"search": {"goal": asdict(goal_of(options)), "space": space}}


def write_search_plan(
    study: Study, searches: Sequence[ArmSearch], options: SearchOptions, plan: Mapping[str, Any]
) -> None:
    """Add searches to the study's plan: those of earlier commands stay.

    Raises:
        StudyError: the study holds trials of another design or other data.
    """
    mine = [
        {"arm": s.arm.name, "fold": s.data.fold, "recipe_params": s.recipe_params, "most": s.most(options.trials)}
        for s in searches
    ]
    budget = {name: getattr(options, name) for name in ("trials", "top", "replicates", "halving")}
    described = {"search": {"goal": asdict(goal_of(options)), **budget}, "searches": mine}
    study.write_plan(
        {
            "study": study.name,
            "reference": searches[0].source.study.reference,
            "trials": [],
            "design": search_design(searches[0], options),
            "definition": definition(searches[0].source, searches[0].recipe),
        }
        | described
        | dict(plan)
    )


def describe_searches(searches: Sequence[ArmSearch], options: SearchOptions, run: Run) -> list[str]:
    """What is about to be searched, in a few lines."""
    (first,) = searches[0].trials("explore", [searches[0].recipe_params], 1)
    folds = sorted({search.data.fold for search in searches})
    goal = goal_of(options)
    cost = "" if goal.cost is None else f", and for the least {goal.cost} of training (all trials run to the end)"
    stopping = "; ASHA stops trials that fall behind" if halves(options) else ""
    trials = sorted({search.most(options.trials) for search in searches})
    each = count(trials[-1], "trial") if len(trials) == 1 else f"{trials[0]} to {trials[-1]} trials"
    few = [f"--trials {options.trials}: the search space has fewer points, and each is tried once"]
    return [
        f"study {run.results.name}: {count(len(searches) // len(folds), 'arm')} × {count(len(folds), 'fold')}, "
        f"{each} each; then the best {options.top} and the winner with "
        f"{count(options.replicates, 'further seed')}",
        f"search: TPE, for the highest {goal.objective} on validation clips{cost}{stopping}",
        *(few if trials[0] < options.trials else []),
        *describe_data(first, folds, run),
    ]


def describe_space(search: ArmSearch) -> list[str]:
    """The searched fields with their ranges, and the fixed ones with their values."""
    lines = ["searched (recipe's value in brackets; –: off in the recipe):"]
    for field in search.searched:
        value = (
            "–" if field.recipe is None else f"{field.recipe:.4g}" if isinstance(field.recipe, float) else field.recipe
        )
        lines.append(f"  {field.name:<24}{field.range} [{value}]")
    if search.outside:
        lines.insert(0, f"{search.outside}: it is not tried first, but runs beside the winner")
    return [*lines, "fixed:", *(f"  {name:<44}{value}" for name, value in search.fixed.items())]


def expected_trials(
    searches: Sequence[ArmSearch], options: SearchOptions, study: Study, *, finals: int
) -> list[TrialSpec]:
    """Trials like those that are still to come, for their cost; `finals`: stages that the winner is run in."""
    like: list[TrialSpec] = []
    found, done = {(f.arm, f.fold): f for f in read_searches(study)}, study.finished()
    for search in searches:
        recipe, here = search.recipe_params, found.get(search.key)
        most = search.most(options.trials)
        left = most if here is None else max(0, most - len(here.explored))
        like += search.trials("explore", [recipe], 1) * left
        # What comes after the search is not known before its end: then it is as many trials as there may be.
        named = here if here is not None and not left and here.winner is not None else None
        later = search.trials("replicate", named.leading if named else [recipe] * options.top, options.replicates)
        for stage in FRESH_STAGES[:finals]:
            later += search.trials(stage, finalists(named) if named else [recipe] * 2, options.replicates)
        like += [trial for trial in later if named is None or trial.trial_id not in done]
    return like
