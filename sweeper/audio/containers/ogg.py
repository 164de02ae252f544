"""Ogg (RFC 3533), with Vorbis or Opus inside: pages, each with its length and a checksum, up to one marked as the last.

libsndfile leaves out what is damaged or missing, and reads the first of several streams that follow one another.
"""

import struct
import zlib
from typing import IO

from sweeper.audio.containers.promise import ContainerError, short

HEAD = 27  # bytes of a page's header before its table of segments
FIRST, LAST = 2, 4  # flags
CHECKSUM = slice(22, 26)
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def examine(file: IO[bytes], start: int, size: int) -> None:
    """See `containers.examine`."""
    position = start
    open_streams: set[int] = set()
    ended = 0
    while position < size:
        file.seek(position)
        head = file.read(HEAD)
        if head[:4] != b"OggS":
            break
        if len(head) < HEAD:
            raise short(HEAD, len(head), "bytes in the last page")
        flags, serial = head[5], struct.unpack("<I", head[14:18])[0]
        table = file.read(head[26])
        length = HEAD + head[26] + sum(table)
        if len(table) < head[26] or position + length > size:
            raise short(length, size - position, "bytes in the last page")
        page = head + table + file.read(sum(table))
        if _checksum(page) != struct.unpack("<I", page[CHECKSUM])[0]:
            raise ContainerError(f"damaged: the Ogg page at byte {position} has another checksum; get the file again")
        if flags & FIRST:
            if ended and not open_streams:
                raise ContainerError(
                    "several Ogg streams, one after the other, of which only the first would be read; make them one: "
                    "ffmpeg -i OLD.ogg NEW.wav"
                )
            open_streams.add(serial)
        if flags & LAST:
            open_streams.discard(serial)
            ended += 1
        position += length
    if not ended or open_streams:
        raise ContainerError(
            "an Ogg stream without its last page; get the file again, or, if this is all there is, close it: "
            "ffmpeg -i OLD.ogg -c copy NEW.ogg"
        )


def _checksum(page: bytes) -> int:
    """Ogg's CRC-32: zlib's with bits the other way round, and other beginnings."""
    zeroed = page[: CHECKSUM.start] + bytes(4) + page[CHECKSUM.stop :]
    value = zlib.crc32(zeroed.translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{value:032b}"[::-1], 2)
