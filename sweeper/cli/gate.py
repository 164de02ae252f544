"""`sweeper gate`: for scripts; parsing and printing only."""

import argparse
import json

from sweeper.cli import streams
from sweeper.cli.report import RESULTS, add_margin, fraction, resolve_study


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `gate` to a command line; the parsed arguments carry `command`."""
    gate = commands.add_parser(
        "gate",
        help="for scripts: is an arm better than another one, so far?",
        description="Exit with 0 if the arm is better (with --equivalent, also if it is equivalent), with 1 if it is "
        "worse, with 2 if it is undecided; JSON says how sure that is. It may be asked whenever trials have come: each "
        "answer about new trials spends a part of the 5 %, which is kept in the study. Wrong input exits with 2, too, "
        "and prints no JSON.",
    )
    gate.add_argument("study", metavar="STUDY", help="a study's folder or URL, or its name under --results")
    gate.add_argument("arm", metavar="ARM", help="the arm in question")
    gate.add_argument("--against", metavar="REF", help="compared with this arm; default: the study's reference")
    gate.add_argument("--equivalent", action="store_true", help="equivalent within --margin passes, too")
    gate.add_argument("--results", default=RESULTS, metavar="DIR", help="folder of all studies, or s3://BUCKET/PREFIX")
    add_margin(gate, of_the_run=True)
    gate.set_defaults(command=_gate)


def _gate(args: argparse.Namespace) -> int:
    from sweeper.results.folder import StorageError
    from sweeper.results.gates import ask_gate, passes

    study = resolve_study(args.study, args.results)
    streams.keep_on()  # the exit code is the answer, also where nobody reads the other one
    try:
        found = ask_gate(study, args.arm, args.against, fraction(args.margin))
    except StorageError:
        raise
    except OSError as error:  # which elsewhere exits with 1, and here would say "worse"
        raise StorageError(f"{study}: {error}") from error
    print(json.dumps({"study": study.name, **found}))
    return passes(found, args.equivalent)
