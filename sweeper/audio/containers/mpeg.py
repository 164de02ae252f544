"""MP3 (ISO 11172-3, 13818-3): frames, and what an Xing, Info or VBRI header says of their number.

Without such a header libsndfile guesses the length from the first frame, and of a file with a varying bit rate it may
read a third: then frames are counted here, and libsndfile is given a header that says so. It then leaves out the 529
samples by which every decoder is late.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from sweeper.audio.containers import tags
from sweeper.audio.containers.promise import ContainerError, Piece, short

RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}  # Hz, by version
KBITS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
KIND = 0xFFFE0C00  # the bits of a header that all frames of a file share: version, layer, sample rate
HEADER_IN = 4096  # bytes before the first frame that may be something else
LOST = 2**16  # bytes over which frames are looked for again
CHAIN = 3  # frames in a row that are no coincidence
HAS_FRAMES, HAS_BYTES = 1, 2
# An empty ID3 tag. Of a file that begins with a frame libsndfile first asks whether the file of its name with `._` in
# front, as macOS makes them on foreign disks, is a resource fork, and then refuses to read.
NO_TAG = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)


@dataclass(frozen=True)
class _Frame:
    position: int
    head: int
    length: int  # bytes
    samples: int


@dataclass(frozen=True)
class _Promise:
    at: int  # where the number of frames stands
    frames: int | None
    size: int | None  # bytes, of this header's own frame and all others


def begins(file: IO[bytes], start: int, size: int) -> bool:
    """Whether frames begin at `start` or soon after."""
    return _first(file, start, size) is not None


def examine(file: IO[bytes], start: int, size: int) -> list[Piece]:
    """See `containers.examine`."""
    first = _first(file, start, size)
    assert first is not None
    if _layer(first.head) != 3:
        raise ContainerError(
            "MPEG layer 1 or 2, whose length libsndfile guesses; convert it: ffmpeg -i OLD.mp2 NEW.flac"
        )
    end = tags.before(file, first.position, size)
    promise = _promise(file, first)
    audio = first.position if promise is None else first.position + first.length
    count, cut = 0, None
    for frame in _walk(file, audio, end, first.head):
        if frame.position + frame.length > end:
            cut = frame
        else:
            count += 1
    if promise is not None and promise.frames is not None:
        whole = promise.size is None or promise.size <= end - first.position
        if count < promise.frames - 1 or (count < promise.frames and not whole):
            raise short(promise.frames, count, "MPEG frames")
        if count > promise.frames + 1:
            what = f"header promises {promise.frames} MPEG frames, {count} are there"
            raise ContainerError(f"{what}; make it one: ffmpeg -i OLD.mp3 NEW.wav")
        number = struct.pack(">I", count)  # some programs count the header's own frame
        return [NO_TAG, range(first.position, promise.at), number, range(promise.at + len(number), end)]
    if cut is not None:
        raise short(cut.length, end - cut.position, "bytes in the last MPEG frame")
    if not count:
        raise ContainerError("an MPEG header without audio; get the file again")
    return [NO_TAG, _info(first.head, count), range(audio, end)]


def _first(file: IO[bytes], start: int, size: int) -> _Frame | None:
    end = tags.before(file, start, size)
    file.seek(start)
    content = file.read(HEADER_IN)
    at = content.find(b"\xff")
    while at >= 0:
        frame = _frame(file, start + at)
        if frame is not None and _continues(file, frame, end, alone=at == 0):
            return frame
        at = content.find(b"\xff", at + 1)
    return None


def _continues(file: IO[bytes], frame: _Frame, end: int, alone: bool) -> bool:
    """Whether enough frames of one kind follow one another, or fill what there is; `alone`, one can do that."""
    current = frame
    for count in range(1, CHAIN):
        following = current.position + current.length
        if following >= end:
            return alone or count > 1
        found = _frame(file, following)
        if found is None or (found.head ^ frame.head) & KIND:
            return False
        current = found
    return True


def _frame(file: IO[bytes], position: int) -> _Frame | None:
    file.seek(position)
    content = file.read(4)
    if len(content) < 4:
        return None
    head = int.from_bytes(content, "big")
    version, layer = head >> 19 & 3, _layer(head)
    bits, rate = head >> 12 & 15, head >> 10 & 3
    if head >> 21 != 0x7FF or version == 1 or layer == 4 or bits in (0, 15) or rate == 3:
        return None
    later = version != 3
    kbit = KBITS[2 if later else 1, layer][bits - 1]
    hertz, padding = RATES[version][rate], head >> 9 & 1
    if layer == 1:
        return _Frame(position, head, (12_000 * kbit // hertz + padding) * 4, 384)
    samples = 576 if later and layer == 3 else 1152
    return _Frame(position, head, samples // 8 * 1000 * kbit // hertz + padding, samples)


def _layer(head: int) -> int:
    return 4 - (head >> 17 & 3)


def _walk(file: IO[bytes], position: int, end: int, kind: int) -> Iterator[_Frame]:
    """All frames, over what lies between them; the last may be longer than what is there."""
    while position + 4 <= end:
        frame = _frame(file, position)
        if frame is None or (frame.head ^ kind) & KIND:
            frame = _again(file, position, end, kind)
            if frame is None:
                return
        yield frame
        position = frame.position + frame.length


def _again(file: IO[bytes], position: int, end: int, kind: int) -> _Frame | None:
    file.seek(position)
    content = file.read(min(LOST, end - position))
    at = content.find(b"\xff")
    while at >= 0:
        frame = _frame(file, position + at)
        if frame is not None and not (frame.head ^ kind) & KIND and _continues(file, frame, end, alone=False):
            return frame
        at = content.find(b"\xff", at + 1)
    return None


def _promise(file: IO[bytes], frame: _Frame) -> _Promise | None:
    """What the first frame says where it is a header and no sound."""
    file.seek(frame.position)
    content = file.read(frame.length)
    at = 4 + _side(frame.head)
    for place in (at, at + 2):  # with a checksum between
        if content[place : place + 4] in (b"Xing", b"Info"):
            flags, *numbers = struct.unpack(">III", content[place + 4 : place + 16])
            frames = numbers.pop(0) if flags & HAS_FRAMES else None
            return _Promise(frame.position + place + 8, frames, numbers.pop(0) if flags & HAS_BYTES else None)
    if content[36:40] == b"VBRI":
        return _Promise(0, None, None)  # replaced by one that libsndfile follows
    return None


def _side(head: int) -> int:
    """Bytes of side information between a frame's header and an Xing header."""
    mono, later = head >> 6 & 3 == 3, head >> 19 & 3 != 3
    return (9 if mono else 17) if later else (17 if mono else 32)


def _info(head: int, count: int) -> bytes:
    """A frame that says how many follow, of the same kind, at the highest bit rate, so that there is room."""
    head = head & ~0xF200 | 0x1_E000
    frame = head.to_bytes(4, "big") + bytes(_side(head)) + b"Info" + struct.pack(">II", HAS_FRAMES, count)
    version, rate = head >> 19 & 3, head >> 10 & 3
    samples = 1152 if version == 3 else 576
    kbit = KBITS[1 if version == 3 else 2, 3][-1]
    return frame.ljust(samples // 8 * 1000 * kbit // RATES[version][rate], b"\0")
