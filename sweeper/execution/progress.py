"""The live view: a grid of arms × blocks in a terminal (of a search, a row per search), a line per trial elsewhere.

It is a Tune callback, so it runs in the driver and is pickled into Tune's experiment state: what can't be pickled is
made in `setup` and left out of the state. An exception here would end the sweep.
"""

import time
from collections.abc import Sequence
from typing import Any

from ray.tune import Callback
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from sweeper import signals
from sweeper.execution.time_left import Course, in_words
from sweeper.execution.worker import specs_of
from sweeper.plan import TrialSpec
from sweeper.training.cost import gflops_per_clip

LINE_SECONDS = 30.0  # between lines about long trials where there is no terminal
GRID_COLUMNS = 10  # more blocks than this are shown as counts
COLUMN, BESIDE = 8, 6  # characters of a block's column, and lines of the view that are not the grid's rows
NAMED = 3  # trials that are waited for, by name


class Progress(Callback):
    """Shows the trials of one sweep as they run, finish and fail.

    Args:
        trials: those that are known; a search's come one by one.
        coming: trials like those that will be run: all that are known, or a search's with the recipe's values.
        course: where the sweep stands among others.
    """

    def __init__(self, trials: Sequence[TrialSpec], coming: Sequence[TrialSpec], course: Course | None = None) -> None:
        self._specs = {trial.trial_id: trial for trial in trials}
        self._coming, self._course = tuple(coming), course or Course()
        self._left = self._course.time_left
        self._count = self._course.before + len(coming) + len(self._course.later)
        self._share: dict[str, float] = {}  # of each trial's epochs, as far as it is known
        self._cell: dict[str, Text] = {}
        self._done: set[str] = set()  # a trial that was left to another run may come again
        self._running: set[str] = set()
        self._at_once, self._started = 1, 0  # trials that run at the same time, and workers that have begun
        self._failed = 0
        self._best: tuple[float, str] | None = None
        self._speed: dict[str, float] = {}
        self._console: Console | None = None
        self._live: Live | None = None
        self._spinner: Spinner | None = None
        self._said = time.monotonic()
        self._told = False  # what an interrupt waits for
        self._parted: set[str] = set()  # arms whose seeds don't train as one

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_console": None, "_live": None, "_spinner": None}

    def begin(self, at_once: int) -> None:
        """Open the view: `at_once` trials can run at the same time, each on a worker that is now being started."""
        self._at_once = max(1, min(at_once, len(self._coming)))
        self._left.expect((*self._coming, *self._course.later), self._at_once)
        for trial in {trial.arm: trial for trial in (*self._coming, *self._course.later)}.values():
            self._left.cost(trial.arm, gflops_per_clip(trial.model, trial.data.length))
        self._console = Console()
        if self._console.is_terminal:
            self._spinner = Spinner("dots", style="cyan")
            self._live = Live(self, console=self._console, refresh_per_second=4, transient=True)
            with signals.held_back(*signals.SIGNALS):  # its thread is not to take them
                self._live.start()
        else:
            self.say(f"{self._trials()} to run; starting {self._workers()}")

    def close(self) -> None:
        """Close the view."""
        if self._live is not None:
            self._live.stop()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Mark the trial as running, unless the sweep is ending: then it is stopped before it begins."""
        specs = specs_of(trial.config)
        for spec in specs:
            self._specs.setdefault(spec.trial_id, spec)
            if signals.asked() is None and spec.trial_id not in self._done:
                self._start(spec.trial_id, len(specs))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Take in an epoch, or the trial's end: its last report says how it went. Of several seeds, those of each."""
        if "apart" in result:
            self._part(specs_of(trial.config), result["apart"])
        elif "seeds" not in result:
            self._take(trial.config["trial_id"], result)
        for row in result.get("seeds", ()):
            if row["trial"] not in self._done:  # a program that was begun anew tells again what had ended
                self._take(row["trial"], row)

    def _take(self, trial_id: str, result: dict[str, Any]) -> None:
        spec = self._specs[trial_id]
        if "epoch" in result:
            self._left.epoch(trial_id, result["epoch"], result["epoch_seconds"], time.monotonic())
            self._share[trial_id] = result["epoch"] / spec.training.epochs
            self._cell[trial_id] = Text(f"▶ {self._share[trial_id]:.0%}", "cyan")
            self._speed[trial_id] = result["clips_per_second"]
            self._say_how_far()
        elif result.get("outcome") == "started":
            self._say_started()
        elif result.get("outcome") == "complete":
            accuracy = result.get("accuracy")  # unknown where another cluster finished the trial
            if accuracy is not None:
                self._best = max(self._best or (0.0, ""), (accuracy, self._specs[trial_id].arm))
            where = "validation accuracy" if spec.selects else "accuracy"
            words = "finished elsewhere" if accuracy is None else f"{where} {accuracy:.1%}"
            self._finish(trial_id, Text("done" if accuracy is None else f"{accuracy:.1%}", "green"), words)
        elif result.get("outcome") == "failed":
            self._failed += 1
            self._finish(trial_id, Text("failed", "bold red"), f"failed: {result['error']}")
        elif result.get("outcome") == "left":
            self._cell[trial_id] = Text("kept", "dim")
            self._forget(trial_id)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Say that a worker died; its trial begins anew."""
        for spec in specs_of(trial.config):
            if spec.trial_id not in self._done:
                self.say(f"{self._name(spec.trial_id)}: its worker died; the trial is tried again")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Mark a trial whose worker died too often."""
        for spec in specs_of(trial.config):
            if spec.trial_id not in self._done:
                self._failed += 1
                self._finish(spec.trial_id, Text("died", "bold red"), "failed: its worker died")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Mark a search's trial that was stopped before its end, if it was."""
        trial_id = trial.config["trial_id"]
        result = trial.last_result or {}
        spec = self._specs.get(trial_id)
        if spec is not None and spec.selects and "epoch" in result and "outcome" not in result:
            score = result.get("validation_accuracy")
            so_far = "" if score is None else f", validation accuracy {score:.1%}"
            self._finish(trial_id, Text("stopped", "dim"), f"stopped after epoch {result['epoch']}{so_far}")
        for spec in specs_of(trial.config):
            if spec.trial_id in self._running:  # another command began it first, or the sweep is ending
                self._forget(spec.trial_id)

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Once the sweep is asked to end, say what it waits for; Tune calls this all the time."""
        if self._live is None and self._console is not None and not self._told and signals.asked() is not None:
            self._told = True
            self.say(self._ending().plain)

    def say(self, line: str) -> None:
        """Print a line, above the view where that is open."""
        console = self._console or Console()
        if self._live is None:
            console.out(line, highlight=False)  # several times as fast as `print`, which a view needs
        else:
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _start(self, trial_id: str, beside: int = 1) -> None:
        self._running.add(trial_id)
        self._left.start(trial_id, self._specs[trial_id], time.monotonic(), beside)
        self._cell[trial_id] = Text("▶", "cyan")

    def _part(self, specs: Sequence[TrialSpec], reason: str) -> None:
        """Of seeds that can't train as one, or would do so slower, the first begins; say so once for each arm."""
        for spec in specs:
            self._forget(spec.trial_id)
            self._cell.pop(spec.trial_id, None)
        self._start(specs[0].trial_id)
        if specs[0].arm not in self._parted:
            self._parted.add(specs[0].arm)
            self.say(f"{specs[0].arm}: seeds run one by one: {reason}")

    def _forget(self, trial_id: str) -> None:
        """A trial stopped that will come again."""
        self._left.give_back(trial_id)
        self._running.discard(trial_id)
        self._speed.pop(trial_id, None)

    def _finish(self, trial_id: str, cell: Text, words: str) -> None:
        complete = self._share.get(trial_id, 1.0) >= 1.0
        self._left.end(trial_id, time.monotonic(), complete=complete)
        self._running.discard(trial_id)
        self._done.add(trial_id)
        self._share[trial_id] = 1.0
        self._cell[trial_id] = cell
        self._speed.pop(trial_id, None)
        if self._live is None and self._console is not None:
            self._said = time.monotonic()
            ended = f"{self._ended():>{len(str(self._count))}}"
            left = "" if self._ended() == self._count else f"  ({self._time_left()})"
            self.say(f"[{ended}/{self._count}] {self._name(trial_id, 13)}: {words}{left}")

    def _say_how_far(self) -> None:
        if self._live is None and self._console is not None and time.monotonic() - self._said > LINE_SECONDS:
            self._said = time.monotonic()
            self.say(self._line(10_000).plain)

    def _say_started(self) -> None:
        if self._started < self._at_once:
            self._started += 1
            if self._live is None:
                self.say(f"worker {self._started} of {self._at_once} has started")

    def _line(self, width: int) -> Text:
        """How far it is, without what doesn't fit into `width` characters."""
        if signals.asked() is not None:
            return _fitted([(0, self._ending())], width)
        if self._started < self._at_once and not self._share:
            return _fitted([(0, Text(f"starting worker {self._started + 1} of {self._at_once}"))], width)
        stage = f" · {self._course.stage}" if self._course.stage else ""
        parts = [
            (0, Text.assemble((f"{self._ended()}", "bold"), f" of {self._trials()}{stage}")),
            (1, Text(f"{self._failed} failed" if self._failed else "", "red")),
            (0, Text(self._time_left())),
            (3, Text(f"best {self._best[1]} {self._best[0]:.1%}" if self._best else "")),
            (4, Text(f"{sum(self._speed.values()):,.0f} clips/s" if self._speed else "")),
            (2, Text("Ctrl-C stops, resumable" if self._live else "", "dim")),
        ]
        return _fitted(parts, width)

    def _ending(self) -> Text:
        """What an interrupt waits for."""
        waited = [
            f"{self._name(trial_id)} ({self._share.get(trial_id, 0.0):.0%})" for trial_id in sorted(self._running)
        ]
        if not waited:
            return Text("stopping")
        more = f" and {len(waited) - NAMED} more" if len(waited) > NAMED else ""
        left = self._left.left(time.monotonic(), running_only=True)
        return Text(f"waiting for {', '.join(waited[:NAMED])}{more} · {_about(left)}")

    def _time_left(self) -> str:
        return _about(self._left.left(time.monotonic()))

    def _ended(self) -> int:
        return self._course.before + len(self._done)

    def _trials(self) -> str:
        return f"{self._count} trial{'' if self._count == 1 else 's'}"

    def _workers(self) -> str:
        return "1 worker" if self._at_once == 1 else f"{self._at_once} workers"

    def _name(self, trial_id: str, width: int = 0) -> str:
        spec = self._specs[trial_id]
        which = f"trial {trial_id[:6]}" if spec.stage == "explore" else f"seed {spec.replicate}"
        return f"{spec.arm:<{width}} fold {spec.data.fold} {which}"

    def __rich__(self) -> Group:
        console = self._console or Console()
        share = (self._course.before + sum(self._share.values())) / max(1, self._count)
        row = Table.grid(padding=(0, 1))
        row.add_row(self._spinner or "", self._line(console.width - 2))
        bar = ProgressBar(total=1.0, completed=share, width=min(60, console.width))
        return Group(self._grid(console.width, max(1, console.height - BESIDE)), bar, Text(), row)

    def _searches(self) -> Table:
        """A row per search: how many of its trials ended, and which run."""
        table = Table(box=None, pad_edge=False)
        for name in ("arm", "fold", "ended", "running"):
            table.add_column(name, justify="left" if name in ("arm", "running") else "right")
        for arm, fold in dict.fromkeys((spec.arm, spec.data.fold) for spec in self._specs.values()):
            mine = [name for name, spec in self._specs.items() if (spec.arm, spec.data.fold) == (arm, fold)]
            ended = [name for name in mine if self._share.get(name, 0.0) >= 1.0]
            running = Text(" ").join(self._cell[name] for name in mine if name in self._cell and name not in ended)
            table.add_row(arm, str(fold), str(len(ended)), running)
        return table

    def _grid(self, width: int, height: int) -> Table:
        if any(spec.stage for spec in self._specs.values()):
            return self._searches()
        blocks = sorted({(spec.data.fold, spec.replicate) for spec in self._specs.values()})
        arms = list(dict.fromkeys(spec.arm for spec in self._specs.values()))
        at = {(s.arm, s.data.fold, s.replicate): trial_id for trial_id, s in self._specs.items()}
        table = Table(box=None, pad_edge=False)
        table.add_column("arm", no_wrap=True)
        room = (width - max(map(len, arms), default=0)) // COLUMN
        shown = blocks[: max(1, min(GRID_COLUMNS, room if len(blocks) <= room else room - 1))]
        for fold, replicate in shown:
            table.add_column(f"fold {fold}\nseed {replicate}", justify="right", min_width=6, no_wrap=True)
        if len(blocks) > len(shown):
            table.add_column(f"…\nall {len(blocks)}", justify="right")
        if len(arms) > height:  # the line below must be seen
            running = [arm for arm in arms if any(at.get((arm, *block)) in self._running for block in blocks)]
            first = [arm for arm in arms if arm in running] + [arm for arm in arms if arm not in running]
            arms = [arm for arm in arms if arm in first[: height - 1]]
        for arm in arms:
            ids = [at.get((arm, *block), "") for block in blocks]
            cells = [self._cell.get(trial_id, Text("·", "dim")) for trial_id in ids[: len(shown)]]
            if len(blocks) > len(shown):
                done = sum(self._share.get(trial_id, 0.0) >= 1.0 for trial_id in ids)
                cells.append(Text(f"{done}/{len(ids)}", "dim"))
            table.add_row(arm, *cells)
        return table


def _about(seconds: float | None) -> str:
    return "time left: after the first epoch" if seconds is None else f"about {in_words(seconds)} left"


def _fitted(parts: Sequence[tuple[int, Text]], width: int) -> Text:
    """Parts joined by dots; those with the highest numbers are left out first until they fit."""
    kept = [(order, part) for order, part in parts if part.plain]
    while True:
        line = Text(" · ").join([part for _, part in kept])
        least = max(order for order, _ in kept)
        if line.cell_len <= width or not least:
            line.truncate(width, overflow="ellipsis")
            return line
        kept = [(order, part) for order, part in kept if order != least]
