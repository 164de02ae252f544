"""Formats with one header, or blocks, and then samples: AU, NIST SPHERE, Creative Voice, Audio Visual Research."""

import struct
from typing import IO

from sweeper.audio.containers.promise import Piece, is_placeholder, patched, short

UNKNOWN = 0xFFFFFFFF


def au(file: IO[bytes], start: int, size: int) -> list[Piece] | None:
    """Sun and NeXT: the offset of the audio, then its length."""
    file.seek(start)
    order = ">" if file.read(4) == b".snd" else "<"
    offset, length = struct.unpack(f"{order}II", file.read(8))
    there = size - start - offset
    if length == 0 and there > 0:
        return patched(start, size, {start + 8: struct.pack(f"{order}I", UNKNOWN)})
    if length > there and not is_placeholder(length):
        raise short(length, max(0, there))
    return [range(start, start + offset + length)] if length < there else None


def nist(file: IO[bytes], start: int, size: int) -> list[Piece] | None:
    """NIST SPHERE: lines of text that say how many samples there are."""
    file.seek(start)
    text = file.read(1024).decode("ascii", "replace")
    lines = text.split("end_head")[0].splitlines()
    fields = {words[0]: words[2] for line in lines if len(words := line.split(maxsplit=2)) == 3}
    names = ("sample_count", "channel_count", "sample_n_bytes")
    numbers = [fields.get(name, "") for name in names] + [lines[1].strip() if len(lines) > 1 else ""]
    coding = fields.get("sample_coding", "pcm")
    if "," in coding or not all(number.isdecimal() for number in numbers):
        return None  # compressed: libsndfile refuses it; or without a promise
    count, channels, width, header = map(int, numbers)
    if count * channels * width > size - start - header:
        raise short(count, max(0, size - start - header) // max(1, channels * width), "frames")
    return [range(start, start + header + count * channels * width)] if count else None


def voc(file: IO[bytes], start: int, size: int) -> list[Piece] | None:
    """Creative Voice: blocks of a kind and a length of 24 bits, up to one of kind 0."""
    file.seek(start + 20)
    position = start + struct.unpack("<H", file.read(2))[0]
    while position + 4 <= size:
        file.seek(position)
        kind, low, high = struct.unpack("<BHB", file.read(4))
        if kind == 0:
            break
        length = low + (high << 16)
        if position + 4 + length > size:
            raise short(length, size - position - 4, "bytes in a block")
        position += 4 + length
    return None


def avr(file: IO[bytes], start: int, size: int) -> list[Piece] | None:
    """Audio Visual Research: stereo or not, bits, and the number of frames."""
    file.seek(start + 12)
    stereo, bits = struct.unpack(">HH", file.read(4))
    file.seek(start + 26)
    frames = struct.unpack(">I", file.read(4))[0]
    frame = (2 if stereo else 1) * max(1, bits // 8)
    if frames * frame > size - start - 128:
        raise short(frames, max(0, size - start - 128) // frame, "frames")
    return [range(start, start + 128 + frames * frame)]
