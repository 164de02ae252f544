"""Which parts of an audio network earn their place? Paired, resumable ablation sweeps."""

import getpass
import os

__version__ = "0.1.0"

# torch and Ray ask for the user's name and home when they are imported, and fail where a user id has neither, as it may
# be in a container. They get a name, and the home that Docker gives such a user.
try:
    getpass.getuser()
except (KeyError, OSError):
    os.environ["USER"] = f"uid{os.getuid()}"
if not os.path.isabs(os.environ.get("HOME", "")):  # noqa: PTH117
    os.environ.pop("HOME", None)
    if os.path.expanduser("~") == "~":  # noqa: PTH111  # pathlib raises
        os.environ["HOME"] = "/"
