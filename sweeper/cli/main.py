"""The command line: arguments in, lines and exit codes out. What a command does is written elsewhere."""

import argparse
import atexit
import errno
import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweeper import garbage, signals
from sweeper.audio.places import cache_folder
from sweeper.cli import streams

if TYPE_CHECKING:
    from sweeper.run.options import Outcome

DONE, FAILURE, USAGE_ERROR = 0, 1, 2
THREAD_SECONDS = 5.0  # longer than anything of this package's takes to end

EPILOG = """examples:
  python -m sweeper run ablations                      the demo: twelve arms on synthetic sounds, minutes on a laptop
  python -m sweeper run ablations --dry-run            what would run, and what it can show
  python -m sweeper run ablations --dataset urbansound8k --data UrbanSound8K --recipe paper --seeds 3
  python -m sweeper run search --arm full --trials 40  better hyperparameters, found on the validation fold
  python -m sweeper leaderboard ablations-demo-quick   Tables 6 and 7 of a study

exit codes:
  0  done
  1  some trial failed, or what was looked at is not in order
  2  wrong input, told before anything began
  130, 143, 129  interrupted by Ctrl-C, SIGTERM, SIGHUP: the same command continues
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code, see `EPILOG`.

    Args:
        argv: the words after the program's name; None: this process's, which is then ours with its signals and streams.
    """
    if argv is None:
        signals.install()
        streams.prepare()
        # torch would leave an empty folder in /tmp.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "torch"))
        # At its end, Python looks for garbage in all that was imported; after torch, that takes half a second.
        atexit.register(gc.freeze)
        garbage.look_seldom()
    code = _code(argv)
    if argv is None:
        _end_soon(code)
    return code


def _code(argv: Sequence[str] | None) -> int:
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except streams.OutputLost as error:
        if error.errno == errno.EPIPE:  # the reader has seen enough (`… | head`)
            return DONE
        return _complain(f"can't write to stdout: {error.strerror}", FAILURE)
    except KeyboardInterrupt as interrupted:
        return _interrupted(interrupted)


def _end_soon(code: int) -> None:
    """End this process in `THREAD_SECONDS`, where a thread that a user's network started would keep it for ever."""

    def end() -> None:
        left = ", ".join(thread.name for thread in _left())
        print(f"sweeper: ended beside threads that the study's code started and left: {left}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(code)

    if _left():
        timer = threading.Timer(THREAD_SECONDS, end)
        timer.daemon = True
        timer.start()


def _left() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()]


def _run(argv: Sequence[str] | None) -> int:
    # Half an import is in nobody's interest: a signal waits for its end.
    with signals.held_back(*signals.SIGNALS):
        parser = _parser()
    args, rest = parser.parse_known_args(argv)
    if rest:
        late = any(not word.startswith("-") for word in rest)
        hint = "; names stand before options, as in: sweeper leaderboard STUDY --format csv" if late else ""
        parser.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
    try:
        return int(args.command(args))
    except streams.OutputLost:
        raise
    except Exception as error:
        if signals.asked() is not None:  # it broke on the way out
            return _interrupted(error)
        if isinstance(error, _input_errors()):
            return _complain(str(error), USAGE_ERROR)
        if isinstance(error, OSError):
            return _complain(_explained(error), FAILURE)
        raise


def _input_errors() -> tuple[type[Exception], ...]:
    """What says that the input is wrong. Asked for once there is an error, as `--help` needs no pyarrow."""
    from sweeper.audio.datasets.base import DatasetError
    from sweeper.definition import PlanError
    from sweeper.results.folder import StorageError
    from sweeper.results.tables import StudyError

    return DatasetError, PlanError, StudyError, StorageError


def _explained(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno != errno.ENOSPC:
        return f"{error.strerror or error}{where}"
    return "; ".join([f"no space left on the disk{where}: free some", *_notes(error)])


def _interrupted(error: BaseException) -> int:
    asked = signals.asked()
    number = signal.SIGINT if asked is None else asked.number
    name = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    return _complain("; ".join([f"interrupted{name}", *_notes(error)]), signals.exit_code(number))


def _notes(error: BaseException) -> list[str]:
    """What was said to the error on its way, such as what is kept of the work."""
    return getattr(error, "__notes__", [])


def _complain(message: str, code: int) -> int:
    from sweeper.audio.datasets.base import printable

    print(f"sweeper: error: {printable(message)}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    from sweeper.cli import data, doctor, gate, import_runs, merge, model, report, run, watch
    from sweeper.cli.version import Version

    parser = argparse.ArgumentParser(
        prog="sweeper",
        description="Which parts of an audio network earn their place? Paired, resumable ablation sweeps on Ray.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=Version)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run.add_parser(commands, _show)
    _add_status(commands)
    report.add_parsers(commands)
    gate.add_parser(commands)
    merge.add_parser(commands)
    import_runs.add_parser(commands)
    watch.add_parser(commands)
    data.add_parser(commands)
    model.add_parsers(commands)
    doctor.add_parser(commands)
    return parser


def _add_status(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    from sweeper.cli import report as report_cli

    status = commands.add_parser("status", help="how far a study is, from any shell that sees its folder")
    status.add_argument("study", metavar="STUDY", help="a study's folder or URL, or its name under --results")
    status.add_argument(
        "--results", default=report_cli.RESULTS, metavar="DIR", help="folder of all studies, or s3://BUCKET/PREFIX"
    )
    status.set_defaults(command=_status)


def _show(outcome: "Outcome", margin: float, price: float | None) -> None:
    from sweeper.cli import report as report_cli

    asked = signals.asked()
    if asked is not None and asked.urgent:
        return  # whoever sends SIGTERM does not wait long
    if outcome.study is not None and outcome.study.finished():
        report_cli.print_tables(outcome.study, margin, price)


def _status(args: argparse.Namespace) -> int:
    from sweeper.cli import report as report_cli
    from sweeper.tools.status import describe, status

    for line in describe(status(report_cli.resolve_study(args.study, args.results))):
        print(line, flush=True)
    return DONE
