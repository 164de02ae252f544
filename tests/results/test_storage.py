"""What a study's files need of the place they lie in, asked of every kind of place; and what goes wrong with one."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import boto3
import pyarrow as pa
import pytest

from sweeper.cli.main import main
from sweeper.results import attempts, folder
from sweeper.results.attempts import attempt, read_attempts
from sweeper.results.folder import LEFT_SECONDS, Folder, StorageError
from sweeper.results.leaderboard import derive
from sweeper.results.object_store import ObjectStore
from sweeper.results.storage import local_file, locate, under
from sweeper.results.store import Study, studies_under
from sweeper.run.checks import check_place
from tests.results.rows import prediction, trial_row


@pytest.fixture(params=["folder", "file://", "s3://", "memory://"])
def place(request, tmp_path):
    """Where a study of this name may lie."""
    if request.param == "s3://":
        return under(request.getfixturevalue("s3").url + "/some prefix/", "s")
    start = {"folder": "", "file://": "file://", "memory://": "memory:/"}[request.param]
    return under(f"{start}{tmp_path}", "s")


def test_files_are_whole_listed_and_deleted(place):
    there = locate(place)
    there.create(["trials"])
    assert there.files("trials") == {} == there.files("nothing")
    before = time.time_ns() - 2e9  # S3 tells whole seconds
    assert there.write("trials/a.parquet", b"one")
    assert there.write("trials/a.parquet", pa.py_buffer(b"two"))
    assert there.write("trials/ab.parquet", b"three")
    assert there.write("plan.json", b"{}")
    assert there.read("trials/ab.parquet", "trials/a.parquet") == [b"three", b"two"]
    assert there.files("trials").keys() == {"a.parquet", "ab.parquet"}
    assert there.files("trials", "ab").keys() == {"ab.parquet"}
    assert before < there.files("trials")["a.parquet"] == there.changed("trials/a.parquet") < time.time_ns() + 2e9
    assert [there.exists(name) for name in ("trials", "trials/a.parquet", "trials/b.parquet")] == [True, True, False]
    with pytest.raises(FileNotFoundError):
        there.read("trials/a.parquet", "trials/b.parquet")
    there.delete("trials/a.parquet")
    there.delete("trials/a.parquet")
    assert there.files("trials").keys() == {"ab.parquet"}
    assert there.read() == []


def test_what_is_written_once_stays(place):
    there = locate(place)
    assert there.write("trials/a.parquet", b"first", once=True)
    assert not there.write("trials/a.parquet", b"second", once=True)
    assert there.read("trials/a.parquet") == [b"first"]


def test_a_touched_file_is_newer_and_the_same(place, monkeypatch):
    there = locate(place)
    there.write("a", b"content")
    before = there.changed("a")
    time.sleep(1.1)
    there.touch("a", b"content")
    assert there.changed("a") > before
    assert there.read("a") == [b"content"]


def test_a_working_copy_is_fetched_and_brought_back(place):
    there = locate(place)
    there.create(["checkpoints"])
    with there.working_copy("checkpoints/a") as copy:
        assert not copy.path.exists()
        copy.path.write_bytes(b"one")
        copy.save()
        assert there.read("checkpoints/a") == [b"one"]
    with there.working_copy("checkpoints/a") as copy:
        assert copy.path.read_bytes() == b"one"
    with local_file(under(place, "checkpoints/a")) as path:
        assert path.read_bytes() == b"one"


def test_studies_are_found_by_name(place):
    study = Study(place)
    assert (str(study), study.name, study.exists()) == (str(locate(place)), "s", False)
    study.create()
    study.write_plan({"design": {}, "data_digest": "d", "trials": []})
    assert study.exists()
    assert studies_under(str(place).removesuffix("/s")) == ["s"]


def test_the_same_trials_make_the_same_tables_everywhere(place, tmp_path):
    found = []
    rows = [trial_row(arm, fold) for arm in ("full", "garm") for fold in (1, 2)]
    for study in (Study(tmp_path / "other" / "s"), Study(place)):
        study.create()
        study.write_plan({"design": {}, "data_digest": "x", "trials": rows_of_plan(rows)})
        study.record_failure(rows[0] | {"status": "failed"}, [])
        for row in rows:
            study.commit(row, [], [prediction(row["trial_id"])])
        derive(study)
        found.append(study.storage.read("leaderboard.parquet", "summary.parquet", "plan.json"))
        assert study.failures.single() == {}
    assert found[0] == found[1]


def rows_of_plan(rows):
    return [{name: row[name] for name in ("trial_id", "kind", "arm", "fold", "replicate")} for row in rows]


def test_of_many_clusters_one_commits_a_trial(s3):
    clusters = 8
    barrier = threading.Barrier(clusters)
    row = trial_row("full")

    def commit(index):
        study = Study(f"{s3.url}/s")
        barrier.wait()
        return study.commit(row | {"accuracy": index / 10}, [], [])

    with ThreadPoolExecutor(clusters) as pool:
        first = list(pool.map(commit, range(clusters)))
    assert first.count(True) == 1
    (kept,) = Study(f"{s3.url}/s").trials().to_pylist()
    assert kept["accuracy"] == first.index(True) / 10


@pytest.mark.parametrize("megabytes", [8, 120], ids=["in one part", "in several"])
def test_an_upload_that_is_cut_off_was_never_there(s3, tmp_path, megabytes):
    there = locate(f"{s3.url}/s")
    there.write("weights/a", b"old")
    begun, cut = threading.Event(), threading.Event()
    (tmp_path / "new").write_bytes(bytes(megabytes * 2**20))

    def stall(environment):
        if environment["REQUEST_METHOD"] == "PUT":
            environment["wsgi.input"].read(1000)
            begun.set()
            cut.wait(60)

    s3.spoil = stall
    code = (
        "import sys; from pathlib import Path; from sweeper.results.storage import locate\n"
        "with locate(sys.argv[1]).working_copy('weights/a') as copy:\n"
        "    copy.path.write_bytes(Path(sys.argv[2]).read_bytes()); copy.save()"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}  # a killed process leaves its working copy
    process = subprocess.Popen([sys.executable, "-c", code, f"{s3.url}/s", str(tmp_path / "new")], env=environment)
    assert begun.wait(60)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    cut.set()
    s3.spoil = lambda _environment: None
    time.sleep(0.5)
    assert there.read("weights/a") == [b"old"]
    assert there.files("weights").keys() == {"a"}


def test_a_checkpoint_is_uploaded_now_and_then_and_when_a_trial_fails(s3, monkeypatch):
    study, trial = Study(f"{s3.url}/s"), "a" * 16
    with pytest.raises(RuntimeError), study.checkpoint(trial) as state:
        for step in range(5):
            state.path.write_text(str(step))
            state.save(often=True)
        assert s3.counts(trial) == {("GET", "checkpoints"): 1}
        raise RuntimeError
    asked = {("HEAD", "trials"): 1, ("LIST", f"{trial}.parquet"): 1}  # did another cluster finish it?
    assert s3.counts(trial) == {("GET", "checkpoints"): 1, ("PUT", "checkpoints"): 1} | asked
    monkeypatch.setattr(folder, "HELD_BACK_SECONDS", -1.0)
    with study.checkpoint(trial) as state:
        assert state.path.read_text() == "4"
        state.path.write_text("5")
        state.save(often=True)
    with study.checkpoint(trial) as state:
        assert state.path.read_text() == "5"


@pytest.fixture
def stored():
    """A study in an object store, with the row and the checkpoint's name of a trial that is not there yet."""
    study, row = Study(f"memory://{uuid.uuid4().hex}/s"), trial_row("full")
    study.create()
    return study, row, f"checkpoints/{row['trial_id']}.safetensors"


def held_back(state, text):
    state.path.write_text(text)
    state.save(often=True)


def test_a_trial_that_is_stopped_leaves_no_checkpoint_behind_its_commit(stored):
    """Tune ends the trial's thread by SystemExit, once the driver has committed it as stopped."""
    study, row, _ = stored
    with pytest.raises(SystemExit), study.checkpoint(row["trial_id"]) as state:
        held_back(state, "old")
        study.commit(row, [], [])
        raise SystemExit
    assert study.storage.files("checkpoints") == {}


def test_a_trial_that_is_left_to_another_command_leaves_it_its_checkpoint(stored):
    study, row, name = stored
    with pytest.raises(SystemExit), study.checkpoint(row["trial_id"]) as state:
        held_back(state, "ours")
        study.storage.write(name, b"theirs, which began first")
        raise SystemExit
    assert study.storage.read(name) == [b"theirs, which began first"]


def test_a_trial_that_fails_once_it_is_committed_leaves_no_checkpoint(stored):
    study, row, _ = stored
    with pytest.raises(RuntimeError), study.checkpoint(row["trial_id"]) as state:
        held_back(state, "old")
        study.commit(row, [], [])
        raise RuntimeError
    assert study.storage.files("checkpoints") == {}


def test_checkpoints_of_finished_trials_go_when_the_next_run_begins(place):
    """As one is left that was being written, or uploaded, while another command committed the trial."""
    study, rows = Study(place), [trial_row("full", fold) for fold in (1, 2, 3)]
    study.create()
    for row in rows:
        study.storage.write(f"checkpoints/{row['trial_id']}.safetensors", b"state")
    first, second, third = (f"{row['trial_id']}.safetensors" for row in rows)
    study.commit(rows[0], [], [])
    study.record_failure(rows[1] | {"status": "failed"}, [])
    study.storage.write(f"checkpoints/{first}", b"late")
    study.create()
    assert study.storage.files("checkpoints").keys() == {second, third}


def test_a_run_begins_by_as_many_requests_however_many_trials_there_are(s3):
    study, took = Study(f"{s3.url}/s"), []
    for folds in ((1, 2), range(3, 20)):
        for fold in folds:
            study.commit(trial_row("full", fold), [], [])
            study.storage.write(f"checkpoints/{trial_row('full', fold)['trial_id']}.safetensors", b"late")
        s3.requests.clear()
        study.create()
        took.append(len(s3.requests))
        assert study.storage.files("checkpoints") == {}
    assert took[0] == took[1]


def test_a_killed_attempt_is_lost_after_its_last_upload(s3, monkeypatch):
    study = Study(f"{s3.url}/s")
    monkeypatch.setattr(attempts, "HEARTBEAT_SECONDS", 0.2)
    with attempt(study, "a" * 16, device="cpu", cpus=1.0, gpus=0.0):
        time.sleep(0.2 * ObjectStore.patience * 3.5)
        (beating,) = read_attempts(study).to_pylist()
        assert s3.counts("attempts")["PUT", "attempts"] == 4, "once, and for each heartbeat"
        (name,) = study.attempts.single()
        (held,) = study.storage.read(f"attempts/{name}.parquet")
    assert beating["outcome"] == "running"
    study.storage.write(f"attempts/{name}.parquet", held)  # as a killed process leaves it
    monkeypatch.setattr(attempts, "LOST_SECONDS", 0.3)
    time.sleep(0.3 * ObjectStore.patience + 1)  # S3 tells whole seconds
    assert read_attempts(study, "a" * 16).column("outcome").to_pylist() == ["lost"]
    assert read_attempts(study, "b" * 16).num_rows == 0


def test_a_leaderboard_takes_a_request_per_row_and_eleven_more(s3):
    study = Study(f"{s3.url}/s")
    for fold in (1, 2, 3):
        row = trial_row("full", fold)
        with attempt(study, row["trial_id"], device="cpu", cpus=1, gpus=0):
            study.commit(row, [], [])
    s3.requests.clear()
    assert derive(study).trials.num_rows == 3
    assert len(s3.requests) == 3 + 11  # measurements.md says so


def complaint(capsys, results):
    capsys.readouterr()
    begin = time.monotonic()
    assert main(["run", "ablations", "--epochs", "1", "--seeds", "1", "--arm", "full", "--results", results]) == 2
    assert time.monotonic() - begin < 60
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    return error


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ("nonsense://bucket", "unknown scheme 'nonsense'"),
        ("s3://", "no bucket; write s3://BUCKET/PREFIX"),
        ("s3:///prefix", "no bucket; write s3://BUCKET/PREFIX"),
        ("s3://no-such-bucket/x", "there is no such bucket; create it, or correct the URL"),
        ("gs://bucket/x", "needs a package that is not installed: Please install gcsfs"),
        ("file://host/x", "with three slashes"),
    ],
)
def test_a_wrong_url_is_one_clear_line(s3, capsys, results, expected):
    assert expected in complaint(capsys, results)


def test_wrong_credentials_are_one_clear_line(s3, capsys, monkeypatch):
    reset = f"{s3.endpoint}/moto-api/reset-auth"
    import requests

    requests.post(reset, data="0", timeout=10)  # from now on moto checks who asks
    try:
        error = complaint(capsys, f"{s3.url}/x")
    finally:
        requests.post(reset, data="inf", timeout=10)
    assert "check the credentials (AWS_ACCESS_KEY_ID" in error


def test_no_credentials_are_one_clear_line(s3, capsys, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    assert "check the credentials" in complaint(capsys, f"{s3.url}/x")


def test_an_endpoint_where_nobody_answers_is_one_clear_line(s3, capsys, monkeypatch):
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "check the network and, for a store other than AWS, AWS_ENDPOINT_URL" in complaint(capsys, f"{s3.url}/x")


def test_a_store_without_conditional_writes_is_refused(s3, capsys):
    s3.spoil = lambda environment: environment.pop("HTTP_IF_NONE_MATCH", None)
    assert "it ignores If-None-Match: *" in complaint(capsys, f"{s3.url}/x")
    objects = boto3.client("s3").list_objects_v2(Bucket=s3.url.removeprefix("s3://"))
    assert objects["KeyCount"] == 0


def test_a_missing_package_is_named_with_its_install_line(monkeypatch):
    import fsspec

    monkeypatch.setattr(fsspec, "url_to_fs", lambda *_args, **_kwargs: (_ for _ in ()).throw(ImportError("s3fs")))
    with pytest.raises(StorageError, match=r"pip install 'sweeper\[s3\]'"):
        locate("s3://bucket/x")


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_hard_links_is_refused_before_anything_trains(tmp_path, monkeypatch, number):
    def link(*_args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    there, new = Study(tmp_path), Study(tmp_path / "new" / "s")
    for look in (lambda: check_place(there), lambda: check_place(new), there.create):
        with pytest.raises(StorageError) as caught:
            look()
        where, remedy = str(caught.value).split("; ")
        assert where.startswith(f"can't write results to {tmp_path}")
        assert f": its file system has no hard links ({os.strerror(number)})" in where
        assert remedy == "use --results DIR on another file system, or s3://BUCKET/PREFIX"
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_a_folder_whose_links_replace_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda old, new: new.write_bytes(old.read_bytes()))
    with pytest.raises(StorageError, match="a link replaces what is there"):
        Folder(tmp_path).create(["trials"])


DRAFTS = [f".{'0123456789abcdef' * 2}.tmp", f".{'a' * 16}.safetensors.{'0123456789abcdef' * 2}.tmp"]


@pytest.mark.parametrize("folder", ["", "weights", "checkpoints", "trials"])
def test_what_a_killed_process_was_writing_is_cleared_away_after_a_day(tmp_path, folder):
    study = Study(tmp_path / "s")
    study.create()
    names = [*DRAFTS, ".mine.tmp", ".plan.json.lock", "a.tmp", f"{'0' * 32}.tmp", f".{'0' * 32}.tmp.bak"]
    for name in names:
        path = study.folder / folder / name
        path.write_bytes(b"half")
        os.utime(path, (time.time() - 1.1 * LEFT_SECONDS,) * 2)
    (study.folder / folder / f".{'f' * 32}.tmp").write_bytes(b"being written")
    study.create()
    assert {path.name for path in (study.folder / folder).iterdir() if path.is_file()} == {
        *names[2:],
        f".{'f' * 32}.tmp",
    }


def test_clearing_away_follows_no_link_and_enters_no_folder(tmp_path):
    study = Study(tmp_path / "s")
    study.create()
    old = (time.time() - 1.1 * LEFT_SECONDS,) * 2
    victim = tmp_path / "victim" / DRAFTS[0]
    victim.parent.mkdir()
    victim.write_bytes(b"precious")
    (study.folder / "weights" / DRAFTS[0]).symlink_to(victim)
    (study.folder / "logs").symlink_to(victim.parent)
    inner = study.folder / "weights" / DRAFTS[1] / DRAFTS[0]
    inner.parent.mkdir()
    inner.write_bytes(b"precious")
    for path in (victim, inner, inner.parent):
        os.utime(path, old)
    os.utime(study.folder / "weights" / DRAFTS[0], old, follow_symlinks=False)
    study.create()
    (study.folder / "checkpoints").rmdir()
    (study.folder / "checkpoints").symlink_to(victim.parent)
    with pytest.raises(StorageError, match="checkpoints is a link"):
        study.create()
    assert victim.read_bytes() == inner.read_bytes() == b"precious"


def test_trying_a_folder_leaves_nothing_in_it(tmp_path):
    Folder(tmp_path / "s").create(["trials"])
    assert list((tmp_path / "s").iterdir()) == [tmp_path / "s" / "trials"]


def test_a_full_disk_is_not_taken_for_one_without_links(tmp_path, monkeypatch):
    def link(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(OSError, match="No space left") as caught:
        Folder(tmp_path).create(["trials"])
    assert not isinstance(caught.value, StorageError)


def test_a_folder_is_meant_where_no_scheme_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert isinstance(locate("results"), Folder)
    assert str(locate("results")) == str(tmp_path / "results") == str(locate(f"file://{tmp_path}/results"))
    assert under("results", "s") == under("results/", "s")
    assert under("s3://bucket/x/", "s") == "s3://bucket/x/s"
