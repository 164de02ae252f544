"""What a study's file may import: its neighbours, and what is installed; nothing that only this process finds."""

import importlib.metadata
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from sweeper.code_imports import OURS, absolute_imports
from sweeper.definition import PlanError


def check_imports(sources: Mapping[str, bytes], path: Path) -> None:
    """Refuse what only this process can import, such as a module of the working directory.

    Raises:
        PlanError: naming it; its code would not be part of trials' ids, and workers would not have it.
    """
    own = {PurePosixPath(name).parts[0].removesuffix(".py") for name in sources}
    for name in sorted({module[0] for data in sources.values() for module in absolute_imports(data)} - own - _KNOWN):
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            continue
        places = [] if found is None else [*(found.submodule_search_locations or ()), found.origin or ""]
        where = next((place for place in places if place not in ("", "built-in", "frozen")), "")
        if where and not Path(where).is_relative_to(path.resolve().parent) and not _is_installed(name, Path(where)):
            raise PlanError(
                f"{path} imports {name} from {where}, which is neither beside it nor installed: its code would not "
                "reach the workers, nor count in trials' ids; move it beside the file, or install it with pip"
            )


_KNOWN = {*sys.stdlib_module_names, OURS}


def _is_installed(name: str, where: Path) -> bool:
    paths = sysconfig.get_paths()
    if any(where.is_relative_to(paths[key]) for key in ("purelib", "platlib", "stdlib", "platstdlib")):
        return True
    if any(where.is_relative_to(folder) for folder in (*site.getsitepackages(), site.getusersitepackages())):
        return True
    return name in importlib.metadata.packages_distributions()  # where it lies elsewhere, as `pip install -e` leaves it


def imports_itself(source: bytes, name: str) -> bool:
    """Whether a file at the top is called as a package that it imports, such as `torch.py`."""
    return any(module[0] == PurePosixPath(name).with_suffix("").as_posix() for module in absolute_imports(source))
