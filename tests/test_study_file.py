"""Studies in files: what is loaded, what decides the digest, how the code reaches a process that has not the file."""

import json
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from sweeper.definition import DataConfig, design
from sweeper.plan import Described, PlanError, build_plan
from sweeper.results.plans import merge
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.study_file import find, load, save, shipped, with_network

DATA = DataConfig("demo", "official", 1, 8000, 1.0)
FILES = Path(__file__).with_name("study_files")
STUDIES = ("mel", "two_files", "transformer", "fraction", "training_alone")


@pytest.fixture
def folder(tmp_path):
    """A folder of the user's own, with the studies in it."""
    place = tmp_path / "mine"
    shutil.copytree(FILES, place)
    return place


def spec(source, arm="full"):
    study = source.study
    plan = build_plan(
        study="s",
        source=source,
        arms=[study.by_name[arm]],
        recipe=study.recipes[0],
        dataset="demo",
        split="official",
        folds=(1,),
        classes=10,
        replicates=1,
    )
    return plan.trials[0]


@pytest.mark.parametrize("name", STUDIES)
def test_studies_load_and_every_arm_builds(folder, name):
    source = load(folder / f"{name}.py")
    assert source.name == name and len(source.code) == 16
    clips = torch.zeros(2, 1, source.study.recipes[0].length)
    for arm in source.study.by_name:
        network = spec(source, arm).model.build().eval()
        assert network(clips).shape == (2, 10)


def test_studies_that_come_along_have_no_code_of_their_own():
    assert [find(name).code for name in ("paper", "recipe", "readings")] == ["", "", ""]
    with pytest.raises(PlanError, match="unknown study 'papr'; the studies are: paper, recipe, readings, or a file"):
        find("papr")


CHANGES = {
    "a comment": ("# [batch, 1, samples]", "# clips", True),
    "a docstring": ('"""Mel CNN: what', '"""A mel CNN: what', True),
    "an arm": ('Arm("full"),', 'Arm("full"), *(Arm(f"w{x}", network={"width": x}) for x in (8, 16)),', True),
    "a recipe": ("epochs=12", "epochs=13", True),
    "a statement that is not used": ("STUDY = Study(", "UNUSED = 1\nSTUDY = Study(", True),
    "layout": ("def forward(self, waveform):", "def forward(\n        self, waveform\n    ):", True),
    "forward": ("x.mean(1)", "x.amax(1)", False),
    "a layer": ("stride=2", "stride=4", False),
    "a default": ("width: int = 32", "width: int = 16", False),
    "an import": ("import torchaudio", "import torchaudio.compliance as torchaudio", False),
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_digest_follows_the_code_of_the_network_alone(folder, what):
    file = folder / "mel.py"
    before, (old, new, same) = load(file).code, CHANGES[what]
    content = file.read_text()
    assert old in content
    file.write_text(content.replace(old, new, 1))
    if what == "an import":
        from sweeper.code_digest import code_digest

        found = code_digest({"mel.py": file.read_bytes()}, "mel.py", "mel.MelNet", {})
    else:
        found = load(file).code
    assert (found == before) == same


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("The neighbour of", "A neighbour of", True),
        ("TAPS = 9", "TAPS = 7", False),
        ("x.mean(-1)", "x.amax(-1)", False),
        ("TAPS = 9", "TAPS = 9\n\n\ndef unused():\n    return 1", True),
        ("TAPS = 9", "TAPS = 9\nnn.Conv1d.padding = 0", False),
    ],
)
def test_what_a_network_uses_of_a_neighbour_file_counts(folder, old, new, same):
    before = load(folder / "two_files.py").code
    neighbour = folder / "blocks.py"
    content = neighbour.read_text()
    assert old in content
    neighbour.write_text(content.replace(old, new, 1))
    if "nn.Conv1d" in new:
        from sweeper.code_digest import code_digest
        from sweeper.code_imports import neighbours

        found = code_digest(neighbours(folder, "two_files.py"), "two_files.py", "two_files.Residuals", {})
    else:
        found = load(folder / "two_files.py").code
    assert (found == before) == same


def test_ids_follow_the_digest(folder):
    file = folder / "mel.py"
    before = spec(load(file)).trial_id
    content = file.read_text()
    file.write_text(content.replace('Arm("full"),', 'Arm("full"), Arm("wide", network={"width": 64}),'))
    assert spec(load(file)).trial_id == before
    file.write_text(content.replace("x.mean(1)", "x.amax(1)"))
    assert spec(load(file)).trial_id != before


def test_a_users_model_py_is_the_users(folder):
    (folder / "model.py").write_text("from torch import nn\n\nclass Head(nn.Linear):\n    mine = True\n")
    (folder / "statistics.py").write_text("MEAN = 'mine'\n")
    content = (folder / "mel.py").read_text()
    content = content.replace("import torch\n", "import torch\nimport model as networks\nimport statistics\n")
    (folder / "mel.py").write_text(content.replace("self.head = nn.Linear(", "self.head = networks.Head("))
    network = spec(load(folder / "mel.py")).model.build()
    assert network.head.mine
    import statistics

    import sweeper.model.config as ours

    assert ours.SIZES and statistics.mean([1, 3]) == 2


def test_a_file_may_define_what_has_its_own_name(folder):
    (folder / "mel.py").write_text((folder / "mel.py").read_text() + "\n\ndef mel(x):\n    return x\n")
    with shipped(load(folder / "mel.py").code) as network:
        assert network.__name__ == "MelNet"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = (\n", r"bad\.py, line 1: '\(' was never closed"),
        ("import nowhere\n", r"bad\.py, line 1: ModuleNotFoundError: No module named 'nowhere'"),
        ("STUDY = 1\n", r"bad\.py defines STUDY as a int; write STUDY = Study\("),
        ("", r"bad\.py defines no STUDY"),
        ("\n\n1 / 0\n", r"bad\.py, line 3: ZeroDivisionError: division by zero"),
        (
            "from sweeper.study import *\nSTUDY = Study(Network(), (Arm('a'),), ())\n",
            r"bad\.py, line 2: recipes=\(\): a study needs one at least",
        ),
        ("import sys\nsys.exit(3)\n", r"bad\.py, line 2: it ends the process \(3\); a study's file only defines STUDY"),
        ("raise SystemExit\n", r"bad\.py, line 1: it ends the process \(exit\)"),
        ("class Odd(BaseException): pass\nraise Odd('x')\n", r"bad\.py, line 2: Odd: x"),
        ("assert 1 == 2\n", r"bad\.py, line 1: AssertionError$"),
        ("raise ValueError\n", r"bad\.py, line 1: ValueError$"),
        ("import bad\n", r"bad\.py imports bad, which it would be itself: give the file another name"),
        (b"\xff\xfe", r"bad\.py.*"),
        ("x = 1\0", r"bad\.py.*null bytes"),
    ],
)
def test_a_file_that_is_no_study_is_told_in_one_line(tmp_path, content, message):
    file = tmp_path / "bad.py"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(PlanError, match=message) as raised:
        load(file)
    assert len(str(raised.value).splitlines()) == 1


NAMELESS = {
    "in a function": "def made():\n    {network}\n    return Net\nNET = made()()\n",
    "by another name": "{network}\nNET = Net()\nOther = Net\ndel Net\n",
    "twice": "{network}\nNET = Net()\n{network}\n",
    "by make_dataclass": "{network}\nNET = make_dataclass('Made', [], bases=(Net,), frozen=True, kw_only=True)()\n",
}


@pytest.mark.parametrize("what", NAMELESS)
def test_a_network_that_workers_would_not_find_by_its_name_is_refused(tmp_path, what):
    network = "class Net(Network): build = lambda self: torch.nn.Linear(1, 1)"
    code = "import torch\nfrom dataclasses import make_dataclass\nfrom sweeper.study import *\n"
    code += NAMELESS[what].format(network=network)
    recipe = "Recipe('r', training=TrainingConfig(), sample_rate=8000, seconds=1.0)"
    (tmp_path / "mine.py").write_text(f"{code}STUDY = Study(NET, (Arm('full'),), ({recipe},))\n")
    with pytest.raises(PlanError, match=r"mine\.py: .* write the network's class at the top of a file, once"):
        load(tmp_path / "mine.py")


def test_the_code_of_an_installed_package_is_part_of_the_design(folder, tmp_path, monkeypatch):
    """As `pip install -e` leaves it: elsewhere, and with another version at most once in a while."""
    package, about = tmp_path / "site" / "my_nets", tmp_path / "site" / "my_nets-1.0.dist-info"
    package.mkdir(parents=True)
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-nets\nVersion: 1.0\n")
    (about / "top_level.txt").write_text("my_nets\n")
    network, _, study = (folder / "mel.py").read_text().partition("STUDY = ")
    (package / "__init__.py").write_text(network)
    (folder / "mine.py").write_text(f"from my_nets import *\nfrom sweeper.study import *\nSTUDY = {study}")
    monkeypatch.syspath_prepend(tmp_path / "site")
    found = load(folder / "mine.py")
    assert found.code == "" and found.package.startswith("my_nets ")
    assert load(folder / "mine.py").package == found.package
    (package / "__init__.py").write_text(network.replace('"""', '"""Something: ', 1) + "\n# a comment\n")
    (package / "tests.py").write_text("WHATEVER = 1\n")
    (package / ".#layers.py").symlink_to("user@host.1:2")  # as Emacs leaves it beside what is not saved
    assert load(folder / "mine.py").package == found.package
    (package / "__init__.py").write_text(f"{network}\nfrom . import layers\n")
    (package / "layers.py").write_text("TAPS = 1\n")
    before = load(folder / "mine.py").package
    (package / "layers.py").write_text("TAPS = 2\n")
    changed = load(folder / "mine.py")
    assert before != changed.package
    (package / "layers.py").write_text("print 'of another Python'\n")
    assert load(folder / "mine.py").package == "my_nets"
    assert changed.package != found.package
    plans = [
        {"data_digest": "d", "trials": []} | {"design": design(each, each.study.recipes[0], DATA, 10)}
        for each in (found, changed, replace(found, package=""))
    ]
    with pytest.raises(StudyError, match=r"another design \(package: my_nets \w+ → my_nets \w+\)"):
        merge(plans[0], plans[1], "s")
    assert merge(plans[2], plans[1], "s"), "a study of before it was kept goes on"
    del sys.modules["my_nets"]


def test_an_interrupt_is_no_mistake_of_the_file(tmp_path):
    (tmp_path / "bad.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path / "bad.py")


def test_what_only_this_process_can_import_is_refused(folder, tmp_path, monkeypatch):
    (tmp_path / "around").mkdir()
    (tmp_path / "around" / "only_here.py").write_text("TAPS = 3\n")
    monkeypatch.syspath_prepend(tmp_path / "around")
    content = (folder / "mel.py").read_text()
    (folder / "mel.py").write_text(content.replace("import torch\n", "import torch\nfrom only_here import TAPS\n", 1))
    with pytest.raises(PlanError, match=r"mel\.py imports only_here from .*only_here\.py, which is neither beside it"):
        load(folder / "mel.py")
    shutil.copy(tmp_path / "around" / "only_here.py", folder)
    assert load(folder / "mel.py").code


def test_a_file_is_found_in_the_home_folder_and_its_ending_is_suggested(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert find("~/mel.py").name == "mel"
    with pytest.raises(PlanError, match=r"or a file, such as mel\.py; did you mean ~/mel\.py\?"):
        find("~/mel")


def test_a_file_that_is_not_there_or_has_an_odd_name_is_told(tmp_path):
    with pytest.raises(PlanError, match=r"mel\.py does not exist"):
        load(tmp_path / "mel.py")
    (tmp_path / "my study.py").touch()
    with pytest.raises(PlanError, match=r"is called by letters, digits"):
        load(tmp_path / "my study.py")
    (tmp_path / "a.py").mkdir()
    with pytest.raises(PlanError, match="is a folder"):
        load(tmp_path / "a.py")


WITH_WEIGHTS = """
from pathlib import Path

from safetensors.torch import load_file


def _load(self, module):
    module.head.load_state_dict(load_file(Path(__file__).with_name("head.safetensors")))


MelNet.load = _load
"""


@pytest.fixture
def pretrained(folder):
    """A study whose network loads a file."""
    file = folder / "mel.py"
    content = file.read_text().replace("    recipes=(", '    files=("head.safetensors",),\n    recipes=(')
    file.write_text(content + WITH_WEIGHTS)
    write_head(folder, 0.5)
    return file


def write_head(folder, value):
    tensors = {"weight": np.full((10, 32), value, np.float32), "bias": np.zeros(10, np.float32)}
    save_file(tensors, folder / "head.safetensors")


def test_files_are_hashed_and_missing_ones_told(pretrained):
    before = load(pretrained).code
    write_head(pretrained.parent, 0.25)
    assert load(pretrained).code != before
    (pretrained.parent / "head.safetensors").unlink()
    with pytest.raises(PlanError, match=r"files='head.safetensors': can't read .*No such file"):
        load(pretrained)


ELSEWHERE = """
import pickle, sys
from pathlib import Path
import torch
from sweeper.model.build import build
from sweeper.results.store import Study
from sweeper.study_file import with_network

spec = pickle.loads(Path(sys.argv[1]).read_bytes())
found = with_network(spec, Study(sys.argv[2]).storage, Path(sys.argv[3]))
network = build(found.model, found.seed)
print(found.trial_id, type(found.model).__name__, float(network.head.weight.mean()))
"""


def elsewhere(tmp_path, spec, study):
    """What a process that has neither the file nor its folder makes of a trial."""
    (tmp_path / "spec").write_bytes(pickle.dumps(spec))
    (tmp_path / "code.py").write_text(ELSEWHERE)
    words = [sys.executable, tmp_path / "code.py", tmp_path / "spec", study, tmp_path / "cache"]
    where = {"cwd": "/", "env": {"PYTHONPATH": str(FILES.parents[1])}}
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, **where)


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_a_process_without_the_file_builds_the_network(pretrained, tmp_path, where, request):
    place = str(tmp_path / "results" / "s") if where == "folder" else f"{request.getfixturevalue('s3').url}/s"
    source = load(pretrained)
    study = Study(place)
    study.create()
    save(source.code, study.storage)
    trial = spec(source)
    shutil.rmtree(pretrained.parent)
    if where == "s3":
        found = with_network(pickle.loads(pickle.dumps(trial)), study.storage, tmp_path / "cache")
        assert found == trial
        names = study.storage.files(f"code/{source.code}")
        assert names.keys() == {"mel.py", "head.safetensors", "manifest.json"}
        return
    done = elsewhere(tmp_path, trial, place)
    assert done.stdout.split() == [trial.trial_id, "MelNet", "0.5"], done.stderr


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda code: (code / "mel.py").write_text((code / "mel.py").read_text() + "\nMelCNN.x = 1\n"), "other code"),
        (lambda code: (code / "manifest.json").unlink(), "is not whole"),
        (lambda code: (code / "mel.py").unlink(), "is not whole"),
        (lambda code: renamed(code, "../../mel.py"), "which is no name of a file of it"),
        (lambda code: renamed(code, "/etc/passwd"), "which is no name of a file of it"),
    ],
)
def test_code_that_is_not_what_its_name_says_is_not_run(folder, tmp_path, spoil, message):
    source = load(folder / "mel.py")
    study = Study(tmp_path / "s")
    save(source.code, study.storage)
    spoil(tmp_path / "s" / "code" / source.code)
    done = elsewhere(tmp_path, spec(source), tmp_path / "s")
    assert message in done.stderr and not done.stdout


def renamed(code, name):
    manifest = json.loads((code / "manifest.json").read_text())
    (code / "manifest.json").write_text(json.dumps(manifest | {"sources": [name], "entry": name}))


def test_code_is_written_once(folder, tmp_path):
    source = load(folder / "two_files.py")
    study = Study(tmp_path / "s")
    save(source.code, study.storage)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "s" / "code").rglob("*.*")}
    assert {path.name for path in files} == {"two_files.py", "blocks.py", "manifest.json"}
    save(source.code, study.storage)
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_code_that_a_stranger_left_under_the_same_digest_is_not_run(folder, tmp_path):
    """The digest leaves out what makes `STUDY`: there, it would be run by the workers of who goes on with the study."""
    source = load(folder / "mel.py")
    study = Study(tmp_path / "s")
    save(source.code, study.storage)
    file = tmp_path / "s" / "code" / source.code / "mel.py"
    own = file.read_text()
    file.write_text(own + "\nSTUDY = open('ran', 'w')\n")
    save(source.code, study.storage)
    assert file.read_text() == own
    done = elsewhere(tmp_path, spec(source), tmp_path / "s")
    assert done.stdout, done.stderr
    assert not list(tmp_path.rglob("ran"))


def test_in_a_process_that_has_the_code_nothing_is_fetched(folder):
    trial = spec(load(folder / "mel.py"))
    travelled = pickle.loads(pickle.dumps(trial))
    assert isinstance(travelled.model, Described)
    assert with_network(travelled) == trial
