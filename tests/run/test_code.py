"""Commits of a user's repository: found, put in checkouts of their own, refused by name, planned as arms."""

import os
import socket
import subprocess

import pytest

from sweeper.definition import PlanError
from sweeper.plan import build_plan
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.run.code import run_code
from sweeper.run.commits import sources
from sweeper.run.options import AblationOptions
from tests.repositories import BROKEN, REFACTORED, STUDY, commit, git, repository


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEPER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The repository's folder, where commands run, and its commits' names."""
    folder = tmp_path / "own"
    names = repository(folder)
    monkeypatch.chdir(folder)
    return folder, names


def codes(folder, *asked, file="frames.py"):
    with sources(folder / file, asked) as found:
        return [(commit.name, source.code, commit.subject) for commit, source in found]


def asked(*code, **options):
    return AblationOptions(source="frames.py", code=code, seeds=1, epochs=1, dry_run=True, **options)


def lines_of(*code, **options):
    lines = []
    run_code(asked(*code, **options), lines.append)
    return lines


def trial_ids(source):
    (recipe,), (full, _) = source.study.recipes, source.study.arms
    known = {"study": "s", "source": source, "arms": [full], "recipe": recipe, "dataset": "demo", "split": "official"}
    return [trial.trial_id for trial in build_plan(**known, folds=[1], classes=10, replicates=1).trials]


def test_each_commit_has_its_own_code_and_nothing_is_left_behind(own):
    folder, names = own
    found = codes(folder, "main~3", "main~2", "main~1", "main")
    assert [name for name, _, _ in found] == names
    assert [subject for _, _, subject in found] == ["Begin", "Rename", "Explain", "Clip"]
    digests = [code for _, code, _ in found]
    assert digests[1] == digests[2], "a comment is no other code"
    assert len(set(digests)) == 3
    assert git(folder, "worktree", "list").count("\n") == 0
    assert not list((folder.parent / "cache" / "checkouts").iterdir())
    assert (folder / "frames.py").read_text() == BROKEN and git(folder, "status", "--porcelain") == ""


def test_trial_ids_depend_on_the_commits_code(own):
    with sources(own[0] / "frames.py", ["main~3", "main~2", "main~1", "main"]) as found:
        ids = [trial_ids(source)[0] for _, source in found]
    assert ids[1] == ids[2] and len(set(ids)) == 3


def test_a_working_tree_is_its_commit_or_named_by_what_it_holds(own):
    folder, names = own
    (folder / "results").mkdir()
    (folder / "results" / "x").write_text("not of the study")
    assert codes(folder, ".")[0][0] == names[3]
    (folder / "frames.py").write_text(STUDY)
    (first,) = codes(folder, ".")
    assert first[0].startswith("dirty-") and first[2] == f"uncommitted changes of frames.py, on {names[3]}"
    assert codes(folder, ".", "main~3")[1][1] == first[1], "what it computes is that of the commit"
    (folder / "frames.py").write_text(REFACTORED)
    assert codes(folder, ".")[0][0] != first[0]


def test_neighbour_files_are_the_commits(own):
    folder, _ = own
    one = STUDY.replace(
        "def head(network):\n    return", "from heads import head\n\n\ndef unused(network):\n    return"
    )
    commit(
        folder, "from torch import nn\n\ndef head(n):\n    return nn.Linear(4 * n.width, n.classes)\n", "H", "heads.py"
    )
    commit(folder, one, "With a neighbour")
    commit(
        folder, "from torch import nn\n\ndef head(n):\n    return nn.Identity()\n", "Break the neighbour", "heads.py"
    )
    before, after = codes(folder, "main~1", "main")
    assert before[1] != after[1]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (("main", "nosuch"), "--code nosuch: .*own has no commit of that name"),
        (("main", "--upload-pack=x"), "has no commit of that name"),
        (("main", "HEAD"), "main and HEAD are the same commit"),
        ((".", "main"), r"\. and main are the same commit"),
        (("main",), "name two commits at least"),
        (("main~2", "main~1"), "the same code in all of them"),
    ],
)
def test_what_can_not_be_compared_is_refused(own, code, words):
    with pytest.raises(PlanError, match=words):
        lines_of(*code)
    assert not (own[0] / "results").exists()


def test_a_commit_without_the_file_or_with_a_broken_one_is_named(own):
    folder, names = own
    commit(folder, STUDY, "Another file", "other.py")
    with pytest.raises(PlanError, match=rf"--code main~1: other.py is not in commit {names[3]}"):
        codes(folder, "main", "main~1", file="other.py")
    commit(folder, "STUDY = \n", "Half a file")
    with pytest.raises(PlanError, match=r"--code main: frames.py, line 1: invalid syntax"):
        codes(folder, "main~1", "main")
    commit(folder, STUDY.replace("nn.Linear(", "nn.Lnear("), "Does not build")
    with pytest.raises(PlanError, match=r"frames.py at main: arm 'full'"):
        lines_of("main~2", "main")
    assert git(folder, "worktree", "list").count("\n") == 0


def test_no_repository_and_no_file_of_the_users(tmp_path, own):
    (tmp_path / "frames.py").write_text(STUDY)
    with pytest.raises(PlanError, match="lies in no git repository"):
        codes(tmp_path, "main", "main~1")
    with pytest.raises(PlanError, match="paper comes with the package"):
        run_code(AblationOptions(code=("main", "main~1")), print)
    with pytest.raises(PlanError, match="does not go with --code"):
        lines_of("main~1", "main", until="decided")


def test_other_clips_and_another_recipe_are_told(own):
    folder, _ = own
    commit(folder, STUDY.replace("seconds=1.0", "seconds=0.5"), "Shorter clips")
    with pytest.raises(
        PlanError, match=r"--code main: its recipe 'quick' hears 0.5 s at 8000 Hz, and that of main~1 1 s"
    ):
        lines_of("main~1", "main")
    commit(folder, STUDY.replace("max_lr=3e-3", "max_lr=1e-3"), "Slower")
    assert "main: trained otherwise than at main~2: max_lr" in lines_of("main~2", "main")


def test_a_module_of_the_repository_that_is_installed_is_no_commits(own, monkeypatch):
    folder, _ = own
    (folder / "src").mkdir()
    commit(folder, "WIDTH = 4\n", "A package", "src/ownwidths.py")
    commit(folder, STUDY.replace("from torch import nn", "import ownwidths\nfrom torch import nn"), "Use it")
    monkeypatch.syspath_prepend(str(folder / "src"))
    monkeypatch.setattr("sweeper.study_imports._is_installed", lambda name, where: True)
    with pytest.raises(PlanError, match=r"imports ownwidths from .*the same for every commit"):
        codes(folder, "main", "main~2")


def test_a_checkout_that_was_left_by_a_killed_process_is_cleared_away(own):
    folder, _ = own
    with sources(folder / "frames.py", ["main"]):
        (place,) = (folder.parent / "cache" / "checkouts").iterdir()
    process = subprocess.Popen(["true"])
    process.wait()
    left = place.with_name(place.name.replace(str(os.getpid()), str(process.pid)))
    git(folder, "worktree", "add", "--detach", str(left), "main")
    codes(folder, "main~1")
    assert not left.exists() and git(folder, "worktree", "list").count("\n") == 0


def test_a_checkout_of_another_host_whose_name_begins_like_ours_stays(own):
    """In a cache that hosts share: `vm-4194304` is a host, and no process of the host `vm`."""
    folder, names = own
    theirs = folder.parent / "cache" / "checkouts" / f"{socket.gethostname()}-4194304-55-{names[0]}"
    (theirs / "src").mkdir(parents=True)
    codes(folder, "main~1")
    assert (theirs / "src").exists()


def test_a_dry_run_says_what_commits_share(own):
    _, names = own
    lines = lines_of("main~3", "main~2", "main~1", "main")
    assert (
        "study ablations-frames-demo-quick-1epochs-code: 3 arms × 1 fold × 1 seed = 3 trials, 0 of them already"
        in (lines[0])
    )
    assert f"main~2: Rename is {names[1]}" in lines
    assert "main~2: does the same as main~3 in a first training step" in lines
    assert f"{names[2]} is the same code as {names[1]}: it has no trials of its own" in lines


def test_arms_are_those_of_the_name_whatever_their_order_in_a_commit(own):
    folder, _ = own
    one, other = 'Arm("full")', 'Arm("no-norm", network={"norm": False})'
    swapped = STUDY.replace(f"{one}, {other}", f"{other}, {one}")
    assert swapped != STUDY
    commit(folder, swapped.replace("return nn.Linear", "network.classes\n    return nn.Linear"), "Swap")
    lines = lines_of("main~4", "main", arms=("full", "no-norm"))
    assert "main (full): shares 6 of 6 parameters with main~4" in lines
    assert "main (no-norm): shares 4 of 4 parameters with main~4" in lines
    assert "4 arms × 1 fold × 1 seed = 4 trials" in lines[0]


def test_another_reference_is_another_study(own, tmp_path):
    _, names = own
    study = Study(tmp_path / "results" / "s")
    study.create()
    design = {"commits": {"reference": names[0], "arms": ["full"]}}
    study.write_plan({"trials": [], "design": design, "data_digest": "x"})
    with pytest.raises(StudyError, match="another design"):
        lines_of("main~2", "main", results=str(tmp_path / "results"), study="s")
