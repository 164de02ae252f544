"""`sweeper watch`: a study's page while its trials land. Parsing and printing only."""

import argparse
from functools import partial
from pathlib import Path

from sweeper import signals
from sweeper.cli.report import RESULTS, add_margin, find_study, fraction


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line; the parsed arguments carry `command`."""
    parser = commands.add_parser(
        "watch",
        help="show a study's page in a browser of this machine, renewed as trials land",
        description="Serve the page of `report` to this machine only, renewed as trials land. The study need not exist "
        "yet. Ctrl-C ends it; the study goes on.",
    )
    parser.add_argument("study", metavar="STUDY", help="a study's folder or URL, or its name under --results")
    parser.add_argument(
        "--results", default=RESULTS, metavar="DIR", help="folder of all studies, or s3://BUCKET/PREFIX"
    )
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="default: %(default)s, a free one")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="where the data set lies, for the t-SNE; not needed for demo"
    )
    add_margin(parser, of_the_run=True)
    parser.set_defaults(command=_watch)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; expected 0 to 65535")
    return int(text)


def _watch(args: argparse.Namespace) -> int:
    import asyncio

    from sweeper.garbage import leave_out_what_is_there
    from sweeper.report.watch import Watch, serve

    if "/" not in args.study:
        from sweeper.results.store import study_of

        study_of(args.results, args.study)  # raises where no study will ever have that name
    find = partial(find_study, args.study, args.results)
    find()  # raises where nothing can ever be read there

    def say(line: str) -> None:
        print(line, flush=True)

    async def run() -> None:
        say("for browsers of this machine; Ctrl-C ends it, and the study goes on:")
        await serve(Watch(args.study, find, fraction(args.margin), args.data), args.port, say)

    leave_out_what_is_there()
    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        if (asked := signals.asked()) is not None and asked.urgent:
            raise
    return 0
