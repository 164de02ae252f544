"""Tags that editors put before and after audio of any format: ID3 in front; ID3v1 and APE at the end."""

import struct
from typing import IO

FOOTER = 0x10  # ID3v2's flag: ten more bytes at the tag's end
APE_HEADER = 1 << 31


def after(file: IO[bytes], start: int, size: int) -> int:
    """Where what follows the ID3v2 tags at `start` begins."""
    while start + 10 <= size:
        file.seek(start)
        head = file.read(10)
        if head[:3] != b"ID3" or max(head[6:]) > 127:
            break
        length = (head[6] << 21) + (head[7] << 14) + (head[8] << 7) + head[9]
        start += 10 + length + (10 if head[5] & FOOTER else 0)
    return min(start, size)


def before(file: IO[bytes], start: int, size: int) -> int:
    """Where the tags at the end begin; `size` where there are none."""
    end = size
    while True:
        if end - start >= 128:
            file.seek(end - 128)
            if file.read(3) == b"TAG":
                end -= 128
                continue
        if end - start >= 32:
            file.seek(end - 32)
            footer = file.read(32)
            if footer[:8] == b"APETAGEX":
                _version, length, _items, flags = struct.unpack("<IIII", footer[8:24])
                length += 32 if flags & APE_HEADER else 0
                if 32 <= length <= end - start:
                    end -= length
                    continue
        return end
