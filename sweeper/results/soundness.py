"""Whether a row can be what it says: known words, numbers that such a quantity can have.

A row that can't be is left out of every table, and named: one accuracy of 17.0 would spoil an arm's mean. A cost that
can't be (a clock that was set back while a trial ran) is unknown, and the row stays.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sweeper.results.names import MARK

_SCORES = tuple(f"{name}{of}" for of in ("", "_ema") for name in ("accuracy", "precision", "recall", "f1"))
_WORDS = {
    "kind": ("ablation", "peer", "search", "variance"),
    "status": ("complete", "failed", "stopped"),
    "stage": ("", "explore", "replicate", "confirm", "test"),
    "scored_on": ("test", "validation"),
}
_FRACTIONS = (*_SCORES, "stopped_score")
_AT_LEAST_0 = ("fold", "replicate", "seed", "gflops_per_clip", "seconds")
_AT_LEAST_1 = ("epochs", "sample_rate", "train_clips", "test_clips", "parameters", "stopped_epoch", "threads")
_COSTS = ("evaluation_seconds", "device_seconds", "waste_device_seconds", "attempts")
_OF_COMPLETE = ("accuracy", "accuracy_ema", "train_clips", "test_clips", "parameters", "seconds")
_OF_OWN = ("epochs", "sample_rate", "clip_seconds", "threads")  # of every trial that was not imported
_OF_STOPPED = ("stopped_epoch", "stopped_score")
_TIMES = (0, 7_258_118_400_000)  # 1970, as on a machine that has no clock, to 2200, in ms
# A row keeps the name under which it was trained, and earlier versions took a new name into the plan all the same.
RENAMED = " (if it was renamed: its old name and the same command bring the trial back)"
_PLANNED = ("kind", "arm", "fold", "replicate")  # what the plan says of a trial, too


def unsound(rows: pa.Table) -> dict[str, str]:
    """What rows say that can't be, by trial id: a sentence's end such as `accuracy is 17.0, not 0 to 1`.

    Args:
        rows: `schema.TRIAL`.
    """
    found: dict[str, str] = {}
    for name, words in _WORDS.items():
        known = pc.is_in(rows[name], pa.array(words))
        _note(
            found,
            rows,
            pc.and_(pc.is_valid(rows[name]), pc.invert(known)),
            name,
            f"not {', '.join(filter(None, words))}",
        )
    _note_each(found, rows, _FRACTIONS, lambda values: _outside(values, 0, 1), "not 0 to 1")
    _note_each(found, rows, _AT_LEAST_0, lambda values: _outside(values, 0), "not at least 0")
    _note_each(found, rows, _AT_LEAST_1, lambda values: _outside(values, 1), "not at least 1")
    _note_each(found, rows, ("clip_seconds", "train_loss"), lambda values: pc.invert(pc.is_finite(values)), "no number")
    complete, stopped = (pc.equal(rows["status"], status) for status in ("complete", "stopped"))
    own = pc.is_null(rows["imported"])
    wanted = ((complete, ("accuracy",)), (pc.and_(complete, own), _OF_COMPLETE), (stopped, _OF_STOPPED), (own, _OF_OWN))
    for which, needed in wanted:
        those = rows.select(["trial_id", *needed]).filter(which)
        for name in needed:
            if those[name].null_count:
                _note(found, those, pc.is_null(those[name]), name, "")
    _note(
        found, rows, pc.invert(pc.match_substring_regex(rows["evidence"], f"^{MARK.pattern}$")), "evidence", "no mark"
    )
    _note(found, rows, impossible_time(rows["finished"]), "finished", "no time at which a trial can have ended")
    searched = rows.filter(pc.equal(rows["kind"], "search")).select(["trial_id", "params"]).to_pylist()
    found |= {row["trial_id"]: f"params is {row['params']!r}, no JSON object" for row in searched if not _object(row)}
    return found


def impossible_time(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Where a time is none that a clock would show."""
    return _outside(times.cast(pa.int64()), *_TIMES)


def without_impossible_costs(rows: pa.Table) -> pa.Table:
    """The rows, with costs below 0 or beyond all numbers unknown."""
    for name in _COSTS:
        wrong = pc.fill_null(_outside(rows[name], 0), False)
        if pc.any(wrong).as_py():
            place = rows.schema.get_field_index(name)
            field = rows.schema.field(place)
            rows = rows.set_column(place, field, pc.if_else(wrong, pa.scalar(None, field.type), rows[name]))
    return rows


def unplanned(rows: pa.Table, plan: Mapping[str, Any]) -> dict[str, str]:
    """Where rows of planned trials say something else of the trial than the plan, by trial id.

    Args:
        rows: `schema.TRIAL`.
        plan: the study's `plan.json`; empty if it is missing.
    """
    planned = {trial["trial_id"]: trial for trial in plan.get("trials", ())}
    found = {}
    for row in rows.select(["trial_id", *_PLANNED]).to_pylist() if planned else ():
        trial = planned.get(row["trial_id"], row)
        if differing := [name for name in _PLANNED if row[name] != trial.get(name, row[name])]:
            found[row["trial_id"]] = "; ".join(f"{n} is {row[n]!r}, {trial[n]!r} in the plan" for n in differing)
            found[row["trial_id"]] += RENAMED if differing == ["arm"] else ""
    return found


def leave_out(rows: pa.Table, trial_ids: Iterable[str]) -> pa.Table:
    """The rows of other trials."""
    ids = pa.array(list(trial_ids), pa.string())
    return rows.filter(pc.invert(pc.is_in(rows["trial_id"], ids))) if len(ids) else rows


def _outside(values: pa.ChunkedArray, least: float, most: float | None = None) -> pa.ChunkedArray:
    """Where a value is none that such a quantity can have; null where there is none."""
    inside = pc.and_(pc.is_finite(values), pc.greater_equal(values, least))
    return pc.invert(inside if most is None else pc.and_(inside, pc.less_equal(values, most)))


def _note_each(
    found: dict[str, str],
    rows: pa.Table,
    names: Sequence[str],
    wrong: Callable[[pa.ChunkedArray], pa.ChunkedArray],
    why: str,
) -> None:
    """As `_note`, of several columns; those of one type are looked at together first, as each call takes its time."""
    for kind in dict.fromkeys(rows.schema.field(name).type for name in names):
        same = [name for name in names if rows.schema.field(name).type == kind]
        together = pa.chunked_array([chunk for name in same for chunk in rows[name].chunks], kind)
        if pc.any(wrong(together)).as_py():
            for name in same:
                _note(found, rows, wrong(rows[name]), name, why)


def _note(found: dict[str, str], rows: pa.Table, wrong: pa.ChunkedArray, name: str, why: str) -> None:
    """Note the rows where a column is `wrong`, unless something is noted of them already; no `why`: it is empty."""
    if not pc.any(wrong).as_py():
        return
    rows = rows.filter(pc.fill_null(wrong, False))
    for trial_id, value in zip(rows["trial_id"].to_pylist(), rows[name].cast(pa.string()).to_pylist(), strict=True):
        found.setdefault(trial_id, f"{name} is {value}, {why}" if why else f"{name} is missing")


def _object(row: Mapping[str, Any]) -> bool:
    try:
        return isinstance(json.loads(row["params"] or "{}"), dict)
    except (ValueError, RecursionError):
        return False
