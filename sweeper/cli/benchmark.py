"""`sweeper run benchmark`: parsing only."""

import argparse
from dataclasses import fields
from pathlib import Path

from sweeper import signals
from sweeper.audio.datasets import NAMES
from sweeper.audio.split_names import NAMES as SPLITS
from sweeper.cli import streams
from sweeper.cli.run import END_SECONDS, Help, add_machine, add_place, add_seeds, add_training, integers, say
from sweeper.run.options import BenchmarkOptions
from sweeper.search_spaces.benchmark import NETWORKS, STUDY


def add_parser(designs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `benchmark` to the designs of `run`; the parsed arguments carry `command`."""
    defaults = BenchmarkOptions()
    parser = designs.add_parser(
        "benchmark",
        help="the paper's network and its rivals on several data sets (Tables 1 to 5)",
        description="Train the paper's full network and its rivals on each data set, a study for each, and print "
        "Tables 1 to 5 as the paper has them with what was measured in its place. The same command again trains only "
        "what is missing.",
        formatter_class=Help,
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--dataset",
        dest="datasets",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"one or several of: {', '.join(NAMES)}; default: those that --data names, or the demo",
    )
    data.add_argument(
        "--data",
        dest="folders",
        action="extend",
        nargs="+",
        type=_folder,
        default=[],
        metavar="NAME=DIR",
        help="where a data set lies; one that `data fetch` got needs none",
    )
    data.add_argument("--split", default=defaults.split, metavar="NAME", help=f"one of: {', '.join(SPLITS)}")
    data.add_argument(
        "--folds", type=integers, metavar="1,2,…", help="test folds; default: fold 1 for the demo, else all"
    )
    data.add_argument(
        "--bad-clips", choices=("fail", "skip"), default=defaults.bad_clips, help="what to do about unreadable audio"
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--networks",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"some of: {', '.join(NETWORKS)}; default: all that can take the recipe's clips",
    )
    add_training(
        training,
        f"one of: {', '.join(recipe.name for recipe in STUDY.recipes)}; default: quick for the demo, else paper",
    )
    add_seeds(training, defaults)
    add_place(parser.add_argument_group("results"), defaults)
    add_machine(parser.add_argument_group("machine"), defaults)
    parser.set_defaults(command=_benchmark)


def _folder(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=DIR, such as esc50=ESC-50")
    return name, Path(folder)


def _benchmark(args: argparse.Namespace) -> int:
    from sweeper.definition import PlanError
    from sweeper.run.benchmark import Benchmark, run_benchmark

    given = {field.name: getattr(args, field.name) for field in fields(BenchmarkOptions) if hasattr(args, field.name)}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    options = BenchmarkOptions(**given)
    names = [name for name, _folder in args.folders]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise PlanError(f"--data: {twice} has several folders; name one")
    asked = Benchmark(tuple(args.datasets), dict(args.folders), tuple(args.networks), options)
    streams.keep_on()
    with signals.deadline(args.grace + END_SECONDS):
        code, studies = run_benchmark(asked, say)
    told = signals.asked()
    if studies and not (told is not None and told.urgent) and all(study.finished() for study in studies):
        from sweeper.cli.report import print_benchmark

        print_benchmark(studies, "table", args.margin)
    return code
