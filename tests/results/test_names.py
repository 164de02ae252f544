"""What may become a path: names of studies as users type them, and ids as files say them."""

import pytest

from sweeper.cli.main import main
from sweeper.results.folder import Folder, StorageError
from sweeper.results.names import check_study_name, trial_name
from sweeper.results.store import Study, studies_under, study_of
from sweeper.results.tables import StudyError
from tests.results.rows import grid
from tests.results.rows import study_of as made_study

WRONG = {
    "parent": "..",
    "itself": ".",
    "dots": "...",
    "outside": "../../x",
    "below": "a/b",
    "absolute": "/tmp/x",
    "backslash": "..\\x",
    "drive": "C:x",
    "newline": "a\nb",
    "carriage return": "a\rb",
    "escape": "a\x1b[2Jb",
    "null": "a\0b",
    "tab": "a\tb",
    "line separator": "a\u2028b",
    "right to left": "a\u202eb",
    "no break space": "a\u00a0b",
    "surrogate": "a\udcffb",
    "empty": "",
    "space": " ",
    "hidden": ".a",
    "option": "-rf",
    "home": "~a",
    "before": " a",
    "after": "a ",
    "ends with a dot": "a.",
    "long": "x" * 300,
    "long in bytes": "ü" * 100,
    "wildcard": "a*",
    "brackets": "a[1]",
    "device": "NUL",
    "device with ending": "con.txt",
    "port": "com1",
}


@pytest.mark.parametrize("name", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("design", ["ablations", "search", "tuned-ablations"])
@pytest.mark.parametrize("dry", [["--dry-run"], []], ids=["dry", "real"])
def test_what_names_no_study_is_refused_at_once(tmp_path, monkeypatch, capsys, design, name, dry):
    monkeypatch.chdir(tmp_path)
    assert main(["run", design, f"--study={name}", *dry]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert line.startswith("sweeper: error: --study ")
    assert line.isprintable()
    assert len(line) < 300
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["a", "urbansound-long.2", "ablations-demo-quick", "Größe 2", "学习", "x" * 150, "console", "_a", "2+2=4"]
)
def test_names_that_studies_have(tmp_path, name):
    check_study_name(name)
    assert study_of(tmp_path, name).folder == tmp_path / name


@pytest.mark.parametrize(
    "value", ["", "a" * 15, "a" * 17, "A" * 16, "g" * 16, "../../thesis12", "a" * 16 + "\n", None, 7]
)
def test_only_ids_are_ids(tmp_path, value):
    study = Study(tmp_path)
    for ask in (trial_name, study.checkpoint, study.is_finished):
        with pytest.raises((StudyError, TypeError)):
            ask(value)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "..", "", "a\0b"])
def test_no_name_leads_out_of_a_folder(tmp_path, name):
    folder = Folder(tmp_path / "s")
    asked = (folder.exists, folder.read, folder.changed, folder.delete, folder.files)
    for ask in (
        *asked,
        lambda n: folder.write(n, b"x"),
        lambda n: folder.touch(n, b"x"),
        lambda n: folder.rename("a", n),
    ):
        with pytest.raises(StorageError, match="leads out of its folder"):
            ask(name)
    assert not tmp_path.joinpath("x").exists()


def test_a_plan_that_names_another_study_names_one_among_the_same_results(tmp_path):
    study = made_study(tmp_path / "results" / "s", grid(("full",)))
    assert study.beside("t").folder == tmp_path / "results" / "t"
    for name in ("..", "../../elsewhere", str(tmp_path)):
        with pytest.raises(StudyError, match="--study"):
            study.beside(name)


def test_whatever_lies_among_the_results_studies_are_found(tmp_path):
    made_study(tmp_path / "s", grid(("full",)))
    for name in ("old [1]", "new\nline", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert studies_under(tmp_path) == ["s"]
