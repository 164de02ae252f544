"""What a leaderboard and a report know of a study: what its plan says, and for an old plan the only study there was."""

import json
from dataclasses import replace

import pytest

from sweeper.definition import definition
from sweeper.plan import Source
from sweeper.results.study_arms import _first_study, study_arms
from sweeper.results.tables import StudyError
from sweeper.study import Arm, EMAConfig, Protocol, Study, Table, TrainingConfig
from sweeper.study import factorial as crossed
from tests.studies import ARMS, PAPER, RECIPES


def told(study, recipe=None):
    source = Source("mine", study, "0123456789abcdef", "mine.py")
    return {"definition": definition(source, recipe or study.recipes[0])}


def small(*arms, **fields):
    return Study(RECIPES["quick"]().network, (Arm("full"), *arms), (RECIPES["quick"](),), **fields)


def test_a_plan_of_before_studies_were_written_down_is_of_the_papers():
    assert _first_study() == definition(PAPER, PAPER.study.recipes[0])
    arms = study_arms({}, "urbansound8k")
    assert arms == study_arms({"definition": definition(PAPER, PAPER.study.recipes[-1])}, "urbansound8k")
    assert list(arms.switches) == list(ARMS)
    dual, full = (ARMS[arm].published["urbansound8k"] for arm in ("dual-branch", "full"))
    assert arms.published_difference("dual-branch") == dual - full
    assert arms.labels == {"garm": "GARM", "macem_a": "MACEM-A", "macem_b": "MACEM-B"}


PROTOCOL = Protocol(source="me", dataset="esc50", split="official", recipe="quick", clips=2000, test_share=0.2)


def on(dataset, study):
    return study_arms(told(study) | {"design": {"data": {"dataset": dataset}}})


def test_what_is_published_stands_beside_its_own_data_set_only():
    papers = {"definition": definition(PAPER, PAPER.study.recipes[0])}
    heard = {name: study_arms(papers, name) for name in ("urbansound8k", "esc50", "ravdess", "cremad", "demo", None)}
    assert heard["urbansound8k"].published["full"] == pytest.approx(0.9091)
    assert heard["urbansound8k"].published.keys() == ARMS.keys()
    for name, accuracy in {"esc50": 0.9325, "ravdess": 0.9236, "cremad": 0.705}.items():
        assert heard[name].published == {"full": pytest.approx(accuracy)}
        assert heard[name].published_difference("dual-branch") is None
    assert heard["demo"].published == heard[None].published == {}
    assert heard["demo"].published_on == ("cremad", "esc50", "ravdess", "urbansound8k")
    sizes = {name: (arms.protocol["dataset"], arms.protocol["clips"]) for name, arms in heard.items()}
    assert sizes["esc50"] == ("esc50", 2000) and sizes["demo"] == sizes["urbansound8k"] == ("urbansound8k", 8732)


def test_a_published_number_is_of_the_protocols_data_set_and_without_one_of_any():
    one = Arm("a", network={"dropout": 0.1}, published=0.5)
    assert on("esc50", small(one, protocol=PROTOCOL)).published == {"a": 0.5}
    assert on("demo", small(one, protocol=PROTOCOL)).published == {}
    assert on("demo", small(one)).published == {"a": 0.5}
    several = Arm("a", network={"dropout": 0.1}, published={"esc50": 0.5, "folder": 0.25})
    for study in (small(several), small(several, protocol=PROTOCOL)):
        assert {name: on(name, study).published for name in ("esc50", "folder", "demo")} == {
            "esc50": {"a": 0.5},
            "folder": {"a": 0.25},
            "demo": {},
        }


def test_a_plan_of_before_values_had_data_sets_is_read_likewise():
    plan = told(small(Arm("a", network={"dropout": 0.1}, published=0.5), protocol=PROTOCOL))
    assert plan["definition"]["arms"][1]["published"] == 0.5, "written as it was then"
    assert plan["definition"]["protocol"]["clips"] == 2000
    assert study_arms(plan | {"design": {"data": {"dataset": "fsdd"}}}).published == {}


@pytest.mark.parametrize("value", ["0.5", 86.8, {"esc50": None}, {"esc50": [0.5]}, [0.5]])
def test_a_published_value_that_is_no_fraction_is_told(value):
    plan = told(small(Arm("a", network={"dropout": 0.1}, published=0.5)))
    plan["definition"]["arms"][1]["published"] = value
    with pytest.raises(StudyError, match=r"plan\.json does not say its study as it should"):
        study_arms(plan)


def test_the_plan_says_what_each_arm_switches_of_network_and_training():
    slow = Arm("slow", "the fast rate", network={"patch": 8}, training={"max_lr": 1e-4, "ema.decay": 0.0})
    arms = study_arms(told(small(slow)))
    assert arms.switches == {"full": {}, "slow": {"patch": 8, "max_lr": 1e-4, "ema.decay": 0.0}}
    assert arms.values == {"patch": 16, "max_lr": 2e-3, "ema.decay": 0.98}
    assert arms.factors["slow"] == "the fast rate"
    assert (arms.name, arms.argument, arms.recipes) == ("mine", "mine.py", {"quick": 12})


def test_a_whole_part_of_the_training_is_json_too():
    other = Arm("other", training={"ema": EMAConfig(0.5), "distillation": None})
    study = small(other)
    recipe = replace(study.recipes[0], training=TrainingConfig())
    plan = json.loads(json.dumps(told(replace(study, recipes=(recipe,)))))
    assert study_arms(plan).switches["other"] == {
        "ema": {"decay": 0.5, "unit": "step", "warmup": True},
        "distillation": None,
    }


def test_an_arm_that_exists_is_in_a_table():
    arms = study_arms(told(small(Arm("a", network={"dropout": 0.1}), Arm("b", training={"max_lr": 1.0}))))
    assert [table.arms for table in arms.tables.values()] == [("full", "a", "b")]
    assert arms.tables["arms"].columns == {"dropout": "dropout", "max_lr": "max_lr"}
    some = small(Arm("a", network={"dropout": 0.1}), Arm("b", training={"max_lr": 1.0}), tables=(Table("x", ("a",)),))
    tables = study_arms(told(some)).tables
    assert {name: table.arms for name, table in tables.items()} == {"x": ("a",), "others": ("full", "b")}


def test_a_factorials_arms_switch_relative_to_its_reference():
    arms = crossed(
        network={"dropout": (0.2, 0.0)}, training={"ema.decay": (0.9, 0.0), "max_lr": (1e-3, 1e-4)}, fraction="1/2"
    )
    study = Study(RECIPES["quick"]().network, arms, (RECIPES["quick"](),))
    found = study_arms(told(study))
    assert found.switches["full"] == {} and len(found.switches) == 4
    assert found.values == {"dropout": 0.2, "ema.decay": 0.9, "max_lr": 1e-3}
    assert found.switches["ema.decay=0.0,max_lr=0.0001"] == {"ema.decay": 0.0, "max_lr": 1e-4}
    assert told(study)["definition"]["aliases"] == [
        "dropout = ema.decay × max_lr",
        "ema.decay = dropout × max_lr",
        "max_lr = dropout × ema.decay",
        "mean = dropout × ema.decay × max_lr",
    ]
