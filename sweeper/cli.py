"""The command line: arguments in, lines and exit codes out. What a command does is written elsewhere."""

import argparse
import errno
import sys
from collections.abc import Sequence
from pathlib import Path

from search_spaces.ablations import ARMS
from search_spaces.recipes import RECIPES
from sweeper import __version__, data_cli
from sweeper.audio import splits
from sweeper.audio.datasets import NAMES, DatasetError
from sweeper.plan import PlanError
from sweeper.results.store import Study, StudyError
from sweeper.run import AblationOptions, run_ablations

USAGE_ERROR, FAILURE, INTERRUPTED = 2, 1, 130

EXAMPLES = """examples:
  python -m sweeper run ablations                      the demo: twelve arms on synthetic sounds, minutes on a laptop
  python -m sweeper run ablations --dry-run            what would run, and what it can show
  python -m sweeper run ablations --dataset urbansound8k --data UrbanSound8K --recipe paper --seeds 3
  python -m sweeper leaderboard ablations-demo-quick   Tables 6 and 7 of a study
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0 done, 1 some trial failed, 2 wrong input, 130 interrupted."""
    args = _parser().parse_args(argv)
    try:
        return int(args.command(args))
    except (DatasetError, PlanError, StudyError, splits.LeakError) as error:
        return _complain(str(error), USAGE_ERROR)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            where = f" ({error.filename})" if error.filename else ""
            return _complain(
                f"no space left on the disk{where}; finished trials are kept: free some space and run the same command",
                FAILURE,
            )
        raise
    except KeyboardInterrupt:
        return _complain("interrupted; finished trials are kept: the same command continues", INTERRUPTED)


def _complain(message: str, code: int) -> int:
    print(f"sweeper: error: {message}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sweeper",
        description="Which parts of an audio network earn their place? Paired, resumable ablation sweeps on Ray.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sweeper {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_leaderboard(commands)
    data_cli.add_parser(commands)
    return parser


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    run = commands.add_parser("run", help="train what a study is missing")
    designs = run.add_subparsers(required=True, metavar="DESIGN")
    ablations = designs.add_parser(
        "ablations",
        help="the paper's twelve arms (Tables 6 and 7)",
        description="Train the paper's ablation arms on paired folds and seeds, commit each trial, print the tables. "
        "The same command again trains only what is missing, so it also continues after an interrupt.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    defaults = AblationOptions()
    data = ablations.add_argument_group("data")
    data.add_argument("--dataset", default=defaults.dataset, metavar="NAME", help=f"one of: {', '.join(NAMES)}")
    data.add_argument("--data", type=Path, metavar="DIR", help="where the data set lies (the demo needs none)")
    data.add_argument("--split", default=defaults.split, metavar="NAME", help=f"one of: {', '.join(splits.NAMES)}")
    data.add_argument(
        "--folds", type=_integers, metavar="1,2,…", help="test folds; default: fold 1 for the demo, else all"
    )
    data.add_argument(
        "--bad-clips", choices=("fail", "skip"), default=defaults.bad_clips, help="what to do about unreadable audio"
    )
    grid = ablations.add_argument_group("grid")
    grid.add_argument("--seeds", type=int, default=defaults.seeds, metavar="N", help="paired repetitions of every fold")
    grid.add_argument("--table", choices=("6", "7", "all"), default=defaults.table, help="which of the paper's tables")
    grid.add_argument(
        "--arm",
        dest="arms",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"only these arms: {', '.join(ARMS)}",
    )
    grid.add_argument(
        "--recipe", metavar="NAME", help=f"one of: {', '.join(RECIPES)}; default: quick for the demo, else paper"
    )
    grid.add_argument("--epochs", type=int, metavar="N", help="instead of the recipe's")
    place = ablations.add_argument_group("results")
    place.add_argument("--results", type=Path, default=defaults.results, metavar="DIR", help="folder of all studies")
    place.add_argument("--study", metavar="NAME", help="default: ablations-DATASET-RECIPE")
    place.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    machine = ablations.add_argument_group("machine")
    machine.add_argument(
        "--cpus-per-trial",
        type=int,
        default=defaults.cpus_per_trial,
        metavar="N",
        help="cores, so threads, of each trial; as many trials run at once as fit",
    )
    machine.add_argument(
        "--gpus-per-trial",
        type=float,
        metavar="X",
        help="GPUs of each trial, 0.5 for two trials on one; default: 1 where there is one",
    )
    machine.add_argument(
        "--max-failures",
        type=int,
        default=defaults.max_failures,
        metavar="N",
        help="how often a trial is retried, from its own checkpoint, before the sweep goes on without it",
    )
    machine.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="a running Ray cluster; default: $RAY_ADDRESS, else a Ray of this machine's own",
    )
    machine.add_argument(
        "--log",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME",
        help="also write learning curves for tensorboard, mlflow or wandb, into the study's folder logs/",
    )
    ablations.set_defaults(command=_run_ablations)


def _add_leaderboard(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    board = commands.add_parser("leaderboard", help="print Tables 6 and 7 of a study, rebuilt from its trials")
    board.add_argument("study", metavar="STUDY", help="a study's folder, or its name under --results")
    board.add_argument(
        "--results", type=Path, default=AblationOptions().results, metavar="DIR", help="folder of all studies"
    )
    board.set_defaults(command=_leaderboard)


def _run_ablations(args: argparse.Namespace) -> int:
    names = AblationOptions.__dataclass_fields__
    options = AblationOptions(**{name: getattr(args, name) for name in names} | {"arms": tuple(args.arms), "log": tuple(args.log)})
    outcome = run_ablations(options, _say)
    if outcome.study is not None and outcome.study.finished():
        _print_tables(outcome.study)
    return outcome.code


def _leaderboard(args: argparse.Namespace) -> int:
    given = Path(args.study)
    folder = given if (given / "trials").is_dir() else args.results / given
    if not (folder / "trials").is_dir():
        known = sorted(path.parent.name for path in args.results.glob("*/trials"))
        raise StudyError(
            f"no study {args.study!r}, neither as a folder nor under {args.results}/; "
            + (f"there: {', '.join(known)}" if known else "run one first: python -m sweeper run ablations")
        )
    _print_tables(Study(folder))
    return 0


def _print_tables(study: Study) -> None:
    from rich.console import Console

    from sweeper.report import tables
    from sweeper.results import leaderboard

    trials, summary = leaderboard.rebuild(study)
    console = Console()
    # A table cut off at the terminal's edge misleads; one that the terminal wraps can still be read.
    console.width = max(console.width, tables.WIDTH)
    console.print(tables.render(trials, summary), soft_wrap=True)
    print(f"{study.folder}/leaderboard.parquet: {len(trials)} trials · summary.parquet: {len(summary)} arms")


def _say(line: str) -> None:
    print(line, flush=True)


def _integers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers such as 1,2,3") from error
