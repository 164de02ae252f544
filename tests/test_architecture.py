"""Who may import whom: the rooms of CONTRIBUTING.md, held by parsing every import."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# A leaderboard and a report know studies as data.
STUDIES = ("model", "search_spaces", "study", "study_file", "definition")
# Longest matching prefix decides; each room may import itself and what is listed.
MAY_IMPORT = {
    "sweeper.factorial": [],
    "sweeper.switches": [],
    "sweeper.field_types": [],
    "sweeper.augmentation_config": ["sweeper.field_types"],
    "sweeper.training_config": ["sweeper.augmentation_config", "sweeper.field_types"],
    "sweeper.idle_switches": ["sweeper.training_config", "sweeper.switches"],
    "sweeper.space": ["sweeper.training_config", "sweeper.switches"],
    "sweeper.study": [
        "sweeper.field_types",
        *("sweeper.factorial", "sweeper.space", "sweeper.switches"),
        *("sweeper.training_config", "sweeper.augmentation_config"),
    ],
    "sweeper.definition": ["sweeper.factorial", "sweeper.study"],
    "sweeper.plan": ["sweeper.definition", "sweeper.space", "sweeper.study", "sweeper.switches"],
    "sweeper.code_names": [],
    "sweeper.code_imports": [],
    "sweeper.code_module": ["sweeper.code_imports", "sweeper.code_names"],
    "sweeper.code_digest": ["sweeper.code_imports", "sweeper.code_module", "sweeper.code_names"],
    "sweeper.study_imports": ["sweeper.code_imports", "sweeper.definition"],
    "sweeper.study_file": [
        *("sweeper.code_digest", "sweeper.code_imports", "sweeper.definition", "sweeper.plan", "sweeper.study"),
        "sweeper.study_imports",
        "sweeper.search_spaces.NAMES",
    ],
    "sweeper.model": ["sweeper.study"],
    "sweeper.cluster": [],
    "sweeper.search_spaces": [
        *("sweeper.augmentation_config", "sweeper.training_config", "sweeper.switches"),
        *("sweeper.model.config", "sweeper.model.rivals", "sweeper.space", "sweeper.study"),
    ],
    "sweeper.statistics": [],
    "sweeper.audio": ["sweeper.augmentation_config"],
    "sweeper.training": [
        *("sweeper.model", "sweeper.training_config", "sweeper.plan", "sweeper.audio", "sweeper.study"),
        "sweeper.field_types",
    ],
    "sweeper.results.schema": [],
    "sweeper.results": ["sweeper", *(f"!sweeper.{room}" for room in (*STUDIES, "report", "execution", "cli", "run"))],
    "sweeper.report": ["sweeper", *(f"!sweeper.{room}" for room in (*STUDIES, "execution", "cli", "run"))],
    "sweeper.execution": ["sweeper", "!sweeper.cli", "!sweeper.run", "!sweeper.report"],
    "sweeper": [],
}
ONLY_UNDER = {"ray": "sweeper.execution", "optuna": "sweeper.search.suggest", "fsspec": "sweeper.results.object_store"}

WITHOUT_TORCH = [
    f"sweeper.{name}"
    for name in (
        "model.config",
        "model.checks",
        "model.rivals",
        "plan",
        "study",
        "study_file",
        "code_names",
        "code_imports",
        "code_module",
        "code_digest",
        "definition",
        "space",
        "factorial",
    )
]


def modules():
    for folder in ("sweeper", "sweeper/model", "sweeper/search_spaces", "sweeper/cluster"):  # rglob follows no links
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


def imports(path, *, typing=True):
    tree = ast.parse(path.read_text("utf-8"))
    if not typing:  # what only type checkers import
        tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node))]
    for node in ast.walk(tree):
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
        if under(name, "sweeper.search_spaces") or name in WITHOUT_TORCH:
            assert not any(under(imported, "torch") for imported in imports(path, typing=False)), name
