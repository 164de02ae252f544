"""Which trials of a study other runs are at, so that two commands on one study share its work.

Whoever trains a trial says so by its attempt, whose file changes with every heartbeat; that is the claim. It ends with
the attempt, or when no heartbeat has come for long, or at once where the process was on this machine and is gone. Two
runs that begin a trial at the same moment see each other's claims soon after, and the younger one yields.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweeper.results.attempts import HEARTBEAT_SECONDS, LOST_SECONDS, possible
from sweeper.results.provenance import process_space
from sweeper.results.row_files import Doubts
from sweeper.results.store import Study
from sweeper.results.tables import StudyError


@dataclass(frozen=True)
class Claim:
    """Another run's attempt at a trial.

    Attributes:
        node: where it runs.
        alive: whether a heartbeat came since it was first seen, so that it surely lives.
        yields: whether it is younger than this run's own attempt at the trial.
    """

    node: str
    alive: bool
    yields: bool


class Claims:
    """The claims of other runs, looked up again whenever a heartbeat may have come, and more often once there are some.

    Args:
        study: whose trials.
        run: this run's mark, see `attempts.attempt`.
    """

    def __init__(self, study: Study, run: str) -> None:
        self._study, self._run = study, run
        self._seconds = HEARTBEAT_SECONDS * study.storage.patience
        self._looked = -self._seconds
        self._first_seen: dict[str, int] = {}  # time of an attempt's file in ns, by attempt
        self._over: set[str] = set()  # attempts that ended
        self._claims: dict[str, Claim] = {}

    def now(self) -> Mapping[str, Claim]:
        """Claims by trial id, a few seconds old at most; half a second once another run was seen at work.

        Short trials would be over, and trained twice, before each run saw what the other one is at.
        """
        if time.monotonic() - self._looked > self._seconds / (10 if self._first_seen else 1):
            self._looked = time.monotonic()
            # A file that has gone since it was listed, a network, a damaged row: asked again soon.
            with contextlib.suppress(OSError, StudyError):
                self._claims = self._look()
        return self._claims

    def settled(self) -> Mapping[str, Claim]:
        """Those of runs that surely live, by trial id: what was killed a moment ago may still look alive.

        Waits for a heartbeat of each, or for its end, half a minute at most.
        """
        while not all(claim.alive for claim in self.now().values()):
            time.sleep(self._seconds / 10)
        return self._claims

    def _look(self) -> dict[str, Claim]:
        limit = time.time() - LOST_SECONDS * self._study.storage.patience
        files = {
            name: changed
            for name, changed in self._study.attempts.single().items()
            if changed / 1e9 > limit and name not in self._over
        }
        others = {name for name in files if not self._is_own(name)}
        contested = {_trial(name) for name in others}
        own = {name for name in files if self._is_own(name) and _trial(name) in contested}
        found = possible(self._study.attempts.read_single(others | own, Doubts()))  # a damaged file claims nothing
        rows = {f"{row['trial_id']}-{row['attempt_id']}": row for row in found.to_pylist()}
        others, own = others & rows.keys(), own & rows.keys()
        self._over |= {name for name, row in rows.items() if row["outcome"] != "running" or _is_gone(row)}
        began = {name: (row["started"], name) for name, row in rows.items() if name not in self._over}
        claims = {}
        for name in sorted(others - self._over, key=lambda name: began[name], reverse=True):  # the oldest counts
            mine = max((began[each] for each in own - self._over if _trial(each) == _trial(name)), default=None)
            alive = files[name] > self._first_seen.setdefault(name, files[name])
            yields = mine is not None and mine < began[name]
            claims[_trial(name)] = Claim(rows[name]["node"], alive, yields)
        return claims

    def _is_own(self, name: str) -> bool:
        return name.partition("-")[2].startswith(self._run)


def _trial(name: str) -> str:
    return name.partition("-")[0]


def _is_gone(row: dict[str, Any]) -> bool:
    """Whether the attempt's process was on this machine and is there no more."""
    if row["node"] != socket.gethostname():
        return False
    if row["process_space"] not in (None, process_space()):  # another one of that name; earlier versions didn't say
        return False
    try:
        os.kill(row["process"], 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # somebody else's process; or no process has such a number
        return False
    return False
