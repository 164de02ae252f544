"""Runs of other tools become a study: a plan, and a row for each run, which say that they were imported.

Nothing is made up: what the table does not say is null or empty in the rows, and `imported_problems` says what is
missing for a claim.
"""

import datetime
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sweeper.results import provenance, schema
from sweeper.results.checks import SHOWN, Problem
from sweeper.results.imported_runs import ImportedRun, ImportedRuns
from sweeper.results.row_files import RowFiles
from sweeper.results.store import Study
from sweeper.results.tables import StudyError

UNKNOWN = "unknown"


def import_study(runs: ImportedRuns, file: Path, reference: str, dataset: str, study: Study, margin: float) -> None:
    """Make a study of runs.

    Args:
        runs: of the file.
        file: named, with its digest, in the study.
        reference: the arm that all are compared with.
        dataset: what the runs were scored on, in a word.
        study: a new one.
        margin: largest difference that doesn't matter, as a fraction of 1.

    Raises:
        StudyError: the study is there already, or no run is of the reference.
    """
    arms = [reference, *dict.fromkeys(run.arm for run in runs.runs if run.arm != reference)]
    if reference not in {run.arm for run in runs.runs}:
        raise StudyError(f"--reference {reference!r}: no run is of that arm; the arms are: {', '.join(arms[1:])}")
    if study.exists():
        raise StudyError(f"{study} is there already; name another one with --study, or delete it")
    told = {
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "score": runs.unit,
        "columns": dict(runs.columns),
    }
    blocks = sorted({(run.fold, run.seed) for run in runs.runs})
    plan = {
        "study": study.name,
        "reference": reference,
        "metric": "accuracy",
        "synthetic": False,
        "imported": told,
        "margin": margin,
        "notes": list(runs.notes),
        "software": provenance.software(),
        "design": {"imported": told, "data": {"dataset": dataset}},
        "definition": _definition(arms, reference, file.name),
        "trials": [
            {
                "trial_id": _trial_id(dataset, arm, fold, seed),
                "kind": "ablation",
                "arm": arm,
                "fold": fold,
                "replicate": seed,
                "seed": seed,
            }
            for fold, seed in blocks
            for arm in arms
        ],
    }
    study.create()
    study.write_plan(plan)
    now = datetime.datetime.now(datetime.UTC)
    rows = [_row(run, study.name, dataset, now) for run in runs.runs]
    for files, status in ((study.rows, "complete"), (study.failures, "failed")):
        _write(study, files, [row for row in rows if row["status"] == status])


def _write(study: Study, files: RowFiles, rows: list[dict[str, Any]]) -> None:
    if rows:
        files.add_pack(pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["trial_id"])), schema=schema.TRIAL))


def _trial_id(dataset: str, arm: str, fold: int, seed: int) -> str:
    decides = json.dumps({"imported": [dataset, arm, fold, seed]}, sort_keys=True)
    return hashlib.sha256(decides.encode()).hexdigest()[:16]


def _definition(arms: list[str], reference: str, file: str) -> dict[str, Any]:
    named: list[dict[str, Any]] = [{"name": arm, "removes": "", "switches": {}, "published": None} for arm in arms]
    table = {"name": "all", "title": f"Imported from {file}", "arms": arms, "against": "", "columns": []}
    return {
        "name": file,
        "argument": "",
        "network": "",
        "code": "",
        "reference": reference,
        "switches": {},
        "order": [],
        "arms": named,
        "tables": [table],
        "protocol": None,
        "aliases": [],
        "recipes": {},
    }


def _row(run: ImportedRun, study: str, dataset: str, now: datetime.datetime) -> dict[str, Any]:
    """`schema.TRIAL`; what is not known and can't be null is empty."""
    text = {field.name: "" for field in schema.TRIAL if field.type == pa.string() and not field.nullable}
    return text | {
        "trial_id": _trial_id(dataset, run.arm, run.fold, run.seed),
        "study": study,
        "kind": "ablation",
        "status": "failed" if run.score is None else "complete",
        "arm": run.arm,
        "dataset": dataset,
        "synthetic": False,
        "split": UNKNOWN,
        "fold": run.fold,
        "replicate": run.seed,
        "seed": run.seed,
        "recipe": UNKNOWN,
        "accuracy": run.score,
        "train_clips": run.train_clips,
        "test_clips": run.test_clips,
        "seconds": run.seconds,
        "finished": now,
        "device": UNKNOWN,
        "error": run.error,
        "scored_on": "test",
        "stage": "",
        "params": "",
        "switches": "{}",
        "imported": run.where,
    }


def imported_problems(trials: pa.Table, plan: Mapping[str, Any]) -> Iterable[Problem]:
    """What imported rows can't show, and what is missing for a claim; nothing where none is imported.

    Args:
        trials: `schema.TRIAL`.
        plan: the study's `plan.json`; empty if it is missing.
    """
    rows = trials.filter(pc.is_valid(trials["imported"]))
    if not rows.num_rows:
        return
    file = plan.get("imported", {}).get("file", UNKNOWN)
    which = "all rows" if rows.num_rows == trials.num_rows else f"{rows.num_rows} of {trials.num_rows} rows"
    yield Problem(
        "imported",
        f"{which} are other tools' runs, from {file}: that they had the same data, split and training, that test clips "
        "chose nothing, and that equal seeds mean equal draws is their author's word",
    )
    complete = rows.filter(pc.equal(rows["status"], "complete"))
    for words in _lacks(complete, plan):
        yield Problem("missing for a claim", words)


def _lacks(complete: pa.Table, plan: Mapping[str, Any]) -> Iterable[str]:
    cells = complete.select(["arm", "fold", "replicate"]).to_pylist()
    blocks: dict[str, set[tuple[int, int]]] = {}
    for cell in cells:
        blocks.setdefault(cell["arm"], set()).add((cell["fold"], cell["replicate"]))
    reference = plan.get("reference", "")
    theirs = blocks.get(reference, set())
    if apart := [arm for arm, mine in blocks.items() if arm != reference and not mine & theirs]:
        yield (
            f"pairing: {_some(apart)} share{'s' * (len(apart) == 1)} no fold and seed with {reference}, so nothing is "
            "compared; run both on the same"
        )
    folds, seeds = {cell["fold"] for cell in cells}, {cell["replicate"] for cell in cells}
    if len(folds) == 1 and len(seeds) == 1:
        yield "seeds: one run of each arm shows no spread, so no difference has an interval; run more seeds or folds"
    elif len(folds) == 1:
        yield "folds: one split, so differences are statements about it alone; run several folds for other data"
    elif all(len({seed for fold, seed in mine if fold == one}) < 2 for mine in blocks.values() for one in folds):
        yield "seeds: one in each fold, so what retraining does can't be told from what folds do"
    if len({len(mine) for mine in blocks.values()}) > 1:
        sizes = ", ".join(f"{arm} {len(mine)}" for arm, mine in list(blocks.items())[:SHOWN])
        yield f"unequal cells: arms have different numbers of scores ({sizes}{', …' * (len(blocks) > SHOWN)})"
    unknown = complete["test_clips"].null_count or complete["train_clips"].null_count
    if unknown and len(folds) > 1:
        yield (
            f"numbers of clips (train_clips, test_clips): folds are taken as the {len(folds)} parts of one data set, "
            "each tested once; random splits share more, and their intervals are too narrow"
        )
    yield "predictions: no test clip's answer was imported, so nothing is said of other recordings"


def _some(names: list[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def claimed(claim: str, plan: Mapping[str, Any]) -> str:
    """What a difference is a statement about; that it was imported is a part of that."""
    return f"{claim}, as imported" if plan.get("imported") else claim
