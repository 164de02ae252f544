"""Studies of the same data, design and code become one: half of the seeds run here and half there are one whole study.

Rows are taken as they are, with what their trials left. Of a trial that two studies hold, the first one's counts.
"""

import re
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from sweeper.results import schema
from sweeper.results.attempts import read_attempts
from sweeper.results.budget import BUDGET
from sweeper.results.evidence import FOLDERS
from sweeper.results.floors import FILE, Floor, read_floor, write_floor
from sweeper.results.folder import Folder
from sweeper.results.gates import GATES, merge_gates
from sweeper.results.plans import merge
from sweeper.results.store import Study
from sweeper.results.tables import StudyError, table_bytes

_CODE = ("git_commit", "sweeper_version")


def merge_studies(parts: Sequence[Study], whole: Study) -> int:
    """Put the trials of some studies into a new one; returns how many there are.

    Raises:
        StudyError: they can't be one study, one is named twice or still at work, or the new one is there already.
    """
    if whole.exists():
        raise StudyError(f"{whole} is there already; name another one with --study")
    plans = [_plan(part) for part in parts]
    _refuse_other_code(parts)
    together = reduce(lambda old, new: merge(old, new, "together they are no study: the first"), plans)
    _refuse_twice(parts)
    for part in parts:
        if "running" in set(read_attempts(part)["outcome"].to_pylist()):
            raise StudyError(f"{part} is still at work; wait for its end, or for half a minute if it was killed")
    floor, gates = _floor(parts, together), merge_gates(parts)
    if not any(part.trials().num_rows for part in parts):
        raise StudyError(f"{' and '.join(map(str, parts))}: there is no trial to take")
    whole.create()
    # What a budget left out of a part is a hole of the whole.
    whole.write_plan(together | {"study": whole.name} | ({BUDGET: {}} if BUDGET in together else {}))
    if floor is not None:
        write_floor(whole, floor, together["data_digest"])
    if gates is not None:
        whole.storage.write(GATES, gates)
    taken: set[str] = set()
    for part in parts:
        _copy(part, whole, taken)
    return len(taken)


def _refuse_twice(parts: Sequence[Study]) -> None:
    seen = set()
    for part in parts:
        there = part.storage
        place = str(there.path.resolve()) if isinstance(there, Folder) else there.url
        if place in seen:
            raise StudyError(f"{part} is named twice; name each study once")
        seen.add(place)


def _plan(part: Study) -> dict[str, Any]:
    plan = part.read_plan()
    if plan is None:
        raise StudyError(f"{part} has no plan.json; run its command again")
    if plan.get("searches") or plan.get("sequential"):
        what = "searches" if plan.get("searches") else "goes on until its arms are decided"
        raise StudyError(f"{part} {what}, and what comes next there depends on what came before: it can't be merged")
    return plan


def _refuse_other_code(parts: Sequence[Study]) -> None:
    """By their rows: a plan says what the last command was, also one that trained nothing."""
    for name in _CODE:
        seen: dict[str, Study] = {}
        for part in parts:
            for value in sorted(set(map(str, part.trials()[name].to_pylist()))):
                seen.setdefault(value, part)
        if len(seen) > 1:
            (one, first), (other, second) = list(seen.items())[:2]
            where = f"{first} is" if first is second else f"{first} and {second} are"
            raise StudyError(f"{where} of other code ({name} {one} and {other})")


def _floor(parts: Sequence[Study], plan: dict[str, Any]) -> Floor | None:
    """What the parts say of the floor of each fold; it follows from the data, which they share.

    Raises:
        StudyError: two of them say different things of a fold.
    """
    of_fold: dict[int, tuple[Study, Floor]] = {}
    for part in parts:
        floor = read_floor(part, plan)
        if floor is None:
            continue
        for fold in floor.confusions:
            other, known = of_fold.setdefault(fold, (part, floor))
            alike = (known.method, known.train_clips[fold]) == (floor.method, floor.train_clips[fold])
            if not (alike and np.array_equal(known.confusions[fold], floor.confusions[fold])):
                raise StudyError(
                    f"{other} and {part} have the same data and say different things of the floor of fold {fold}: "
                    f"delete {FILE} of the one that is wrong, and run its command again"
                )
    if not of_fold:
        return None
    floors = {fold: floor for fold, (_, floor) in of_fold.items()}
    return Floor(
        next(iter(floors.values())).method,
        {fold: floor.confusions[fold] for fold, floor in floors.items()},
        {fold: floor.train_clips[fold] for fold, floor in floors.items()},
    )


def _copy(part: Study, whole: Study, taken: set[str]) -> None:
    """Copy what isn't `taken`, and note what was; evidence comes before its row."""
    rows = [row for row in part.trials().to_pylist() if row["trial_id"] not in taken]
    mine = {row["trial_id"]: row for row in rows if row["status"] != "failed"}
    for folder in FOLDERS:
        for name in part.storage.files(folder):
            if re.split(r"[.-]", name, maxsplit=1)[0] in mine:  # also what a killed commit left aside, under its mark
                (content,) = part.storage.read(f"{folder}/{name}")
                whole.storage.write(f"{folder}/{name}", content)
    for row in rows:
        files = whole.rows if row["trial_id"] in mine else whole.failures
        whole.storage.write(files.path(row["trial_id"]), table_bytes([row], schema.TRIAL))
    for row in read_attempts(part).to_pylist():
        if row["trial_id"] not in taken:
            name = whole.attempts.path(f"{row['trial_id']}-{row['attempt_id']}")
            whole.storage.write(name, table_bytes([row], schema.ATTEMPT))
    taken.update(mine)
