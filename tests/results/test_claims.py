"""Who trains what: seen from the attempts that other runs write."""

import contextlib
import os
import shutil
import subprocess
import sys
import time

import pytest

from sweeper.results import attempts, claims, schema
from sweeper.results.attempts import attempt, new_run
from sweeper.results.claims import Claim, Claims
from sweeper.results.store import Study
from sweeper.results.tables import table_bytes

HELD = {"device": "cpu", "cpus": 1.0, "gpus": 0.0}
A, B, C = (digit * 16 for digit in "abc")
# Begins an attempt, whose first heartbeat is far off, and stays in it.
WORKER = """
import time
from sweeper.results.attempts import attempt
from sweeper.results.store import Study
with attempt(Study("{folder}"), "{trial}", device="cpu", cpus=1.0, gpus=0.0, run="ffffff"):
    time.sleep(600)
"""


@pytest.fixture(params=["folder", "s3"])
def study(request, tmp_path):
    place = tmp_path / "s"
    if request.param == "s3":
        place = f"{request.getfixturevalue('s3').url}/s"
    study = Study(place)
    study.create()
    return study


def looked(study, run):
    """What is claimed, looked up anew."""
    return dict(Claims(study, run).now())


def silent(study, name, seconds):
    """Make a file of a folder as old as if no heartbeat had come for so long."""
    path = study.storage.path / study.attempts.path(name)
    os.utime(path, (time.time() - seconds,) * 2)


def test_what_another_run_is_at_is_claimed_while_it_runs(study):
    ours, theirs = new_run(), new_run()
    with attempt(study, A, **HELD, run=theirs), attempt(study, B, **HELD, run=ours):
        assert looked(study, ours).keys() == {A}
        assert looked(study, theirs).keys() == {B}
        assert looked(study, new_run()).keys() == {A, B}
    assert looked(study, ours) == {}


def test_attempts_that_failed_or_were_stopped_claim_nothing(study):
    with contextlib.suppress(ValueError), attempt(study, A, **HELD, run=new_run()):
        raise ValueError
    with attempt(study, A, **HELD, run=new_run()) as running:
        running.outcome = "stopped"
    assert looked(study, new_run()) == {}


def test_of_two_that_begin_a_trial_at_once_the_younger_yields(study):
    first, second = new_run(), new_run()
    with attempt(study, A, **HELD, run=first):
        time.sleep(0.01)
        with attempt(study, A, **HELD, run=second):
            assert looked(study, first)[A].yields
            assert not looked(study, second)[A].yields


def test_of_what_was_killed_a_moment_ago_nothing_is_claimed_in_the_end(tmp_path, monkeypatch):
    """A driver is gone at once, its workers a few seconds later."""
    study = Study(tmp_path / "s")
    study.create()
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(attempts, "HEARTBEAT_SECONDS", 0.1)
    worker = subprocess.Popen([sys.executable, "-c", WORKER.format(folder=study.folder, trial=B)])
    try:
        with attempt(study, A, **HELD, run=new_run()):
            deadline = time.monotonic() + 30
            while B not in looked(study, new_run()):
                assert time.monotonic() < deadline and worker.poll() is None
                time.sleep(0.05)
            watching = Claims(study, new_run())
            assert watching.now().keys() == {A, B}
            worker.kill()
            worker.wait()
            settled = watching.settled()
            assert settled.keys() == {A} and settled[A].alive
    finally:
        worker.kill()
        worker.wait()


def test_once_another_run_is_at_work_its_next_trial_is_seen_before_a_short_one_is_over(tmp_path, monkeypatch):
    study = Study(tmp_path / "s")
    study.create()
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 5.0)
    watching, theirs = Claims(study, new_run()), new_run()
    with attempt(study, A, **HELD, run=theirs):
        assert watching.now().keys() == {A}
    with attempt(study, B, **HELD, run=theirs):
        began = time.monotonic()
        while watching.now().keys() != {B}:
            assert time.monotonic() - began < 2.0
            time.sleep(0.02)


def test_a_claim_lives_once_a_heartbeat_was_seen(tmp_path, monkeypatch):
    study = Study(tmp_path / "s")
    study.create()
    monkeypatch.setattr(attempts, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.01)
    watching = Claims(study, new_run())
    with attempt(study, A, **HELD, run=new_run()):
        assert watching.now() == {A: Claim(attempts.provenance.node()["node"], alive=False, yields=False)}
        deadline = time.monotonic() + 10
        while not watching.now()[A].alive:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_without_a_heartbeat_a_claim_ends(tmp_path, monkeypatch):
    study = Study(tmp_path / "s")
    study.create()
    monkeypatch.setattr(claims.socket, "gethostname", lambda: "elsewhere")  # whose process can't be asked for
    with attempt(study, A, **HELD, run=new_run()) as running:
        silent(study, f"{A}-{running.attempt_id}", attempts.LOST_SECONDS - 5)
        assert looked(study, new_run()).keys() == {A}
        silent(study, f"{A}-{running.attempt_id}", attempts.LOST_SECONDS + 1)
        assert looked(study, new_run()) == {}


def test_a_killed_process_of_this_machine_claims_nothing(tmp_path):
    study = Study(tmp_path / "s")
    study.create()
    code = (
        "import os, sys\nfrom sweeper.results.attempts import attempt\nfrom sweeper.results.store import Study\n"
        f"with attempt(Study(sys.argv[1]), {A!r}, device='cpu', cpus=1, gpus=0):\n"
        "    print('runs', flush=True)\n    sys.stdin.read()\n    os._exit(9)"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "s")], **pipes)
    process.stdout.readline()
    assert looked(study, new_run()).keys() == {A}
    process.communicate()
    assert looked(study, new_run()) == {}


def test_a_run_in_a_container_sees_what_another_of_the_same_host_name_is_at(tmp_path):
    """As with `docker --network host`: there, no process has the id of the other one's."""
    container = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]
    if not shutil.which("unshare") or subprocess.run([*container, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no PID namespace can be made here")
    study = Study(tmp_path / "s")
    study.create()
    code = (
        "import sys\nfrom sweeper.results.claims import Claims\nfrom sweeper.results.store import Study\n"
        "print(*Claims(Study(sys.argv[1]), 'ffffff').now())"
    )
    with attempt(study, A, **HELD, run=new_run()):
        look = [*container, sys.executable, "-c", code, str(study.folder)]
        assert subprocess.run(look, check=True, capture_output=True, text=True).stdout.split() == [A]


@pytest.mark.parametrize(
    ("space", "seen"),
    [("ours", False), ("of another boot", True), (None, False), ("of an earlier version", False)],
)
def test_a_process_that_is_not_there_is_gone_only_if_it_was_among_those_that_are_seen(tmp_path, space, seen):
    study = Study(tmp_path / "s")
    study.create()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with attempt(study, A, **HELD, run=new_run()) as running:
        path = study.attempts.path(f"{A}-{running.attempt_id}")
        (row,) = study.attempts.read_single([f"{A}-{running.attempt_id}"]).to_pylist()
        row["process"] = ended.pid
        columns = schema.ATTEMPT
        if space == "of an earlier version":
            columns = columns.remove(columns.get_field_index("process_space"))
        elif space != "ours":
            row["process_space"] = space
        study.storage.write(path, table_bytes([row], columns))
        assert looked(study, new_run()).keys() == ({A} if seen else set())


def test_a_look_costs_a_listing_and_what_is_claimed(s3):
    study = Study(f"{s3.url}/s")
    with attempt(study, A, **HELD), attempt(study, B, **HELD):
        pass
    with attempt(study, C, **HELD):
        looking = Claims(study, new_run())
        s3.requests.clear()
        looking.now()
        looking.now()
        assert [method for method, _ in s3.requests].count("LIST") == 1
        assert len([key for method, key in s3.requests if method == "GET"]) == 3, "all of which may run"
