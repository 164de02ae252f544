"""FLAC (RFC 9639): the number of samples that STREAMINFO names, against where the last frame ends.

libsndfile finds for itself that a frame is missing. What it does not read is a stream that was written to a pipe, whose
number is 0; and of one that names too few it gives only these.
"""

import struct
from dataclasses import dataclass
from typing import IO

from sweeper.audio.containers import tags
from sweeper.audio.containers.promise import ContainerError, Piece, patched, short

SYNC = (b"\xff\xf8", b"\xff\xf9")  # blocks of one size; of several
STREAM_INFO = 8  # where it begins, after the format's name and its own header
TAIL = 2**15  # bytes in which to look for the last frame where the largest frame is not named
LARGEST_FRAME = 2**20


@dataclass(frozen=True)
class _Info:
    largest_block: int  # samples
    largest_frame: int  # bytes; 0 where unknown
    total: int  # samples; 0 where unknown
    frames: int  # where the first one begins


@dataclass(frozen=True)
class _Frame:
    position: int  # in the tail
    first: int  # its first sample
    end: int  # the sample after its last


def examine(file: IO[bytes], start: int, size: int) -> list[Piece] | None:
    """See `containers.examine`."""
    info = _stream_info(file, start)
    end = tags.before(file, info.frames, size)
    if end <= info.frames:
        if info.total:
            raise short(info.total, 0, "frames")
        return None
    file.seek(info.frames)
    sync = file.read(2)
    window = min(2 * info.largest_frame, LARGEST_FRAME) or TAIL
    offset = max(info.frames, end - window)
    file.seek(offset)
    tail = file.read(end - offset)
    frames = _frames(tail, sync, info) if sync in SYNC else []
    if info.total and any(frame.end == info.total for frame in frames):
        return None  # libsndfile decodes as far as that, or says that it can't
    last = next((frame for frame in frames if not _crc16(tail[frame.position :])), None)
    if last is None:
        if not frames:
            return None  # nothing to go by
        there = frames[0].first
        if info.total:
            raise short(info.total, there, "frames")
        raise ContainerError(f"a FLAC stream of unknown length, cut after {there} frames of audio; get the file again")
    if info.total:
        if last.end < info.total:
            raise short(info.total, last.end, "frames")
        raise ContainerError(
            f"header promises {info.total} frames, {last.end} are there; encode it again: flac -d, then flac"
        )
    at = start + STREAM_INFO + 13
    file.seek(at)
    high = file.read(1)[0] & 0xF0
    return patched(start, size, {at: struct.pack(">BI", high | last.end >> 32, last.end & 0xFFFFFFFF)})


def _stream_info(file: IO[bytes], start: int) -> _Info:
    position, last = start + 4, False
    while not last:
        file.seek(position)
        head = file.read(4)
        last = bool(head[0] & 0x80)
        position += 4 + int.from_bytes(head[1:4], "big")
    file.seek(start + STREAM_INFO)
    content = file.read(18)
    total = ((content[13] & 0x0F) << 32) + struct.unpack(">I", content[14:18])[0]
    return _Info(struct.unpack(">H", content[2:4])[0], int.from_bytes(content[7:10], "big"), total, position)


def _frames(tail: bytes, sync: bytes, info: _Info) -> list[_Frame]:
    """What looks like frames, the last first: by their headers, which carry a checksum."""
    found = []
    position = tail.rfind(sync)
    while position >= 0:
        if (frame := _frame(tail, position, info)) is not None:
            found.append(frame)
        position = tail.rfind(sync, 0, position)
    return found


def _frame(tail: bytes, position: int, info: _Info) -> _Frame | None:
    head = tail[position : position + 16]
    if len(head) < 6 or not head[2] >> 4 or head[2] & 15 == 15 or head[3] >> 4 > 10 or head[3] & 1:
        return None
    code, rate = head[2] >> 4, head[2] & 15
    at, number = _number(head, 4)
    if code in (6, 7):
        block = int.from_bytes(head[at : at + code - 5], "big") + 1
        at += code - 5
    else:
        block = 192 if code == 1 else 576 << code - 2 if code < 6 else 256 << code - 8
    at += {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if at >= len(head) or _crc8(head[:at]) != head[at] or block > max(info.largest_block, 16):
        return None
    first = number if head[1] & 1 else number * info.largest_block
    return _Frame(position, first, first + block)


def _number(head: bytes, at: int) -> tuple[int, int]:
    """A number written like a character of UTF-8, and where the next field begins; what is none fails its checksum."""
    first, more = head[at], 0
    while more < 7 and first << more & 0x80:
        more += 1
    number = first & 0x7F >> more
    for byte in head[at + 1 : at + more]:
        number = (number << 6) | byte & 0x3F
    return at + max(1, more), number


def _crc8(content: bytes) -> int:
    value = 0
    for byte in content:
        value = _TABLE_8[value ^ byte]
    return value


def _crc16(content: bytes) -> int:
    """0 for a frame with its checksum at its end."""
    value = 0
    for byte in content:
        value = (value << 8 & 0xFF00) ^ _TABLE_16[value >> 8 ^ byte]
    return value


def _table(polynomial: int, width: int) -> list[int]:
    entries = []
    for byte in range(256):
        value = byte << width - 8
        for _ in range(8):
            value = (value << 1) ^ polynomial if value >> width - 1 else value << 1
        entries.append(value)
    return entries


_TABLE_8, _TABLE_16 = _table(0x107, 8), _table(0x18005, 16)
