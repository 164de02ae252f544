"""A study in a file of the user's: loaded by content, named by a digest, and brought to the workers.

The modules of a file, it and the neighbours that it imports, live in a package of their own, so that a user's
`model.py` is nobody else's. What travels to workers are specs, which are data; the source lies once in the results, in
`code/<digest>/`, in a folder or an object store alike, and workers load it from there.

Only running or asking about trials loads code. Leaderboards and reports read `plan.json`.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import re
import shutil
import sys
import tempfile
import traceback
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, Protocol

from sweeper.code_digest import code_digest, installed_package
from sweeper.code_imports import neighbours
from sweeper.definition import PlanError, Source, canonical_json
from sweeper.plan import Described, TrialSpec
from sweeper.search_spaces import NAMES
from sweeper.study import CODE, Network, Study
from sweeper.study_imports import check_imports, imports_itself

MANIFEST = "manifest.json"
_DIGEST = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)*")


class Storage(Protocol):
    """Where a study's results lie."""

    def read(self, *names: str) -> list[bytes]:
        """The files' contents; raises FileNotFoundError."""

    def write(self, name: str, data: bytes, *, once: bool = False) -> bool:
        """Write a file."""


@dataclass(frozen=True)
class Code:
    """The code of a study's network.

    Attributes:
        digest: of all that decides what the network computes: 16 hex digits.
        entry: the study's file, relative to `root`, as are the other files.
        network: the network's class, as `module.Class`.
        sources: by name, of the file and of the neighbours that it imports.
        files: by name, what `Study.files` lists.
        root: the folder in which they lie.
    """

    digest: str
    entry: str
    network: str
    sources: Mapping[str, bytes]
    files: Mapping[str, bytes]
    root: Path


_loaded: dict[str, tuple[Code, type[Network]]] = {}  # by digest


def find(argument: str | Path) -> Source:
    """A study that comes with the project, by its name, or one in a file.

    Raises:
        PlanError: there is none of that name, or the file has none.
    """
    name = str(argument)
    if name in NAMES:
        study: Study = importlib.import_module(f"sweeper.search_spaces.{name}").STUDY
        return Source(name, study, argument="" if name == NAMES[0] else name)
    path = Path(argument).expanduser()
    if not name.endswith(".py"):
        hint = f"; did you mean {name}.py?" if path.with_name(f"{path.name}.py").is_file() else ""
        raise PlanError(f"unknown study {name!r}; the studies are: {', '.join(NAMES)}, or a file, such as mel.py{hint}")
    return load(path)


def load(path: Path) -> Source:
    """The study that a file defines as `STUDY`.

    Args:
        path: a Python file; files beside it may be imported by it.

    Raises:
        PlanError: it can't be read or run, or defines no study; the message names file, line and reason.
    """
    if not path.is_file():
        raise PlanError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; expected a study's file")
    if not re.fullmatch(r"[\w-]+\.py", path.name):
        raise PlanError(f"{path}: a study's file is called by letters, digits, _ and -, and ends in .py: rename it")
    root = path.resolve().parent
    module, sources = _run(root, path.name, str(path))
    check_imports(sources, path)
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study):
        found = "defines no STUDY" if study is None else f"defines STUDY as a {type(study).__name__}"
        raise PlanError(f"{path} {found}; write STUDY = Study(network=…, arms=…, recipes=…), from sweeper.study")
    kind = type(study.network)
    if _named(sys.modules.get(kind.__module__), kind.__qualname__) is not kind:
        raise PlanError(
            f"{path}: {kind.__qualname__} is not what {kind.__module__.rpartition('.')[2]} calls so in the end, and "
            "workers find it by that name: write the network's class at the top of a file, once, and keep its name"
        )
    if not kind.__module__.startswith(CODE):
        if study.files:
            raise PlanError(f"{path}: files={list(study.files)!r} are for load() of a network that the file defines")
        return Source(path.stem, study, argument=str(path), package=installed_package(kind.__module__))
    network = f"{kind.__module__.partition('.')[2]}.{kind.__qualname__}"
    files = {name: _study_file(root, name, path) for name in study.files}
    code = Code(code_digest(sources, path.name, network, files), path.name, network, sources, files, root)
    _loaded[code.digest] = code, kind
    return Source(path.stem, study, code.digest, str(path))


def save(digest: str, storage: Storage) -> None:
    """Write a loaded study's code into its results, as far as it does not lie there.

    The digest leaves some of the code out, such as how a file makes its `STUDY`. So a stranger's results may hold other
    code under the same digest; it is overwritten with the user's own, as workers run what lies there.

    Raises:
        OSError: the place can't be written.
    """
    code, _ = _loaded[digest]
    manifest = {"entry": code.entry, "network": code.network, "sources": list(code.sources), "files": list(code.files)}
    described = (json.dumps(manifest, indent=1) + "\n").encode()
    for name, data in {**code.sources, **code.files, MANIFEST: described}.items():
        place = f"code/{digest}/{name}"
        try:
            there = storage.read(place) == [data]
        except FileNotFoundError:
            there = False
        if not there:
            storage.write(place, data)


def with_network(spec: TrialSpec, storage: Storage | None = None, cache: Path = Path()) -> TrialSpec:
    """The trial with its network, in a process that was sent data: its code comes from the study's results.

    Args:
        spec: the trial.
        storage: the study's results; None where the code must have been loaded.
        cache: a folder for the code of results that are not in a folder.

    Raises:
        PlanError: the code is not there, or is not what its digest says.
    """
    if not isinstance(spec.model, Described):
        return spec
    if spec.code not in _loaded:
        if storage is None:
            raise PlanError(f"the code {spec.code} of {spec.model.name} is not loaded")
        _fetch(spec.code, storage, cache)
    found = replace(spec, model=_loaded[spec.code][1](**dict(spec.model.values)))
    if found.trial_id != spec.trial_id:
        raise PlanError(f"trial {spec.trial_id} is {found.trial_id} with the network of code {spec.code}")
    return found


@contextlib.contextmanager
def shipped(digest: str) -> Iterator[type[Network]]:
    """The network's class of code that is loaded, from a copy of what travels, for as long as that is there."""
    code, _ = _loaded[digest]
    with tempfile.TemporaryDirectory() as folder:
        root = _placed({**code.sources, **code.files}, digest, Path(folder).resolve())
        yield _class_in(root, code.entry, code.network, code.entry, code.sources)


def file_name(digest: str) -> str:
    """What the file of code that is loaded is called; '' where there is none."""
    return _loaded[digest][0].entry if digest in _loaded else ""


def network_class(digest: str) -> type[Network] | None:
    """The network's class of code that is loaded."""
    return _loaded[digest][1] if digest in _loaded else None


def _fetch(digest: str, storage: Storage, cache: Path) -> None:
    if not _DIGEST.fullmatch(digest):
        raise PlanError(f"{digest!r} is no digest of code")
    folder = f"code/{digest}"
    try:
        (data,) = storage.read(f"{folder}/{MANIFEST}")
        manifest = json.loads(data)
        names = [*manifest["sources"], *manifest["files"]]
        if bad := [name for name in names if not _NAME.fullmatch(name) or ".." in PurePosixPath(name).parts]:
            raise PlanError(f"{storage}/{folder}/{MANIFEST} names {bad[0]!r}, which is no name of a file of it")
        contents = dict(zip(names, storage.read(*(f"{folder}/{name}" for name in names)), strict=True))
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, PlanError):
            raise
        raise PlanError(f"{storage}/{folder} is not whole ({error}); run the study's command again") from None
    sources = {name: contents[name] for name in manifest["sources"]}
    files = {name: contents[name] for name in manifest["files"]}
    entry, network = str(manifest["entry"]), str(manifest["network"])
    if code_digest(sources, entry, network, files) != digest:
        raise PlanError(f"{storage}/{folder} holds other code than its name says; delete it, and run the command again")
    root = _placed(contents, digest, cache)
    kind = _class_in(root, entry, network, f"{storage}/{folder}/{entry}", sources)
    _loaded[digest] = Code(digest, entry, network, sources, files, root), kind


def _class_in(root: Path, entry: str, network: str, shown: str, sources: Mapping[str, bytes]) -> type[Network]:
    package, parts = _run(root, entry, shown, sources)[0].__name__.partition(".")[0], network.split(".")
    stems = ["/".join(parts[:end]) for end in range(len(parts))]
    # The longest that is a file's, as a file may also define what has its own name.
    end = max(end for end, stem in enumerate(stems) if {f"{stem}.py", f"{stem}/__init__.py"} & sources.keys())
    found: Any = importlib.import_module(".".join([package, *parts[:end]]))
    return _named(found, ".".join(parts[end:]))  # type: ignore[no-any-return]


def _named(module: ModuleType | None, dotted: str) -> Any:
    """What a module has under a dotted name; None if nothing."""
    found: Any = module
    for part in dotted.split("."):
        found = getattr(found, part, None)
    return found


def _placed(contents: Mapping[str, bytes], digest: str, cache: Path) -> Path:
    """A folder of this machine with the files: `load` of a network reads some by path."""
    place = hashlib.sha256(b"".join(contents[name] for name in sorted(contents))).hexdigest()[:16]
    root = cache / "code" / f"{digest}-{place}"
    if not root.exists():
        scratch = root.with_name(f".{root.name}.{uuid.uuid4().hex}.tmp")
        for name, data in contents.items():
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).write_bytes(data)
        try:
            scratch.rename(root)
        except OSError:  # another worker of this machine was first
            shutil.rmtree(scratch, ignore_errors=True)
    return root


def _study_file(root: Path, name: str, path: Path) -> bytes:
    if not _NAME.fullmatch(name) or ".." in PurePosixPath(name).parts:
        raise PlanError(f"{path}: files={name!r}: expected a name beside the study's file, such as weights.safetensors")
    try:
        return (root / name).read_bytes()
    except OSError as error:
        raise PlanError(f"{path}: files={name!r}: can't read {root / name}: {error.strerror}") from None


def _run(
    root: Path, entry: str, shown: str, sources: Mapping[str, bytes] | None = None
) -> tuple[ModuleType, dict[str, bytes]]:
    """Run a study's file as a module of a package of its own; returns it, and the sources of all its modules."""
    try:
        found = dict(sources) if sources is not None else neighbours(root, entry)
    except SyntaxError as error:
        raise PlanError(f"{error.filename or shown}, line {error.lineno}: {error.msg}") from None
    except (OSError, ValueError) as error:
        raise PlanError(f"{shown}: {error}") from None
    if own := next((name for name in found if imports_itself(found[name], name)), None):
        module = PurePosixPath(own).stem
        raise PlanError(f"{root / own} imports {module}, which it would be itself: give the file another name")
    content = hashlib.sha256(canonical_json({n: hashlib.sha256(d).hexdigest() for n, d in found.items()}).encode())
    package = f"{CODE}{content.hexdigest()[:16]}_{hashlib.sha256(os.fsencode(root)).hexdigest()[:8]}"
    _packages[package] = root, found
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    try:
        return importlib.import_module(f"{package}.{PurePosixPath(entry).stem}"), found
    except BaseException as error:  # it may also end the process, or raise what is no Exception
        for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
            del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise PlanError(f"{_where(error, root, shown)}: {_reason(error)}") from None


def _where(error: BaseException, root: Path, shown: str) -> str:
    """File and line of the study's code that an exception came from."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).parent.is_relative_to(root)]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else shown


def _reason(error: BaseException) -> str:
    words = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, SystemExit):
        return f"it ends the process ({words or 'exit'}); a study's file only defines STUDY"
    if words and isinstance(error, ValueError | SyntaxError):
        return words
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


_packages: dict[str, tuple[Path, dict[str, bytes]]] = {}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and runs the modules of studies' packages, from their sources in memory."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, rest = fullname.partition(".")
        if package not in _packages:
            return None
        root, sources = _packages[package]
        stem = rest.replace(".", "/")
        names = [f"{stem}.py", f"{stem}/__init__.py"] if rest else []
        name = next((name for name in names if name in sources), None)
        folder = not rest or any(other.startswith(f"{stem}/") for other in sources)
        if name is None and not folder:
            return None
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=str(root / name) if name else None)
        spec.has_location = name is not None
        if folder and not (name or "").endswith(f"{stem}.py"):
            spec.submodule_search_locations = []
        spec.loader_state = name
        return spec

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        assert spec is not None
        if spec.loader_state is None:
            return
        package = module.__name__.partition(".")[0]
        root, sources = _packages[package]
        file = str(root / spec.loader_state)
        tree = _Renamed(package, sources).visit(ast.parse(sources[spec.loader_state], file))
        exec(compile(ast.fix_missing_locations(tree), file, "exec"), vars(module))


_finder = _Finder()


class _Renamed(ast.NodeTransformer):
    """Imports of neighbours, as imports from the study's package."""

    def __init__(self, package: str, sources: Mapping[str, bytes]) -> None:
        self.package = package
        self.names = {PurePosixPath(name).parts[0].removesuffix(".py") for name in sources}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.level == 0 and node.module and node.module.partition(".")[0] in self.names:
            node.module = f"{self.package}.{node.module}"
        return node

    def visit_Import(self, node: ast.Import) -> ast.AST | list[ast.stmt]:
        statements: list[ast.stmt] = []
        for alias in node.names:
            first = alias.name.partition(".")[0]
            if first not in self.names:
                statements.append(ast.Import([alias]))
            elif alias.asname or alias.name == first:
                parent, _, last = f"{self.package}.{alias.name}".rpartition(".")
                statements.append(ast.ImportFrom(parent, [ast.alias(last, alias.asname)], 0))
            else:  # `import a.b` binds a
                whole = ast.alias(f"{self.package}.{alias.name}", "_imported")
                statements += [ast.Import([whole]), ast.ImportFrom(self.package, [ast.alias(first)], 0)]
        return [ast.copy_location(statement, node) for statement in statements]
