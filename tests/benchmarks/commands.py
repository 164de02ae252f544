"""How long commands take from Enter to their end, against another checkout, in one run.

    git worktree add ../before COMMIT
    python -m tests.benchmarks.commands STUDY ../before [--rounds 7] [--results DIR]

`STUDY` is the folder of a finished study of the demo; its tables are derived again. Both checkouts take turns. Seconds
of a core, of the process and its children, so that what else the machine does counts little; the shortest of all turns
first, then the median.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.step_against import commit, cpu_name

COMMANDS = {
    "--help": ["--help"],
    "run ablations --help": ["run", "ablations", "--help"],
    "status": ["status", "STUDY"],
    "leaderboard": ["leaderboard", "STUDY"],
    "report": ["report", "STUDY", "--output", os.devnull],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("before", type=Path, help="the other checkout")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each checkout")
    parser.add_argument("--without", nargs="+", default=[], choices=COMMANDS, metavar="COMMAND")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", metavar="DIR")
    args = parser.parse_args()
    here, before, study = Path(__file__).resolve().parents[2], args.before.resolve(), str(args.study.resolve())
    lines = [
        f"# Commands against the commit before, on {cpu_name()}",
        "",
        f"`python -m tests.benchmarks.commands STUDY BEFORE --rounds {args.rounds}`: {commit(before)} against "
        f"{commit(here)}; a finished study of the demo; seconds of a core.",
        "",
        "| command | before, shortest | median | after, shortest | median |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, words in COMMANDS.items():
        if name in args.without:
            continue
        command = [study if word == "STUDY" else word for word in words]
        times: dict[Path, list[float]] = {before: [], here: []}
        for _ in range(args.rounds):
            for checkout, found in times.items():
                found.append(_seconds(checkout, command))
        cells = [f"{value:.2f}" for found in times.values() for value in (min(found), statistics.median(found))]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "commands.md").write_text("\n".join(lines) + "\n", "utf-8")


def _seconds(checkout: Path, command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "sweeper", *command],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        cwd=checkout,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
