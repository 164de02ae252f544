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
from rich.table import Table
from rich.text import Text

from sweeper.plan import TrialSpec

LINE_SECONDS = 30.0  # between lines about long trials where there is no terminal
GRID_COLUMNS = 10  # more blocks than this are shown as counts


class Progress(Callback):
    """Shows the trials of one sweep as they run, finish and fail.

    Args:
        trials: those that are known; a search's come one by one.
        count: how many there will be.
    """

    def __init__(self, trials: Sequence[TrialSpec], count: int) -> None:
        self._specs = {trial.trial_id: trial for trial in trials}
        self._count = count
        self._share: dict[str, float] = {}  # of each trial's epochs, as far as it is known
        self._cell: dict[str, Text] = {}
        self._done: set[str] = set()  # a trial that was left to another run may come again
        self._failed = 0
        self._best: tuple[float, str] | None = None
        self._speed: dict[str, float] = {}
        self._console: Console | None = None
        self._live: Live | None = None
        self._began = self._said = time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_console": None, "_live": None}

    def setup(self, *_args: Any, **_info: Any) -> None:
        """Open the view when Tune starts."""
        self._began = time.monotonic()
        self._console = Console()
        if self._console.is_terminal:
            self._live = Live(self, console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        else:
            self._console.print(f"{self._count} trials to run; workers are starting", highlight=False)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Mark the trial as running."""
        self._specs.setdefault(self._id(trial), trial.config["spec"])
        self._cell[self._id(trial)] = Text("▶", "cyan")

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Take in an epoch, or the trial's end: its last report says how it went."""
        trial_id = self._id(trial)
        spec = self._specs[trial_id]
        if "epoch" in result:
            self._share[trial_id] = result["epoch"] / spec.training.epochs
            self._cell[trial_id] = Text(f"▶ {self._share[trial_id]:.0%}", "cyan")
            self._speed[trial_id] = result["clips_per_second"]
            self._say_how_far()
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
            self._speed.pop(trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Mark a trial whose worker died too often."""
        self._failed += 1
        self._finish(self._id(trial), Text("died", "bold red"), "failed: its worker died")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Mark a search's trial that was stopped before its end, if it was."""
        trial_id = self._id(trial)
        result = trial.last_result or {}
        spec = self._specs.get(trial_id)
        if spec is not None and spec.selects and "epoch" in result and "outcome" not in result:
            score = result.get("validation_accuracy")
            so_far = "" if score is None else f", validation accuracy {score:.1%}"
            self._finish(trial_id, Text("stopped", "dim"), f"stopped after epoch {result['epoch']}{so_far}")

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Close the view."""
        if self._live is not None:
            self._live.stop()

    def say(self, line: str) -> None:
        """Print a line, above the view where that is open."""
        (self._console or Console()).print(line, highlight=False, markup=False, soft_wrap=True)

    def _finish(self, trial_id: str, cell: Text, words: str) -> None:
        self._done.add(trial_id)
        self._share[trial_id] = 1.0
        self._cell[trial_id] = cell
        self._speed.pop(trial_id, None)
        if self._live is None and self._console is not None:
            spec = self._specs[trial_id]
            self._said = time.monotonic()
            self._console.print(
                f"[{len(self._done):>{len(str(self._count))}}/{self._count}] {spec.arm:<13} "
                f"fold {spec.data.fold} {self._which(spec)}: {words}  ({self._left()} left)",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )

    def _say_how_far(self) -> None:
        if self._live is None and self._console is not None and time.monotonic() - self._said > LINE_SECONDS:
            self._said = time.monotonic()
            self._console.print(self._line(), highlight=False, soft_wrap=True)

    def _line(self) -> Text:
        share = self._whole()
        return Text.assemble(
            (f"{len(self._done)}", "bold"),
            f" of {self._count} trials",
            (f", {self._failed} failed" if self._failed else "", "red"),
            f", best {self._best[1]} {self._best[0]:.1%}" if self._best else "",
            f" · {share:.0%} of the epochs · {sum(self._speed.values()):,.0f} clips/s · about {self._left()} left",
        )

    def _left(self) -> str:
        share = self._whole()
        if share <= 0.0:
            return "—:——"
        seconds = (time.monotonic() - self._began) * (1 - share) / share
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

    def _whole(self) -> float:
        return sum(self._share.values()) / self._count

    @staticmethod
    def _which(spec: TrialSpec) -> str:
        return f"trial {spec.trial_id[:6]}" if spec.stage == "explore" else f"seed {spec.replicate}"

    def __rich__(self) -> Group:
        share = self._whole()
        line = self._line().append(" · Ctrl-C stops, resumable", "dim")
        return Group(self._grid(), ProgressBar(total=1.0, completed=share, width=60), Text(), line)

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

    def _grid(self) -> Table:
        if any(spec.stage for spec in self._specs.values()):
            return self._searches()
        blocks = sorted({(spec.data.fold, spec.replicate) for spec in self._specs.values()})
        arms = list(dict.fromkeys(spec.arm for spec in self._specs.values()))
        at = {(s.arm, s.data.fold, s.replicate): trial_id for trial_id, s in self._specs.items()}
        table = Table(box=None, pad_edge=False)
        table.add_column("arm")
        shown = blocks[:GRID_COLUMNS]
        for fold, replicate in shown:
            table.add_column(f"fold {fold}\nseed {replicate}", justify="right", min_width=6)
        if len(blocks) > len(shown):
            table.add_column(f"…\nall {len(blocks)}", justify="right")
        for arm in arms:
            ids = [at.get((arm, *block), "") for block in blocks]
            cells = [self._cell.get(trial_id, Text("·", "dim")) for trial_id in ids[: len(shown)]]
            if len(blocks) > len(shown):
                done = sum(self._share.get(trial_id, 0.0) >= 1.0 for trial_id in ids)
                cells.append(Text(f"{done}/{len(ids)}", "dim"))
            table.add_row(arm, *cells)
        return table

    @staticmethod
    def _id(trial: Any) -> str:
        return str(trial.config["trial_id"])
