"""A cache, or a place for a picture, that can't be written: one line that names it and says what to do."""

import os
import subprocess
from pathlib import Path

import pytest

from sweeper.audio.datasets import DatasetError, load
from sweeper.audio.fetch import FetchError, fetch
from sweeper.audio.places import cache_folder
from sweeper.audio.store import StoreError, prepare
from sweeper.cli.main import main


@pytest.fixture
def in_the_way(tmp_path, monkeypatch):
    """A cache below what is a file."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("SWEEPER_CACHE", str(tmp_path / "file/cache"))
    return tmp_path / "file/cache"


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_the_demo_in_a_cache_that_cannot_be_made(in_the_way):
    with pytest.raises(DatasetError) as error:
        load("demo", None)
    assert str(error.value) == f"{in_the_way}: Not a directory; set SWEEPER_CACHE to a folder with room"


def test_the_demo_on_a_full_disk_leaves_nothing(small_disk, monkeypatch):
    monkeypatch.setenv("SWEEPER_CACHE", str(small_disk))
    with pytest.raises(DatasetError, match="No space left on device; set SWEEPER_CACHE") as error:
        load("demo", None)
    assert str(small_disk) in str(error.value)
    assert not [path for path in small_disk.iterdir() if path.is_dir()]


def test_the_store_on_a_full_disk_leaves_nothing(small_disk):
    dataset = load("demo", None)
    with pytest.raises(StoreError, match="No space left on device; set SWEEPER_CACHE"):
        prepare(dataset, 8000, small_disk, progress=False)
    assert not [path for path in (small_disk / "clips").iterdir() if path.is_dir()]


def test_a_download_into_such_a_cache(in_the_way, tmp_path):
    """The folder for the data is all right; the one for the archive is not."""
    with pytest.raises(FetchError) as error:
        fetch("esc50", tmp_path / "esc50", progress=False)
    assert str(error.value) == f"{in_the_way}/downloads: Not a directory; set SWEEPER_CACHE to a folder with room"
    with pytest.raises(FetchError, match="pass a folder with room, --data DIR"):
        fetch("esc50", tmp_path / "file/esc50", progress=False)


def test_a_picture_in_a_folder_that_cannot_be_made(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    (tmp_path / "file").touch()
    clip = load("demo", None).clips[0].clip_id
    assert main(["data", "plot", "demo", "--clip", clip, "--out", f"{tmp_path}/file/x.png"])
    lines = capsys.readouterr().err.splitlines()
    assert [f"{tmp_path}/file" in line and "; choose another place by --out" in line for line in lines] == [True]


def test_a_home_of_nobody(monkeypatch):
    monkeypatch.setenv("SWEEPER_CACHE", "~nobody-of-this-name/x")
    assert cache_folder() == Path("~nobody-of-this-name/x"), "as a shell has it"
