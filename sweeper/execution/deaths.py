"""What the driver writes down for a worker that died, as that can't: when its attempts ended, and why its trial failed.

Killed by the system for its memory, by a segfault, or ended by what it ran (`os._exit`): no exception reaches the
worker's own code, which records all other failures.
"""

import contextlib
import re
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sweeper.execution.worker import SweepContext, circumstances
from sweeper.plan import TrialSpec
from sweeper.results.attempts import cost_of_running, end_dead
from sweeper.results.claims import Claims
from sweeper.results.rows import failed_row
from sweeper.results.tables import StudyError

MOST_CHARACTERS = 300  # of what Ray knows: enough for the causes that it takes for likely
_INDENTED = re.compile(r"^[ \t].*\n", re.MULTILINE)


def note_death(sweep: SweepContext, spec: TrialSpec) -> list[dict[str, Any]]:
    """End the attempts that the dead worker left; returns all that this sweep began at the trial."""
    with contextlib.suppress(OSError, StudyError):
        return end_dead(sweep.study, spec.trial_id, sweep.run)
    return []


def record_death(sweep: SweepContext, spec: TrialSpec, times: int, cause: str) -> str:
    """Record a trial whose workers died so often as failed, unless it is finished or another command is at it.

    Returns:
        why it failed.
    """
    begun = note_death(sweep, spec)
    reason = f"its worker died {times} time{'' if times == 1 else 's'}"
    reason += ("" if begun else ", before the trial began") + (f": {cause}" if cause else "")
    study = sweep.study
    with contextlib.suppress(OSError, StudyError):  # a full disk, say, which may be the very reason
        if not study.is_finished(spec.trial_id) and spec.trial_id not in Claims(study, sweep.run).now():
            row = failed_row(spec, circumstances(sweep, spec, threads=sweep.cpus), reason)
            place = {name: begun[-1][name] for name in ("device", "node")} if begun else {}  # which needn't be here
            cost = asdict(cost_of_running(study, spec.trial_id, complete=False))
            study.record_failure(row | place | cost, [])
    return reason


def cause_of(trial: Any) -> str:
    """What Ray knows of the newest failure of one of Tune's trials, in a line; '' if nothing.

    Tune's `get_error` looks where Tune copies the file from time to time; what it wrote lies here.
    """
    try:
        told = Path(trial.error_file).read_text(errors="replace")
    except (OSError, TypeError):  # no file
        return ""
    newest = told.rpartition("Failure # ")[2].partition("\n")[2]
    last = _INDENTED.split(newest)[-1].strip() or newest  # after a traceback, or what identifies the worker
    return textwrap.shorten(last.partition("Worker exit detail: ")[2] or last, MOST_CHARACTERS, placeholder=" …")
