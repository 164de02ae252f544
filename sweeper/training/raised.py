"""Where in a user's own code an exception came from."""

import sysconfig
import traceback
from pathlib import Path


def place_in_code(error: BaseException) -> str:
    """` (file:line)` of the innermost frame that is neither ours nor a library's; empty if there is none."""
    paths = sysconfig.get_paths()
    not_theirs = (Path(__file__).parents[1], paths["purelib"], paths["platlib"], paths["stdlib"])
    files = ((Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__))
    theirs = [
        f" ({file.name}:{line})"
        for file, line in files
        if not file.name.startswith("<")
        and not any(file.is_relative_to(folder) for folder in not_theirs)
        and not {"site-packages", "dist-packages"} & set(file.parts)  # of the system or the user, beside this Python's
    ]
    return theirs[-1] if theirs else ""
