"""The plan: pairing, ids, the confound guard."""

import dataclasses
import json
import pickle
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from sweeper.model.config import SIZES
from sweeper.plan import PlanError, Source, Tuning, build_plan, canonical_json, derive_seed, select_arms, variant
from sweeper.results.plans import merge
from sweeper.results.searching import STAGES, Goal
from sweeper.results.tables import StudyError
from sweeper.run.search import digest
from sweeper.search.plan import plan_searches
from sweeper.search_spaces.peers import PEERS
from sweeper.search_spaces.tuning import SPACE
from sweeper.space import Chosen, SearchScope, recipe_values
from sweeper.study import Arm, EMAConfig, Network, Recipe, Study, TrainingConfig
from tests.studies import ARMS, PAPER, RECIPES, REFERENCE, STUDY, TABLES

TABLE_6, TABLE_7 = (TABLES[name].arms for name in ("6", "7"))


def plan(**changes):
    options = {
        "study": "s",
        "source": PAPER,
        "arms": select_arms(STUDY),
        "recipe": RECIPES["quick"](),
        "dataset": "demo",
        "split": "official",
        "folds": (1, 2),
        "classes": 10,
        "replicates": 3,
    }
    return build_plan(**(options | changes))


def test_twelve_arms_serve_both_tables():
    assert len(ARMS) == 12
    assert len(TABLE_6) == 10
    assert len(TABLE_7) == 3
    assert TABLE_6[-1] == TABLE_7[-1] == REFERENCE
    assert set(TABLE_6) | set(TABLE_7) == set(ARMS)


def test_every_arm_is_another_network():
    networks = {replace(SIZES["tiny"], **arm.network) for arm in ARMS.values()}
    assert len(networks) == 12


@pytest.mark.parametrize(
    ("arm", "printed"),
    # Table 6 as printed: semantic, detail, MACEM-A, MACEM-B, GARM.
    list(
        zip(
            TABLE_6,
            ["10000", "01000", "11000", "11100", "11010", "11001", "11110", "11011", "11101", "11111"],
            strict=True,
        )
    ),
)
def test_table_6_switches(arm, printed):
    network = replace(SIZES["tiny"], **ARMS[arm].network)
    switches = (network.semantic, network.detail, network.macem_a, network.macem_b, network.garm)
    assert "".join(str(int(switch)) for switch in switches) == printed
    assert network.fusion == "guided"


def test_arms_of_a_block_are_paired():
    blocks = {}
    for trial in plan().trials:
        blocks.setdefault((trial.data.fold, trial.replicate), []).append(trial)
    assert len(blocks) == 6
    for trials in blocks.values():
        assert len({trial.arm for trial in trials}) == 12
        assert len({trial.seed for trial in trials}) == 1
        assert len({trial.training for trial in trials}) == 1
        assert len({trial.data for trial in trials}) == 1
    assert len({trials[0].seed for trials in blocks.values()}) == 6


def test_ids_are_unique_and_say_what_decides_the_result():
    trials = plan().trials
    assert len({trial.trial_id for trial in trials}) == len(trials) == 72
    trial = trials[0]
    assert replace(trial, study="other", recipe="renamed", arm="renamed").trial_id == trial.trial_id
    changed = [
        replace(trial, seed=trial.seed + 1),
        replace(trial, model=replace(trial.model, dropout=0.3)),
        replace(trial, training=replace(trial.training, epochs=99)),
        replace(trial, training=replace(trial.training, ema=replace(trial.training.ema, decay=0.9))),
        replace(trial, data=replace(trial.data, fold=9)),
    ]
    assert len({trial.trial_id, *(other.trial_id for other in changed)}) == 6


def test_ids_are_the_same_in_another_process():
    code = (
        "from sweeper.plan import *; from sweeper.study_file import find; source = find('paper');"
        "plan = build_plan(study='s', source=source, arms=select_arms(source.study), recipe=source.study.recipes[0],"
        " dataset='demo', split='official',"
        " folds=(1, 2), classes=10, replicates=3); print(*[trial.trial_id for trial in plan.trials])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == [trial.trial_id for trial in plan().trials]


def test_planning_imports_no_torch():
    code = "import sys, sweeper.study_file; sweeper.study_file.find('paper');"
    code += " assert 'torch' not in sys.modules and 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_results_folder_of_before_studies_were_written_down_goes_on():
    golden = json.loads(Path(__file__).with_name("golden_ids.json").read_text())
    new = plan(folds=(1,), replicates=1).describe()
    old = {"design": golden["design"]["quick"], "trials": new["trials"][:2], "data_digest": "d"}
    merged = merge(old, new | {"data_digest": "d"}, "s")
    assert [trial["trial_id"] for trial in merged["trials"]] == [trial["trial_id"] for trial in new["trials"]]
    assert merged["definition"]["name"] == "paper"
    with pytest.raises(StudyError, match=r"holds trials of another design \(sizes\.dropout: 0\.0 → 0\.1\)"):
        other = replace(RECIPES["quick"](), network=replace(SIZES["tiny"], dropout=0.1))
        merge(old, plan(recipe=other).describe() | {"data_digest": "d"}, "s")


def test_other_code_is_another_design_and_an_arm_more_is_not():
    first, other = (Source("a", foreign(), code * 16) for code in "ab")
    old = plan(source=first, arms=[Arm("full")], recipe=RECIPE).describe() | {"data_digest": "d"}
    with pytest.raises(StudyError, match=rf"another design \(code: {'a' * 16} → {'b' * 16}\)"):
        merge(old, plan(source=other, arms=[Arm("full")], recipe=RECIPE).describe() | {"data_digest": "d"}, "s")
    more = Source(
        "a", foreign(Arm("named", network={"names": ("x",)}), Arm("slow", training={"max_lr": 1e-5})), first.code
    )
    new = plan(source=more, arms=more.study.arms, recipe=RECIPE).describe() | {"data_digest": "d"}
    assert len(merge(old, new, "s")["trials"]) == 3 * len(old["trials"])
    changed = Source("a", foreign(Arm("named", network={"names": ("x",)}), network=Coupled(names=("y",))), first.code)
    with pytest.raises(StudyError, match=r"sizes\.names: \[\] → \['y'\]"):
        merge(old, plan(source=changed, arms=[Arm("full")], recipe=RECIPE).describe() | {"data_digest": "d"}, "s")


def test_growing_a_plan_keeps_its_trials():
    small = {trial.trial_id for trial in plan(replicates=2, folds=(1,)).trials}
    large = {trial.trial_id for trial in plan(replicates=5, folds=(1, 2, 3)).trials}
    assert small < large


RECIPE = Recipe("r", training=TrainingConfig(epochs=2, batch_size=4), sample_rate=8000, seconds=0.5)


@dataclass(frozen=True, kw_only=True)
class Coupled(Network):
    """Its depth follows its width, which no switch says."""

    width: int = 8
    depth: int = 1
    names: tuple[str, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "depth", self.width // 8)


def foreign(*arms, network=None, **study):
    return Study(network or Coupled(), (Arm("full"), *arms), study.pop("recipes", (RECIPE,)), **study)


def test_the_confound_guard_refuses_a_second_factor():
    wider = Arm("wider", "GARM", network={"width": 16})
    with pytest.raises(PlanError, match=r"arm 'wider' declares \['width'\], but \['depth'\] differ too"):
        variant(foreign(wider), wider, RECIPE, 10)
    idle = Arm("idle", "nothing", network={"width": 8})
    with pytest.raises(PlanError, match=r"arm 'idle' switches \['width'\], but the reference has"):
        variant(foreign(idle), idle, RECIPE, 10)
    idle = Arm("idle", training={"ema.decay": EMAConfig().decay})
    with pytest.raises(PlanError, match=r"arm 'idle' switches \['ema.decay'\]"):
        variant(foreign(idle), idle, RECIPE, 10)


def test_arms_that_come_to_the_same_in_other_words_are_refused():
    one = Arm("one", training={"ema": EMAConfig(decay=0.0)})
    other = Arm("other", training={"ema.decay": 0.0})
    source = Source("mine", foreign(one, other))
    with pytest.raises(PlanError, match="arm 'other' comes to the same as 'one': leave one of them out"):
        plan(source=source, arms=[one, other], recipe=RECIPE)
    assert plan(source=source, arms=[other], recipe=RECIPE).trials


MISTAKES = {
    "nothing": (lambda trial, training: None, "it returned a NoneType; expected the training"),
    "a wrong value": (
        lambda trial, training: replace(training, label_smoothing=trial.suggest_float("label_smoothing", 0.0, 2.0)),
        r"label_smoothing and pct_start must lie in 0…1, got 1.99.* \(test_plan.py:\d+\)",
    ),
    "a wrong name": (lambda trial, training: replace(training, lr=1.0), "unexpected keyword argument 'lr'"),
    "an error": (lambda trial, training: 1 / 0, r"ZeroDivisionError: division by zero \(test_plan.py:\d+\)"),
    "an old method": (
        lambda trial, training: trial.suggest_loguniform("max_lr", 1e-3, 1e-2),
        "a trial has suggest_float, suggest_int and suggest_categorical, not suggest_loguniform",
    ),
    "zero": (
        lambda trial, training: replace(training, weight_decay=trial.suggest_float("decay", 0.0, 1e-2, log=True)),
        "decay: a logarithmic range begins above 0, not at 0",
    ),
    "the wrong way round": (
        lambda trial, training: replace(training, epochs=trial.suggest_int("epochs", 9, 3)),
        "epochs: from 9 to 3 there is nothing; give the lower end first",
    ),
    "what it imports": (
        lambda trial, training: (_ for _ in ()).throw(RuntimeError("no such file")),
        r"RuntimeError: no such file \(test_plan.py:\d+\)",
    ),
    "no choices": (
        lambda trial, training: replace(training, epochs=trial.suggest_categorical("epochs", [])),
        "epochs: there are no choices",
    ),
    "tuples": (
        lambda trial, training: replace(training, betas=trial.suggest_categorical("betas", [(0.9, 0.99)])),
        r"betas: \(0.9, 0.99\) can't be kept as a number, a text or a flag",
    ),
}


@pytest.mark.parametrize(
    "space",
    [
        lambda trial, training: replace(training, max_lr=trial.suggest_categorical("lr", np.logspace(-4, -2, 3))),
        lambda trial, training: replace(training, epochs=int(trial.suggest_categorical("epochs", [*np.arange(3, 6)]))),
        lambda trial, training: replace(
            training, ema=replace(training.ema, decay=trial.suggest_float("decay", 0.9, 1.0))
        ),
        lambda trial, training: replace(
            training, ema=replace(training.ema, decay=trial.suggest_float("decay", 0.4, 1.1, step=0.25))
        ),
    ],
    ids=["an array", "numbers of NumPy", "an end that is none of the field's", "an end between steps"],
)
def test_a_space_that_gives_sound_values_is_taken(space):
    (search,) = plan_searches(
        study="s",
        source=Source("mine", replace(STUDY, space=space), argument="mine.py"),
        arms=[ARMS["full"]],
        recipe=RECIPE,
        dataset="demo",
        split="official",
        folds=(1,),
        classes=10,
        scope=SearchScope("accuracy_ema"),
    )
    assert len(search.searched) == 1 and search.fixed


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_in_a_search_space_is_told_in_one_line_before_anything_is_made(what):
    space, message = MISTAKES[what]
    source = Source("mine", replace(STUDY, space=space), argument="mine.py")
    with pytest.raises(PlanError, match=f"mine.py: the search space fails: .*{message}") as raised:
        plan_searches(
            study="s",
            source=source,
            arms=[ARMS["full"]],
            recipe=RECIPE,
            dataset="demo",
            split="official",
            folds=(1,),
            classes=10,
            scope=SearchScope(),
        )
    assert len(str(raised.value).splitlines()) == 1


def test_an_arm_switches_fields_of_the_training_by_dotted_names():
    arms = (
        Arm("no-ema", training={"ema.decay": 0.0}),
        Arm("no-mixing", training={"augmentation.mixing.probability": 0.0, "label_smoothing": 0.0}),
        Arm("alone", training={"distillation": None}),
    )
    source = Source("mine", foreign(*arms))
    trials = plan(source=source, arms=source.study.arms, recipe=RECIPE, folds=(1,), replicates=1).trials
    full, ema, mixing, alone = (trial.training for trial in trials)
    assert ema == replace(full, ema=replace(full.ema, decay=0.0))
    sound = replace(full.augmentation, mixing=replace(full.augmentation.mixing, probability=0.0))
    assert mixing == replace(full, label_smoothing=0.0, augmentation=sound)
    assert alone == replace(full, distillation=None)
    assert len({trial.trial_id for trial in trials}) == 4
    assert len({trial.seed for trial in trials}) == len({trial.model for trial in trials}) == 1
    assert json.loads(trials[2].switches) == {"augmentation.mixing.probability": 0.0, "label_smoothing": 0.0}


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"ema.decy": 0.0}, "'decy' is not a field of EMAConfig; it has: decay, unit, warmup"),
        ({"distillation.alpha.x": 0.0}, "alpha is 0.3, which has no fields"),
        ({"ema.decay": 2.0}, "EMA decay must lie in"),
    ],
)
def test_a_switch_that_is_none_is_told(switches, message):
    arm = Arm("wrong", training=switches)
    with pytest.raises(PlanError, match=f"arm 'wrong': .*{message}"):
        variant(foreign(arm), arm, RECIPE, 10)


def test_the_references_switches_make_the_reference():
    study = Study(
        Coupled(), (Arm("wide", network={"names": ["x"]}), Arm("b", network={"names": ()})), (RECIPE,), (), "wide"
    )
    wide, other = (variant(study, arm, RECIPE, 10).network for arm in study.arms)
    assert (wide.names, other.names) == (("x",), ())


@dataclass(frozen=True, kw_only=True)
class Renamed(Coupled):
    """Another network with the same fields."""


def test_networks_with_equal_fields_are_told_apart_by_kind_and_code():
    trials = [
        plan(source=Source("a", foreign(network=network), code), arms=[Arm("full")], recipe=RECIPE).trials[0]
        for network, code in ((Coupled(), ""), (Renamed(), ""), (Coupled(), "a" * 16), (Coupled(), "b" * 16))
    ]
    assert len({trial.trial_id for trial in trials}) == 4


def test_what_travels_of_a_users_network_is_data():
    spec = plan(source=Source("a", foreign(), "a" * 16), arms=[Arm("full")], recipe=RECIPE).trials[0]
    data = pickle.dumps(spec)
    assert b"Coupled" in data and b"test_plan" not in data.replace(b"tests.test_plan.Coupled", b"")
    there = pickle.loads(data)
    assert there.trial_id == spec.trial_id
    assert replace(there, seed=spec.seed).trial_id == spec.trial_id, "not only as it was before it travelled"


def test_ids_and_designs_of_the_papers_trials_stay():
    """As the version before studies had files gave them: a results folder of that time goes on."""
    golden = json.loads(Path(__file__).with_name("golden_ids.json").read_text())
    found = {}
    for recipe in RECIPES:
        made = RECIPES[recipe]()
        peers = {name: PEERS[name] for name in (("eat-s", "acdnet") if recipe == "paper" else ("acdnet",))}
        for dataset in ("demo", "fsdd"):
            trials = plan(recipe=made, dataset=dataset, folds=(1,), replicates=1, peers=peers).trials
            found |= {f"{recipe}/{dataset}/{trial.arm}": trial.trial_id for trial in trials}
        for goal in (Goal("accuracy_ema"), Goal("accuracy"), Goal("accuracy_ema", "gflops")):
            searches = plan_searches(
                study="s", source=PAPER, arms=select_arms(STUDY, names=["full", "garm", "semantic-only"]), recipe=made,
                dataset="demo", split="official", folds=(2,), classes=10, scope=SearchScope(goal.objective, goal.cost),
            )  # fmt: skip
            for search in searches:
                key = f"search/{recipe}/{goal.objective}-{goal.cost}/{search.arm.name}"
                found |= {f"{key}/digest": digest(search, goal, "data"), f"{key}/params": search.recipe_params}
                for stage in STAGES:
                    (trial,) = search.trials(stage, [search.recipe_params], 1)
                    found[f"{key}/{stage}"] = trial.trial_id
        design = plan(recipe=made, folds=(1,), replicates=1).describe()["design"]
        assert design.pop("switches").keys() == set(ARMS["semantic-only"].network) | {"semantic", "fusion"}
        assert design == golden["design"][recipe]
    del golden["design"]
    assert found == golden


def test_resolved_configs_differ_in_declared_switches_alone():
    by_arm = {trial.arm: trial.model for trial in plan(replicates=1, folds=(1,), recipe=RECIPES["small"]()).trials}
    for name, network in by_arm.items():
        differing = {
            f.name
            for f in dataclasses.fields(network)
            if getattr(network, f.name) != getattr(by_arm[REFERENCE], f.name)
        }
        # Heads for self-distillation can only exist where there are two branches.
        assert differing - {"branch_heads"} == set(ARMS[name].network)
        assert network.branch_heads == (network.semantic and network.detail)


def test_select_arms():
    assert [arm.name for arm in select_arms(STUDY, "7")] == ["full", "fusion-sum", "fusion-concat"]
    assert [arm.name for arm in select_arms(STUDY, "6")] == list(TABLE_6)
    assert [arm.name for arm in select_arms(STUDY, names=["full", "garm"])] == ["garm", "full"]
    with pytest.raises(PlanError, match=r"unknown arm 'grm'.*semantic-only"):
        select_arms(STUDY, names=["grm"])


def test_what_an_arm_switches_stays_whatever_a_search_chooses():
    arm = Arm("slow", training={"max_lr": 1e-4, "augmentation.mixing.probability": 0.0})
    study = Study(SIZES["tiny"], (Arm("full"), arm), STUDY.recipes[:1], space=STUDY.space)
    study = replace(study, recipes=(replace(RECIPES["quick"](), training=TrainingConfig(epochs=8, batch_size=16)),))
    (search,) = plan_searches(
        study="s", source=Source("x", study), arms=[arm], recipe=study.recipes[0], dataset="demo", split="official",
        folds=(1,), classes=10, scope=SCOPE,
    )  # fmt: skip
    values = json.loads(search.recipe_params)
    training = search.training(canonical_json(values | {"learning_rate": 5e-3, "mixing_probability": 0.5}))
    assert training.max_lr == 1e-4 and training.augmentation.mixing.probability == 0.0
    spec = search.make(Chosen(values))
    assert spec.training.max_lr == 1e-4


def test_nothing_to_run_is_refused():
    with pytest.raises(PlanError, match="nothing to run"):
        plan(replicates=0)


def test_seeds_are_pinned():
    # A changed derivation would orphan every committed trial: this value may never change.
    assert derive_seed(0, "demo", 1, 0) == 1163942408


def test_peers_are_planned_beside_the_arms():
    recipe = RECIPES["paper"]()
    trials = plan(recipe=recipe, peers=PEERS, folds=(1,), replicates=1).trials
    assert [(trial.kind, trial.arm) for trial in trials[-len(PEERS) :]] == [("peer", name) for name in PEERS]
    assert len({trial.seed for trial in trials}) == 1
    assert all(trial.model.classes == 10 for trial in trials)
    assert len(plan(peers=PEERS, folds=(1,), replicates=1).trials) == len(ARMS) + len(PEERS), "also on 1 s at 8 kHz"
    with pytest.raises(PlanError, match=r"EnvNet-v2 needs clips of about 0\.4 s, this recipe's have 1600 samples"):
        plan(recipe=replace(RECIPES["quick"](), seconds=0.2), peers={"envnet-v2": PEERS["envnet-v2"]})


SCOPE = SearchScope("accuracy")


def tuning(arm="full", **changes):
    base = RECIPES["quick"]().training
    values = recipe_values(SPACE, SCOPE, base)
    names = {
        (name, fold): canonical_json(values | {"learning_rate": 1e-3}) for name in ("garm", "full") for fold in (1, 2)
    }
    trainings = dict.fromkeys(names, replace(base, max_lr=1e-3))
    names[arm, 2] = canonical_json(values | {"learning_rate": changes.get("max_lr", base.max_lr)})
    trainings[arm, 2] = replace(base, **changes)
    return Tuning(SCOPE, names, trainings)


def test_each_arm_trains_with_its_own_hyperparameters_and_pairing_stays():
    arms = select_arms(STUDY, names=["garm", "full"])
    trials = plan(arms=arms, tuning=tuning(max_lr=5e-3)).trials
    by_key = {(trial.arm, trial.data.fold): trial.training.max_lr for trial in trials}
    assert by_key == {("garm", 1): 1e-3, ("full", 1): 1e-3, ("garm", 2): 1e-3, ("full", 2): 5e-3}
    assert [trial.seed for trial in trials] == [trial.seed for trial in plan(arms=arms).trials]
    assert {json.loads(trial.params)["learning_rate"] for trial in trials} == {1e-3, 5e-3}


@pytest.mark.parametrize("changes", [{"epochs": 99}, {"label_smoothing": 0.0}, {"ema": EMAConfig(0.5)}])
def test_the_confound_guard_lets_arms_differ_in_what_was_tuned_alone(changes):
    with pytest.raises(PlanError, match=rf"arm 'full', fold 2: .*{next(iter(changes))}.* which no search turned"):
        plan(arms=select_arms(STUDY, names=["garm", "full"]), tuning=tuning(**changes))


def test_a_trial_that_selects_is_another_trial():
    (search,) = plan_searches(
        study="s", source=PAPER, arms=select_arms(STUDY, names=["full"]), recipe=RECIPES["quick"](), dataset="demo",
        split="official", folds=(1,), classes=10, scope=SearchScope("accuracy_ema"),
    )  # fmt: skip
    trials = [trial for stage in STAGES for trial in search.trials(stage, [search.recipe_params], 2)]
    assert len({trial.seed for trial in trials}) == len(trials) == 8
    assert not {trial.seed for trial in trials} & {trial.seed for trial in plan().trials}
    assert [trial.selects for trial in trials] == [True] * 6 + [False] * 2
    tested = replace(trials[0], stage="test")
    assert tested.trial_id != trials[0].trial_id, "trained without the validation clips, and scored on them"
    assert replace(tested, stage="").trial_id == tested.trial_id
