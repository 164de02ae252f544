"""Which files a study's code imports: its own neighbours, and modules by their whole names."""

from __future__ import annotations

import ast
from collections.abc import Container, Iterator, Mapping
from pathlib import Path, PurePosixPath

OURS = "sweeper"


def neighbours(root: Path, entry: str, within: str = "") -> dict[str, bytes]:
    """The sources of a file and of all neighbours that it imports, directly or not, by name relative to `root`.

    Args:
        root: a folder.
        entry: the file's name in it.
        within: the only package whose files count, in a folder of several; '' for all.

    Raises:
        SyntaxError: one is not Python.
        OSError: one can't be read.
    """
    found: dict[str, bytes] = {}
    wanted = [entry]
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found[name] = (root / name).read_bytes()
        for module in imported_modules(ast.parse(found[name], str(root / name)), name):
            if module[:1] != (OURS,) and within in ("", *module[:1]):  # a file may lie in a checkout of this project
                wanted += [file for file in _files(module) if (root / file).is_file()]
    return dict(sorted(found.items()))


def absolute_imports(source: bytes) -> Iterator[tuple[str, ...]]:
    """Modules that a file imports by their whole names, as these names' parts."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield tuple(node.module.split("."))


def imported_modules(tree: ast.AST, file: str) -> Iterator[tuple[str, ...]]:
    """Modules that are imported anywhere in a tree, as their dotted names' parts, counted from the root."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = base_module(node, file)
            yield base
            yield from ((*base, alias.name) for alias in node.names)


def base_module(node: ast.ImportFrom, file: str) -> tuple[str, ...]:
    """The module that `from … import` in a file names, as its dotted name's parts, counted from the root."""
    module = tuple(node.module.split(".")) if node.module else ()
    folder = PurePosixPath(file).parent.parts
    return module if not node.level else (*folder[: len(folder) - node.level + 1], *module)


def _files(module: tuple[str, ...]) -> list[str]:
    """Where a module may lie, packages on the way to it included."""
    names = []
    for end in range(1, len(module) + 1):
        stem = "/".join(module[:end])
        names += [f"{stem}/__init__.py", f"{stem}.py"]
    return names


def module_files(parts: list[str], sources: Mapping[str, bytes]) -> list[str]:
    """The file of a module, or its package's, as far as it is among the sources."""
    stem = "/".join(parts)
    return [name for name in (f"{stem}.py", f"{stem}/__init__.py") if name in sources]


def packages(file: str, sources: Container[str]) -> list[str]:
    """The files of the packages that a file lies in, which are run before it, the outermost first."""
    folders = [str(folder) for folder in PurePosixPath(file).parents][-2::-1]
    return [init for folder in folders if (init := f"{folder}/__init__.py") in sources and init != file]
