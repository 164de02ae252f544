"""The plan: pairing, ids, the confound guard."""

import dataclasses
import subprocess
import sys
from dataclasses import replace
from types import MappingProxyType

import pytest

from sweeper.model.config import SIZES
from sweeper.plan import PlanError, Tuning, build_plan, check_unconfounded, derive_seed, select_arms
from sweeper.results.searching import STAGES
from sweeper.search_plan import plan_searches
from sweeper.search_spaces.ablations import ARMS, REFERENCE, TABLE_6, TABLE_7, Arm
from sweeper.search_spaces.config import EMAConfig
from sweeper.search_spaces.recipes import RECIPES
from sweeper.search_spaces.tuning import Turns


def plan(**changes):
    options = {
        "study": "s",
        "arms": select_arms(),
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
    networks = {arm.model(SIZES["tiny"]) for arm in ARMS.values()}
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
    network = ARMS[arm].model(SIZES["tiny"])
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
        "from sweeper.plan import *; from search_spaces.recipes import RECIPES;"
        "plan = build_plan(study='s', arms=select_arms(), recipe=RECIPES['quick'](), dataset='demo', split='official',"
        " folds=(1, 2), classes=10, replicates=3); print(*[trial.trial_id for trial in plan.trials])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == [trial.trial_id for trial in plan().trials]


def test_planning_imports_no_torch():
    code = "import sys, sweeper.plan; assert 'torch' not in sys.modules and 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_growing_a_plan_keeps_its_trials():
    small = {trial.trial_id for trial in plan(replicates=2, folds=(1,)).trials}
    large = {trial.trial_id for trial in plan(replicates=5, folds=(1, 2, 3)).trials}
    assert small < large


def test_the_confound_guard_refuses_a_second_factor():
    wider = Arm("wider", "GARM", MappingProxyType({"garm": False, "dropout": 0.5}))
    with pytest.raises(PlanError, match="dropout"):
        check_unconfounded(wider, SIZES["tiny"])
    idle = Arm("idle", "nothing", MappingProxyType({"garm": True}))
    with pytest.raises(PlanError, match="garm"):
        check_unconfounded(idle, SIZES["tiny"])


def test_resolved_configs_differ_in_declared_switches_alone():
    by_arm = {trial.arm: trial.model for trial in plan(replicates=1, folds=(1,), recipe=RECIPES["small"]()).trials}
    for name, network in by_arm.items():
        differing = {
            f.name
            for f in dataclasses.fields(network)
            if getattr(network, f.name) != getattr(by_arm[REFERENCE], f.name)
        }
        # Heads for self-distillation can only exist where there are two branches.
        assert differing - {"branch_heads"} == set(ARMS[name].switches)
        assert network.branch_heads == (network.semantic and network.detail)


def test_select_arms():
    assert [arm.name for arm in select_arms("7")] == ["full", "fusion-sum", "fusion-concat"]
    assert [arm.name for arm in select_arms("6")] == list(TABLE_6)
    assert [arm.name for arm in select_arms(names=["full", "garm"])] == ["garm", "full"]
    with pytest.raises(PlanError, match=r"unknown arm 'grm'.*semantic-only"):
        select_arms(names=["grm"])


def test_nothing_to_run_is_refused():
    with pytest.raises(PlanError, match="nothing to run"):
        plan(replicates=0)


def test_seeds_are_pinned():
    # A changed derivation would orphan every committed trial: this value may never change.
    assert derive_seed(0, "demo", 1, 0) == 1163942408


def test_peers_are_planned_beside_the_arms():
    recipe = RECIPES["paper"]()
    trials = plan(recipe=recipe, peers=("eat-s", "acdnet"), folds=(1,), replicates=1).trials
    assert [(trial.kind, trial.arm) for trial in trials[-2:]] == [("peer", "eat-s"), ("peer", "acdnet")]
    assert len({trial.seed for trial in trials}) == 1
    assert all(trial.model.classes == 10 for trial in trials)
    with pytest.raises(PlanError, match="EAT-S needs clips of at least 32768 samples, this recipe's have 8000"):
        plan(peers=("eat-s",))
    with pytest.raises(PlanError, match="unknown peer 'ast'; the peers are: eat-s, acdnet"):
        plan(peers=("ast",))


def tuning(arm="full", **changes):
    base = RECIPES["quick"]().training
    turns = Turns(ema=False)
    names = {(name, fold): "{}" for name in ("garm", "full") for fold in (1, 2)}
    trainings = dict.fromkeys(names, replace(base, max_lr=1e-3))
    trainings[arm, 2] = replace(base, **changes)
    return Tuning(turns, names, trainings)


def test_each_arm_trains_with_its_own_hyperparameters_and_pairing_stays():
    arms = select_arms(names=["garm", "full"])
    trials = plan(arms=arms, tuning=tuning(max_lr=5e-3)).trials
    by_key = {(trial.arm, trial.data.fold): trial.training.max_lr for trial in trials}
    assert by_key == {("garm", 1): 1e-3, ("full", 1): 1e-3, ("garm", 2): 1e-3, ("full", 2): 5e-3}
    assert [trial.seed for trial in trials] == [trial.seed for trial in plan(arms=arms).trials]
    assert {trial.params for trial in trials} == {"{}"}


@pytest.mark.parametrize("changes", [{"epochs": 99}, {"label_smoothing": 0.0}, {"ema": EMAConfig(0.5)}])
def test_the_confound_guard_lets_arms_differ_in_what_was_tuned_alone(changes):
    with pytest.raises(PlanError, match=rf"arm 'full', fold 2: .*{next(iter(changes))}.* which no search turns"):
        plan(arms=select_arms(names=["garm", "full"]), tuning=tuning(**changes))


def test_a_trial_that_selects_is_another_trial():
    (search,) = plan_searches(
        study="s", arms=select_arms(names=["full"]), recipe=RECIPES["quick"](), dataset="demo", split="official",
        folds=(1,), classes=10, turns=Turns(ema=True),
    )  # fmt: skip
    trials = [trial for stage in STAGES for trial in search.trials(stage, [search.recipe_params], 2)]
    assert len({trial.seed for trial in trials}) == len(trials) == 8
    assert not {trial.seed for trial in trials} & {trial.seed for trial in plan().trials}
    assert [trial.selects for trial in trials] == [True] * 6 + [False] * 2
    tested = replace(trials[0], stage="test")
    assert tested.trial_id != trials[0].trial_id, "trained without the validation clips, and scored on them"
    assert replace(tested, stage="").trial_id == tested.trial_id
