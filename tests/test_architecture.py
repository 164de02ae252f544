"""Who may import whom: the rooms of CONTRIBUTING.md, held by parsing every import."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Longest matching prefix decides; each room may import itself and what is listed.
MAY_IMPORT = {
    "sweeper.model": [],
    "sweeper.model.build": ["sweeper.model", "sweeper.study"],
    "sweeper.study": [],
    "sweeper.cluster": [],
    "sweeper.search_spaces": ["sweeper.model.config"],
    "sweeper.statistics": [],
    "sweeper.audio": ["sweeper.search_spaces.augmentation"],
    "sweeper.plan": ["sweeper.model.config", "sweeper.search_spaces"],
    "sweeper.training": ["sweeper.model", "sweeper.search_spaces", "sweeper.study", "sweeper.plan", "sweeper.audio"],
    "sweeper.results.schema": [],
    "sweeper.results": ["sweeper", "!sweeper.model", "!sweeper.execution", "!sweeper.cli", "!sweeper.run"],
    "sweeper.report": ["sweeper", "!sweeper.execution", "!sweeper.cli", "!sweeper.run"],
    "sweeper.execution": ["sweeper", "!sweeper.model", "!sweeper.cli", "!sweeper.run", "!sweeper.report"],
    "sweeper": [],
}
ONLY_UNDER = {"ray": "sweeper.execution", "optuna": "sweeper.search", "fsspec": "sweeper.results.object_store"}


def modules():
    for folder in ("sweeper", "sweeper/model", "sweeper/search_spaces", "sweeper/cluster"):  # rglob follows no links
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


def imports(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def under(name, room):
    return name == room or name.startswith(f"{room}.")


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_run_one_way(name, path):
    room = max((room for room in MAY_IMPORT if under(name, room)), key=len)
    allowed = [room, *(entry for entry in MAY_IMPORT[room] if not entry.startswith("!"))]
    denied = [entry[1:] for entry in MAY_IMPORT[room] if entry.startswith("!")]
    for imported in imports(path):
        for library, home in ONLY_UNDER.items():
            if under(imported, library):
                assert under(name, home), f"{name} imports {library}, which only {home} may"
        if under(imported, "sweeper") and imported != "sweeper.__version__":
            assert any(under(imported, entry) for entry in allowed), f"{name} imports {imported}"
            assert not any(under(imported, entry) for entry in denied), f"{name} imports {imported}"


def test_plans_and_spaces_need_no_torch():
    for name, path in modules():
        if under(name, "sweeper.search_spaces") or name in ("sweeper.model.config", "sweeper.plan"):
            assert not any(under(imported, "torch") for imported in imports(path)), name
