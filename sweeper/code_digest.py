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
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sweeper.code_imports import OURS, module_files, neighbours, packages
from sweeper.code_module import LOOKS_UP, Module, body_of
from sweeper.code_names import (
    BUILT_IN,
    COMPOUND,
    Function,
    Use,
    base_name,
    bases,
    binds,
    changes,
    metaclass,
    names,
    of_function,
    running,
)

LENGTH = 16  # hex digits
Place = tuple[int, int]  # line and column
# Methods that run when a class is called, derived from, or made by its metaclass.
_RUN = {
    "call": ("__new__", "__init__", "__post_init__"),
    "subclass": ("__init_subclass__",),
    "metaclass": ("__prepare__", "__new__", "__init__"),
}


def code_digest(sources: Mapping[str, bytes], entry: str, network: str, files: Mapping[str, bytes]) -> str:
    """The digest of a network's code and of the files that it reads.

    Args:
        sources: by name, as `neighbours` gives them.
        entry: the study's file.
        network: the class, as `module.Class`.
        files: contents by name.
    """
    modules = {name: Module(name, ast.parse(data), sources) for name, data in sources.items()}
    *path, _ = network.split(".")
    qualified = network.split(".")
    place = next(
        (file, qualified[end]) for end in range(len(path), 0, -1) for file in module_files(qualified[:end], sources)
    )
    reached = _reach(modules, place, entry)
    facts = {
        "network": network.rpartition(".")[2],
        "code": sorted(reached.parts),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        **reached.orders(),
        **reached.places(modules),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:LENGTH]


def installed_package(module: str) -> str:
    """The name of the package that a module which is imported belongs to, and a digest of its code; '' for ours.

    The code is what the module imports of its package, whatever comments and docstrings say; where that can't be read,
    the name alone. What is installed has a version; but the code of `pip install -e` changes without another one.
    """
    name, *rest = module.split(".")
    if name == OURS:
        return ""
    file = Path(sys.modules[module].__file__ or "")
    if file.suffix != ".py":  # compiled
        return name
    root = file.parents[len(rest) + (file.name == "__init__.py")]
    try:
        sources = neighbours(root, file.relative_to(root).as_posix(), within=name)
        facts = [(part, _text(ast.parse(data))) for part, data in sources.items()]
    except (OSError, SyntaxError, ValueError):  # a file for another Python, which is not imported by this one
        return name
    return f"{name} {hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}"


class _Changes:
    """What statements change, when their files are run, beyond the names that they bind.

    Attributes:
        of: statements, each with its file, by file and name that they may change.
        beyond: by file, statements that may change what neither the file nor a neighbour made, such as a library's.
    """

    def __init__(self, modules: Mapping[str, Module]) -> None:
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
                return (None if use.name in {*LOOKS_UP, "vars", "locals"} else False), []
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


class _Reached:
    """What a definition is made of.

    Most code means the same wherever its statements stand. Only where it does not is their place a part of the digest.

    Attributes:
        parts: each as text.
    """

    def __init__(self, entry: str) -> None:
        self.parts: set[str] = set()
        self._entry = entry  # whose name does not count, so that it may be renamed
        self._statements: dict[str, dict[Place, ast.stmt]] = {}  # by file
        self._acting: dict[str, dict[Place, ast.stmt]] = {}  # which may change what others made
        self._names: dict[str, set[str]] = {}  # by name, the files that define it

    def add(self, file: str, statement: ast.stmt, name: str | None = None, *, acts: bool = False) -> None:
        """A statement, of an import of several names the one."""
        self.parts.add(_text(statement if name is None else _only(statement, name)))
        place = statement.lineno, statement.col_offset
        self._statements.setdefault(file, {})[place] = statement
        if name is not None and not isinstance(statement, ast.Import | ast.ImportFrom):
            self._names.setdefault(name, set()).add(file)
        if acts:
            self._acting.setdefault(file, {})[place] = statement

    def orders(self) -> dict[str, Any]:
        """Of each file, what acts and what it may act on, as it stands; nothing where that is in the order of texts."""
        found = {}
        for file, acting in self._acting.items():
            touched = {name for statement in acting.values() for name in (*names(statement), *binds(statement))}
            touched &= {name for name, files in self._names.items() if file in files}  # and no library's
            kept = acting | {
                place: statement
                for place, statement in self._statements[file].items()
                if not isinstance(statement, Function | ast.ClassDef | ast.Import | ast.ImportFrom)
                and touched & {*names(statement), *binds(statement)}
            }
            texts = [_text(statement) for _, statement in sorted(kept.items())]
            if texts != sorted(set(texts)):
                found[self._key(file)] = texts
        return {"order": found} if found else {}

    def places(self, modules: Mapping[str, Module]) -> dict[str, Any]:
        """Where several files define a name, what each of them has of all this, and what it imports."""
        if all(len(files) == 1 for files in self._names.values()):
            return {}
        texts = {file: {_text(statement) for statement in found.values()} for file, found in self._statements.items()}
        for file, found in texts.items():
            bound = (statement for statements in modules[file].bound.values() for statement in statements)
            found |= {_text(statement) for statement in bound if modules[file].imported(statement)}
        return {"places": {self._key(file): sorted(found) for file, found in texts.items()}}

    def _key(self, file: str) -> str:
        return "" if file == self._entry else file


def _reach(modules: Mapping[str, Module], place: tuple[str, str], entry: str) -> _Reached:
    """What a definition is made of."""
    done = _Changes(modules)
    reached = _Reached(entry)
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
                reached.add(inner, loose, acts=True)
                wanted += other.needed(loose)
            wanted += [(inner, registered) for registered in other.registered()]
        if name is None:
            wanted += [(file, bound) for bound in module.bound]
            continue
        if name not in module.bound:
            wanted += [(star, name) for star in module.stars]
            wanted += [(inner, None) for inner in module.submodules(name)]
            wanted += [(file, "__getattr__")] if "__getattr__" in module.bound else []
        bound = module.bound.get(name, [])
        for statement in bound:
            if name in (neighbour := module.imported(statement)):
                reached.parts.add(f"{name} = {neighbour[name][1]}")
                wanted.append(neighbour[name])
                continue
            acts = len(bound) > 1 or name in module.registered()
            reached.add(file, statement, name, acts=acts)
            asked_for_subclasses |= _asks_for_subclasses(statement)
            wanted += module.needed(statement)
        for at, statement in done.of.get((file, name), ()):
            reached.add(at, statement, acts=True)
            asked_for_subclasses |= _asks_for_subclasses(statement)
            wanted += modules[at].needed(statement)
    return reached


def _run_with(file: str, modules: Mapping[str, Module], done: set[str]) -> Iterator[str]:
    """Files that are run when one is imported, it included, except those that are done, which they are then."""
    waiting = [file]
    while waiting:
        if (name := waiting.pop()) not in done:
            done.add(name)
            waiting += [*packages(name, modules), *modules[name].neighbours()]
            yield name


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
        fields["body"] = body_of(value)
    left_out = {"ctx", "kind", "type_comment"}
    kept = {name: _tree(inner) for name, inner in fields.items() if name not in left_out and inner not in (None, [])}
    return [type(value).__name__, kept]
