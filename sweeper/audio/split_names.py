"""The splits by name, apart from `splits`: a command line lists them without NumPy."""

from typing import Literal, get_args

SplitName = Literal["official", "grouped", "paper"]
NAMES: tuple[str, ...] = get_args(SplitName)
