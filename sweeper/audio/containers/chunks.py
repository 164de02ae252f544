"""Formats made of chunks, each with a name and a length: WAV, RF64, Wave64, AIFF, 8SVX and CAF.

RIFF: Microsoft, "Multimedia Programming Interface and Data Specifications 1.0". RF64: EBU Tech 3306. AIFF: Apple, 1989.
CAF: Apple, "Core Audio Format Specification".
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import IO

from sweeper.audio.containers.promise import (
    ContainerError,
    Piece,
    is_placeholder,
    is_unlikely,
    patched,
    short,
)

UNKNOWN_32 = 0xFFFFFFFF
LARGEST_32 = 0xFFFFFFFE
UNKNOWN_64 = 2**63 - 1  # this or more: nobody's length
GUID_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"


@dataclass(frozen=True)
class Chunk:
    """A chunk: its name, where its header and its content begin, and how long it says its content is."""

    name: bytes
    header: int
    start: int
    length: int


def _chunks(file: IO[bytes], position: int, size: int, head: str, pad: int = 2) -> Iterator[Chunk]:
    """The chunks from `position` on; `head` unpacks name and length.

    Where a writer forgot to pad a chunk of odd length, the next one is found all the same.
    """
    width = struct.calcsize(head)
    while position + width <= size:
        file.seek(position)
        name, length = struct.unpack(head, file.read(width))
        start = position + width
        yield Chunk(name, position, start, length)
        end = start + length
        position = end + length % pad
        if position != end and position + width <= size and not _names(file, position) and _names(file, end):
            position = end


def _names(file: IO[bytes], position: int) -> bool:
    file.seek(position)
    name = file.read(4)
    return len(name) == 4 and name.isascii() and name.decode("ascii").isprintable()


def _only_chunks(file: IO[bytes], position: int, size: int, head: str) -> bool:
    """Whether nothing but chunks follows: then a length of 0 before them is the truth."""
    end = position
    for chunk in _chunks(file, position, size, head):
        if not _names(file, chunk.header):
            return False
        end = chunk.start + chunk.length
    return end > position and size - 1 <= end <= size


def riff(file: IO[bytes], start: int, size: int) -> list[Piece] | None:
    """WAV (also big-endian), RF64 and its sister BW64."""
    file.seek(start)
    magic = file.read(4)
    order = ">" if magic == b"RIFX" else "<"
    wide = magic in (b"RF64", b"BW64")
    outer = struct.unpack(f"{order}I", file.read(4))[0]
    changes: dict[int, bytes] = {start: b"RF64"} if magic == b"BW64" else {}  # libsndfile knows the one name
    before: list[Chunk] = []
    wide_length, wide_at, frame = UNKNOWN_64, None, 1
    for chunk in _chunks(file, start + 12, size, f"{order}4sI"):
        before.append(chunk)
        if chunk.name == b"ds64" and wide:
            file.seek(chunk.start)
            _outer, wide_length = struct.unpack("<QQ", file.read(16))
            wide_at = chunk.start
        elif chunk.name == b"fmt ":
            file.seek(chunk.start + 12)
            frame = struct.unpack(f"{order}H", file.read(2))[0]
        elif chunk.name == b"data":
            there = size - chunk.start
            length = chunk.length
            if wide_at is not None and length in (0, UNKNOWN_32):
                length = wide_length
            if length == 0 and not _only_chunks(file, chunk.start, size, f"{order}4sI"):
                length = UNKNOWN_32
            unknown = (
                is_placeholder(length, frame)
                or (wide and length >= UNKNOWN_64)
                or (is_unlikely(length) and is_unlikely(outer) and outer + 8 > size)
            )
            if length > there and not unknown:
                raise short(length, there)
            if length > there and wide_at is not None:
                changes[wide_at] = struct.pack("<QQ", size - start - 8, there)
            elif length > there and chunk.length == 0:
                changes[chunk.header + 4] = struct.pack(f"{order}I", min(there, LARGEST_32))
            return _clean(before, changes, start, size)
    raise ContainerError("a WAV header without audio; get the file again")


def _clean(before: list[Chunk], changes: dict[int, bytes], start: int, size: int) -> list[Piece] | None:
    """The file with its changes; where a chunk was not padded, without all chunks but those that decoding needs."""
    gaps = (b.header - a.start - a.length - a.length % 2 for a, b in pairwise(before))
    if not any(gaps):
        return patched(start, size, changes) if changes else None
    kept = [range(start, start + 12)]
    kept += [
        range(chunk.header, chunk.start + chunk.length + chunk.length % 2)
        for chunk in before[:-1]
        if chunk.name in (b"fmt ", b"ds64", b"fact")
    ]
    kept.append(range(before[-1].header, size))
    pieces: list[Piece] = []
    for part in kept:
        pieces += patched(part.start, part.stop, {at: change for at, change in changes.items() if at in part})
    return pieces


def wave64(file: IO[bytes], start: int, size: int) -> list[Piece] | None:
    """Sony Wave64: names of 16 bytes, lengths that count the chunk's header, and chunks at multiples of 8."""
    position = start + 40
    while position + 24 <= size:
        file.seek(position)
        name, length = struct.unpack("<16sQ", file.read(24))
        if name == GUID_DATA:
            if length <= 24 or length >= UNKNOWN_64:
                return None  # libsndfile reads to the end in any case
            if position + length > size:
                raise short(length - 24, size - position - 24)
            return [range(start, position + length)] if position + length < size else None
        if length < 24:
            break
        position += length + -length % 8
    raise ContainerError("a Wave64 header without audio; get the file again")


def iff(file: IO[bytes], start: int, size: int) -> list[Piece] | None:
    """AIFF and AIFF-C (audio in SSND, after 8 bytes of its own), 8SVX and 16SV (in BODY)."""
    file.seek(start + 8)
    kind = file.read(4)
    name, own = (b"SSND", 8) if kind.startswith(b"AIF") else (b"BODY", 0)
    for chunk in _chunks(file, start + 12, size, ">4sI"):
        if chunk.name == name:
            there = size - chunk.start
            empty = chunk.length <= own and not _only_chunks(file, chunk.start + chunk.length, size, ">4sI")
            if empty and there > own:
                return patched(start, size, {chunk.header + 4: struct.pack(">I", min(there, LARGEST_32))})
            if chunk.length > there and not is_unlikely(chunk.length):
                raise short(chunk.length - own, max(0, there - own))
            # libsndfile takes all that follows a BODY for audio
            return [range(start, chunk.start + chunk.length)] if not own and 0 < chunk.length < there else None
    raise ContainerError(f"a header of {kind!r} without audio; get the file again")


def caf(file: IO[bytes], start: int, size: int) -> list[Piece] | None:
    """Core Audio Format: lengths of 64 bits, -1 where audio goes on to the end; 4 bytes of its own before audio."""
    for chunk in _chunks(file, start + 8, size, ">4sq", pad=1):
        if chunk.name == b"data":
            there = size - chunk.start
            if chunk.length < 4:
                return patched(start, size, {chunk.header + 4: struct.pack(">q", there)})
            if chunk.length > there:
                raise short(chunk.length - 4, max(0, there - 4))
            return None
        if chunk.length < 0:
            break
    raise ContainerError("a CAF header without audio; get the file again")
