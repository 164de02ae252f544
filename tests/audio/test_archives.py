"""Archives that strangers made: what is plain is unpacked, what is not is refused whole."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweeper.audio.archives import ArchiveError, unpack


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def everything_below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_files_arrive_in_their_folders(tmp_path, make):
    members = {"set/audio/a b.wav": b"1", "set/meta/é.csv": b"2", "top": b""}
    target = tmp_path / "target"
    target.mkdir()
    unpack(make(tmp_path / "a", members | {"set/audio/._a b.wav": b"mac"}), target)
    assert everything_below(target) == members


EVIL = ["../evil", "/evil", "a/../../evil", "C:evil", "..\\evil", "a\\..\\..\\evil", ".."]


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", EVIL)
def test_nothing_lands_outside(tmp_path, make, name):
    target = tmp_path / "deep" / "target"
    target.mkdir(parents=True)
    archive = make(tmp_path / "a", {name: b"evil"})
    with pytest.raises(ArchiveError, match="would land outside"):
        unpack(archive, target)
    assert [p for p in tmp_path.rglob("*") if p.is_file() and p != archive] == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_tars_are_refused(tmp_path, kind):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("passwords")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(ArchiveError, match="'passwords' is a link or a device"):
        unpack(path, tmp_path)


def test_links_in_zips_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ArchiveError, match="'link' is a link or a device"):
        unpack(path, tmp_path)


def test_two_members_of_one_name_are_refused(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("twice"))
    (tmp_path / "target").mkdir()
    with pytest.raises(ArchiveError, match="two members"):
        unpack(path, tmp_path / "target")


def test_more_than_the_disk_holds_is_refused_before_it_is_written(tmp_path, monkeypatch):
    path = make_zip(tmp_path / "a.zip", {"a": b"x" * 600, "b": b"x" * 600})
    target = tmp_path / "target"
    target.mkdir()
    import shutil

    usage = shutil.disk_usage(target)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage._replace(free=1000))
    with pytest.raises(ArchiveError, match="unpacks to more than"):
        unpack(path, target)
    assert list(everything_below(target)) == ["a"]


def test_what_is_no_archive(tmp_path):
    path = tmp_path / "a.zip"
    path.write_text("<html>Rate limit exceeded</html>")
    with pytest.raises(ArchiveError, match="neither a zip nor a tar"):
        unpack(path, tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    make=st.sampled_from([make_zip, make_tar]),
    edits=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=5),
    cut=st.integers(0, 3000),
)
def test_damaged_archives_are_refused_or_harmless(tmp_path_factory, make, edits, cut):
    base = tmp_path_factory.mktemp("damaged")
    target = base / "target"
    target.mkdir()
    archive = make(base / "a", {"set/a.wav": bytes(range(256)) * 4, "set/b.wav": b"b" * 700})
    content = bytearray(archive.read_bytes())
    for place, value in edits:
        content[place % len(content)] = value
    archive.write_bytes(bytes(content[: max(1, cut)]))
    try:
        unpack(archive, target)
    except ArchiveError as error:
        assert str(archive) in str(error)
    for path in base.rglob("*"):
        assert path in (archive, target) or target in path.parents
        assert not path.is_symlink()
