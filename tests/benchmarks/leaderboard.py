"""Seconds and memory of commands that read a large study: `python -m tests.benchmarks.leaderboard`.

The study has `--trials` made-up trials (12 arms × 10 folds × seeds) with their plan and an attempt each, as a sweep
leaves them: in packs, but for the last that fill none. A second study has `--files` rows in files of their own, as if
nobody had packed them; the first look packs them.
"""

import argparse
import datetime
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from sweeper.results import schema
from sweeper.results.row_files import PACK_ROWS, _pack_name
from sweeper.results.store import Study
from sweeper.results.tables import table_bytes
from tests.results.rows import trial_row
from tests.studies import ARMS

FOLDS = 10


def rows(trials: int) -> pa.Table:
    """`trials` complete rows: one made-up row, with arm, fold, seed, accuracy and id changed."""
    index = np.arange(trials)
    arms = np.array(list(ARMS))[index % len(ARMS)]
    folds, seeds = index // len(ARMS) % FOLDS + 1, index // (len(ARMS) * FOLDS)
    accuracy = np.random.default_rng(0).normal(0.8, 0.02, trials)
    ids = [hashlib.sha256(str(i).encode()).hexdigest()[:16] for i in index]
    varied = {"trial_id": ids, "arm": arms, "fold": folds, "replicate": seeds, "accuracy": accuracy}
    row = trial_row("full") | {"finished": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)}
    same = {name: pa.repeat(pa.scalar(row[name], schema.TRIAL.field(name).type), trials) for name in schema.TRIAL.names}
    columns = [pa.array(varied[f.name], f.type) if f.name in varied else same[f.name] for f in schema.TRIAL]
    return pa.Table.from_arrays(columns, schema=schema.TRIAL)


def attempts(trials: pa.Table) -> pa.Table:
    """A complete attempt at each of the trials."""
    began = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    row = {"started": began, "ended": began + datetime.timedelta(minutes=1), "outcome": "complete", "device": "cpu"}
    row |= {"cpus": 1.0, "gpus": 0.0, "process": 1, "node": "node"}
    ids = trials["trial_id"]
    own = pa.array([trial_id[:12] for trial_id in ids.to_pylist()])
    columns = [
        {"trial_id": ids, "attempt_id": own}.get(f.name, pa.repeat(pa.scalar(row.get(f.name), f.type), len(trials)))
        for f in schema.ATTEMPT
    ]
    return pa.Table.from_arrays(columns, schema=schema.ATTEMPT)


def make(folder: Path, trials: int, *, packed: bool) -> Study:
    """A study of `trials`."""
    study = Study(folder)
    study.create()
    table = rows(trials)
    listed = table.select(["trial_id", "arm", "fold", "replicate", "seed"]).to_pylist()
    plan = {"study": study.name, "kind": "ablation", "design": {}, "data_digest": "x", "trials": listed}
    (folder / "plan.json").write_text(json.dumps(plan))
    whole = len(table) // PACK_ROWS * PACK_ROWS if packed else 0
    for place, content in (("trials", table), ("attempts", attempts(table))):
        columns = ("trial_id",) if place == "trials" else ("trial_id", "attempt_id")
        names = ["-".join(name) for name in zip(*(content[column].to_pylist() for column in columns), strict=True)]
        for start in range(0, whole, PACK_ROWS):
            pack = _pack_name(names[start : start + PACK_ROWS])
            part = table_bytes(content.slice(start, PACK_ROWS), content.schema)
            (folder / place / pack).write_bytes(part)
        for start in range(whole, len(table)):
            (folder / place / f"{names[start]}.parquet").write_bytes(
                table_bytes(content.slice(start, 1), content.schema)
            )
    return study


def measure(command: str, study: Study, *options: str) -> str:
    """Seconds and peak memory (GB) of the command."""
    code = (
        "import resource, sys; from sweeper.cli.main import main; code = main(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, file=sys.stderr); sys.exit(code)"
    )
    began = time.perf_counter()
    line = [sys.executable, "-c", code, command, str(study.folder), *options]
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    seconds, memory = time.perf_counter() - began, float(done.stderr.split()[-1])
    return f"{' '.join((command, *options))}: {seconds:.1f} s, peak {memory:.2f} GB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_999)
    parser.add_argument("--files", type=int, default=20_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        study = make(Path(scratch) / "large", args.trials, packed=True)
        print(f"{args.trials} trials")
        for command, *options in (("leaderboard", "--rebuild"), ("status",)):
            print("  " + measure(command, study, *options))
        study = make(Path(scratch) / "loose", args.files, packed=False)
        print(f"{args.files} trials, none packed")
        for _ in range(2):
            print("  " + measure("leaderboard", study, "--rebuild"))


if __name__ == "__main__":
    main()
