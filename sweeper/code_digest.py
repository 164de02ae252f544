"""What of a study's code decides what its network computes: the digest that names it.

A hash of the syntax trees of the network's class and of every top-level definition that it names, directly or not, in
its file and in the neighbour files that it imports; comments, docstrings and layout don't count. So an arm can be
added, or a comment changed, and finished trials stay; a change of `forward` makes other trials.

Four things count although no name leads to them: definitions that the study's own decorators may have registered,
subclasses where a base class or a metaclass asks for them, the whole of a module that may look names up as it runs, and
statements that do something as the files are run: those that may change only what the files made, such as a loop with
`WIDTHS.append(width)`, if the network uses that; the others, such as `torch.set_num_threads(1)`, always. What they may
change is told from their syntax, and in doubt they count: better new trials than two networks in one arm.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from sweeper.code_names import (
    BUILT_IN,
    COMPOUND,
    QUIET,
    Function,
    Use,
    base_name,
    bases,
    binds,
    changes,
    metaclass,
    names,
    of_function,
    origins,
    running,
)

LENGTH = 16  # hex digits
STUDY = "STUDY"
OURS = "sweeper"
_PLAIN = (OURS, "dataclasses")  # what these give is data, and they change nothing that they are given
_LOOKS_UP = {"globals", "eval", "exec", "__import__", "import_module"}
# Methods that run when a class is called, derived from, or made by its metaclass.
_RUN = {
    "call": ("__new__", "__init__", "__post_init__"),
    "subclass": ("__init_subclass__",),
    "metaclass": ("__prepare__", "__new__", "__init__"),
}


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
    reached = _reach(modules, place, entry)
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
        for statement in _body(tree):
            own = set(binds(statement)) or self._filled(statement)
            for bound in own:
                self.bound.setdefault(bound, []).append(statement)
            if isinstance(statement, ast.ImportFrom) and any(alias.name == "*" for alias in statement.names):
                self.stars += _module_files(list(_base(statement, name)), sources)
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

    def _quiet(self, tree: ast.Module) -> dict[str, bool]:
        """Built-in functions, and what comes from modules whose functions only make data."""
        imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        plain: set[str] = set()
        for node in imports:
            if {"".join(module[:1]) for module in _imported(node, self.name)} <= {*_PLAIN}:
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

    def needed(self, statement: ast.stmt) -> Iterator[tuple[str, str | None]]:
        """What a statement needs to be there."""
        yield from (place for name in names(statement) for place in self.used(statement, name))
        if _looks_itself_through(statement):
            yield from ((self.name, bound) for bound in self.bound if bound != STUDY)
        for part in ast.walk(statement):  # imports in a function
            if isinstance(part, ast.Import | ast.ImportFrom) and part is not statement:
                yield from self.imported(part).values()


class _Changes:
    """What statements change, when their files are run, beyond the names that they bind.

    Attributes:
        of: statements, each with its file, by file and name that they may change.
        beyond: by file, statements that may change what neither the file nor a neighbour made, such as a library's.
    """

    def __init__(self, modules: Mapping[str, _Module]) -> None:
        self._modules = modules
        self._methods: dict[str, list[tuple[str, Function]]] = {}
        for file, module in modules.items():
            for kind in {s for statements in module.bound.values() for s in statements if isinstance(s, ast.ClassDef)}:
                for method in _methods(kind):
                    self._methods.setdefault(method.name, []).append((file, method))
        self.of: dict[tuple[str, str | None], list[tuple[str, ast.stmt]]] = {}
        self.beyond: dict[str, list[ast.stmt]] = {}
        for file, module in modules.items():
            for statement in module.done:
                for place in self._by(file, running(statement))[0]:
                    self.of.setdefault(place, []).append((file, statement))
                if self._by(file, _unbound(statement))[1]:
                    self.beyond.setdefault(file, []).append(statement)

    def _by(self, file: str, nodes: Iterable[ast.AST]) -> tuple[set[tuple[str, str]], bool]:
        """Places that code of a file may change, and whether anything else."""
        places, beyond, seen = set[tuple[str, str]](), False, set[tuple[str, Use]]()
        waiting = [(file, use) for use in changes(nodes, self._modules[file].quiet)]
        while waiting:
            at, use = waiting.pop()
            if (at, use) not in seen:
                seen.add((at, use))
                changed, further = self._one(at, use)
                waiting += further
                beyond |= changed is None
                if changed:
                    places.add((at, use.name))
        return places, beyond

    def _one(self, file: str, use: Use) -> tuple[bool | None, list[tuple[str, Use]]]:
        """Whether a use changes what has its name, None if that is not known here; and what else it leads to."""
        module, changed, further = self._modules[file], False, list[tuple[str, Use]]()
        if not use.name:
            methods = [] if use.attribute.startswith("__") else self._methods.get(use.attribute, [])
            return False, [found for place in methods for found in self._function(*place, use.how)]
        if use.name in module.quiet:
            return False, []
        unknown = None if use.how in ("object", "call") else False
        if use.name not in module.bound:
            if use.name in BUILT_IN or use.name.startswith("__"):
                return (None if use.name in {*_LOOKS_UP, "vars", "locals"} else False), []
            return (False, [(star, use) for star in module.stars]) if module.stars else (unknown, [])
        if use.how in ("object", "call", "result"):
            further += [(file, origin) for origin in module.origins.get(use.name, ())]
        for statement in module.bound[use.name]:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                place, name = module.imported(statement).get(use.name, ("", None))
                if not place or not (name or use.attribute):
                    return unknown, further
                inner = use._replace(name=name) if name else Use(use.attribute, "", use.how)
                further.append((place, inner))
            elif isinstance(statement, Function):
                further += self._function(file, statement, use.how)
                changed |= use.how == "object"
            elif isinstance(statement, ast.ClassDef):
                further += self._class(file, statement, use.how)
                changed |= use.how == "object" or (use.how == "call" and bool(use.attribute))
            else:
                changed |= use.how in ("object", "call", "result")
        return changed, further

    def _function(self, file: str, node: Function, how: str) -> list[tuple[str, Use]]:
        returned, changed = how in ("object", "result"), how != "result"
        uses = of_function(node, self._modules[file].quiet, changed=changed, returned=returned)
        return [(file, use) for use in uses]

    def _class(self, file: str, node: ast.ClassDef, how: str) -> list[tuple[str, Use]]:
        run = [method for method in _methods(node) if method.name in _RUN.get(how, ())]
        uses = {use for method in run for _, use in self._function(file, method, "call")}
        if run or how in _RUN:
            uses |= bases(node, how, self._modules[file].quiet)
        if how == "subclass":
            uses |= metaclass(node, self._modules[file].quiet)
        return [(file, use) for use in uses]


def _methods(node: ast.ClassDef) -> list[Function]:
    return [part for part in node.body if isinstance(part, Function)]


def _unbound(statement: ast.stmt) -> list[ast.AST]:
    """The parts of a statement for which it counts whoever uses what it binds, if they may change a library's.

    Of `size = math.sqrt(2)` there are none: what it calls is taken to do no more than give the size.
    """
    if isinstance(statement, COMPOUND) or set(binds(statement)) == {"_"}:
        return list(running(statement))
    if isinstance(statement, ast.Expr):
        return list(running(statement)) if set(binds(statement)) else []  # without, it counts anyway
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return [target for target in targets if isinstance(target, ast.Attribute | ast.Subscript)]
    return []


def _reach(modules: Mapping[str, _Module], place: tuple[str, str], entry: str) -> set[str]:
    """What a definition is made of, each part as text."""
    done = _Changes(modules)
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
        for inner in (*_run_with(entry, modules, files), *_run_with(file, modules, files)):
            other = modules[inner]
            for loose in (*other.loose, *done.beyond.get(inner, ())):
                parts.add(_text(loose))
                wanted += other.needed(loose)
            wanted += [(inner, registered) for registered in other.registered()]
        if name is None:
            wanted += [(file, bound) for bound in module.bound]
            continue
        if name not in module.bound:
            wanted += [(star, name) for star in module.stars]
            wanted += [(inner, None) for inner in module.submodules(name)]
        bound = [(file, statement) for statement in module.bound.get(name, ())]
        for at, statement in (*bound, *done.of.get((file, name), ())):
            if name in (neighbour := modules[at].imported(statement)):
                parts.add(f"{name} = {neighbour[name][1]}")
                wanted.append(neighbour[name])
                continue
            parts.add(_text(_only(statement, name)))
            asked_for_subclasses |= _asks_for_subclasses(statement)
            wanted += modules[at].needed(statement)
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


def _looks_itself_through(node: ast.AST) -> bool:
    """Whether definitions may be found by names that are made while it runs."""
    return (
        bool(names(node) & _LOOKS_UP)
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


def _asks_for_subclasses(node: ast.AST) -> bool:
    return any(
        (isinstance(n, ast.FunctionDef) and n.name == "__init_subclass__")
        or (isinstance(n, ast.Attribute) and n.attr == "__subclasses__")
        or (isinstance(n, ast.ClassDef) and any(base_name(base) == "type" for base in n.bases))  # a metaclass
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
    return isinstance(statement, ast.If) and "__name__" in names(statement.test)


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
