"""Every start of a trial is a row, so that a study's cost includes what was killed, retried and thrown away.

An attempt writes its row when it starts, with outcome `running`, and again when it ends. While it runs, a thread
touches the file: a process that was killed can't say so, but its file stops changing, and that is when it died. In an
object store touching means writing again, so it is done less often there, and death is noticed later.

An attempt's length is measured by a monotonic clock; the row's end is its start plus that length. Where only wall
clocks are known (the process died, or runs on another host), a length below 0 counts as 0.
"""

import contextlib
import datetime
import os
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sweeper.results import provenance, schema
from sweeper.results.row_files import Doubts
from sweeper.results.soundness import impossible_time
from sweeper.results.store import Study
from sweeper.results.tables import table_bytes

HEARTBEAT_SECONDS = 5.0
LOST_SECONDS = 30.0  # without a heartbeat: the process is gone
RUN_DIGITS = 6  # of an attempt's twelve: those of the run that began it


class Attempt:
    """A running attempt; set `outcome` before it ends, else the exception that ends it is the outcome.

    Attributes:
        attempt_id: its name in the row.
        outcome: as in the row.
    """

    def __init__(self, run: str) -> None:
        self.attempt_id = (run + uuid.uuid4().hex)[:12]
        self.outcome = ""
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self._began


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
    running = Attempt(run)
    started = datetime.datetime.now(datetime.UTC)
    row = {
        "attempt_id": running.attempt_id,
        "trial_id": trial_id,
        "started": started,
        "outcome": "running",
        "device": device,
        "cpus": cpus,
        "gpus": gpus,
        "process": os.getpid(),
        "process_space": provenance.process_space(),
    } | provenance.node()
    name = study.attempts.path(f"{trial_id}-{running.attempt_id}")
    begun = table_bytes([row | {"ended": started}], schema.ATTEMPT)
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
        lasted = datetime.timedelta(seconds=running.seconds)
        study.write_table(name, [row | {"ended": started + lasted}], schema.ATTEMPT)


def _beat(study: Study, name: str, content: pa.Buffer, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS * study.storage.patience):
        with contextlib.suppress(OSError):
            study.storage.touch(name, content)


def read_attempts(
    study: Study, trial_id: str = "", doubts: Doubts | None = None, *, but: Collection[str] = ()
) -> pa.Table:
    """Attempts at all trials, or at one that is not finished, oldest first.

    One that runs ends at its last heartbeat; without one for long, it is `lost`.

    Args:
        study: whose.
        trial_id: of the one trial; '': of all.
        doubts: takes what is wrong with files, instead of an error for the first that is damaged.
        but: finished trials, whose attempts are not read; only theirs are in packs.

    Raises:
        StudyError: a file is damaged.
        FileNotFoundError: with `trial_id` or `but`, one went while they were read.
    """
    touched = study.attempts.single(f"{trial_id}-" if trial_id else "")
    if but:
        touched = {name: beat for name, beat in touched.items() if name.partition("-")[0] not in but}
    some = trial_id or but
    table = study.attempts.read_single(touched, doubts) if some else study.attempts.read(doubts)
    everything, table = table, possible(table)
    if doubts is not None and len(table) < len(everything):
        names = set(zip(everything["trial_id"].to_pylist(), everything["attempt_id"].to_pylist(), strict=True))
        names -= set(zip(table["trial_id"].to_pylist(), table["attempt_id"].to_pylist(), strict=True))
        files = sorted(study.attempts.file_of("-".join(name)) for name in names)
        doubts.unsound += [f"{file}: a time or an amount that there can't be" for file in files]
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


def end_dead(study: Study, trial_id: str, run: str) -> list[dict[str, Any]]:
    """End a run's attempts at a trial as lost, now that their process is known to be gone: it can't say so itself.

    It died after its last heartbeat and before the next one.

    Returns:
        the run's attempts at the trial, oldest first.

    Raises:
        StudyError: what says so can't be read.
    """
    rows = read_attempts(study, trial_id, Doubts()).to_pylist()
    rows = [row for row in rows if row["attempt_id"].startswith(run)]
    now = datetime.datetime.now(datetime.UTC)
    between = datetime.timedelta(seconds=HEARTBEAT_SECONDS * study.storage.patience)
    for row in rows:
        if row["outcome"] == "running":
            row |= {"outcome": "lost", "ended": min(max(now, row["ended"]), row["ended"] + between)}
            study.write_table(study.attempts.path(f"{trial_id}-{row['attempt_id']}"), [row], schema.ATTEMPT)
    return rows


def possible(attempts: pa.Table) -> pa.Table:
    """The attempts with times and amounts that there can be."""
    amounts = [pc.and_(pc.is_finite(attempts[name]), pc.greater_equal(attempts[name], 0)) for name in ("cpus", "gpus")]
    times = [pc.invert(impossible_time(attempts[name])) for name in ("started", "ended")]
    return attempts.filter(pc.and_(pc.and_(*amounts), pc.and_(*times)))


@dataclass(frozen=True)
class Cost:
    """What a trial held over its attempts; `waste` is the part of those that ended without completing it.

    In device-seconds: seconds × GPUs where it held any, else seconds × CPUs.
    """

    attempts: int
    device_seconds: float
    waste_device_seconds: float


def costs(study: Study, doubts: Doubts | None = None, *, but: Collection[str] = ()) -> dict[str, Cost]:
    """Cost until now of all trials of a study, also of those that did not finish, by trial id.

    Args:
        study: whose.
        doubts: see `read_attempts`.
        but: finished trials that are not asked for, as their rows tell what they cost: their attempts are not read.

    Raises:
        StudyError: a file is damaged.
    """
    try:
        table = read_attempts(study, doubts=doubts, but=but)
    except FileNotFoundError:  # its trial has finished since it was listed, and it was packed
        table = read_attempts(study, doubts=doubts)
    # By columns, as `held` does for a row: a large study has a hundred thousand.
    seconds = (table["ended"].to_numpy() - table["started"].to_numpy()) / np.timedelta64(1, "s")
    cpus, gpus = table["cpus"].to_numpy(), table["gpus"].to_numpy()
    spent = np.maximum(0.0, seconds * np.where(gpus != 0, gpus, cpus)).tolist()
    by_trial = defaultdict(list)
    for trial_id, cost, outcome in zip(table["trial_id"].to_pylist(), spent, table["outcome"].to_pylist(), strict=True):
        by_trial[trial_id].append((cost, outcome not in ("complete", "running")))
    return {
        trial_id: Cost(len(found), sum(cost for cost, _ in found), sum(cost for cost, wasted in found if wasted))
        for trial_id, found in by_trial.items()
    }


def cost_of_running(study: Study, trial_id: str, *, complete: bool, running: Attempt | None = None) -> Cost:
    """Cost of a trial that is not committed yet, until now; records of it that can't be read cost nothing.

    Args:
        study, trial_id: of which trial.
        complete: whether its newest attempt, which is about to end, completes it.
        running: that attempt, if it is this process's own.
    """
    rows = read_attempts(study, trial_id, Doubts()).to_pylist()
    newest = running.attempt_id if running is not None else rows[-1]["attempt_id"] if rows else ""
    spent = {}
    for row in rows:
        if row["attempt_id"] == newest and running is not None:
            row["ended"] = row["started"] + datetime.timedelta(seconds=running.seconds)
        elif row["attempt_id"] == newest and row["outcome"] == "running":
            row["ended"] = max(row["ended"], datetime.datetime.now(datetime.UTC))
        spent[row["attempt_id"]] = held(row)
    total = sum(spent.values())
    return Cost(len(spent), total, total - spent.get(newest, 0.0) if complete else total)


def held(row: Mapping[str, Any]) -> float:
    """Device-seconds that an attempt held, at least 0: a clock may have been set back while it ran."""
    return max(0.0, float((row["ended"] - row["started"]).total_seconds() * (row["gpus"] or row["cpus"])))
