"""One file of a study's code: what binds its names, what counts whoever uses what, what a statement needs."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from sweeper.code_imports import OURS, base_module, imported_modules, module_files, packages
from sweeper.code_names import BUILT_IN, QUIET, Function, binds, names, origins, running

STUDY = "STUDY"
LOOKS_UP = {"globals", "eval", "exec", "__import__", "import_module"}
_PLAIN = (OURS, "dataclasses")  # what these give is data, and they change nothing that they are given


class Module:
    """One file: the top-level statements that bind each name, and those that count whoever uses what.

    Attributes:
        done: those that may change more than what they bind when the file is run; not what makes the study.
        quiet: functions that change nothing that they are given, see `code_names`.
        origins: of each name, what it may be another name of, or holds.
    """

    def __init__(self, name: str, tree: ast.Module, sources: Mapping[str, bytes]) -> None:
        self.name = name
        self.sources = sources
        self.bound: dict[str, list[ast.stmt]] = {}
        self.loose: list[ast.stmt] = []
        self.stars: list[str] = []
        self.done: list[ast.stmt] = []
        for statement in body_of(tree):
            own = set(binds(statement)) or self._filled(statement)
            for bound in own:
                self.bound.setdefault(bound, []).append(statement)
            if isinstance(statement, ast.ImportFrom) and any(alias.name == "*" for alias in statement.names):
                self.stars += module_files(list(base_module(statement, name)), sources)
            elif not own and not _is_main(statement) and STUDY not in names(statement):
                self.loose.append(statement)
            defined = isinstance(statement, Function | ast.Import | ast.ImportFrom)
            if not defined and not _is_main(statement) and STUDY not in names(statement):
                self.done.append(statement)
        self.quiet = self._quiet(tree)
        self.origins = origins((node for statement in self.done for node in running(statement)), self.quiet)

    def imported(self, statement: ast.stmt) -> dict[str, tuple[str, str | None]]:
        """Names that an import statement binds to a neighbour: its file, and the name in it (None: all of it)."""
        found: dict[str, tuple[str, str | None]] = {}
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                parts = alias.name.split(".")
                for file in module_files(parts, self.sources):
                    found[alias.asname or parts[0]] = file, None
        elif isinstance(statement, ast.ImportFrom):
            base = list(base_module(statement, self.name))
            for alias in statement.names:
                for file in module_files([*base, alias.name], self.sources):
                    found[alias.asname or alias.name] = file, None
                for file in module_files(base, self.sources):
                    found.setdefault(alias.asname or alias.name, (file, alias.name))
        return found

    def _filled(self, statement: ast.stmt) -> set[str]:
        """What a statement alone, such as `ARMS.append(…)`, changes of what the module made before."""
        call = statement.value if isinstance(statement, ast.Expr) else None
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            return set()
        name = call.func.value.id if isinstance(call.func.value, ast.Name) else ""
        made = self.bound.get(name, ())
        return {name} if made and not any(isinstance(s, ast.Import | ast.ImportFrom) for s in made) else set()

    def _quiet(self, tree: ast.Module) -> dict[str, bool]:
        """Built-in functions, and what comes from modules whose functions only make data."""
        imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        plain: set[str] = set()
        for node in imports:
            if {"".join(module[:1]) for module in imported_modules(node, self.name)} <= {*_PLAIN}:
                plain |= set(binds(node)) - self.imported(node).keys()
        stars = {node.module for node in imports if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"}
        if stars and {str(module).partition(".")[0] for module in stars} <= {*_PLAIN}:  # else who knows what is whose
            declared = {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
            plain |= names(tree) - BUILT_IN - self.bound.keys() - declared
        return {name: on for name, on in QUIET.items() if name not in self.bound} | dict.fromkeys(plain, False)

    def _is_own(self, name: str) -> bool:
        """Whether a name is of this file or of a neighbour, and not of a library."""
        imports = (ast.Import, ast.ImportFrom)
        return any(not isinstance(s, imports) or name in self.imported(s) for s in self.bound.get(name, ()))

    def registered(self) -> Iterator[str]:
        """Definitions that a decorator of the study's own is given."""
        for name, statements in self.bound.items():
            for decorator in (d for s in statements for d in getattr(s, "decorator_list", ())):
                if any(self._is_own(used) for used in names(decorator)):
                    yield name

    def subclasses(self, bases: set[str]) -> Iterator[str]:
        """Classes that derive from one of these names."""
        for name, statements in self.bound.items():
            given = [base for s in statements if isinstance(s, ast.ClassDef) for base in s.bases]
            if any(
                (base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")) in bases for base in given
            ):
                yield name

    def neighbours(self) -> Iterator[str]:
        """Files that are run because this one imports them."""
        for statement in (s for statements in self.bound.values() for s in statements):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                yield from (file for file, _ in self.imported(statement).values())
        yield from self.stars

    def submodules(self, name: str) -> list[str]:
        """Files of a package's module of that name."""
        path = PurePosixPath(self.name)
        return module_files([*path.parent.parts, name], self.sources) if path.name == "__init__.py" else []

    def used(self, statement: ast.stmt, name: str) -> list[tuple[str, str | None]]:
        """What a statement means by a name: of a neighbour that is imported whole, the attributes that it asks for."""
        if dotted := [place for binding in self.bound.get(name, ()) for place in self._dotted(binding, name)]:
            return [(self.name, name), *dotted]
        whole = [at for binding in self.bound.get(name, ()) if (at := self.imported(binding).get(name)) and not at[1]]
        asked = [n for n in ast.walk(statement) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
        attributes = [n.attr for n in asked if n.value.id == name]  # type: ignore[attr-defined]
        uses = sum(isinstance(n, ast.Name) and n.id == name for n in ast.walk(statement))
        if len(whole) != len(self.bound.get(name, ())) or not whole or len(attributes) < uses:
            return [(self.name, name)]
        return [(file, None if attr == "__dict__" else attr) for file, _ in whole for attr in attributes]

    def _dotted(self, statement: ast.stmt, name: str) -> Iterator[tuple[str, None]]:
        """Of `import a.b`, which binds `a`: the files of both, as it is not followed what is asked of which."""
        for alias in statement.names if isinstance(statement, ast.Import) else ():
            parts = alias.name.split(".")
            if not alias.asname and len(parts) > 1 and parts[0] == name:
                for file in module_files(parts, self.sources):
                    yield from ((place, None) for place in (*packages(file, self.sources), file))

    def needed(self, statement: ast.stmt) -> Iterator[tuple[str, str | None]]:
        """What a statement needs to be there."""
        yield from (place for name in names(statement) for place in self.used(statement, name))
        if _looks_itself_through(statement):
            yield from ((self.name, bound) for bound in self.bound if bound != STUDY)
        for part in ast.walk(statement):  # imports in a function
            if isinstance(part, ast.Import | ast.ImportFrom) and part is not statement:
                yield from self.imported(part).values()
                yield from (place for name in binds(part) for place in self._dotted(part, name))


def body_of(node: Any) -> list[ast.stmt]:
    """The statements of a module, class or function, without its docstring."""
    body: list[ast.stmt] = node.body
    first = body[0] if body else None
    text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if text else body


def _looks_itself_through(node: ast.AST) -> bool:
    """Whether definitions may be found by names that are made while it runs."""
    return (
        bool(names(node) & LOOKS_UP)
        or any(
            isinstance(n, ast.Attribute)
            and isinstance(n.value, ast.Name)
            and (n.value.id, n.attr) in (("sys", "modules"), ("importlib", "import_module"))
            for n in ast.walk(node)
        )
        # Outside of functions, where they are of the module; with an argument, `vars` is of something else.
        or any(
            isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id in ("vars", "locals") and not n.args
            for n in running(node)
        )
    )


def _is_main(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "__name__" in names(statement.test)
