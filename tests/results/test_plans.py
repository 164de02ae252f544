"""Plans of one study that are written at the same time become one, wherever it lies."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sweeper.results import folder, leaderboard
from sweeper.results.folder import Folder, StorageError
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.tools.status import describe, status
from tests.results.rows import plan_of, study_of, trial_row

ROOT = Path(__file__).resolve().parents[2]
DRIVER = """
import sys
from sweeper.results.store import Study
place, first, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
study = Study(place)
print("ready", flush=True)
sys.stdin.readline()
for number in range(first, first + rounds):
    trial = {"trial_id": f"{number:016x}", "arm": "full", "fold": number, "replicate": 0}
    search = {"arm": "full", "fold": number, "recipe_params": "{}"}
    about = {"goal": {"objective": "accuracy", "cost": None}, "top": 1, "trials": 1}
    study.write_plan({"design": {}, "data_digest": "d", "trials": [trial], "searches": [search], "search": about})
"""


def plan(*numbers, design=None):
    trials = [{"trial_id": f"{n:016x}", "arm": "full", "fold": n, "replicate": 0} for n in numbers]
    return {"design": design or {}, "data_digest": "d", "trials": trials}


@pytest.mark.parametrize(("kind", "drivers", "rounds"), [("folder", 8, 10), ("s3", 4, 4)])
def test_of_many_processes_none_loses_its_trials_or_searches(request, tmp_path, kind, drivers, rounds):
    place = str(tmp_path / "s") if kind == "folder" else request.getfixturevalue("s3").url + "/s"
    command = [sys.executable, "-c", DRIVER, place]
    running = [
        subprocess.Popen(
            [*command, str(100 * index), str(rounds)],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for index in range(drivers)
    ]
    for driver in running:
        assert driver.stdout.readline() == "ready\n"
    for driver in running:
        driver.stdin.write("go\n")
        driver.stdin.close()
    assert [driver.wait(120) for driver in running] == [0] * drivers
    expected = [100 * index + number for index in range(drivers) for number in range(rounds)]
    (content,) = Study(place).storage.read("plan.json")
    assert sorted(trial["fold"] for trial in json.loads(content)["trials"]) == expected
    assert sorted(search["fold"] for search in json.loads(content)["searches"]) == expected


def test_of_two_designs_at_once_one_is_refused(tmp_path):
    for index in range(10):
        barrier, study = threading.Barrier(2), Study(tmp_path / str(index))

        def write(design, barrier=barrier, study=study):
            barrier.wait()
            try:
                study.write_plan(plan(1, design={"epochs": design}))
            except StudyError as error:
                return str(error)
            return ""

        with ThreadPoolExecutor(2) as pool:
            told = sorted(pool.map(write, (1, 2)))
        assert told[0] == ""
        assert "holds trials of another design (epochs: " in told[1]


def test_a_plan_that_changes_nothing_is_not_written_again(tmp_path):
    study = Study(tmp_path)
    study.write_plan(plan(1, 2))
    before = (tmp_path / "plan.json").stat().st_mtime_ns
    study.write_plan(plan(1, 2))
    assert (tmp_path / "plan.json").stat().st_mtime_ns == before


def test_what_the_new_plan_does_not_say_stays(tmp_path):
    study = Study(tmp_path)
    about = {"goal": {"objective": "accuracy", "cost": None}, "top": 1, "trials": 1}
    searches = [{"arm": "full", "fold": 1, "recipe_params": "{}"}]
    study.write_plan(plan(1) | {"searches": searches, "search": about, "fixed_study": "f"})
    study.write_plan(plan(2) | {"notes": ["n"]})
    found = study.read_plan()
    assert (found["searches"], found["fixed_study"], found["notes"], len(found["trials"])) == (searches, "f", ["n"], 2)


def test_an_arm_that_was_renamed_is_refused(tmp_path):
    """Its trials' rows keep the name that they were trained under."""
    study, row = Study(tmp_path), trial_row("full", evidence="")
    study.create()
    study.write_plan(plan_of([row]) | {"design": {}})
    renamed = plan_of([row | {"arm": "whole"}]) | {"design": {}}
    for _ in range(2):  # before a trial is finished, as it may run, and after that
        with pytest.raises(
            StudyError,
            match=rf"has arm 'full', which is 'whole' now and has the same trials \(such as {row['trial_id']}\): give "
            "it its old name, or use --study NAME",
        ):
            study.write_plan(renamed)
        study.commit(row, [], [])
    assert study.read_plan()["trials"][0]["arm"] == "full"


def test_an_arm_that_was_searched_and_renamed_is_refused(tmp_path):
    """Its search would begin anew, beside the old one's trials that no table shows."""
    study = Study(tmp_path)
    about = {"goal": {"objective": "accuracy", "cost": None}, "top": 1, "trials": 1}

    def searched(**arms):
        rows = [
            {"name": name, "removes": "", "switches": switches, "published": None} for name, switches in arms.items()
        ]
        searches = [{"arm": name, "fold": 1, "recipe_params": "{}"} for name in arms]
        return plan(1) | {"definition": {"arms": rows}, "searches": searches, "search": about}

    study.write_plan(searched(full={}, bare={"garm": False}))
    with pytest.raises(StudyError, match="has searched arm 'bare', which is 'naked' now: give it its old name, or use"):
        study.write_plan(searched(full={}, naked={"garm": False}))
    study.write_plan(searched(full={}, other={"garm": True}))  # another arm in its place
    study.write_plan(searched(full={}, bare={"garm": False}, other={"garm": True}))
    assert len(study.read_plan()["searches"]) == 3


def test_a_plan_that_took_a_new_name_takes_the_old_one_again(tmp_path):
    """As earlier versions left it: the table names the row and no longer says to delete it."""
    row, other = trial_row("full", evidence=""), trial_row("garm", evidence="")
    study = study_of(tmp_path, [row, other], plan_of([row | {"arm": "whole"}, other]))
    (problem,) = [problem for problem in leaderboard.derive(study).problems if problem.kind == "impossible row"]
    assert problem.message.endswith(
        "arm is 'full', 'whole' in the plan (if it was renamed: its old name and the same command bring the trial "
        "back): left out"
    )
    assert any("bring the trial back" in line for line in describe(status(study)))
    study.write_plan(plan_of([row, other]) | {"design": {}})
    assert leaderboard.derive(study).trials.num_rows == 2
    assert not [problem for problem in leaderboard.derive(study).problems if problem.kind == "impossible row"]


def test_a_damaged_plan_is_not_written_over(tmp_path):
    study = Study(tmp_path)
    (tmp_path / "plan.json").write_text("5")
    with pytest.raises(StudyError, match=r"plan\.json is damaged"):
        study.write_plan(plan(1))
    assert (tmp_path / "plan.json").read_text() == "5"


def test_whoever_died_with_the_lock_holds_up_nobody(tmp_path):
    code = "import os, sys; from sweeper.results.folder import Folder; from pathlib import Path\n"
    code += "Folder(Path(sys.argv[1])).update('plan.json', lambda old: os._exit(9))"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, cwd=ROOT).returncode == 9
    Study(tmp_path).write_plan(plan(1))
    assert len(Study(tmp_path).read_plan()["trials"]) == 1


def test_a_lock_that_is_held_for_long_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "LOCK_SECONDS", 0.1)
    held, go = threading.Event(), threading.Event()

    def slowly(old):
        held.set()
        go.wait(60)
        return b"{}"

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(Folder(tmp_path).update, "plan.json", slowly)
        held.wait(60)
        with pytest.raises(StorageError, match=r"has held .*\.plan\.json\.lock for 0 s; if none is at work"):
            Folder(tmp_path).update("plan.json", lambda _old: b"x")
        go.set()
        ended.result(60)
    assert (tmp_path / "plan.json").read_bytes() == b"{}"


@pytest.mark.parametrize(
    "error", [NotImplementedError(), OSError(37, "No locks available")], ids=["no flock", "no lockd"]
)
def test_on_a_file_system_without_locks_a_file_is_the_lock(tmp_path, monkeypatch, error):
    def refused(*_args, **_options):
        raise error

    monkeypatch.setattr(folder, "FileLock", refused)
    barrier, study = threading.Barrier(4), Study(tmp_path)

    def write(number):
        barrier.wait()
        study.write_plan(plan(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert sorted(trial["fold"] for trial in study.read_plan()["trials"]) == [0, 1, 2, 3]


def test_a_link_for_a_lock_is_not_followed(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / ".plan.json.lock").symlink_to(tmp_path / "thesis")
    with pytest.raises(StorageError, match=r"can't lock .*plan\.json"):
        Study(tmp_path / "s").write_plan(plan(1))
    assert not (tmp_path / "thesis").exists()


def test_a_store_that_ignores_if_match_is_refused(s3):
    s3.spoil = lambda environment: environment.pop("HTTP_IF_MATCH", None)
    with pytest.raises(StorageError, match="it ignores If-Match"):
        Study(f"{s3.url}/s").create()


def test_two_uploads_at_once_that_s3_asks_to_try_again_are_tried_again(s3):
    """AWS answers 409 while another conditional upload of the same object is on its way."""
    study, refusals = Study(f"{s3.url}/s"), iter(["trials/a", "plan.json"])
    put = study.storage.filesystem.pipe_file
    waiting = set(refusals)

    def busy(path, *args, **options):
        if (name := "/".join(path.split("/")[2:])) in waiting:
            waiting.discard(name)
            error = OSError(5, "conflict")
            error.__cause__ = Exception()
            error.__cause__.response = {"Error": {"Code": "ConditionalRequestConflict"}}
            raise error
        return put(path, *args, **options)

    study.storage.filesystem.pipe_file = busy
    try:
        assert study.storage.write("trials/a", b"1", once=True)
        assert not study.storage.write("trials/a", b"2", once=True)
        study.write_plan(plan(1))
        study.write_plan(plan(2))
    finally:
        del study.storage.filesystem.pipe_file
    assert waiting == set()
    assert len(study.read_plan()["trials"]) == 2
