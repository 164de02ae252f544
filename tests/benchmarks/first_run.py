"""A newcomer's first minute: a study of one's own, from Enter to the first result and to the table, against a checkout.

    git worktree add ../before COMMIT
    python -m tests.benchmarks.first_run ../before [--rounds 5] [--results DIR]

The study is `tests/study_files/training_alone.py`, a network of four lines with four arms, as the README's: the demo's
sounds, one seed, three epochs; its results go to a new folder each time. Both checkouts take turns. Seconds of a clock,
so nothing else should run; the shortest of all turns first, then the median.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.step_against import commit, cpu_name

STUDY = Path(__file__).resolve().parents[1] / "study_files" / "training_alone.py"
STAGES = {"workers start": "trials to run; starting", "first worker": "has started", "first result": "[1/"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="the other checkout")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each checkout")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", metavar="DIR")
    args = parser.parse_args()
    here, before = Path(__file__).resolve().parents[2], args.before.resolve()
    found: dict[Path, list[dict[str, float]]] = {before: [], here: []}
    for number in range(args.rounds + 1):  # the first ones compile and fetch
        for checkout, times in found.items():
            times.append(_seconds(checkout))
            print(f"{number}: {commit(checkout)}: {times[-1]}", flush=True)
    lines = [
        f"# A study of one's own, from Enter, on {cpu_name()}",
        "",
        f"`python -m tests.benchmarks.first_run BEFORE --rounds {args.rounds}`: {commit(before)} against "
        f"{commit(here)}; synthetic sounds; seconds.",
        "",
        "| until | before, shortest | median | after, shortest | median |",
        "|---|---:|---:|---:|---:|",
    ]
    for stage in (*STAGES, "table"):
        of_stage = [[seconds[stage] for seconds in times[1:]] for times in found.values()]
        cells = [f"{value:.2f}" for values in of_stage for value in (min(values), statistics.median(values))]
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "first_run.md").write_text("\n".join(lines) + "\n", "utf-8")


def _seconds(checkout: Path) -> dict[str, float]:
    """From the process's start to each stage's first line, and to its end."""
    words = [str(STUDY), "--dataset", "demo", "--folds", "1", "--seeds", "1"]
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        command = [sys.executable, "-u", "-m", "sweeper", "run", "ablations", *words, "--results", f"{folder}/results"]
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        with subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            seconds: dict[str, float] = {}
            for line in process.stdout:
                for stage, words_of_it in STAGES.items():
                    if words_of_it in line:
                        seconds.setdefault(stage, round(time.perf_counter() - begin, 2))
        if process.returncode:
            raise SystemExit(f"{checkout}: ended with {process.returncode}")
        return seconds | {"table": round(time.perf_counter() - begin, 2)}


if __name__ == "__main__":
    main()
