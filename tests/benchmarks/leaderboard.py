"""Seconds and memory of `sweeper leaderboard` for a large study: `python -m tests.benchmarks.leaderboard`.

The study has `--trials` trials (12 arms × 10 folds × seeds) with their plan. All but the newest hundredth are in the
old leaderboard, as after the last time somebody looked; files of those aren't opened, so empty ones stand for them. A
second study of `--files` real files is read in full, as `--rebuild` does.
"""

import argparse
import datetime
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from search_spaces.ablations import ARMS
from sweeper.results import schema
from sweeper.results.store import Study
from tests.results.rows import trial_row

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


def make(folder: Path, trials: int, new: int) -> Study:
    """A study of `trials`, the last `new` of which the leaderboard does not know."""
    study = Study(folder)
    study.create()
    table = rows(trials)
    listed = table.select(["trial_id", "arm", "fold", "replicate", "seed"]).to_pylist()
    plan = {"study": study.name, "kind": "ablation", "design": {}, "data_digest": "x", "trials": listed}
    (folder / "plan.json").write_text(json.dumps(plan))
    ids = table["trial_id"].to_pylist()
    for trial_id in ids[: trials - new]:
        path = folder / "trials" / f"{trial_id}.parquet"
        path.touch()
        os.utime(path, (1, 1))
    for start in range(trials - new, trials):
        study.write_table(f"trials/{ids[start]}.parquet", table.slice(start, 1), schema.TRIAL)
    if new < trials:
        study.write_table("leaderboard.parquet", table.slice(0, trials - new), schema.TRIAL)
    return study


def measure(study: Study, *options: str) -> tuple[float, float]:
    """Seconds and peak memory (GB) of the command."""
    code = (
        "import resource, sys; from sweeper.cli import main; code = main(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, file=sys.stderr); sys.exit(code)"
    )
    began = time.perf_counter()
    command = [sys.executable, "-c", code, "leaderboard", str(study.folder), *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - began, float(done.stderr.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=2_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        study = make(Path(scratch) / "large", args.trials, args.trials // 100)
        seconds, memory = measure(study)
        print(f"{args.trials} trials, {args.trials // 100} of them new: {seconds:.1f} s, peak {memory:.2f} GB")
        seconds, memory = measure(study)
        print(f"{args.trials} trials, none new: {seconds:.1f} s, peak {memory:.2f} GB")
        study = make(Path(scratch) / "files", args.files, args.files)
        seconds, memory = measure(study, "--rebuild")
        print(f"{args.files} files, all read: {seconds:.1f} s, peak {memory:.2f} GB")


if __name__ == "__main__":
    main()
