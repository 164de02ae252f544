"""Compare the length that an audio file's header promises with what the file holds.

This is done before libsndfile decodes the file, because libsndfile reads a truncated file without an error. A whole
file whose header was written before the length was known (to a pipe, before a crash) is read with its header corrected
in memory. Only headers are read here, in compressed formats those of frames or pages; no memory is allocated because a
header asks for it.
"""

import io
import struct
from collections.abc import Callable, Sequence
from typing import IO

from sweeper.audio.containers import chunks, flac, headers, mpeg, ogg, tags
from sweeper.audio.containers.promise import ContainerError, Piece, size_of

__all__ = ["ContainerError", "Patched", "examine"]

Examiner = Callable[[IO[bytes], int, int], Sequence[Piece] | None]

# by the first bytes; None: the format promises no length, or libsndfile itself compares
MAGIC: dict[bytes, Examiner | None] = {
    b"RIFF": chunks.riff,
    b"RIFX": chunks.riff,
    b"RF64": chunks.riff,
    b"BW64": chunks.riff,
    b"riff\x2e\x91\xcf\x11": chunks.wave64,
    b"FORM": chunks.iff,
    b"caff": chunks.caf,
    b"fLaC": flac.examine,
    b"OggS": ogg.examine,
    b".snd": headers.au,
    b"dns.": headers.au,
    b"NIST_1A\n": headers.nist,
    b"Creative Voice File\x1a": headers.voc,
    b"2BIT": headers.avr,
    b" paf": None,
    b"fap ": None,
    b"PVF1\n": None,
    b"\x64\xa3\x01\x00": None,  # IRCAM, on a VAX, a Sun, a MIPS and a NeXT
    b"\x64\xa3\x02\x00": None,
    b"\x64\xa3\x03\x00": None,
    b"\x64\xa3\x04\x00": None,
    b"\xf0\x7e": None,  # MIDI sample dump
}


def examine(file: IO[bytes], size: int) -> "Patched | None":
    """Check a file's length; return what libsndfile should read in its place, None if the file can be read as it is.

    Args:
        file: opened for reading bytes; stays open while the result is used.
        size: of the file, in bytes.

    Raises:
        ContainerError: the format is unknown, or the file is shorter than its header promises.
    """
    start = tags.after(file, 0, size)
    file.seek(start)
    magic = file.read(20)
    known = next((key for key in MAGIC if magic.startswith(key)), None)
    try:
        if known is not None:
            examiner = MAGIC[known]
            pieces = examiner(file, start, size) if examiner else None
        elif mpeg.begins(file, start, size):
            pieces = mpeg.examine(file, start, size)
        else:
            raise ContainerError(
                f"neither WAV nor FLAC nor another format that is read (it begins with {magic[:12]!r}); get or convert "
                "it again"
            )
    except (struct.error, IndexError):
        raise ContainerError("can't be decoded (ends within its header); get the file again") from None
    if pieces is None and start and known is not None:  # an ID3 tag before what is not MP3
        pieces = [range(start, size)]
    return None if pieces is None else Patched(file, pieces)


class Patched(io.RawIOBase):
    """A file made of bytes and of ranges of another file, to be read and seeked in; it copies nothing."""

    def __init__(self, file: IO[bytes], pieces: Sequence[Piece]) -> None:
        self._file = file
        self._pieces = [piece for piece in pieces if len(piece)]
        self._size = size_of(self._pieces)
        self._position = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, as in any file."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        """Fill `buffer`, which falls short at the end only: libsndfile asks once for a header."""
        filled = start = 0
        for piece in self._pieces:
            inside = self._position - start
            if filled < len(buffer) and 0 <= inside < len(piece):
                content = self._content(piece[inside : inside + len(buffer) - filled])
                buffer[filled : filled + len(content)] = content
                filled += len(content)
                self._position += len(content)
            start += len(piece)
        return filled

    def _content(self, piece: Piece) -> bytes:
        if isinstance(piece, bytes):
            return piece
        self._file.seek(piece.start)
        return self._file.read(len(piece))
