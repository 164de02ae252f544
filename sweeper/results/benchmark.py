"""A benchmark's study: what was printed for its data set, as the plan says it, and the scores of Table 5.

The plan says it all (`sweeper.search_spaces.benchmark` wrote it there), so that no study's code is run here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweeper.results.leaderboard import Leaderboard
from sweeper.results.score_grid import REFERENCE_KIND, score_grid, trial_frame
from sweeper.results.tables import StudyError
from sweeper.results.verdict import protocol_differences, published_half_width
from sweeper.statistics import agreement
from sweeper.training.metrics import Average, Metrics, confusion_matrix, metrics

SCORES = ("accuracy", "precision", "recall", "f1")
WEIGHTS = {"last epoch": "", "average": "_ema"}  # what each is called, and the ending of its columns


@dataclass(frozen=True)
class PrintedRow:
    """A row of Tables 1-4: a model, the paper's reference for it (None: its own), and its accuracy, a fraction."""

    model: str
    reference: int | None
    end_to_end: bool
    representation: str
    pretrained: bool
    accuracy: float | None


@dataclass(frozen=True)
class Printed:
    """What was printed for a data set; fractions of 1.

    Attributes:
        table: its name, '' where nothing was printed.
        data: the data set's name there.
        rows: as printed.
        table_5: accuracy, precision, recall, F1; None where nothing was printed.
        networks: by name on the command line, each as a row without an accuracy.
        protocol: how the numbers were measured, as for `protocol_differences`; empty where nothing was printed.
        citation: of the paper, '' where nothing was printed.
    """

    table: str
    data: str
    rows: tuple[PrintedRow, ...]
    table_5: Metrics | None
    networks: Mapping[str, PrintedRow]
    protocol: Mapping[str, Any]
    citation: str


@dataclass(frozen=True)
class Score:
    """A mean over the units of the study, with a 95 % interval of it, None where one unit shows no spread."""

    mean: float
    low: float | None
    high: float | None


def is_benchmark(plan: Mapping[str, Any] | None) -> bool:
    """Whether a plan is a benchmark's."""
    return isinstance((plan or {}).get("benchmark"), dict)


def printed(board: Leaderboard) -> Printed:
    """What was printed for the study's data set.

    Raises:
        StudyError: the study is no benchmark, or its plan garbles it.
    """
    told = board.plan.get("benchmark")
    if told is None:
        raise StudyError(f"{board.study} is no benchmark; make one with: python -m sweeper run benchmark")
    try:
        networks = {
            str(name): _row({**row, "reference": None, "accuracy": None}) for name, row in told["networks"].items()
        }
        table_5 = told["table_5"]
        return Printed(
            table=str(told["table"]),
            data=str(told["data"]),
            rows=tuple(map(_row, told["rows"])),
            table_5=None if table_5 is None else Metrics(*(float(table_5[name]) / 100 for name in SCORES)),
            networks=networks,
            protocol=_protocol(told["protocol"]),
            citation=str(told["protocol"].get("citation", "")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StudyError(
            f"{board.study}/plan.json does not say its benchmark as it should ({error!r}); run its command again"
        ) from None


def _row(told: Mapping[str, Any]) -> PrintedRow:
    accuracy = told["accuracy"]
    if accuracy is not None and not 0 <= accuracy <= 100:
        raise ValueError(f"accuracy={accuracy}")
    return PrintedRow(
        model=str(told["model"]),
        reference=None if told["reference"] is None else int(told["reference"]),
        end_to_end=bool(told["end_to_end"]),
        representation=str(told["representation"]),
        pretrained=bool(told["pretrained"]),
        accuracy=None if accuracy is None else accuracy / 100,
    )


def _protocol(told: Mapping[str, Any]) -> Mapping[str, Any]:
    if told and not (int(told["clips"]) > 0 and 0 < float(told["test_share"]) < 1):
        raise ValueError("protocol")
    known = ("dataset", "split", "recipe", "epochs", "clips", "test_share")
    return {name: told[name] for name in known} if told else {}


def verdict(board: Leaderboard, told: Printed) -> str:
    """Whether the reference's accuracy agrees with the printed one: 'consistent: …', … or 'not comparable: why'.

    As for differences (`sweeper.results.verdict`), with a binomial error of the printed accuracy. '' where nothing was
    printed or measured.
    """
    if told.table_5 is None:
        return ""
    row = next((row for row in board.ablation if row["arm"] == board.arms.reference and row["mean"] is not None), None)
    if row is None:
        return ""
    complete = [trial for trial in board.trials.to_pylist() if trial["status"] == "complete"]
    ours = next(trial for trial in complete if trial["arm"] == board.arms.reference)
    if departures := protocol_differences(ours, told.protocol):
        return f"not comparable: {', '.join(departures)}"
    if row["n"] < row["planned"]:
        return f"not comparable: {row['planned'] - row['n']} of {row['planned']} trials are missing"
    if row["ci_low"] is None or row["sd"] is None:
        return "not comparable: one run has no interval"
    half = max(row["ci_high"] - row["mean"], row["mean"] - row["ci_low"])
    theirs = published_half_width(
        told.table_5.accuracy, 0.0, row["sd"], round(told.protocol["test_share"] * told.protocol["clips"])
    )
    word = agreement(row["mean"], half, told.table_5.accuracy, theirs)
    return (
        f"{word}: {100 * row['mean']:.1f} ± {100 * half:.1f} %, printed {100 * told.table_5.accuracy:.1f} ± "
        f"{100 * theirs:.1f}"
    )


def table_5(board: Leaderboard) -> dict[tuple[str, Average], dict[str, Score]]:
    """The reference's scores by weights and average, each by name; without weighted ones where answers are missing.

    None at all where it was defined anew under its name.
    """
    if board.arms.reference in board.grid.redefined:
        return {}
    trials = [
        trial
        for trial in board.trials.to_pylist()
        if (trial["kind"], trial["arm"], trial["status"]) == (REFERENCE_KIND, board.arms.reference, "complete")
    ]
    found: dict[tuple[str, Average], list[Metrics]] = {}
    for trial in trials:
        for key, value in _trial_scores(board, trial).items():
            found.setdefault(key, []).append(value)
    complete = {key: values for key, values in found.items() if len(values) == len(trials)}
    return {
        key: {name: _score(board, trials, [getattr(value, name) for value in values]) for name in SCORES}
        for key, values in complete.items()
    }


def _trial_scores(board: Leaderboard, trial: Mapping[str, Any]) -> dict[tuple[str, Average], Metrics]:
    scores: dict[tuple[str, Average], Metrics] = {
        (words, "macro"): Metrics(*(trial[f"{name}{ending}"] for name in SCORES)) for words, ending in WEIGHTS.items()
    }
    answers = board.study.evidence.predictions(trial)
    if answers is None:
        return scores
    targets = answers["target"].to_numpy()
    for words, ending in WEIGHTS.items():
        column = answers[f"probabilities{ending}"].combine_chunks()
        values = column.flatten().to_numpy(zero_copy_only=False).reshape(len(targets), -1)
        confusion = confusion_matrix(targets, values.argmax(axis=1), values.shape[1])
        scores[words, "weighted"] = metrics(confusion, "weighted")
    return scores


def _score(board: Leaderboard, trials: list[dict[str, Any]], values: list[float]) -> Score:
    """The mean over the study's units, as the rule takes them, and its interval."""
    frame = trial_frame(board.trials.filter(np.isin(board.trials["trial_id"], [trial["trial_id"] for trial in trials])))
    by_id = {trial["trial_id"]: value for trial, value in zip(trials, values, strict=True)}
    frame["accuracy"] = frame["trial_id"].map(by_id)
    compared = score_grid(frame, {"all_folds": board.plan.get("all_folds", ())}, REFERENCE_KIND, board.arms).compare()
    assert compared is not None
    low, high = float(compared.mean_low[0]), float(compared.mean_high[0])
    known = np.isfinite([low, high]).all()
    return Score(float(compared.mean[0]), low if known else None, high if known else None)
