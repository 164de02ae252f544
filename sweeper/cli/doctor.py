"""`sweeper doctor`: whether all is there that a sweep needs. Parsing and printing only."""

import argparse
import os

PROBLEMS_FOUND = 1


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line; the parsed arguments carry `command`."""
    parser = commands.add_parser(
        "doctor",
        help="look for what would stop a sweep: versions, GPUs, memory, disk, cluster, storage, clocks",
        description="Look for what would stop a sweep, here and on every node of a cluster. Each line that failed says "
        "what to do; exit code 1 if there is one.",
    )
    parser.add_argument(
        "--results", default="results", metavar="DIR", help="folder of all studies, or s3://BUCKET/PREFIX"
    )
    parser.add_argument("--address", metavar="HOST:PORT", help="a Ray cluster; default: $RAY_ADDRESS, else none")
    parser.set_defaults(command=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    from sweeper.tools.doctor import Check, examine_machine, examine_results, ray_files

    failed = 0

    def say(check: Check) -> None:
        nonlocal failed
        failed += not check.ok
        print(f"{'ok' if check.ok else 'FAILED':<7} {check.name}: {check.found}", flush=True)
        if not check.ok:
            print(f"{'':<7} → {check.remedy}", flush=True)

    for check in examine_machine():
        say(check)
    for check in examine_results(args.results):
        say(check)
    if address := args.address or os.environ.get("RAY_ADDRESS"):
        from sweeper.execution.examine import examine_cluster

        for check in examine_cluster(address, args.results):
            say(check)
    else:
        say(ray_files())
    print("all is well" if not failed else f"{failed} failed")
    return PROBLEMS_FOUND if failed else 0
