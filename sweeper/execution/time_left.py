"""How long a sweep has still to go: an arm's cost is guessed from counted operations until it has been measured.

No Ray here, no clock of its own: whoever asks says what time it is, in s.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from sweeper.plan import TrialSpec

CALL_GFLOP = 0.01  # what a clip costs beside the products that are counted: augmentation, and calls of small operations
NEWEST = 0.1  # least weight of an arm's newest epoch in its mean, as the machine may get busier
STEADY_SECONDS = (2.0, 120.0)  # within such a time a shown end follows what is computed, at first and later

Kind = tuple[str, str, int, int]  # stage, arm, fold, epochs: trials of a kind cost the same


@dataclass
class _Mean:
    """Of what was added; asked for often, so not computed from all each time."""

    number: int = 0
    total: float = 0.0

    def add(self, value: float) -> None:
        self.number += 1
        self.total += value


@dataclass
class _Running:
    kind: Kind
    began: float
    heard: float  # when the last epoch ended
    beside: int = 1  # trials that train as one program, this one included: each has a share of its time
    epochs: int = 0


class TimeLeft:
    """What trials have cost so far, and what those that are still to come will.

    One of these may go with a command through several sweeps: what is known of the arms stays.
    """

    def __init__(self) -> None:
        self._gflops: dict[str, float | None] = {}  # per clip, by arm
        self._coming: Counter[Kind] = Counter()
        self._running: dict[str, _Running] = {}
        self._seconds: dict[str, float] = {}  # of an epoch, by arm
        self._seen: Counter[str] = Counter()  # epochs, by arm
        self._beside = _Mean()  # seconds of a finished trial beside its epochs
        self._shares: dict[str, _Mean] = {}  # of their epochs, that trials of a stage had when they ended
        self._at_once = 1
        self._began: float | None = None
        self._end: float | None = None
        self._said = 0.0

    def expect(self, trials: Iterable[TrialSpec], at_once: int) -> None:
        """Replace the trials still to come by `trials`, of which `at_once` can run at the same time."""
        self._coming, self._at_once = Counter(map(_kind, trials)), at_once

    def cost(self, arm: str, gflops: float | None) -> None:
        """Operations of one forward pass over one clip; None where they can't be counted."""
        self._gflops[arm] = gflops

    def start(self, trial_id: str, spec: TrialSpec, now: float, beside: int = 1) -> None:
        """A trial begins, as one program with others: `beside` in all, of which each costs a share of the seconds."""
        kind = _kind(spec)
        like = kind if self._coming[kind] else next((k for k in self._coming if k[:3] == kind[:3]), kind)
        self._coming[like] -= 1
        self._coming = +self._coming
        self._running[trial_id] = _Running(kind, now, now, beside)
        self._began = now if self._began is None else self._began

    def epoch(self, trial_id: str, epochs: int, seconds: float, now: float) -> None:
        """So many epochs of a trial are done, and the last one took so long."""
        if (running := self._running.get(trial_id)) is None:
            return
        running.epochs, running.heard = epochs, now
        arm = running.kind[1]
        before = self._seconds.get(arm, seconds)
        self._seen[arm] += 1
        self._seconds[arm] = before + max(NEWEST, 1 / self._seen[arm]) * (seconds - before)

    def end(self, trial_id: str, now: float, *, complete: bool) -> None:
        """A trial ended, complete or before its time."""
        if (running := self._running.pop(trial_id, None)) is None:
            return
        stage, arm, _, epochs = running.kind
        self._shares.setdefault(stage, _Mean()).add(1.0 if complete else running.epochs / epochs)
        if complete and arm in self._seconds:
            taken = (now - running.began) / running.beside
            self._beside.add(max(0.0, taken - epochs * self._seconds[arm]))

    def give_back(self, trial_id: str) -> None:
        """A trial stopped without an end: it is still to come."""
        if (running := self._running.pop(trial_id, None)) is not None:
            self._coming[running.kind] += 1

    def left(self, now: float, *, running_only: bool = False) -> float | None:
        """Seconds to the end, or to the end of the trials that run; None while no epoch has been seen.

        What is shown follows what is computed slowly, so that it doesn't jump with each epoch.
        """
        if self._began is None or not self._seconds:
            return None
        running = [self._rest(one, now) for one in self._running.values()]
        lasting = [rest * one.beside for rest, one in zip(running, self._running.values(), strict=True)]
        if running_only:
            return max(lasting, default=0.0)
        coming = [(self._trial(kind), number) for kind, number in self._coming.items()]
        work = math.fsum(running) + math.fsum(seconds * number for seconds, number in coming)
        longest = max([*lasting, *(seconds for seconds, _ in coming)], default=0.0)
        end = now + max(work / self._at_once, longest)
        if self._end is None:
            self._end = end
        else:
            first, most = STEADY_SECONDS
            pace = min(most, max(first, (now - self._began) / 5))
            self._end += (end - self._end) * -math.expm1(-(now - self._said) / pace)
        self._said = now
        return max(0.0, self._end - now)

    def _rest(self, running: _Running, now: float) -> float:
        """Seconds that a trial that runs still needs: not less than its last part needs, however late it is."""
        epoch = self._epoch(running.kind[1])
        whole = (running.kind[3] - running.epochs) * epoch * self._share(running.kind[0])
        return max(0.0, whole - (now - running.heard) / running.beside) + self._overhead()

    def _trial(self, kind: Kind) -> float:
        stage, arm, _, epochs = kind
        return epochs * self._epoch(arm) * self._share(stage) + self._overhead()

    def _epoch(self, arm: str) -> float:
        """Seconds of an arm's epoch: measured, or by its operations at the speed of those that were measured."""
        if arm in self._seconds:
            return self._seconds[arm]
        took = math.fsum(number * self._seconds[known] for known, number in self._seen.items())
        return self._work(arm) * took / math.fsum(number * self._work(known) for known, number in self._seen.items())

    def _work(self, arm: str) -> float:
        known = [gflops for gflops in self._gflops.values() if gflops is not None]
        usual = math.fsum(known) / len(known) if known else 1.0
        gflops = self._gflops.get(arm)
        return CALL_GFLOP + (usual if gflops is None else gflops)

    def _share(self, stage: str) -> float:
        """How much of its epochs a trial of this stage is run for, in the mean: a search stops some."""
        ended = self._shares.get(stage, _Mean())
        return (1.0 + ended.total) / (1 + ended.number)

    def _overhead(self) -> float:
        return self._beside.total / self._beside.number if self._beside.number else 0.0


def _kind(spec: TrialSpec) -> Kind:
    return spec.stage, spec.arm, spec.data.fold, spec.training.epochs


def in_words(seconds: float | None) -> str:
    """`45 s`, `12 min`, `1 h 20 min`, rounded as a reader would."""
    if seconds is None:
        return "not yet known"
    if seconds < 100:
        return f"{5 * math.ceil(seconds / 5)} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes if minutes < 100 else 5 * round(minutes / 5), 60)
    if hours >= 48:
        return f"{hours / 24:.0f} days"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


@dataclass(frozen=True)
class Course:
    """Where one sweep stands in a command that runs several, such as the stages of a search.

    Attributes:
        stage: this sweep's name; empty where it is the only one.
        before: trials that ended in the sweeps before it.
        later: trials like those of the sweeps after it.
        time_left: what is known of the arms' costs.
    """

    stage: str = ""
    before: int = 0
    later: tuple[TrialSpec, ...] = ()
    time_left: TimeLeft = field(default_factory=TimeLeft)
