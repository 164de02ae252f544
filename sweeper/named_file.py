"""Writing a file that a user named, at once and whole."""

import os
import uuid
from pathlib import Path


def write_named(path: Path, data: bytes) -> None:
    """Write (or replace) a file; whoever reads it meanwhile finds the old one or the new one.

    A link stays, and what it leads to is replaced. What is there and is no file, such as a pipe or `/dev/null`, is
    written to, as a file in its place would be its end, for everybody.

    Raises:
        OSError: it can't be written; then what was there is still there.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as there:
            there.write(data)
        return
    place = path.resolve()
    temporary = place.with_name(f".{place.name[:200]}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)
