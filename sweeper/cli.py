"""The command line: arguments in, lines and exit codes out. What a command does is written elsewhere."""

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from sweeper import __version__, data_cli, doctor_cli, model_cli, report_cli
from sweeper.audio import splits
from sweeper.audio.datasets import DatasetError
from sweeper.plan import PlanError
from sweeper.results.folder import StorageError
from sweeper.results.tables import StudyError
from sweeper.run import cli as run_cli
from sweeper.run.options import Outcome

USAGE_ERROR, FAILURE, INTERRUPTED = 2, 1, 130

EXAMPLES = """examples:
  python -m sweeper run ablations                      the demo: twelve arms on synthetic sounds, minutes on a laptop
  python -m sweeper run ablations --dry-run            what would run, and what it can show
  python -m sweeper run ablations --dataset urbansound8k --data UrbanSound8K --recipe paper --seeds 3
  python -m sweeper run search --arm full --trials 40  better hyperparameters, found on the validation fold
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
    run_cli.add_parser(commands, _show)
    _add_status(commands)
    report_cli.add_parsers(commands)
    data_cli.add_parser(commands)
    model_cli.add_parsers(commands)
    doctor_cli.add_parser(commands)
    return parser


def _add_status(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    status = commands.add_parser("status", help="how far a study is, from any shell that sees its folder")
    status.add_argument("study", metavar="STUDY", help="a study's folder or URL, or its name under --results")
    status.add_argument("--results", default=report_cli.RESULTS, metavar="DIR")
    status.set_defaults(command=_status)


def _show(outcome: Outcome, margin: float) -> None:
    if outcome.study is not None and outcome.study.finished():
        report_cli.print_tables(outcome.study, margin)


def _status(args: argparse.Namespace) -> int:
    from sweeper.status import describe, status

    for line in describe(status(report_cli.resolve_study(args.study, args.results))):
        print(line, flush=True)
    return 0
