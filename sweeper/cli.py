"""The command line: arguments in, lines and exit codes out. What a command does is written elsewhere."""

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from search_spaces.ablations import ARMS
from search_spaces.peers import PEERS
from search_spaces.recipes import RECIPES
from sweeper import __version__, data_cli, doctor_cli, model_cli, report_cli
from sweeper.audio import splits
from sweeper.audio.datasets import NAMES, DatasetError
from sweeper.plan import PlanError
from sweeper.results.folder import StorageError
from sweeper.results.store import StudyError
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
    except (DatasetError, PlanError, StudyError, StorageError, splits.LeakError) as error:
        return _complain(str(error), USAGE_ERROR)
    except BrokenPipeError:
        # The reader has seen enough (`… | head`). Python would complain once more when it closes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
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
    _add_status(commands)
    report_cli.add_parsers(commands)
    data_cli.add_parser(commands)
    model_cli.add_parsers(commands)
    doctor_cli.add_parser(commands)
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
        "--peers",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"also train networks by others, by the same loop on the same splits: {', '.join(PEERS)}",
    )
    grid.add_argument(
        "--recipe", metavar="NAME", help=f"one of: {', '.join(RECIPES)}; default: quick for the demo, else paper"
    )
    grid.add_argument("--epochs", type=int, metavar="N", help="instead of the recipe's")
    place = ablations.add_argument_group("results")
    place.add_argument(
        "--results", default=defaults.results, metavar="DIR", help="folder of all studies, or s3://BUCKET/PREFIX"
    )
    place.add_argument("--study", metavar="NAME", help="default: ablations-DATASET-RECIPE")
    place.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    machine = ablations.add_argument_group("machine")
    machine.add_argument(
        "--workers-per-trial",
        type=int,
        default=defaults.workers_per_trial,
        metavar="N",
        help="share each trial's batches between N processes (DDP), on one or several nodes; cores and GPUs are each's",
    )
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


def _add_status(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    status = commands.add_parser("status", help="how far a study is, from any shell that sees its folder")
    status.add_argument("study", metavar="STUDY", help="a study's folder or URL, or its name under --results")
    status.add_argument("--results", default=AblationOptions().results, metavar="DIR")
    status.set_defaults(command=_status)


def _run_ablations(args: argparse.Namespace) -> int:
    names = AblationOptions.__dataclass_fields__
    lists = {name: tuple(getattr(args, name)) for name in ("arms", "peers", "log")}
    options = AblationOptions(**{name: getattr(args, name) for name in names} | lists)
    outcome = run_ablations(options, _say)
    if outcome.study is not None and outcome.study.finished():
        report_cli.print_tables(outcome.study)
    return outcome.code


def _status(args: argparse.Namespace) -> int:
    from sweeper.status import describe, status

    for line in describe(status(report_cli.resolve_study(args.study, args.results))):
        _say(line)
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _integers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers such as 1,2,3") from error
