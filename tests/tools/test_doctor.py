"""Every line of `doctor` that can fail, by the fault itself."""

import os
import subprocess
import sys
from contextlib import contextmanager
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

import pytest

from sweeper.cli.main import main
from sweeper.execution import room
from sweeper.tools import doctor


@pytest.fixture
def heal(tmp_path, monkeypatch):
    """Somewhere that is as it should be: a cache and a folder for results."""
    monkeypatch.setenv("SWEEPER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(doctor, "FREE_DISK", 1.0)  # what these machines have is not the question
    monkeypatch.setattr(doctor, "SHARED_MEMORY", 1.0)
    return str(tmp_path / "results")


def lines(capsys, *arguments, code):
    capsys.readouterr()
    assert main(["doctor", *arguments]) == code
    return capsys.readouterr().out.splitlines()


def failed(found):
    """Failed lines, each with its remedy."""
    return [(line, found[i + 1].strip()) for i, line in enumerate(found) if line.startswith("FAILED")]


@contextmanager
def small_disk(folder, size):
    folder.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=False).returncode
    ):
        pytest.skip("only root can mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_healthy_machine(heal, capsys):
    found = lines(capsys, "--results", heal, code=0)
    assert all(line.startswith("ok ") for line in found[:-1])
    assert found[-1] == "all is well"
    assert not list(Path(heal).iterdir()), "nothing is left behind"


def test_a_healthy_store(heal, capsys, s3):
    found = lines(capsys, "--results", f"{s3.url}/x", code=0)
    assert any(f"{s3.url}/x: written, not written twice, read, deleted" in line for line in found)
    methods = [method for method, _ in s3.requests]
    assert methods.count("DELETE") == 2, "nothing is left behind"


def test_a_package_of_another_version(tmp_path):
    """A process whose metadata say so: an older pyarrow's is found first."""
    info = tmp_path / "pyarrow-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pyarrow\nVersion: 1.0\n")
    code = "from sweeper.tools.doctor import packages; print(packages())"
    path = os.pathsep.join([str(tmp_path), *(entry for entry in sys.path if entry)])
    environment = os.environ | {"PYTHONPATH": path}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "pyarrow is 1.0, not >=18" in found.stdout
    assert "pip install -c constraints.txt" in found.stdout


def test_a_torchaudio_that_does_not_load(tmp_path, monkeypatch):
    (tmp_path / "torchaudio.py").write_text("raise OSError('undefined symbol: _ZN3c10')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchaudio", raising=False)
    check = doctor.audio()
    assert (check.ok, check.found) == (False, "OSError: undefined symbol: _ZN3c10")


def test_a_gpu_without_a_driver(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a driver")
    (tmp_path / "nvidia0").touch()
    (tmp_path / "nvidiactl").touch()
    (check,) = doctor.gpus(tmp_path)
    assert check.found == "nvidia0, but torch can't use it"
    assert "driver" in check.remedy


def test_small_shared_memory(tmp_path):
    with small_disk(tmp_path / "shm", "64m") as folder:
        check = doctor.shared_memory(folder)
    assert "0.1 of 0.1 GB free" in check.found
    assert "--shm-size" in check.remedy


def test_a_small_disk(tmp_path):
    with small_disk(tmp_path / "cache", "64m") as folder:
        check = doctor.disk("cache", folder, "another")
    assert (check.found, check.remedy) == (f"{folder}: 0 GB free", "another")


def test_a_cache_that_cannot_be_written(heal, capsys, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SWEEPER_CACHE", str(tmp_path / "file" / "cache"))
    ((line, remedy),) = failed(lines(capsys, "--results", heal, code=1))
    assert f"cache: can't write to {tmp_path}/file/cache: Not a directory" in line
    assert "SWEEPER_CACHE" in remedy


def test_results_that_cannot_be_written(heal, capsys, tmp_path):
    (tmp_path / "file").touch()
    ((line, remedy),) = failed(lines(capsys, "--results", f"{tmp_path}/file/results", code=1))
    assert "results: can't write to" in line
    assert "--results" in remedy


def test_a_bucket_that_is_missing(heal, capsys, s3):
    ((line, remedy),) = failed(lines(capsys, "--results", "s3://no-such-bucket/x", code=1))
    assert "there is no such bucket" in line
    assert "correct the URL" in remedy


def test_a_store_that_replaces(heal, capsys, s3):
    s3.spoil = lambda environment: environment.pop("HTTP_IF_NONE_MATCH", None)
    ((line, remedy),) = failed(lines(capsys, "--results", f"{s3.url}/x", code=1))
    assert "ignores If-None-Match" in line
    assert "use a store that has conditional writes" in remedy


@pytest.mark.parametrize(("ahead", "words"), [(100, "100 s ahead of"), (-100, "behind")])
def test_a_store_whose_clock_is_wrong(heal, capsys, s3, ahead, words):
    s3.clock = lambda stamp: formatdate(parsedate_to_datetime(stamp).timestamp() + ahead, usegmt=True)
    ((line, remedy),) = failed(lines(capsys, "--results", f"{s3.url}/x", code=1))
    assert "results' clock" in line
    assert words in line or "99 s ahead of" in line
    assert "NTP" in remedy


@pytest.mark.parametrize(
    ("address", "words", "remedy"),
    [
        ("127.0.0.1:9", "no Ray cluster answers at", "unset RAY_ADDRESS"),
        ("here", "expected host:port", "--address HOST:PORT"),
        ("http://127.0.0.1:8265", "that is a dashboard", "ray job submit --address http://127.0.0.1:8265"),
        ("auto", "ray_current_cluster names 127.0.0.1:9: no Ray cluster answers at", "ray stop"),
    ],
)
def test_a_cluster_that_does_not_answer(heal, capsys, monkeypatch, tmp_path, address, words, remedy):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray/ray_current_cluster").write_text("127.0.0.1:9")
    ((line, advice),) = failed(lines(capsys, "--results", heal, "--address", address, code=1))
    assert words in line
    assert remedy in advice


def test_no_place_for_rays_files(heal, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(room, "LEAST_FREE", 2**63)
    ((line, remedy),) = failed(lines(capsys, "--results", heal, code=1))
    assert "ray's files: Ray can't keep its files in" in line
    assert "GB free" in line
    assert "TMPDIR" in remedy
