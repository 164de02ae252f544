"""From options to a checked run: what is wrong is told before anything is decoded, started or written."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sweeper.execution import own_ray
from sweeper.plan import PlanError
from sweeper.results.tables import StudyError
from sweeper.run import prepare as module
from sweeper.run.ablations import plan_grid
from sweeper.run.options import AblationOptions, SearchOptions, TunedOptions
from sweeper.run.prepare import prepare_run

FILES = Path(__file__).parents[1] / "study_files"

MISTAKES = {
    "a field that is none": ('network={"attention": False}', 'network={"attn": False}', "switches 'attn', which is no"),
    "a missing reference": ('Arm("full"),', "", "reference='full' is no arm"),
    "another shape": (
        "self.head(x.mean(1)",
        "self.head(x.mean(1))[:, :3] if True else (0",
        r"shape \[2, 3\]; expected \[2, 10\]",
    ),
    "no module": ("return MelCNN(self)", "return self", "returned a MelNet; expected a torch.nn.Module"),
    "an arm that builds no network": (
        '{"norm": "group"}',
        '{"norm": "group", "width": 12}',
        "arm 'group-norm': MelNet can't be built",
    ),
    "clips too short": ("seconds=1.0", "seconds=0.01", "arm 'full': .*in training, given .*, fails"),
    "an exception": (
        "return self.head(",
        "raise KeyError('x')\n        return self.head(",
        r"KeyError: 'x' \(mel\.py:\d+\)",
    ),
    "a wrong switch of the training": ('"ema.decay": 0.0', '"ema.decy": 0.0', "'decy' is not a field of EMAConfig"),
    "a switch that changes nothing": (
        '"label_smoothing": 0.0',
        '"label_smoothing": 0.1',
        "the reference has these values too",
    ),
}


def options(file, tmp_path, kind=AblationOptions, **changes):
    return kind(**({"source": str(file), "results": str(tmp_path / "results"), "dry_run": True} | changes))


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEPER_CACHE", str(tmp_path / "cache"))
    shutil.copy(FILES / "mel.py", tmp_path)
    return tmp_path / "mel.py"


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_in_a_study_is_told_in_one_line_before_anything_is_made(file, tmp_path, what):
    old, new, message = MISTAKES[what]
    content = file.read_text()
    assert old in content
    file.write_text(content.replace(old, new, 1))
    with pytest.raises(PlanError, match=message) as raised:
        prepare_run(options(file, tmp_path))
    assert len(str(raised.value).splitlines()) == 1
    assert not (tmp_path / "results").exists()
    assert "decoded" not in {path.name for path in (tmp_path / "cache").glob("*")}


def test_a_sound_study_is_described(file, tmp_path):
    run = prepare_run(options(file, tmp_path))
    assert run.results.name == "ablations-mel-demo-quick"
    assert "MelNet: self-distillation is left out, as the network returns no branch_logits" in run.notes
    assert "mean-pool: shares 6 of 6 parameters with full" in run.notes
    assert any(note.startswith("no-ema differs in the average of the weights only") for note in run.notes)
    assert [arm.name for arm in run.arms] == ["full", "mean-pool", "group-norm", "no-smoothing", "no-ema"]


def test_names_of_results_say_the_study_but_for_the_default(file, tmp_path):
    names = [prepare_run(options(source, tmp_path)).results.name for source in ("paper", "recipe", "readings")]
    assert names == ["ablations-demo-quick", "ablations-recipe-demo-quick", "ablations-readings-demo-quick"]
    run = prepare_run(options("paper", tmp_path, SearchOptions, epochs=3))
    assert (run.results.name, run.fixed) == ("search-demo-quick-3epochs", "ablations-demo-quick-3epochs")
    assert [arm.name for arm in run.arms] == ["full"], "a search without arms is of the reference"


def test_a_file_that_is_called_as_the_default_study_has_results_of_its_own(file, tmp_path):
    shutil.copy(file, tmp_path / "paper.py")
    asked = options(tmp_path / "paper.py", tmp_path)
    assert prepare_run(asked).results.name == "ablations-paper-demo-quick"


def test_switches_and_fields_that_do_nothing_are_told(file, tmp_path):
    content = file.read_text()
    content = content.replace("width: int = 32", "width: int = 32\n    unused: int = 0")
    idle = 'Arm("no-mixing", training={"augmentation.mixing.probability": 0.0}), Arm("idle", network={"unused": 1})'
    file.write_text(content.replace('Arm("full"),', f'Arm("full"), {idle},'))
    notes = prepare_run(options(file, tmp_path)).notes
    assert (
        "no-mixing: switching augmentation.mixing.probability changes nothing, as mixing begins after 12 epochs, and "
        "12 are trained" in notes
    )
    assert [note for note in notes if "does the same as full" in note] == [
        "idle does the same as full in a first training step: does the network use unused?"
    ]


def test_pre_trained_values_are_not_shared_with_who_has_none(file, tmp_path):
    content = file.read_text().replace("width: int = 32", "width: int = 32\n    trained: bool = False")
    content = content.replace('Arm("full"),', 'Arm("full"), Arm("trained", network={"trained": True}),')
    loads = "def _load(self, module):\n    if self.trained:\n        module.head.bias.data.fill_(0.5)\n\n\n"
    file.write_text(f"{content}\n\n{loads}MelNet.load = _load\n")
    (told,) = [note for note in prepare_run(options(file, tmp_path)).notes if note.startswith("trained: shares")]
    ours, of, theirs = told.split()[2:5]
    assert of == "of" and int(ours) == int(theirs) - 1


@pytest.mark.parametrize("place", ["Path(__file__).with_name('head.txt')", "'head.txt'"])
def test_what_a_network_reads_and_no_worker_would_have_is_told(file, tmp_path, monkeypatch, place):
    (tmp_path / "head.txt").write_text("0.5")
    monkeypatch.chdir(tmp_path)
    reads = f"def _load(self, module):\n    float(open({place}).read())\n\n\nMelNet.load = _load\n"
    file.write_text(f"from pathlib import Path\n{file.read_text()}\n\n{reads}")
    with pytest.raises(
        PlanError, match=r"can't be built away from the study's folder, .*name what it reads in Study\(fil"
    ):
        prepare_run(options(file, tmp_path))
    if "__file__" in place:
        file.write_text(file.read_text().replace("    recipes=(", '    files=("head.txt",),\n    recipes=('))
        assert prepare_run(options(file, tmp_path)).source.study.files == ("head.txt",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "papr"}, "unknown study 'papr'"),
        ({"source": "nowhere.py"}, r"nowhere\.py does not exist"),
        ({"table": "6"}, "unknown table '6'; the tables are: arms, or all"),
        ({"recipe": "paper"}, "unknown recipe 'paper'; the recipes are: quick"),
        ({"arms": ("garm",)}, "unknown arm 'garm'; the arms are: full, mean-pool"),
        ({"peers": ("ast",)}, "unknown peer 'ast'; the peers are: eat-s, acdnet, envnet-v2, "),
        ({"epochs": 0}, "--epochs 0: at least 1"),
        ({"seeds": 0}, "--seeds 0: at least 1"),
        ({"max_seeds": 3}, "--max-seeds 3: add --until decided, or give --seeds instead"),
        ({"max_seeds": 0}, "--max-seeds 0: at least 1"),
        ({"table": "arms", "arms": ("full",)}, "--table arms: leave it out, or --arm, which names single arms"),
        ({"kind": TunedOptions, "table": "arms", "arms": ("full",)}, "--table arms: leave it out, or --arm"),
        ({"folds": (9,)}, "the official split of demo has the folds 1,2,3,4,5"),
    ],
)
def test_wrong_options_are_told_by_name(file, tmp_path, changes, message):
    with pytest.raises(PlanError, match=message):
        prepare_run(options(**({"file": file, "tmp_path": tmp_path} | {"source": str(file)} | changes)))


@pytest.mark.parametrize(
    ("changes", "there", "begun"),
    [
        ({}, (), True),
        ({}, ("ablations-other-demo-quick",), True),
        ({}, ("ablations-mel-demo-quick",), False),
        ({"study": "s"}, ("ablations-mel-demo-quick",), True),
        ({"study": "s"}, ("s",), False),
        ({"dry_run": True}, (), False),
        ({"dataset": "fsdd", "data": Path("x")}, (), False),
        ({"source": "paper"}, (), False),
        ({"source": "nowhere.py"}, (), False),
    ],
)
def test_ray_begins_before_a_file_imports_torch_where_it_will_surely_be_trained(
    file, tmp_path, monkeypatch, changes, there, begun
):
    asked = []
    monkeypatch.setattr(own_ray, "begin", asked.append)

    def find(_source):
        assert asked == [None] * begun
        raise PlanError("found")

    monkeypatch.setattr(module, "find", find)
    for name in there:
        (tmp_path / "results" / name).mkdir(parents=True)
    with pytest.raises(PlanError, match="found"):
        prepare_run(options(file, tmp_path, **({"dry_run": False} | changes)))


def test_a_search_needs_a_space(file, tmp_path):
    from sweeper.run.search import arm_searches

    asked = options(file, tmp_path, SearchOptions)
    with pytest.raises(PlanError, match=r"'mel' has no search space: give it a function space\(trial, training\)"):
        arm_searches(prepare_run(asked), asked)
    shutil.copy(FILES / "two_files.py", tmp_path)
    shutil.copy(FILES / "blocks.py", tmp_path)
    asked = options(tmp_path / "two_files.py", tmp_path, SearchOptions)
    (search,) = arm_searches(prepare_run(asked), asked)
    assert search.recipe_params == '{"max_lr":0.01,"smoothing":0.1}', "found by asking the space"
    assert {field.name: field.range for field in search.searched} == {
        "smoothing": "0 to 0.2",
        "max_lr": "0.0001 to 0.1, log",
    }


def test_an_arm_that_was_renamed_is_refused_before_anything_is_made(file, tmp_path):
    asked = options(file, tmp_path)
    grid = plan_grid(asked, print)
    grid.run.results.write_plan({**grid.plan.describe(), "data_digest": "d"})
    before = sorted((tmp_path / "results").rglob("*"))
    file.write_text(file.read_text().replace('"mean-pool"', '"flat"'))
    with pytest.raises(StudyError, match="has arm 'mean-pool', which is 'flat' now and has the same trials"):
        plan_grid(asked, print)
    assert sorted((tmp_path / "results").rglob("*")) == before


@pytest.mark.parametrize("seeds", [2, "auto"])
def test_several_seeds_at_once_of_a_recipe_that_compiles_are_refused(file, tmp_path, seeds):
    file.write_text(file.read_text().replace("epochs=12,", "epochs=12, compile=True,"))
    with pytest.raises(PlanError, match=f"--seeds-per-trial {seeds}: the recipe compiles its networks"):
        plan_grid(options(file, tmp_path, seeds_per_trial=seeds), print)
    assert not (tmp_path / "results").exists()


def test_clips_that_cannot_be_read_are_named_when_they_are_left_out(file, tmp_path):
    sounds = tmp_path / "sounds"
    rng = np.random.default_rng(0)
    for name in ("hiss", "hum"):
        (sounds / name).mkdir(parents=True)
        for i in range(12):
            soundfile.write(sounds / name / f"{i:02}.wav", rng.normal(0, 0.1, 8000), 8000)
    for i in range(5):
        (sounds / "hum" / f"{i:02}.wav").write_bytes(b"not audio")
    asked = options(file, tmp_path, dataset="folder", data=sounds, bad_clips="skip", dry_run=False)
    said = []
    assert len(prepare_run(asked).open(asked, said.append).skipped) == 5
    named = {f"left out: {sounds}/hum/0{i}.wav" for i in range(5)}
    assert len({line.partition(": neither WAV nor FLAC")[0] for line in said[1:4]} & named) == 3
    assert said[4:] == ["left out in all: 5 clips that can't be read, named in the plan and the report"]
