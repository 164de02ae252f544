"""A gate: is an arm better than another one, so far? Asked again and again, it errs no more often than once.

Each question that new trials make a new one is a look, whatever arm it is about, and the k-th of a study is asked at
0.05 / (k (k + 1)); these sum to 0.05 for ever. The same question about the same trials gets the same answer and spends
nothing. All of them are kept in `gates.json`, in the study.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sweeper.results.identity import COLUMNS, identical
from sweeper.results.importing import claimed
from sweeper.results.looks import Sequential, needed_trials, read_sequential
from sweeper.results.score_grid import REFERENCE_KIND, score_grid, trial_frame
from sweeper.results.store import Study
from sweeper.results.study_arms import study_arms
from sweeper.results.summary import margin_of
from sweeper.results.tables import StudyError
from sweeper.results.variance import VARIANCE
from sweeper.statistics import compare_arms, verdicts
from sweeper.statistics.arms import verdict

GATES = "gates.json"
ERROR = 0.05


def ask_gate(study: Study, arm: str, against: str | None, margin: float | None = None) -> dict[str, Any]:
    """What can be said of an arm now: its outcome, the difference with its interval, and what the answer spent.

    Only the two arms are asked about, over the units that both have; of a sequential study, what its looks said counts.

    Args:
        study: with trials of both.
        arm: which arm.
        against: compared with which; None: the study's reference.
        margin: largest difference that doesn't matter, as a fraction of 1; None: as the study was run.

    Raises:
        StudyError: there is no such arm, or the study can't be read.
    """
    plan = study.read_plan() or {}
    margin = margin_of(plan) if margin is None else margin
    if plan.get(VARIANCE) or (plan.get("searches") and all(t.get("kind") == "search" for t in plan["trials"])):
        what = "crosses seeds" if plan.get(VARIANCE) else "searches"
        raise StudyError(f"{study} {what}, and compares no arms; ask about a study of run ablations")
    arms = study_arms(plan)
    against = arms.reference if against is None else against
    trials = study.trials()
    grid = score_grid(trial_frame(trials), plan, REFERENCE_KIND, arms)
    for name in (arm, against):
        if name not in grid.arms:
            raise StudyError(f"{study} has no arm {name!r}; its arms are: {', '.join(grid.arms)}")
    if arm == against:
        raise StudyError(f"{arm!r} can't be compared with itself; name another arm with --against")
    found: dict[str, Any] = {"arm": arm, "against": against, "margin": margin, "outcome": "undecided"}
    found |= {"imported": plan["imported"]["file"]} if plan.get("imported") else {}
    if anew := [name for name in (arm, against) if name in grid.redefined]:
        return found | {"why": f"{anew[0]} was defined anew under its name, and has trials of each definition"}
    sequential = read_sequential(plan)
    if sequential is not None and against == arms.reference:
        return found | _as_looked_at(sequential, arm, margin)
    scores = grid.scores[[grid.arms.index(against), grid.arms.index(arm)]]
    planned = [trial for trial in needed_trials(plan) if trial["arm"] in (arm, against)]
    if missing := sum(trial.get("kind", REFERENCE_KIND) == REFERENCE_KIND for trial in planned) - int(
        np.isfinite(scores).sum()
    ):
        return found | {"why": f"{missing} of its trials are missing"}
    scores[:, np.isnan(scores).any(axis=0)] = np.nan
    if plan.get("commits") and (scores[0] == scores[1]).any():
        complete = [row for row in trials.select(list(COLUMNS)).to_pylist() if row["accuracy"] is not None]
        if identical(study, *([row for row in complete if row["arm"] == name] for name in (arm, against))):
            why = "its answers are the other's to the last bit, in every block"
            return found | {"diff": 0.0, "low": 0.0, "high": 0.0, "outcome": "equivalent", "why": why}
    known = [
        [grid.folds[fold], grid.seeds[seed], *scores[:, fold, seed]]
        for fold, seed in np.argwhere(np.isfinite(scores[0]))
    ]
    digest = _digest(arm, against, json.dumps(known).encode())
    former = _digest(arm, against, scores.tobytes())  # as it was kept before, with other arms' blocks

    def answer(level: float) -> dict[str, Any]:
        compared = compare_arms(
            scores,
            0,
            test_train_ratio=grid.test_train_ratio,
            folds_in_all=grid.folds_in_all,
            confidence=1 - level,
            limits=(0.0, 1.0),
            resolution=grid.resolution,
        )
        told = {"diff": compared.diff[1], "low": compared.low[1], "high": compared.high[1]}
        numbers = {name: float(value) for name, value in told.items() if np.isfinite(value)}
        units = {"units": int(compared.units[1]), "unit": compared.unit, "claim": claimed(compared.claim, plan)}
        return numbers | units | {"outcome": verdicts(compared, margin)[1] or "undecided"}

    kept: dict[str, Any] = {}

    def change(data: bytes | None) -> bytes:
        nonlocal kept
        asked = _asked(data, study)
        if (kept := next((gate for gate in asked if gate["trials"] in (digest, former)), {})) == {}:
            number = len(asked) + 1
            kept = {"arm": arm, "against": against, "trials": digest, "gate": number}
            kept["level"] = ERROR / (number * (number + 1))
            asked.append(kept)
        return (json.dumps(asked, indent=1, sort_keys=True) + "\n").encode()

    if not np.isfinite(scores).sum() > 2:
        return found | {"why": "one block shows no spread"}
    study.storage.update(GATES, change)
    return found | {"gate": kept["gate"], "level": kept["level"]} | answer(kept["level"])


def _as_looked_at(sequential: Sequential, arm: str, margin: float) -> dict[str, Any]:
    blocks, said = sequential.said().get(arm, (0, None))
    if said is None:
        return {"why": "no look has been taken at it yet"}
    words = verdict(said.low, said.high, said.significant, margin)
    numbers = {name: getattr(said, name) for name in ("diff", "low", "high") if np.isfinite(getattr(said, name))}
    return numbers | {"outcome": words or "undecided", "why": f"as the look after {blocks} blocks said"}


def _digest(arm: str, against: str, scores: bytes) -> str:
    return hashlib.sha256(json.dumps([arm, against]).encode() + scores).hexdigest()[:16]


def merge_gates(parts: Sequence[Study]) -> bytes | None:
    """The `gates.json` of a study that is made of several: what was asked in any of them was; None where nothing was.

    Together they may have spent more than 5 %; what is asked next is at the level that follows on all of them.

    Raises:
        StudyError: one is damaged.
    """
    asked: dict[str, dict[str, Any]] = {}
    for part in parts:
        try:
            (data,) = part.storage.read(GATES)
        except FileNotFoundError:
            continue
        for gate in _asked(data, part):
            asked.setdefault(gate["trials"], gate)
    gates = [gate | {"gate": number} for number, gate in enumerate(asked.values(), 1)]
    return (json.dumps(gates, indent=1, sort_keys=True) + "\n").encode() if gates else None


def _asked(data: bytes | None, study: Study) -> list[dict[str, Any]]:
    try:
        asked = [] if data is None else json.loads(data)
        numbers = [gate["gate"] for gate in asked if isinstance(gate["trials"], str) and gate["level"] > 0]
    except (ValueError, TypeError, KeyError, RecursionError):
        numbers, asked = [0], []
    if numbers != list(range(1, len(asked) + 1)):
        raise StudyError(f"{study}/{GATES} is damaged: what gates have spent can't be told; restore it from a copy")
    return list(asked)


def passes(answer: Mapping[str, Any], equivalent: bool) -> int:
    """Exit code: 0 if better, or equivalent where `equivalent` lets that pass; 1 if worse; 2 for anything else."""
    if answer["outcome"] == "better" or (equivalent and answer["outcome"] == "equivalent"):
        return 0
    return 1 if answer["outcome"] == "worse" else 2
