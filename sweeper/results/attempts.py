"""Every start of a trial is a row, so that a study's cost includes what was killed, retried and thrown away.

An attempt writes its row when it starts, with outcome `running`, and again when it ends. While it runs, a thread
touches the file: a process that was killed can't say so, but its file stops changing, and that is when it died. In an
object store touching means writing again, so it is done less often there, and death is noticed later.
"""

import contextlib
import datetime
import os
import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sweeper.results import provenance, schema
from sweeper.results.store import Study
from sweeper.results.tables import table_bytes

HEARTBEAT_SECONDS = 5.0
LOST_SECONDS = 30.0  # without a heartbeat: the process is gone
RUN_DIGITS = 6  # of an attempt's twelve: those of the run that began it


@dataclass
class Attempt:
    """A running attempt; set `outcome` before it ends, else the exception that ends it is the outcome."""

    outcome: str = ""


def new_run() -> str:
    """A mark for a run: for all that one process starts in one study."""
    return uuid.uuid4().hex[:RUN_DIGITS]


@contextlib.contextmanager
def attempt(study: Study, trial_id: str, *, device: str, cpus: float, gpus: float, run: str = "") -> Iterator[Attempt]:
    """Record one attempt at a trial, however it ends.

    Args:
        study: where.
        trial_id: of what.
        device: 'cpu' or the GPU's name.
        cpus, gpus: what the attempt holds, over all its workers.
        run: the run's mark (`new_run`), by which it knows its own attempts from those of others.
    """
    row = {
        "attempt_id": (run + uuid.uuid4().hex)[:12],
        "trial_id": trial_id,
        "started": datetime.datetime.now(datetime.UTC),
        "outcome": "running",
        "device": device,
        "cpus": cpus,
        "gpus": gpus,
        "process": os.getpid(),
    } | provenance.node()
    name = study.attempts.path(f"{trial_id}-{row['attempt_id']}")
    running = Attempt()
    begun = table_bytes([row | {"ended": row["started"]}], schema.ATTEMPT)
    study.storage.write(name, begun)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(study, name, begun, stop), daemon=True)
    beat.start()
    try:
        yield running
        row["outcome"] = running.outcome or "complete"
    except BaseException as error:
        stopped = isinstance(error, SystemExit)  # how Tune ends a trial that it was told to stop
        row["outcome"] = running.outcome or ("stopped" if stopped else f"failed: {type(error).__name__}: {error}")
        raise
    finally:
        stop.set()
        beat.join()
        study.write_table(name, [row | {"ended": datetime.datetime.now(datetime.UTC)}], schema.ATTEMPT)


def _beat(study: Study, name: str, content: pa.Buffer, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS * study.storage.patience):
        with contextlib.suppress(OSError):
            study.storage.touch(name, content)


def read_attempts(study: Study, trial_id: str = "") -> pa.Table:
    """Attempts at all trials, or at one that is not finished, oldest first.

    One that runs ends at its last heartbeat; without one for long, it is `lost`.
    """
    touched = study.attempts.single(f"{trial_id}-" if trial_id else "")
    table = study.attempts.read_single(touched) if trial_id else study.attempts.read()
    runs = pc.equal(table["outcome"], "running")
    now = datetime.datetime.now(datetime.UTC)
    running = []
    for row in table.filter(runs).to_pylist():
        name = f"{row['trial_id']}-{row['attempt_id']}"
        beat = datetime.datetime.fromtimestamp(touched[name] / 1e9, datetime.UTC) if name in touched else now
        if (now - beat).total_seconds() > LOST_SECONDS * study.storage.patience:
            row["outcome"] = "lost"
        running.append(row | {"ended": max(beat, row["started"])})  # an object store tells whole seconds
    table = pa.concat_tables([table.filter(pc.invert(runs)), pa.Table.from_pylist(running, schema=schema.ATTEMPT)])
    return table.sort_by([("started", "ascending"), ("attempt_id", "ascending")])


@dataclass(frozen=True)
class Cost:
    """What a trial held over its attempts; `waste` is the part that did not complete it.

    In device-seconds: seconds × GPUs where it held any, else seconds × CPUs.
    """

    attempts: int
    device_seconds: float
    waste_device_seconds: float


def costs(study: Study, trial_id: str = "") -> dict[str, Cost]:
    """Cost until now by trial id, of all trials of a study, or of one that is not finished."""
    by_trial = defaultdict(list)
    for row in read_attempts(study, trial_id).to_pylist():
        by_trial[row["trial_id"]].append((_held(row), row["outcome"] == "complete"))
    return {
        trial_id: Cost(
            len(attempts), sum(held for held, _ in attempts), sum(held for held, complete in attempts if not complete)
        )
        for trial_id, attempts in by_trial.items()
    }


def cost_of_running(study: Study, trial_id: str, *, complete: bool) -> Cost:
    """Cost of a trial by the worker that is at it, just before its last attempt ends, complete or not."""
    rows = read_attempts(study, trial_id).to_pylist()
    rows[-1]["ended"] = datetime.datetime.now(datetime.UTC)
    held = [_held(row) for row in rows]
    return Cost(len(rows), sum(held), sum(held[:-1] if complete else held))


def _held(row: dict[str, Any]) -> float:
    return float((row["ended"] - row["started"]).total_seconds() * (row["gpus"] or row["cpus"]))
