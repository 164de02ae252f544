"""Files that users name: replaced whole, and never what is no file."""

import os
import stat
import subprocess
import sys
import threading

import pytest

from sweeper.named_file import write_named
from sweeper.report.page import save_page
from sweeper.results.tables import StudyError


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "page.html"
    for data in (b"first, and longer", b"second"):
        write_named(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_there_stays_where_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_bytes(b"old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_named(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_one(tmp_path):
    (tmp_path / "real").mkdir()
    link, target = tmp_path / "page.html", tmp_path / "real" / "page.html"
    link.symlink_to(target)
    for data in (b"new", b"newer"):  # it leads nowhere at first
        write_named(link, data)
        assert link.is_symlink() and target.read_bytes() == data
    assert list(target.parent.iterdir()) == [target]


def test_a_pipe_gets_what_is_written(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_named(pipe, b"page")
    reader.join(10)
    assert read == [b"page"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root could replace a device")
def test_a_device_stays_one(tmp_path):
    device = tmp_path / "null"
    made = subprocess.run(["mknod", str(device), "c", "1", "3"], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no device can be made here: {made.stderr}")
    save_page("<html>", device)
    assert stat.S_ISCHR(device.stat().st_mode)
    assert list(tmp_path.iterdir()) == [device]


def test_a_folder_is_refused_in_a_line(tmp_path):
    with pytest.raises(StudyError, match=r"can't write .*: Is a directory; use --output FILE"):
        save_page("<html>", tmp_path)
    assert not list(tmp_path.iterdir())
