"""From options to a checked run: the study, what it plans, the data, and where results go; once, for all designs.

Whatever can be known is checked here, before anything is decoded, started or written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sweeper.audio import datasets, splits
from sweeper.audio.datasets import Dataset
from sweeper.audio.expected import expected_bytes
from sweeper.audio.store import ClipStore, prepare
from sweeper.definition import Source
from sweeper.execution import own_ray
from sweeper.execution.loggers import check_loggers
from sweeper.plan import Plan, PlanError, build_plan, select_arms
from sweeper.results import provenance
from sweeper.results.folder import Folder
from sweeper.results.names import check_study_name
from sweeper.results.storage import locate
from sweeper.results.store import Study, study_of
from sweeper.run.checks import check_clips, check_numbers, check_place
from sweeper.run.networks import check_networks
from sweeper.run.options import AblationOptions, RunOptions, Say, SearchOptions, TunedOptions, VarianceOptions
from sweeper.search_spaces.peers import PEERS
from sweeper.study import Arm, Network, Recipe
from sweeper.study_file import find, save

DEMO_BYTES = 2**26  # more than its clips take at any rate
_SHOWN = 3  # clips that can't be read
_SOME = 3  # folds that tell how much folds differ, where none were named


@dataclass(frozen=True)
class Run:
    """What is run, checked.

    Attributes:
        source: the study.
        recipe: how its arms are trained, with the epochs that were asked for.
        arms: those that were asked for.
        peers: networks by others, by name.
        dataset: the clips, not decoded yet.
        folds: the test folds.
        results: where results go.
        fixed: the name that `run ablations` would give its results for the same options.
        notes: what is worth knowing of the networks.
    """

    source: Source
    recipe: Recipe
    arms: tuple[Arm, ...]
    peers: Mapping[str, Network]
    dataset: Dataset
    folds: tuple[int, ...]
    results: Study
    fixed: str
    notes: tuple[str, ...]

    def plan(self, split: str, replicates: int) -> Plan:
        """Its arms (and peers) × folds × `replicates`; raises PlanError as `build_plan`."""
        return build_plan(
            study=self.results.name,
            source=self.source,
            arms=self.arms,
            recipe=self.recipe,
            dataset=self.dataset.name,
            split=split,
            folds=self.folds,
            classes=len(self.dataset.classes),
            replicates=replicates,
            peers=self.peers,
        )

    def open(self, options: RunOptions, say: Say) -> ClipStore:
        """Decode the clips, then make the results' folder, with the study's code.

        Raises:
            StudyError: the folder can't be written.
            DatasetError, LeakError: clips that can't be read, or are on both sides of the split.
        """
        say("preparing audio")
        store = prepare(self.dataset, self.recipe.sample_rate, bad_clips=options.bad_clips)
        for _clip_id, reason in store.skipped[:_SHOWN]:
            say(f"left out: {reason}")
        if len(store.skipped) > _SHOWN:
            say(f"left out in all: {len(store.skipped)} clips that can't be read, named in the plan and the report")
        check_clips(store, options, self.folds)
        self.results.create()
        if self.source.code:
            save(self.source.code, self.results.storage)
        return store

    def _repeats(self, options: RunOptions, store: ClipStore) -> list[str]:
        """What a listener should judge: networks are given clips of one level, so another level is no other clip."""
        audits = [splits.split(store, options.split, fold).audit for fold in self.folds]
        near = sum(len({test for test, _train in found.near_duplicates}) for found in audits)
        total = sum(found.test_clips for found in audits)
        what = "at another level or in another format; data check lists them"
        return [f"{near} of {total} test clips nearly repeat one in training, {what}"] if near else []

    def facts(self, options: RunOptions, store: ClipStore) -> dict[str, object]:
        """What a study's plan says about its data and its code."""
        return {
            "data_digest": store.digest,
            "synthetic": self.dataset.synthetic,
            "all_folds": list(splits.folds_of(self.dataset, options.split)),
            "classes": list(self.dataset.classes),
            "notes": [*store.notes, *self._repeats(options, store), *self.notes],
            "skipped": [list(pair) for pair in store.skipped],
            "margin": options.margin / 100,
            "software": provenance.software(),
        }


def prepare_run(options: AblationOptions | SearchOptions | VarianceOptions, known: Source | None = None) -> Run:
    """Check everything that can be known before audio is decoded; `known`: the study, where no option names it.

    Raises:
        DatasetError, PlanError, StudyError: one line, for the user.
    """
    check_numbers(options)
    if options.study is not None:
        check_study_name(options.study)
    check_loggers(options.log, options.results)
    if known is None and _is_surely_new(options):  # a study in a file imports torch: a second, in which Ray can start
        own_ray.expect(DEMO_BYTES)
        own_ray.begin(options.address)
    source = known or find(options.source)
    study = source.study
    recipe = choose_recipe(source, options.recipe, demo=options.dataset == "demo")
    if options.epochs is not None:
        recipe = replace(recipe, training=replace(recipe.training, epochs=options.epochs))
    # A wrong name is told before anything slow.
    if grid := isinstance(options, AblationOptions | TunedOptions):
        arms = select_arms(study, options.table, options.arms)
    else:
        named = options.arms if isinstance(options, SearchOptions) else ()
        arms = select_arms(study, names=named or (study.reference,))
    peers = _peers(options)
    results = study_of(options.results, options.study or results_name(options.design, source, options, recipe))
    check_place(results)
    new = not options.dry_run and isinstance(results.storage, Folder) and not results.exists()
    if new and options.dataset == "demo":  # whose sounds may have to be made first, which takes a second
        own_ray.expect(DEMO_BYTES)
        own_ray.begin(options.address)
    dataset = datasets.load(options.dataset, options.data)
    if not options.dry_run:
        own_ray.expect(expected_bytes(dataset, recipe.sample_rate))
    if new:  # it trains; of others that is known later
        own_ray.begin(options.address)
    few = not grid or dataset.name == "demo"
    return Run(
        source=source,
        recipe=recipe,
        arms=arms,
        peers=peers,
        dataset=dataset,
        folds=_folds(options, dataset, few=_SOME if isinstance(options, VarianceOptions) else 1 if few else None),
        results=results,
        fixed=results_name(AblationOptions.design, source, options, recipe),
        notes=tuple(check_networks(source, recipe, arms, len(dataset.classes), options.workers_per_trial)),
    )


def _is_surely_new(options: RunOptions) -> bool:
    """Whether the demo is to be trained on, of a file whose study no folder of results can be of."""
    path = Path(options.source)
    if options.dry_run or options.dataset != "demo" or not path.is_file():
        return False
    if not isinstance(results := locate(options.results), Folder):
        return False
    names = results.folders()
    return options.study not in names if options.study else not any(path.stem in name for name in names)


def choose_recipe(source: Source, name: str | None, *, demo: bool) -> Recipe:
    """The recipe of that name; where none was given, the first for a quick look (`demo`), else the last.

    Raises:
        PlanError: there is none of that name.
    """
    recipes = {recipe.name: recipe for recipe in source.study.recipes}
    if name is None:
        return source.study.recipes[0 if demo else -1]
    if name not in recipes:
        raise PlanError(f"unknown recipe {name!r}; the recipes are: {', '.join(recipes)}")
    return recipes[name]


def results_name(design: str, source: Source, options: RunOptions, recipe: Recipe) -> str:
    """The name of the results where none was given: what distinguishes them from others."""
    own = [source.name] if source.argument else []  # a file may be called as the default is
    parts = [design, *own, options.dataset, recipe.name]
    parts += [options.split] if options.split != "official" else []
    parts += [f"{options.epochs}epochs"] if options.epochs is not None else []
    return "-".join(parts)


def _peers(options: RunOptions) -> dict[str, Network]:
    names = options.peers if isinstance(options, AblationOptions) else ()
    for name in names:
        if name not in PEERS:
            raise PlanError(f"unknown peer {name!r}; the peers are: {', '.join(PEERS)}")
    return {name: PEERS[name] for name in names}


def _folds(options: RunOptions, dataset: Dataset, *, few: int | None) -> tuple[int, ...]:
    """The folds that were asked for; where none were, the first few, or all.

    Raises:
        PlanError: the split has no such fold.
        SplitError: too few clips, groups or classes for it.
    """
    available = splits.folds_of(dataset, options.split)
    chosen = tuple(sorted(set(options.folds or available[:few])))
    if unknown := sorted(set(chosen) - set(available)):
        raise PlanError(
            f"--folds {','.join(map(str, unknown))}: the {options.split} split of {dataset.name} has "
            f"the folds {','.join(map(str, available))}"
        )
    splits.check(dataset, options.split, chosen)
    return chosen
