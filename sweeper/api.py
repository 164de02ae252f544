"""What studies found, as DataFrames, and the designs as functions: the command line, for notebooks and scripts."""

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import pandas as pd

from sweeper import signals
from sweeper.results import schema
from sweeper.results.leaderboard import Leaderboard, derive
from sweeper.results.storage import locate
from sweeper.results.store import Study
from sweeper.results.tables import StudyError

if TYPE_CHECKING:
    from sweeper.run.options import Outcome, RunOptions

POINTS = 100.0


@dataclass(frozen=True)
class StudyResults:
    """What a study found; printed, its leaderboard.

    Attributes:
        folder: its folder or URL.
        trials: a row per trial; columns: `sweeper.results.schema.TRIAL`.
        summary: a row per arm: mean, difference to the reference with its interval, p, outcome (`schema.SUMMARY`).
        effects: a row per effect of the factorial among the arms (`schema.EFFECTS`); empty where there is none.
        problems: why not to believe these numbers yet: holes, failures, mixtures, leaks.
    """

    folder: str
    trials: pd.DataFrame
    summary: pd.DataFrame
    effects: pd.DataFrame
    problems: tuple[str, ...]
    _board: Leaderboard

    def report(
        self,
        output: str | Path | None = None,
        *,
        data: str | Path | None = None,
        price: float | None = None,
        tsne: str | Path | None = None,
        study: str | Path | None = None,
    ) -> str:
        """Write one HTML page that needs nothing else; returns where it lies.

        Args:
            output: the page; None: report.html with the study.
            data: where the data set lies, for maps of its features.
            price: of a GPU, or without GPUs of a core, for an hour.
            tsne: also draws the maps there, as PNG, SVG or PDF.
            study: your file that defines the network, for maps of your own study; its code is run.
        """
        from sweeper.report.page import write_page
        from sweeper.tools.own_code import own_code

        code = None if study is None else own_code(Path(study))
        page, clips, maps = (None if place is None else Path(place) for place in (output, data, tsne))
        return write_page(self._board.study, page, clips, price, margin=self._board.margin, tsne=maps, code=code)

    def __str__(self) -> str:
        from sweeper.report.formats import FORMATS

        return FORMATS["table"](self._board)

    def __repr__(self) -> str:
        return f"<StudyResults {self.folder}: {len(self.trials)} trials, {len(self.summary)} arms>"


def read(place: str | Path, margin: float | None = None) -> StudyResults:
    """See `sweeper.read_study`."""
    if not isinstance(place, str | os.PathLike):
        raise TypeError(f"place={place!r}: expected a folder or a URL, such as 'results/ablations-demo-quick'")
    study = Study(place)
    if not study.exists():
        raise StudyError(f"there is no study in {locate(place)}")
    board = derive(study, None if margin is None else margin / POINTS)
    summary, effects = (
        pd.DataFrame(list(rows), columns=list(columns.names))
        for rows, columns in ((board.summary, schema.SUMMARY), (board.effects, schema.EFFECTS))
    )
    problems = tuple(str(problem) for problem in board.problems)
    return StudyResults(str(study), board.trials.to_pandas(), summary, effects, problems, board)


Options = TypeVar("Options", bound="RunOptions")


def run(
    design: Callable[[Options, Callable[[str], None]], "Outcome"],
    kind: type[Options],
    source: str | Path,
    options: dict[str, Any],
    say: Callable[[str], None],
) -> StudyResults | None:
    """Run a design as the command line would; None after a dry run, or where no trial finished.

    Raises:
        TypeError: there is no such option, or it takes no such value.
        KeyboardInterrupt: the run was interrupted.
    """
    known = [field.name for field in fields(kind) if field.name != "source"]
    if unknown := sorted(options.keys() - set(known)):
        raise TypeError(f"unknown option {unknown[0]!r}; the options are: {', '.join(known)}")
    from sweeper.execution import own_ray  # who only reads studies keeps their own Ray as it is

    asked = kind(source=str(source), **{name: _as_option(name, value) for name, value in options.items()})
    _check_types(asked)
    with own_ray.ahead():
        outcome = design(asked, say)
    if outcome.code >= signals.exit_code(signal.SIGHUP):
        raise KeyboardInterrupt("interrupted; finished trials are kept: the same call continues")
    if outcome.study is None or not outcome.study.finished():
        return None
    return read(str(outcome.study), options.get("margin", 1.0))


def _check_types(options: "RunOptions") -> None:
    """Refuse values of another kind than the options', which would break somewhere within, or be taken for another.

    Raises:
        TypeError: the option, its value, and what is expected.
    """
    hints = get_type_hints(type(options))
    for field in fields(options):
        value = getattr(options, field.name)
        if not _is_a(value, hints[field.name]):
            raise TypeError(f"{field.name}={value!r}: expected {_words(hints[field.name])}")


def _is_a(value: Any, hint: Any) -> bool:
    kinds = get_args(hint)
    if get_origin(hint) is Literal:
        return value in kinds
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_is_a(one, kinds[0]) for one in value)
    if kinds:
        return any(_is_a(value, kind) for kind in kinds)
    if hint in (int, float):
        return isinstance(value, Integral if hint is int else Real) and not isinstance(value, bool)
    return isinstance(value, hint)


def _words(hint: Any) -> str:
    kinds = get_args(hint)
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, kinds))
    if get_origin(hint) is tuple:
        return f"a sequence of {kinds[0].__name__}"
    return " or ".join(map(_words, kinds)) if kinds else "None" if hint is type(None) else str(hint.__name__)


def _as_option(name: str, value: Any) -> Any:
    """A value as the command line would have made it."""
    if name == "data" and isinstance(value, str):
        return Path(value)
    if name == "folds" and isinstance(value, str):
        raise TypeError(f"folds={value!r}: give numbers, such as folds=[1, 2]")
    if name in ("folds", "arms", "peers", "code", "log"):
        if value is None or (isinstance(value, Sequence) and not isinstance(value, str)):
            return None if value is None else tuple(value)
        return (value,)
    return str(value) if name == "results" else value
