"""Two studies side by side: what differs in design, data and software, and what each found per arm."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sweeper.audio.datasets.base import shorten
from sweeper.report.cells import NONE, PaperTable, points
from sweeper.report.formats import print_grids
from sweeper.report.tables import accuracy, difference, distinct, planned
from sweeper.results import leaderboard
from sweeper.results.leaderboard import Leaderboard
from sweeper.results.store import Study

_SHARED = ("data_digest", "git_commit", "sweeper_version", "torch_version", "ray_version", "python_version", "device")
_GRID = {"fold": "folds", "replicate": "seeds"}


def compare(study_a: Study, study_b: Study) -> str:
    """Both studies for a terminal: differing fields, then a row per arm that either has.

    Raises:
        StudyError: one has no trial yet, or a damaged file.
    """
    a, b = leaderboard.derive(study_a), leaderboard.derive(study_b)
    fields = differing_fields(a, b)
    tables = [_arms(a, b)]
    if fields:
        header = ("field", "A", "B")
        tables.insert(0, PaperTable("What differs", header, tuple(fields), frozenset(header)))
    notes = [
        "B − A: difference of the means, in points; not paired, and without a test: "
        + ("the studies differ in more than chance" if fields else "the studies differ in nothing but chance"),
        "to full: each study's own paired difference to its full network, with its 95 % interval",
    ]
    if not fields:
        notes.insert(0, "Design, data and software are the same.")
    notes += [
        f"{name}: its own tables were not written: {board.unwritten}"
        for name, board in (("A", a), ("B", b))
        if board.unwritten
    ]
    problems = [f"{name}: {problem}" for name, board in (("A", a), ("B", b)) for problem in board.problems]
    return print_grids(f"A: {study_a}\nB: {study_b}", tables, notes, problems)


def differing_fields(a: Leaderboard, b: Leaderboard) -> list[tuple[str, str, str]]:
    """`(field, value in A, value in B)` of everything but the results that the studies don't share."""
    described = [_described(board) for board in (a, b)]
    names = dict.fromkeys(name for description in described for name in description)
    rows = [(name, *(description.get(name, NONE) for description in described)) for name in names]
    return [*((name, left, right) for name, left, right in rows if left != right), *_differing_arms(a, b)]


def _differing_arms(a: Leaderboard, b: Leaderboard) -> list[tuple[str, str, str]]:
    left, right = ([row["arm"] for row in board.summary] for board in (a, b))
    if set(left) == set(right):
        return []
    return [("arms", _only_here(left, right), _only_here(right, left))]


def _only_here(arms: Sequence[str], others: Sequence[str]) -> str:
    only = [arm for arm in arms if arm not in others]
    return f"{len(arms)}, only here: {shorten(only)}" if only else f"{len(arms)}"


def _described(board: Leaderboard) -> dict[str, str]:
    fields = dict(_flat(board.plan.get("design", {}), ""))
    for column, name in _GRID.items():
        fields[name] = ", ".join(map(str, sorted(distinct(board, column))))
    for column in _SHARED:
        fields[column] = ", ".join(sorted(map(str, distinct(board, column)))) or "unknown"
    return fields


def _flat(value: Any, path: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _flat(value[key], f"{path}.{key}".strip("."))
    else:
        yield path, str(value)


def _arms(a: Leaderboard, b: Leaderboard) -> PaperTable:
    left, right = ({(row["kind"], row["arm"]): row for row in board.summary} for board in (a, b))
    rows = []
    for kind, arm in dict.fromkeys([*left, *right]):
        sides = [side.get((kind, arm)) for side in (left, right)]
        means = [None if row is None else row["mean"] for row in sides]
        change = NONE if means[0] is None or means[1] is None else points(means[1] - means[0])
        rows.append(
            (
                arm if kind == "ablation" else f"{arm} ({kind})",
                *(NONE if row is None else planned(row) for row in sides),
                *(NONE if row is None else accuracy(row) for row in sides),
                change,
                *(NONE if row is None else difference(row) for row in sides),
            )
        )
    header = ("arm", "n A", "n B", "acc % A", "acc % B", "B − A", "A to full [95 %]", "B to full [95 %]")
    return PaperTable("Arms", header, tuple(rows), frozenset({"arm"}))
