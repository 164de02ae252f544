"""`sweeper leaderboard`, `report`, `compare`: showing what studies found. Parsing and printing only."""

import argparse
import contextlib
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweeper.cli import streams
from sweeper.cli.model import add_own_code
from sweeper.tools.own_code import own_code

if TYPE_CHECKING:
    from sweeper.results.store import Study

RESULTS = "results"
FORMATS = ("table", "markdown", "latex", "csv", "json")
PROBLEMS_FOUND = 1
MARGIN = 1.0  # points


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the three commands to a command line; the parsed arguments carry `command`."""
    board = commands.add_parser(
        "leaderboard",
        help="print a study's tables, from its trials",
        description="Derive leaderboard.parquet, summary.parquet and effects.parquet from a study's trials, and print "
        "its tables.",
    )
    _add_studies(board)
    board.add_argument("--format", choices=FORMATS, default="table", help="default: %(default)s")
    board.add_argument(
        "--rebuild",
        action="store_true",
        help="derive the files afresh, which is always done",
    )
    board.add_argument(
        "--strict", action="store_true", help="exit with 1 if trials are missing, were made in different ways, or leak"
    )
    add_price(board)
    add_margin(board, of_the_run=True)
    board.set_defaults(command=_leaderboard)

    report = commands.add_parser(
        "report",
        help="write one HTML page about a study, or about studies of several data sets",
        description="Write one HTML page that needs nothing else: tables, figures, provenance, how to run it again. Of "
        "several studies, each of another data set: what holds on all of them.",
    )
    _add_studies(report)
    report.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="default: report.html in the study's folder; of several, data-sets.html here; with --benchmark, "
        "benchmark.html in --results",
    )
    report.add_argument(
        "--data", type=Path, metavar="DIR", help="where the data set lies, for the t-SNE; not needed for demo"
    )
    report.add_argument(
        "--tsne", type=Path, metavar="FILE", help="also draw the t-SNE (the paper's Fig. 7) as a PNG, SVG or PDF"
    )
    add_own_code(report)
    add_price(report)
    add_margin(report, of_the_run=True)
    report.add_argument(
        "--against",
        metavar="STUDY",
        help="the fixed design beside a tuned one; default: the study of ablations of the same data set and recipe",
    )
    report.set_defaults(command=_report)

    compare = commands.add_parser("compare", help="what differs between two studies, in design and in results")
    _add_study(compare, "study_a", "STUDY_A")
    compare.add_argument("study_b", metavar="STUDY_B", help="the study to compare it with")
    compare.set_defaults(command=_compare)


def resolve_study(given: str, results: str) -> "Study":
    """The study of that folder or URL, or of that name under `results`.

    Raises:
        StudyError: there is none.
        StorageError: an object store can't be asked.
    """
    from sweeper.results.store import studies_under
    from sweeper.results.tables import StudyError

    if (study := find_study(given, results)) is not None:
        return study
    known = studies_under(results)
    raise StudyError(
        f"no study {given!r}, neither as a folder nor under {results}/; "
        + (f"there: {', '.join(known)}" if known else "run one first: python -m sweeper run ablations")
    )


def find_study(given: str, results: str) -> "Study | None":
    """As `resolve_study`; None where there is none."""
    from sweeper.results.store import Study

    return next((study for study in (Study(given), *_named(given, results)) if study.exists()), None)


def _named(given: str, results: str) -> "Iterator[Study]":
    """The study of that name, if it is a name."""
    from sweeper.results.store import study_of
    from sweeper.results.tables import StudyError

    with contextlib.suppress(StudyError):
        yield study_of(results, given)


def print_tables(study: "Study", margin: float | None, price: float | None = None) -> None:
    """Derive the study's tables and print them for a terminal; `margin` in points, `price` of a device for an hour."""
    _print_leaderboard(study, "table", price, margin)


def add_margin(parser: "argparse.ArgumentParser | argparse._ArgumentGroup", *, of_the_run: bool = False) -> None:
    """Add --margin, in points; without it None, where that of the run is meant."""
    default = f"what the study was run with, or {MARGIN:g}" if of_the_run else f"{MARGIN:g}"
    parser.add_argument(
        "--margin",
        type=_margin,
        default=None if of_the_run else MARGIN,
        metavar="POINTS",
        help=f"largest difference in accuracy that doesn't matter; default: {default}",
    )


def fraction(margin: float | None) -> float | None:
    """A margin in points as a fraction of 1."""
    return None if margin is None else margin / 100


def _margin(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of percentage points above 0, such as 0.5")
    return value


def _add_study(parser: argparse.ArgumentParser, name: str = "study", metavar: str = "STUDY") -> None:
    parser.add_argument(name, metavar=metavar, help="a study's folder or URL, or its name under --results")
    parser.add_argument(
        "--results", default=RESULTS, metavar="DIR", help="folder of all studies, or s3://BUCKET/PREFIX"
    )


def _add_studies(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "studies", metavar="STUDY", nargs="*", help="a study's folder or URL, or its name under --results"
    )
    parser.add_argument(
        "--benchmark",
        action="store_true",
        help="Tables 1 to 5 of the studies of `run benchmark`: those named, or all in a folder of studies; default: "
        "all under --results",
    )
    parser.add_argument(
        "--results", default=RESULTS, metavar="DIR", help="folder of all studies, or s3://BUCKET/PREFIX"
    )


def _one(args: argparse.Namespace) -> "Study":
    """The one study that was named; raises StudyError for none or several."""
    from sweeper.results.tables import StudyError

    if len(args.studies) != 1:
        raise StudyError(f"{len(args.studies)} studies named: one is shown at a time, or several with --benchmark")
    return resolve_study(args.studies[0], args.results)


def resolve_benchmark(given: Sequence[str], results: str) -> "list[Study]":
    """The benchmark's studies that were named, or that lie in a named folder of studies; none named: under `results`.

    Raises:
        StudyError: there is none, or one that was named is no benchmark.
    """
    from sweeper.results.benchmark import is_benchmark
    from sweeper.results.storage import under
    from sweeper.results.store import Study, studies_under
    from sweeper.results.tables import StudyError

    found: list[Study] = []
    for place in given or [results]:
        names = [] if Study(place).exists() else studies_under(place)
        inside = [Study(under(place, name)) for name in names]
        found += [study for study in inside if is_benchmark(study.read_plan())] if inside else []
        if not inside and given:
            found.append(resolve_study(place, results))
    if not found:
        where = ", ".join(given or [results])
        raise StudyError(f"no benchmark in {where}; make one with: python -m sweeper run benchmark")
    return found


def print_benchmark(studies: "Sequence[Study]", form: str, margin: float | None) -> tuple[str, ...]:
    """Derive the studies' tables and print Tables 1 to 5; returns what is wrong with them. `margin` in points."""
    from sweeper.report import benchmark
    from sweeper.report.formats import DOCUMENTS
    from sweeper.results import leaderboard
    from sweeper.results.tables import StudyError

    boards = [leaderboard.derive(study, fraction(margin)) for study in studies]
    if form == "csv":
        raise StudyError("--format csv: a benchmark has several tables; take json, markdown, latex or table")
    shown = benchmark.document(boards)
    print(benchmark.to_json(shown) if form == "json" else DOCUMENTS[form](shown))
    return shown.problems


def add_price(parser: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Add --price-per-hour."""
    parser.add_argument(
        "--price-per-hour",
        type=_price,
        metavar="X",
        help="price of an hour of a GPU, or of a core if there is none, in your currency: shows what a study costs",
    )


def _price(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a price above 0, such as 2.50")
    return value


def _leaderboard(args: argparse.Namespace) -> int:
    if args.format in ("csv", "json"):
        streams.for_programs()
    if args.price_per_hour is not None and args.format != "table":
        from sweeper.results.tables import StudyError

        raise StudyError(f"--price-per-hour: the cost stands under a table, and not in --format {args.format}")
    if args.benchmark:
        _refuse_options_of_one(args, "table", "not for --benchmark")
        problems = print_benchmark(resolve_benchmark(args.studies, args.results), args.format, args.margin)
    else:
        problems = _print_leaderboard(_one(args), args.format, args.price_per_hour, args.margin)
    if not (args.strict and problems):
        return 0
    reasons = "1 reason" if len(problems) == 1 else f"{len(problems)} reasons"
    from sweeper.report.escaping import plain

    print(f"sweeper: error: --strict: {reasons} not to trust this table:", file=sys.stderr)
    for problem in problems:
        print(f"  {plain(problem)}", file=sys.stderr)
    return PROBLEMS_FOUND


def _print_leaderboard(study: "Study", form: str, price: float | None, margin: float | None) -> tuple[str, ...]:
    from sweeper.report.facts import cost_sentence
    from sweeper.report.formats import FORMATS as RENDERERS
    from sweeper.results import leaderboard

    board = leaderboard.derive(study, fraction(margin))
    print(RENDERERS[form](board))
    if form == "csv" and (board.variance or not board.ablation):
        found = "variance.parquet" if board.variance else "search.parquet and winners.json"
        _complain(f"{study} compares no arms: what it found is in its {found}, and in --format json")
    if form == "table":
        print(cost_sentence(board, price))
    if board.unwritten:
        _complain(f"the tables were not written: {board.unwritten}")
    elif form == "table":
        trials, arms = len(board.trials), len(board.summary)
        effects = f" · effects.parquet: {len(board.effects)} effects" if board.effects else ""
        print(f"{study}/leaderboard.parquet: {trials} trials · summary.parquet: {arms} arms{effects}")
    return tuple(str(problem) for problem in board.problems)


def _complain(line: str) -> None:
    print(f"sweeper: {line}", file=sys.stderr)


def _report(args: argparse.Namespace) -> int:
    if args.benchmark:
        _refuse_options_of_one(args, "report", "not for --benchmark")
        return _report_benchmark(args)
    from sweeper.results.tables import StudyError

    if not args.studies:
        raise StudyError("no study named: name one, or several of different data sets, or use --benchmark")
    studies = [resolve_study(given, args.results) for given in args.studies]
    try:
        import matplotlib  # noqa: F401  # before the tables are derived, and not once the first figure is drawn

        if len(studies) > 1:
            from sweeper.report.data_sets import write_data_sets
        else:
            from sweeper.report.page import write_page
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in {"jinja2", "matplotlib"}:
            raise
        raise StudyError(f"the report needs {package}: pip install {package}") from None
    if len(studies) > 1:
        _refuse_options_of_one(args, "report", f"and here are {len(studies)}")
        path = write_data_sets(studies, args.output, fraction(args.margin), _complain)
        print(f"{path}: one file, opens in any browser, without a network")
        return 0
    if args.data is not None and not args.data.exists():
        raise StudyError(f"--data {args.data}: no such file or folder; name where the data set lies")
    against = None if args.against is None else resolve_study(args.against, args.results)
    path = write_page(
        studies[0],
        args.output,
        args.data,
        args.price_per_hour,
        against,
        fraction(args.margin),
        _complain,
        args.tsne,
        None if args.study is None else own_code(args.study),
    )
    print(f"{path}: one file, opens in any browser, without a network")
    if args.tsne is not None:
        print(args.tsne)
    return 0


def _refuse_options_of_one(args: argparse.Namespace, what: str, instead: str) -> None:
    """Raises StudyError for an option that only one study's table or report, `what`, obeys."""
    from sweeper.results.tables import StudyError

    for option in ("against", "data", "price_per_hour", "study", "tsne"):
        if getattr(args, option, None) is not None:
            raise StudyError(f"--{option.replace('_', '-')} is for the {what} of one study, {instead}")


def _report_benchmark(args: argparse.Namespace) -> int:
    from sweeper.report import benchmark
    from sweeper.report.page import save_page
    from sweeper.results import leaderboard
    from sweeper.results.storage import locate

    boards = [
        leaderboard.derive(study, fraction(args.margin)) for study in resolve_benchmark(args.studies, args.results)
    ]
    html = benchmark.page(boards)
    if args.output is None:
        locate(args.results).write("benchmark.html", html.encode())
    else:
        save_page(html, args.output)
    print(f"{args.output or f'{args.results}/benchmark.html'}: one file, opens in any browser, without a network")
    return 0


def _compare(args: argparse.Namespace) -> int:
    from sweeper.report.compare import compare

    print(compare(resolve_study(args.study_a, args.results), resolve_study(args.study_b, args.results)))
    return 0
