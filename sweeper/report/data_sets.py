"""Studies of the same arms on several data sets: what holds on all of them, on one page."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.report import data_set_figures, figures
from sweeper.report.answer import in_a_sentence, margin
from sweeper.report.cells import NONE, PaperTable, count, difference, interval, percent, points
from sweeper.report.compare import differing_fields
from sweeper.report.drawing import Drawing, drawing
from sweeper.report.page import page, save_page
from sweeper.results import leaderboard
from sweeper.results.leaderboard import Leaderboard
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.statistics import ArmComparison, Heterogeneity, Ranking, compare_arms, heterogeneity, ranking, verdicts
from sweeper.statistics.data_sets import ENOUGH

Row = dict[str, Any]

OUTPUT = "data-sets.html"


@dataclass(frozen=True)
class DataSets:
    """What studies found of the arms that all of them have.

    Attributes:
        boards: a study each, of another data set each.
        names: of the data sets.
        arms: in order, the reference among them.
        reference: its name.
        rows: by data set, the summary's row of each arm.
        scores: mean accuracies, `[arms, data sets]`, NaN where there is none.
        over_sets: the arms compared with a data set as the unit; None where no two data sets have scores.
        between: how differences vary over data sets, of all arms but the reference.
        ranks: None where a score is missing, or there are fewer than two data sets.
    """

    boards: tuple[Leaderboard, ...]
    names: tuple[str, ...]
    arms: tuple[str, ...]
    reference: str
    rows: tuple[Mapping[str, Row], ...]
    scores: NDArray[np.float64]
    over_sets: ArmComparison | None
    between: Heterogeneity
    ranks: Ranking | None

    @property
    def others(self) -> tuple[str, ...]:
        """The arms without the reference."""
        return tuple(arm for arm in self.arms if arm != self.reference)

    @property
    def enough(self) -> bool:
        """Whether anything may be claimed of other data sets."""
        return len(self.boards) >= ENOUGH


def write_data_sets(
    studies: Sequence[Study],
    output: Path | None = None,
    margin: float | None = None,
    say: Callable[[str], None] = print,
) -> str:
    """Write one page about several studies.

    Args:
        studies: of the same arms, each of another data set.
        output: the page; None for `OUTPUT` in the working directory.
        margin: largest difference that doesn't matter, as a fraction of 1; None: what each study was run with.
        say: takes a line about a study that may be read and not written.

    Returns:
        where the page lies.

    Raises:
        StudyError: they can't stand on one page, one has no trial or a damaged file, or `output` can't be written.
    """
    boards = [leaderboard.derive(study, margin) for study in studies]
    if len({board.margin for board in boards}) > 1:
        which = ", ".join(f"{board.study} {100 * board.margin:g}" for board in boards)
        raise StudyError(f"these studies were run with different margins, in points: {which}; give --margin POINTS")
    found = gather(boards)
    for board in found.boards:
        if board.unwritten:
            say(f"{board.study}: its own tables were not written: {board.unwritten}")
    return save_page(_render(found), output or Path(OUTPUT))


def gather(boards: Sequence[Leaderboard]) -> DataSets:
    """What these studies have in common.

    Raises:
        StudyError: two of one data set, other references, or no arm in common.
    """
    seen: dict[str, Leaderboard] = {}
    for board in boards:
        digest = str(board.plan.get("data_digest", board.study))
        if (other := seen.setdefault(digest, board)) is not board:
            raise StudyError(
                f"{other.study} and {board.study} are of the same data, which count once; compare them with: "
                f"python -m sweeper compare {other.study} {board.study}"
            )
    references = Counter(board.arms.reference for board in boards)
    if len(references) > 1:
        raise StudyError(f"these studies compare with different arms: {', '.join(references)}; give those of one study")
    reference = boards[0].arms.reference
    rows = tuple({row["arm"]: row for row in board.ablation} for board in boards)
    common = set.intersection(*(set(found) for found in rows))
    if not common - {reference} and all("benchmark" in board.plan for board in boards):
        raise StudyError("these are of a benchmark, whose rivals have a page of their own: report --benchmark")
    if not common - {reference}:
        raise StudyError(f"these studies have no arm in common to compare with {reference}")
    arms = boards[0].arms.ordered(common | {reference})
    scores = np.array([[_known(found.get(arm, {}).get("mean")) for found in rows] for arm in arms])
    others = [arm for arm in arms if arm != reference]
    errors = [_errors(board) for board in boards]
    diff = np.array([[_known(found[arm]["diff"]) for found in rows] for arm in others])
    error, df = (
        np.array([[errors_of.get(arm, (math.nan, math.nan))[part] for errors_of in errors] for arm in others])
        for part in (0, 1)
    )
    over = None
    if (np.isfinite(scores).sum(axis=1) > 1).sum() > 1:
        # One score a data set: what counts as evidence is the data set, and no two share clips.
        place = arms.index(reference)
        limits = (0.0, 1.0)
        over = compare_arms(scores[:, None, :], place, test_train_ratio=0.0, folds_in_all=1, limits=limits)
    whole = np.isfinite(scores).all() and len(boards) > 1
    return DataSets(
        boards=tuple(boards),
        names=_names(boards),
        arms=arms,
        reference=reference,
        rows=rows,
        scores=scores,
        over_sets=over,
        between=heterogeneity(diff, error, df),
        ranks=ranking(scores) if whole else None,
    )


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _errors(board: Leaderboard) -> dict[str, tuple[float, float]]:
    """Each arm's standard error, and its degrees of freedom."""
    found = board.grid.compare()
    if found is None:
        return {}
    told = zip(board.grid.arms, found.error, found.df, strict=True)
    return {arm: (float(error), float(df)) for arm, error, df in told if np.isfinite(error) and error > 0}


def _names(boards: Sequence[Leaderboard]) -> tuple[str, ...]:
    """The data sets' own names where these tell the studies apart, else the studies'."""
    names = [str(board.trials["dataset"][0].as_py()) for board in boards]
    return tuple(names if len(set(names)) == len(names) else (board.study.name for board in boards))


def verdict(found: DataSets) -> list[str]:
    """What holds over the data sets, or why nothing may be said; the most important sentence first."""
    sets, agreeing = len(found.boards), _agreeing(found)
    outcomes = _outcomes(found)
    if not outcomes:
        return [
            f"{count(sets, 'data set')} {'is' if sets == 1 else 'are'} too few for a claim about others: even an arm "
            f"that loses on all of them has p = {min(1.0, 2 * 0.5**sets):.2g} (sign test). From {ENOUGH} on, something "
            "can be shown. What follows is about these data sets, each by itself.",
            *agreeing,
        ]
    told = []
    for word in ("worse", "better", "equivalent", "undecided"):
        arms = [arm for arm in found.others if outcomes[arm][-1] == word]
        told.append(f"{len(arms)} {word}" + (f" ({', '.join(arms)})" if 0 < len(arms) < len(found.others) else ""))
    of = f"{count(len(found.others), 'arm')} against {found.reference} at {margin(found.boards[0])}"
    return [f"On data sets of this kind, told from {sets}: {of}: {', '.join(told)}.", *agreeing]


def _agreeing(found: DataSets) -> list[str]:
    """Arms that every data set calls the same, and those that data sets contradict each other about."""
    sentences = []
    outcomes = {arm: [rows[arm]["outcome"] for rows in found.rows] for arm in found.others}
    for word in ("worse", "better", "equivalent"):
        if arms := [arm for arm, said in outcomes.items() if set(said) == {word}]:
            sentences.append(f"{word.capitalize()} on each data set: {', '.join(arms)}.")
    if arms := [arm for arm, said in outcomes.items() if {"worse", "better"} <= set(said)]:
        sentences.append(f"Worse on one data set and better on another: {', '.join(arms)}.")
    apart = [arm for arm, p in zip(found.others, found.between.p * len(found.others), strict=True) if p <= 0.05]
    if apart:
        sentences.append(f"Not the same on all data sets, beyond chance: {', '.join(apart)}.")
    return sentences


def _render(found: DataSets) -> str:
    tables = [_differences(found), *([table] if (table := _effects(found)) else []), _ranks(found)]
    differ = [field for field in _differing(found) if not field.startswith("data")]
    heading = f"{len(found.boards)} studies: {', '.join(found.names)}"
    notes = _notes(found)
    said = verdict(found)
    return page(
        "data_sets.html",
        live=0,
        tables=tables,
        caption=heading,
        notes=(*said, *notes),
        title=" · ".join(found.names),
        heading=heading,
        reference=found.reference,
        lead=said[0],
        answer=said[1:],
        each=[
            (name, str(board.study), in_a_sentence(board))
            for name, board in zip(found.names, found.boards, strict=True)
        ],
        problems=[f"{n}: {p}" for n, board in zip(found.names, found.boards, strict=True) for p in board.problems],
        synthetic=[n for n, b in zip(found.names, found.boards, strict=True) if any(b.trials["synthetic"].to_pylist())],
        differ=differ,
        forest=_forest(found),
        marks=[_mark(index) for index in range(len(found.names))],
        names=found.names,
        diagram=_diagram(found),
        shown=tables,
        enough=found.enough,
        notes_shown=notes,
    )


def _differing(found: DataSets) -> list[str]:
    first, *others = found.boards
    ours = ("device", "git_commit", "folds", "seeds")
    fields = dict.fromkeys(name for other in others for name, *_ in differing_fields(first, other))
    return [name for name in fields if name not in ours]


def _outcomes(found: DataSets) -> dict[str, data_set_figures.Over]:
    """By arm, what is claimed over data sets; empty where nothing may be."""
    c = found.over_sets
    if not found.enough or c is None:
        return {}
    words = verdicts(c, found.boards[0].margin)
    outcomes: dict[str, data_set_figures.Over] = {}
    for i, arm in enumerate(found.arms):
        if arm != found.reference:
            middle, low, high = (None if math.isnan(v[i]) else float(v[i]) for v in (c.diff, c.low, c.high))
            outcomes[arm] = (middle, low, high, words[i] or "undecided")
    return outcomes


def _forest(found: DataSets) -> Drawing:
    label = f"Each arm's difference to {found.reference} on every data set; numbers in the table"
    shown = found.others, found.rows, found.boards[0].margin, found.reference, _outcomes(found)
    return drawing("data-sets", label, partial(data_set_figures.forest, *shown), 760)


def _mark(index: int) -> str:
    return drawing(f"set-{index}", "", partial(figures.legend_mark, index), 12, None).wide


def _diagram(found: DataSets) -> Drawing | None:
    if found.ranks is None:
        return None
    label = "Mean ranks of the arms over the data sets; numbers in the table"
    draw = partial(data_set_figures.critical_difference, found.arms, found.ranks, found.enough)
    return drawing("ranks", label, draw, 760)


def _differences(found: DataSets) -> PaperTable:
    over = _outcomes(found)
    rows = []
    for index, arm in enumerate(found.others):
        cells = [arm, *(difference(mine[arm]) for mine in found.rows)]
        if over:
            middle, low, high, outcome = over[arm]
            cells += [NONE if middle is None else f"{points(middle)} {interval(low, high)}", outcome]
        p, share, sd = (float(v[index]) for v in (found.between.p, found.between.share, found.between.sd))
        cells += [NONE] * 3 if math.isnan(p) else [f"{100 * sd:.1f}", percent(share, 0), _p(p)]
        rows.append(tuple(cells))
    outcome_column = f"at ±{100 * found.boards[0].margin:g}"
    header = ("arm", *found.names, *(("over data sets", outcome_column) if over else ()), "τ", "I² %", "p (Q)")
    words = frozenset({"arm", outcome_column})
    return PaperTable(f"Differences to {found.reference}, in points", header, tuple(rows), words)


def _effects(found: DataSets) -> PaperTable | None:
    """What each part is worth on each data set, where all studies hold the same factorial."""
    by_set = [{row["effect"]: row for row in board.effects if row["source"] == "study"} for board in found.boards]
    names = [name for name in by_set[0] if all(name in effects for effects in by_set)]
    if not names:
        return None
    rows = tuple((name, *(_effect(effects[name]) for effects in by_set)) for name in names)
    return PaperTable("What each part is worth on each data set", ("effect", *found.names), rows, frozenset({"effect"}))


def _p(value: float, equal: str = "") -> str:
    return "< 0.001" if value < 0.001 else f"{equal}{value:.3f}"


def _effect(row: Row) -> str:
    if row["estimate"] is None:
        return NONE
    return f"{points(row['estimate'])}{'*' if row['significant'] else ''} {interval(row['low'], row['high'])}"


def _ranks(found: DataSets) -> PaperTable:
    rows = []
    for i, arm in enumerate(found.arms):
        mean = NONE if found.ranks is None else f"{found.ranks.rank[i]:.2f}"
        rows.append((arm, *(percent(None if math.isnan(s) else float(s)) for s in found.scores[i]), mean))
    header = ("arm", *(f"{name} %" for name in found.names), "mean rank")
    return PaperTable("Accuracy and rank", header, tuple(rows), frozenset({"arm"}), reference=found.reference)


def _notes(found: DataSets) -> list[str]:
    notes = [
        f"columns of data sets: the study's own difference to {found.reference}, in points, with the interval that its "
        "own page explains; *: significant there",
        "τ: standard deviation of the true differences over data sets, in points; I²: the share of what is seen to "
        "vary that is not chance; p (Q): Cochran’s test that the difference is the same on all; with few data sets it "
        "seldom finds anything, so a large p is no sign of sameness",
    ]
    if found.enough:
        notes.append(
            "over data sets: mean over data sets, each counting once, by the same rule as a study’s differences, with "
            "the data set as the unit; intervals hold for all arms together"
        )
    if found.ranks is not None:
        p = f"Friedman’s test, as Iman and Davenport correct it, that all arms are alike: p {_p(found.ranks.p, '= ')}"
        apart = f"Nemenyi’s critical difference: {found.ranks.apart:.2f} ranks"
        notes.append(
            f"rank: 1 for the best arm on a data set; {p}; {apart}" if found.enough else "rank: 1 for the best"
        )
    return notes
