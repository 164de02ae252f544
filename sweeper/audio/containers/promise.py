"""A promised length, and what is there: the rules that all formats share."""

from collections.abc import Sequence

Piece = bytes | range  # bytes as they are, or a range of the file's bytes

# What programs leave in a header of 32 bits that they can't go back to: arecord, sox (each less what does not fill a
# frame), and the largest numbers, signed and not.
ROUNDED = (0x7FFFFF00, 0x7FFFF000, 0x7F000000)
EXACT = (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


class ContainerError(ValueError):
    """A file that can't be used; the message says why and what to do, but leaves out the file's name."""


def is_placeholder(length: int, frame: int = 1) -> bool:
    """Whether `length`, in bytes, is a value that programs write when they don't know it; `frame`: bytes per frame."""
    frame = max(1, frame)
    return length in EXACT or any(length == limit - limit % frame for limit in ROUNDED)


def is_unlikely(length: int) -> bool:
    """Whether a length is just below 2 or 4 GiB, as placeholders are after a header's own bytes were counted."""
    return 0x7F000000 <= length <= 0x7F00_1000 or 0x7FFF0000 <= length <= 0x8000_1000 or length >= 0xFFFF0000


def short(promised: int, there: int, what: str = "bytes of audio") -> ContainerError:
    """The error of a file that was cut."""
    return ContainerError(f"header promises {promised} {what}, {there} are there; get the file again")


def patched(start: int, stop: int, changes: dict[int, bytes]) -> list[Piece]:
    """The file's bytes from `start` to `stop` with others at some places."""
    pieces: list[Piece] = []
    position = start
    for place, content in sorted(changes.items()):
        pieces += [range(position, place), content]
        position = place + len(content)
    return [*pieces, range(position, stop)]


def size_of(pieces: Sequence[Piece]) -> int:
    """Total length of the pieces, in bytes."""
    return sum(len(piece) for piece in pieces)
