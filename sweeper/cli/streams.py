"""stdout and stderr that take whatever is printed, whatever they are connected to.

Not every terminal knows `±`, `†` or `✓` (`LANG=C`, Windows' code pages), and a file name need not be text at all. What
a stream can't encode is written in plain characters instead, one for one where columns would suffer otherwise.
"""

import codecs
import io
import os
import sys
import unicodedata
from typing import Any, TextIO

PLAIN = {
    "±": "+-", "†": "^", "‡": "#", "★": "*", "✓": "x", "×": "x", "–": "-", "—": "-", "−": "-", "─": "-", "━": "-",
    "│": "|", "·": ".",
    "▶": ">", "█": "#", "→": "->", "≤": "<=", "≥": ">=", "≈": "~", "…": "...", "‘": "'", "’": "'", "“": '"', "”": '"',
}  # fmt: skip


class OutputLost(OSError):
    """stdout can't take more: its reader is gone, or its disk is full."""


class _Output(io.FileIO):
    """What a stream writes to. After an error it writes nowhere, and tells of it where its output is `needed`."""

    needed = True

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if self.needed:
                raise OutputLost(error.errno, error.strerror) from error
            return memoryview(data).nbytes


def prepare() -> None:
    """Make both streams take every character; to be called once, first, in a process of one's own."""
    codecs.register_error("sweeper", _plainly)
    # What is opened next must not become the process's stdout because that was closed.
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)
    os.close(handle)
    errors = _Output(2, "w", closefd=False)
    errors.needed = False
    sys.stdout = _text(sys.stdout, _Output(1, "w", closefd=False))
    sys.stderr = _text(sys.stderr, errors)


def keep_on() -> None:
    """From now on, what stdout can't take is lost: for whoever does more than to show something."""
    _Output.needed = False


def for_programs() -> None:
    """What is printed from now on is read by programs: UTF-8, whatever the terminal is, and no character replaced."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def _text(stream: TextIO | None, file: _Output) -> TextIO:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(file), encoding, "sweeper", line_buffering=not file.needed or file.isatty()
    )


def _plainly(error: UnicodeError) -> tuple[str, int]:
    """Python asks for what stands in place of what can't be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    failed = error.object[error.start : error.end]
    return "".join(map(_plain, failed)), error.end


def _plain(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte of a file name that was no text
        return f"\\x{ord(character) - 0xDC00:02x}"
    base = unicodedata.normalize("NFKD", character)[0]  # é, ², Š
    return PLAIN.get(character) or (base if base.isascii() else "?")
