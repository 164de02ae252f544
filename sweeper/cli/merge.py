"""`sweeper merge`: parsing and printing only."""

import argparse

from sweeper.cli.report import RESULTS, print_tables, resolve_study


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `merge` to a command line; the parsed arguments carry `command`."""
    merge = commands.add_parser(
        "merge",
        help="make one study of several of the same data, design and code",
        description="Put the trials of several studies into a new one, row for row: other folds, seeds or arms that "
        "were run elsewhere. Studies of other data, another design or other code are refused.",
    )
    merge.add_argument("studies", nargs="+", metavar="STUDY", help="a study's folder or URL, or its name in --results")
    merge.add_argument("--study", required=True, metavar="NAME", help="the new study's name")
    merge.add_argument("--results", default=RESULTS, metavar="DIR", help="folder of all studies, or s3://BUCKET/PREFIX")
    merge.set_defaults(command=_merge)


def _merge(args: argparse.Namespace) -> int:
    from sweeper.results.merging import merge_studies
    from sweeper.results.store import study_of

    whole = study_of(args.results, args.study)
    count = merge_studies([resolve_study(name, args.results) for name in args.studies], whole)
    print(f"{whole}: {count} trials of {len(args.studies)} studies")
    if count:
        print_tables(whole, None)
    return 0
