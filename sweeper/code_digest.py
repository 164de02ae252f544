"""What of a study's code decides what its network computes: the digest that names it.

A hash of the syntax trees of the network's class and of every top-level definition that it names, directly or not, in
its file and in the neighbour files that it imports; comments, docstrings and layout don't count. So an arm can be
added, or a comment changed, and finished trials stay; a change of `forward` makes other trials.

Three things count although no name leads to them: definitions that the study's own decorators may have registered,
subclasses where a base class asks for its subclasses, and the whole of a module that may look names up as it runs.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

LENGTH = 16  # hex digits
STUDY = "STUDY"
OURS = "sweeper"


def neighbours(root: Path, entry: str) -> dict[str, bytes]:
    """The sources of a file and of all neighbours that it imports, directly or not, by name relative to `root`.

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
        for module in _imported(ast.parse(found[name], str(root / name)), name):
            if module[:1] != (OURS,):  # a file may lie in a checkout of this project
                wanted += [file for file in _files(module) if (root / file).is_file()]
    return dict(sorted(found.items()))


def absolute_imports(source: bytes) -> Iterator[tuple[str, ...]]:
    """Modules that a file imports by their whole names, as these names' parts."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield tuple(node.module.split("."))


def _imported(tree: ast.AST, file: str) -> Iterator[tuple[str, ...]]:
    """Modules that are imported anywhere in a tree, as their dotted names' parts, counted from the root."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, file)
            yield base
            yield from ((*base, alias.name) for alias in node.names)


def _base(node: ast.ImportFrom, file: str) -> tuple[str, ...]:
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


def code_digest(sources: Mapping[str, bytes], entry: str, network: str, files: Mapping[str, bytes]) -> str:
    """The digest of a network's code and of the files that it reads.

    Args:
        sources: by name, as `neighbours` gives them.
        entry: the study's file.
        network: the class, as `module.Class`.
        files: contents by name.
    """
    modules = {name: _Module(name, ast.parse(data), sources) for name, data in sources.items()}
    *path, _ = network.split(".")
    qualified = network.split(".")
    place = next(
        (file, qualified[end]) for end in range(len(path), 0, -1) for file in _module_files(qualified[:end], sources)
    )
    reached = _reach(modules, place)
    facts = {
        "network": network.rpartition(".")[2],
        "code": sorted(reached),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:LENGTH]


def _module_files(parts: list[str], sources: Mapping[str, bytes]) -> list[str]:
    stem = "/".join(parts)
    return [name for name in (f"{stem}.py", f"{stem}/__init__.py") if name in sources]


class _Module:
    """One file: the top-level statements that bind each name, and those that bind none."""

    def __init__(self, name: str, tree: ast.Module, sources: Mapping[str, bytes]) -> None:
        self.name = name
        self.sources = sources
        self.bound: dict[str, list[ast.stmt]] = {}
        self.loose: list[ast.stmt] = []
        self.stars: list[str] = []
        for statement in _body(tree):
            names = set(_binds(statement)) or self._filled(statement)
            for bound in names:
                self.bound.setdefault(bound, []).append(statement)
            if isinstance(statement, ast.ImportFrom) and any(alias.name == "*" for alias in statement.names):
                self.stars += _module_files(list(_base(statement, name)), sources)
            elif not names and not _is_main(statement) and STUDY not in _names(statement):
                self.loose.append(statement)

    def imported(self, statement: ast.stmt) -> dict[str, tuple[str, str | None]]:
        """Names that an import statement binds to a neighbour: its file, and the name in it (None: all of it)."""
        found: dict[str, tuple[str, str | None]] = {}
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                parts = alias.name.split(".")
                for file in _module_files(parts, self.sources):
                    found[alias.asname or parts[0]] = file, None
        elif isinstance(statement, ast.ImportFrom):
            base = list(_base(statement, self.name))
            for alias in statement.names:
                for file in _module_files([*base, alias.name], self.sources):
                    found[alias.asname or alias.name] = file, None
                for file in _module_files(base, self.sources):
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

    def _is_own(self, name: str) -> bool:
        """Whether a name is of this file or of a neighbour, and not of a library."""
        imports = (ast.Import, ast.ImportFrom)
        return any(not isinstance(s, imports) or name in self.imported(s) for s in self.bound.get(name, ()))

    def registered(self) -> Iterator[str]:
        """Definitions that a decorator of the study's own is given."""
        for name, statements in self.bound.items():
            for decorator in (d for s in statements for d in getattr(s, "decorator_list", ())):
                if any(self._is_own(used) for used in _names(decorator)):
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
        return _module_files([*path.parent.parts, name], self.sources) if path.name == "__init__.py" else []

    def used(self, statement: ast.stmt, name: str) -> list[tuple[str, str | None]]:
        """What a statement means by a name: of a neighbour that is imported whole, the attributes that it asks for."""
        whole = [at for binding in self.bound.get(name, ()) if (at := self.imported(binding).get(name)) and not at[1]]
        asked = [n for n in ast.walk(statement) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
        attributes = [n.attr for n in asked if n.value.id == name]  # type: ignore[attr-defined]
        uses = sum(isinstance(n, ast.Name) and n.id == name for n in ast.walk(statement))
        if len(whole) != len(self.bound.get(name, ())) or not whole or len(attributes) < uses:
            return [(self.name, name)]
        return [(file, attribute) for file, _ in whole for attribute in attributes]


def _reach(modules: Mapping[str, _Module], place: tuple[str, str]) -> set[str]:
    """What a definition is made of, each part as text."""
    parts: set[str] = set()
    seen: set[tuple[str, str | None]] = set()
    wanted: list[tuple[str, str | None]] = [place]
    files: set[str] = set()
    asked_for_subclasses = False
    while wanted or asked_for_subclasses:
        if not wanted:
            bases = {name for _, name in seen if name is not None}
            new = {(file, name) for file in files for name in modules[file].subclasses(bases)} - seen
            if not new:
                break
            wanted += sorted(new)
        file, name = wanted.pop()
        if (file, name) in seen:
            continue
        seen.add((file, name))
        module = modules[file]
        for inner in _run_with(file, modules, files):
            other = modules[inner]
            wanted += [at for loose in other.loose for used in _names(loose) for at in other.used(loose, used)]
            wanted += [(inner, registered) for registered in other.registered()]
            parts |= {_text(loose) for loose in other.loose}
        if name is None:
            wanted += [(file, bound) for bound in module.bound]
            continue
        if name not in module.bound:
            wanted += [(star, name) for star in module.stars]
            wanted += [(inner, None) for inner in module.submodules(name)]
        for statement in module.bound.get(name, ()):
            neighbour = module.imported(statement)
            if name in neighbour:
                parts.add(f"{name} = {neighbour[name][1]}")
                wanted.append(neighbour[name])
                continue
            parts.add(_text(_only(statement, name)))
            if _looks_itself_through(statement):
                wanted += [(file, bound) for bound in module.bound if bound != STUDY]
            asked_for_subclasses |= _asks_for_subclasses(statement)
            wanted += [place for inner in _names(statement) for place in module.used(statement, inner)]
            for part in ast.walk(statement):  # imports in a function
                if isinstance(part, ast.Import | ast.ImportFrom) and part is not statement:
                    wanted += module.imported(part).values()
    return parts


def _run_with(file: str, modules: Mapping[str, _Module], done: set[str]) -> Iterator[str]:
    """Files that are run when one is imported, it included, except those that are done, which they are then."""
    waiting = [file]
    while waiting:
        if (name := waiting.pop()) not in done:
            done.add(name)
            waiting += modules[name].neighbours()
            yield name


def _body(node: Any) -> list[ast.stmt]:
    """The statements of a module, class or function, without its docstring."""
    body: list[ast.stmt] = node.body
    first = body[0] if body else None
    text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if text else body


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def _binds(node: ast.AST) -> Iterator[str]:
    """Names that a statement binds or changes in its own scope."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names if alias.name != "*")
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
        base: ast.expr = node
        while isinstance(base, ast.Attribute | ast.Subscript):
            base = base.value
        if isinstance(base, ast.Name):
            yield base.id
    elif not isinstance(node, (*_FUNCTIONS, *_COMPREHENSIONS)):  # these have scopes of their own
        for child in ast.iter_child_nodes(node):
            yield from _binds(child)
        if isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name


def _names(node: ast.AST) -> set[str]:
    """Names that are used and not bound within: what must come from the module, or is built in."""
    if isinstance(node, ast.Name):
        return {node.id}
    inner = set[str]().union(*map(_names, ast.iter_child_nodes(node)))
    if isinstance(node, _FUNCTIONS):
        body = node.body if isinstance(node.body, list) else [node.body]
        own = {name for statement in body for name in _binds(statement)}
        own -= {
            name for statement in body for n in ast.walk(statement) if isinstance(n, ast.Global) for name in n.names
        }
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        own |= {argument.arg for argument in arguments if argument is not None}
        around = [*node.args.defaults, *node.args.kw_defaults, *getattr(node, "decorator_list", ())]
        return (inner - own) | set[str]().union(*(_names(part) for part in around if part is not None))
    if isinstance(node, _COMPREHENSIONS):
        return inner - {name for generator in node.generators for name in _binds(generator.target)}
    return inner


def _looks_itself_through(node: ast.AST) -> bool:
    """Whether definitions may be found by names that are made while it runs."""
    return bool(_names(node) & {"globals", "eval", "exec", "__import__", "import_module"}) or any(
        isinstance(n, ast.Attribute)
        and isinstance(n.value, ast.Name)
        and (n.value.id, n.attr) in (("sys", "modules"), ("importlib", "import_module"))
        for n in ast.walk(node)
    )


def _asks_for_subclasses(node: ast.AST) -> bool:
    return any(
        (isinstance(n, ast.FunctionDef) and n.name == "__init_subclass__")
        or (isinstance(n, ast.Attribute) and n.attr == "__subclasses__")
        for n in ast.walk(node)
    )


def _only(statement: ast.stmt, name: str) -> ast.stmt:
    """Of an import of several names, the one."""
    if isinstance(statement, ast.Import):
        names = [a for a in statement.names if (a.asname or a.name.partition(".")[0]) == name]
        return ast.Import(names)
    if isinstance(statement, ast.ImportFrom):
        return ast.ImportFrom(
            statement.module, [a for a in statement.names if (a.asname or a.name) == name], statement.level
        )
    return statement


def _is_main(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "__name__" in _names(statement.test)


def _text(node: ast.AST) -> str:
    return json.dumps(_tree(node), ensure_ascii=True)


def _tree(value: Any) -> Any:
    """A syntax tree as JSON; the same in every version of Python that has these nodes."""
    if isinstance(value, list):
        return [_tree(inner) for inner in value]
    if not isinstance(value, ast.AST):
        return [type(value).__name__, repr(value)]
    fields = dict(ast.iter_fields(value))
    if isinstance(value, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        fields["body"] = _body(value)
    left_out = {"ctx", "kind", "type_comment"}
    kept = {name: _tree(inner) for name, inner in fields.items() if name not in left_out and inner not in (None, [])}
    return [type(value).__name__, kept]
