"""What a user asks of each design, on the command line or in Python."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from sweeper import signals
from sweeper.run.words import count
from sweeper.search_spaces import NAMES

if TYPE_CHECKING:
    from sweeper.execution.fits import Machine
    from sweeper.results.store import Study

OK, FAILED = 0, 1

Say = Callable[[str], None]


@dataclass(frozen=True)
class RunOptions:
    """What every design is asked; None where a default depends on the rest. `margin` is in points.

    `source`: the study, a Python file or the name of one that comes with the project.
    """

    source: str = NAMES[0]
    dataset: str = "demo"
    data: Path | None = None
    split: str = "official"
    folds: tuple[int, ...] | None = None
    bad_clips: Literal["fail", "skip"] = "fail"
    recipe: str | None = None
    epochs: int | None = None
    results: str = "results"
    study: str | None = None
    dry_run: bool = False
    workers_per_trial: int = 1
    cpus_per_trial: int = 1
    gpus_per_trial: float | None = None
    max_failures: int = 2
    address: str | None = None
    log: tuple[str, ...] = ()
    grace: float = 20.0
    margin: float = 1.0


@dataclass(frozen=True)
class AblationOptions(RunOptions):
    """What `run ablations` is asked. `budget`: such as "12h" of a device, or "30$" where `price_per_hour` is known."""

    design: ClassVar[str] = "ablations"

    seeds: int = 2
    until: Literal["decided"] | None = None
    max_seeds: int = 20
    table: str = "all"
    arms: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    budget: str | None = None
    price_per_hour: float | None = None
    seeds_per_trial: int | Literal["auto"] = 1


@dataclass(frozen=True)
class BenchmarkOptions(AblationOptions):
    """What `run benchmark` is asked of one data set; `peers` are the rivals."""

    design: ClassVar[str] = "benchmark"


@dataclass(frozen=True)
class VarianceOptions(RunOptions):
    """What `run variance` is asked: `seeds` of each source of randomness."""

    design: ClassVar[str] = "variance"

    seeds: int = 2


@dataclass(frozen=True)
class SearchOptions(RunOptions):
    """What `run search` is asked: `trials` for each arm and fold, `top` of them run again with `replicates` seeds.

    Without `arms`, the study's reference is searched for.
    """

    design: ClassVar[str] = "search"

    arms: tuple[str, ...] = ()
    trials: int = 30
    top: int = 3
    replicates: int = 2
    objective: Literal["accuracy", "accuracy_ema"] = "accuracy_ema"
    cost: Literal["gflops", "seconds"] | None = None
    storage: str | None = None
    halving: bool = True


@dataclass(frozen=True)
class TunedOptions(SearchOptions):
    """What `run tuned-ablations` is asked. Searches score the last epoch's weights, as the grid compares these."""

    design: ClassVar[str] = "tuned-ablations"

    objective: Literal["accuracy", "accuracy_ema"] = "accuracy"
    seeds: int = 2
    table: str = "all"


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit code, and the study to show (None after a dry run)."""

    code: int
    study: "Study | None"


def machine(options: RunOptions) -> "Machine":
    """What each trial holds, for the sweeps."""
    from sweeper.execution.fits import Machine

    return Machine(
        cpus=options.cpus_per_trial,
        gpus=options.gpus_per_trial,
        workers=options.workers_per_trial,
        max_failures=options.max_failures,
        address=options.address,
        loggers=options.log,
        grace=options.grace,
        seeds=options.seeds_per_trial if isinstance(options, AblationOptions) else 1,
    )


def interrupted() -> int:
    """The exit code of a run that was asked to end."""
    asked = signals.asked()
    return signals.exit_code(signal.SIGINT if asked is None else asked.number)


@contextlib.contextmanager
def resumable(study: "Study") -> Iterator[None]:
    """Add a note on what is kept of the study to an interrupt or OSError that ends the block."""
    try:
        yield
    except (KeyboardInterrupt, OSError) as error:
        with contextlib.suppress(OSError):
            finished = len(study.finished())
            kept = "no trial has finished" if not finished else f"{count(finished, 'finished trial')} kept"
            error.add_note(f"{kept}: the same command continues")
        raise
