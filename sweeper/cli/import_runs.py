"""`sweeper import`: parsing and printing only."""

import argparse
from pathlib import Path

from sweeper.cli.report import RESULTS, add_margin, print_tables

EXAMPLES = """examples:
  a W&B export (runs table, "Export as CSV"); runs whose State is not finished are failures, named:
    python -m sweeper import wandb.csv --reference full --columns arm=arm score=test_accuracy seed=seed seconds=Runtime
  an MLflow export (mlflow.search_runs().to_csv("mlflow.csv")):
    python -m sweeper import mlflow.csv --reference full --columns arm=params.arm score=metrics.test_accuracy \\
      seed=params.seed fold=params.fold
  what becomes of it:
    python -m sweeper leaderboard mlflow
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `import` to a command line; the parsed arguments carry `command`."""
    parser = commands.add_parser(
        "import",
        help="make a study of other tools' runs (W&B, MLflow, any CSV or Parquet file with a row per run)",
        description="Make a study of a table with a row for each run: the same tables, tests and report, marked as "
        "imported. What is missing for a claim is said; runs that failed or have no score stay, as failures.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a CSV or Parquet file")
    parser.add_argument(
        "--columns",
        action="extend",
        nargs="+",
        type=_column,
        required=True,
        metavar="KEY=COLUMN",
        help="which column holds what: arm and score (accuracy); seed and fold, whole numbers, which pair the runs; "
        "seconds of training; status (default: the column State or status, if there is one; status= for none); "
        "train_clips and test_clips",
    )
    parser.add_argument("--reference", required=True, metavar="ARM", help="the arm that all others are compared with")
    parser.add_argument(
        "--score",
        choices=("fraction", "percent"),
        help="how scores are written; default: as they show themselves, which is said, or refused where it is unclear",
    )
    parser.add_argument("--dataset", default="unknown", metavar="NAME", help="what the runs were scored on, in a word")
    parser.add_argument("--study", metavar="NAME", help="the new study's name; default: the file's")
    parser.add_argument(
        "--results", default=RESULTS, metavar="DIR", help="folder of all studies, or s3://BUCKET/PREFIX"
    )
    add_margin(parser)
    parser.set_defaults(command=_import)


def _column(text: str) -> tuple[str, str]:
    key, equals, column = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r}: write KEY=COLUMN, such as arm=params.arm")
    return key, column


def _import(args: argparse.Namespace) -> int:
    from sweeper.results.imported_runs import read_runs
    from sweeper.results.importing import import_study
    from sweeper.results.store import study_of

    study = study_of(args.results, args.study or args.file.stem)
    runs = read_runs(args.file, dict(args.columns), args.score)
    import_study(runs, args.file, args.reference, args.dataset, study, args.margin / 100)
    failed = sum(run.score is None for run in runs.runs)
    print(f"{study}: {len(runs.runs)} runs of {args.file}, {failed} of them failed or without a score")
    for note in runs.notes:
        print(f"note: {note}")
    print_tables(study, args.margin)
    return 0
