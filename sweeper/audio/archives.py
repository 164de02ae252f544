"""Unpacking archives that strangers made: plain files and folders, inside the target, and nothing else."""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO

# What the standard library raises for bad data; gzip and bz2 raise OSErrors without a number.
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError, OSError)


class ArchiveError(ValueError):
    """An archive that is damaged or unsafe; nothing of it should be used."""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack `archive` (.zip, .tar, .tar.gz, …) into `folder`.

    Files arrive without owner, mode and links. macOS's `._` companions are left out.

    Raises:
        ArchiveError: a member that would land outside `folder`, a link or a device, more than the disk
            holds, or a damaged archive.
    """
    total = 0
    room = shutil.disk_usage(folder).free
    try:
        for name, size, content in _members(archive):
            target = _inside(folder, name, archive)
            if target.name.startswith("._"):
                continue
            total += size
            if total > room:
                raise ArchiveError(f"{archive}: unpacks to more than the {room // 10**6} MB that are free here")
            target.parent.mkdir(parents=True, exist_ok=True)
            with content, target.open("xb") as file:
                shutil.copyfileobj(content, file, 2**20)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ArchiveError(f"{archive}: has two members {error.filename!r}; not unpacked") from None
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's
        raise ArchiveError(f"{archive}: damaged ({error}); remove it and fetch again") from None


def _members(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Name, size and content of the plain files.

    Raises:
        ArchiveError: a member that is neither file nor folder, or an archive of another kind.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise ArchiveError(f"{archive}: {info.filename!r} is a link or a device; not unpacked")
                if not info.is_dir():
                    yield info.filename, info.file_size, opened.open(info)
    elif tarfile.is_tarfile(archive):
        with closing(tarfile.open(archive)) as opened_tar:
            for member in opened_tar:
                if member.isdir():
                    continue
                content = opened_tar.extractfile(member) if member.isreg() else None
                if content is None:
                    raise ArchiveError(f"{archive}: {member.name!r} is a link or a device; not unpacked")
                yield member.name, member.size, content
    else:
        raise ArchiveError(f"{archive}: neither a zip nor a tar archive; remove it and fetch again")


def _inside(folder: Path, name: str, archive: Path) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name or not path.parts:
        raise ArchiveError(f"{archive}: member {name!r} would land outside its folder; not unpacked")
    return folder.joinpath(*path.parts)
