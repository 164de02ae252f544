"""`sweeper data …`: listing, fetching, preparing, checking and drawing data sets. Parsing and printing only."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sweeper.audio.datasets import NAMES, DatasetError, definition, load
from sweeper.audio.datasets.base import VALIDATION, printable, shorten
from sweeper.audio.places import data_folder

if TYPE_CHECKING:
    from rich.console import Console

    from sweeper.audio.check import Report

SAMPLE_RATE = 22_050  # Hz, the paper's
LISTED = 10

EXAMPLES = """examples:
  python -m sweeper data list
  python -m sweeper data check demo
  python -m sweeper data fetch esc50 --accept-licence
  python -m sweeper data prepare urbansound8k --data ~/UrbanSound8K
  python -m sweeper data plot ravdess --data ~/ravdess --out fig5.png
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `data` to a command line; the parsed arguments carry `command`, which is `main`."""
    parser = subparsers.add_parser(
        "data",
        help="list, fetch, prepare, check and plot data sets",
        description="Data sets: which there are, where to get them, what is in them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="data_command", metavar="COMMAND", required=True)
    commands.add_parser("list", help="the data sets: size, official split, licence, layout")
    fetch = commands.add_parser("fetch", help="download from where the authors publish it")
    fetch.add_argument("--accept-licence", action="store_true", help="agree to the licence without being asked")
    prepare = commands.add_parser("prepare", help="decode into the cache now, and audit the splits for leaks")
    check = commands.add_parser("check", help="counts, durations, rates, clipping, silence, duplicates, groups")
    plot = commands.add_parser("plot", help="a clip per class as waveform, STFT, FBSP, mel, MFCC (the paper's Fig. 5)")
    for command in (fetch, prepare, check, plot):
        command.add_argument("name", metavar="NAME", help=f"one of: {', '.join(NAMES)}")
        where = "where to put it" if command is fetch else "its folder; not needed after fetch, nor for demo"
        command.add_argument("--data", type=Path, metavar="DIR", help=where)
    for command in (prepare, plot):
        command.add_argument(
            "--sample-rate", type=_hertz, default=SAMPLE_RATE, metavar="HZ", help="default: %(default)s"
        )
    prepare.add_argument(
        "--bad-clips", choices=("fail", "skip"), default="fail", help="stop at an unreadable file, or leave it out"
    )
    plot.add_argument(
        "--clip", action="append", default=[], metavar="ID", help="a clip; repeat for more (default: one per class)"
    )
    plot.add_argument("--out", type=Path, metavar="PNG", help="default: NAME.png")
    parser.set_defaults(command=main)


def _hertz(text: str) -> int:
    if not text.isdecimal() or not 1000 <= int(text) <= 192_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a sample rate; expected 1000 to 192000 Hz")
    return int(text)


def main(args: argparse.Namespace) -> int:
    """Run one `data` command; returns 0 if all is well, 1 if `check` found what can't be used.

    Raises:
        DatasetError: one line for the user.
        KeyboardInterrupt: with a note on what the same command does.
    """
    commands = {"list": _list, "fetch": _fetch, "prepare": _prepare, "check": _check, "plot": _plot}
    try:
        return commands[args.data_command](args)
    except KeyboardInterrupt as interrupted:
        interrupted.add_note(f"the same command {'continues' if args.data_command == 'fetch' else 'begins again'}")
        raise


def _list(_args: argparse.Namespace) -> int:
    for name in NAMES:
        known = definition(name)
        size = f"{known.size} clips, {len(known.classes)} classes; " if known.size else ""
        print(f"{name:13} {known.title}")
        print(f"{'':13} {size}official split: {known.official}; licence: {known.licence}")
        print(f"{'':13} layout (.wav, .flac, .mp3, .ogg, .aiff and more): {known.layout}")
        if known.downloads:
            megabytes = sum(item.megabytes for item in known.downloads)
            print(f"{'':13} " + ("fetched" if data_folder(name).is_dir() else f"to fetch: about {megabytes} MB"))
    return 0


def _fetch(args: argparse.Namespace) -> int:
    from sweeper.audio.fetch import fetch

    known = definition(args.name)
    folder = args.data or data_folder(args.name)
    if known.downloads:
        print(f"{known.title}\nlicence: {known.licence}, see {known.homepage}")
        for item in known.downloads:
            checked = item.checksum or "no published checksum: this download's will be recorded"
            print(f"  {item.url} ({item.megabytes} MB, {checked})")
        if not args.accept_licence and not _agreed():
            raise DatasetError("not fetched: the licence was not accepted (--accept-licence)")
    fetch(args.name, folder)
    dataset = load(args.name, folder)
    print(f"{args.name}: {len(dataset.clips)} clips in {folder}")
    _print_notes(dataset.notes)
    return 0


def _agreed() -> bool:
    if not sys.stdin.isatty():
        return False
    return input("Do you accept this licence? [y/N] ").strip().lower() in ("y", "yes")


def _prepare(args: argparse.Namespace) -> int:
    from sweeper.audio import split_names, splits
    from sweeper.audio.store import prepare

    dataset = load(args.name, args.data)
    start = time.perf_counter()
    store = prepare(dataset, args.sample_rate, bad_clips=args.bad_clips)
    seconds = time.perf_counter() - start
    size = (store.folder / "samples").stat().st_size / 1e6
    print(f"{dataset.name}: {len(store)} clips at {args.sample_rate} Hz, {size:.1f} MB, ready in {seconds:.1f} s")
    print(f"data digest {store.digest}\n{store.folder}")
    _print_notes(store.notes)
    for clip_id, reason in store.skipped[:LISTED]:
        print(f"  skipped {printable(clip_id)}: {reason}")
    for name in split_names.NAMES:
        for fold in splits.folds_of(dataset, name):
            try:
                print(f"{name} {fold}: {_describe(splits.split(store, name, fold))}")
            except DatasetError as error:
                print(f"{name} {fold}: {error}")
    return 0


def _describe(split: "splits.Split") -> str:  # type: ignore[name-defined]  # noqa: F821
    sizes = f"{len(split.train)} train, {len(split.validation)} validation, {len(split.test)} test"
    near = len({test for test, _train in split.audit.near_duplicates})
    leak = split.audit.message or "no recording on both sides"
    return f"{sizes}; {leak}" + (f"; {near} test clips nearly repeat one in training" if near else "")


def _check(args: argparse.Namespace) -> int:
    from sweeper.audio import splits
    from sweeper.audio.check import check

    dataset = load(args.name, args.data)
    report = check(dataset)
    _print_report(report, _console())
    try:
        splits.check(dataset, "official", dataset.folds)
    except DatasetError as error:
        print(f"official split: {error}")
        return 1
    return 1 if report.unreadable else 0


def _print_report(report: "Report", console: "Console") -> None:
    from rich.table import Table

    dataset = report.dataset
    folds = sorted({clip.fold for clip in dataset.clips})
    headings = {0: "train only", VALIDATION: "validation"}
    columns = [headings.get(fold, f"fold {fold}") for fold in folds]
    table = Table("class", *columns, "all", box=None, pad_edge=False)
    for target, name in enumerate(dataset.classes):
        counts = [report.counts[target, fold] for fold in folds]
        table.add_row(name, *map(str, counts), str(sum(counts)))
    by_fold = [sum(report.counts[target, fold] for target in range(len(dataset.classes))) for fold in folds]
    table.add_row("all", *map(str, by_fold), str(sum(by_fold)))
    console.print(table)
    _print_notes(dataset.notes)
    sizes = sorted(report.groups.values())
    middle = sizes[len(sizes) // 2]
    print(f"{dataset.group_name}s: {len(sizes)}, with {sizes[0]} to {sizes[-1]} clips each, median {middle}")
    if seconds := report.seconds:
        middle_s, total = seconds[len(seconds) // 2], sum(seconds) / 60
        print(f"durations: {seconds[0]:.2f} to {seconds[-1]:.2f} s, median {middle_s:.2f} s, {total:.1f} min in all")
    for (rate, channels, encoding), count in report.formats.most_common():
        print(f"format: {count} clips at {rate} Hz, {channels} channel{'s' * (channels > 1)}, {encoding}")
    _print_clips("clipped (full scale for 4 samples or more)", report.clipped)
    _print_clips("silent (peak below -60 dB)", report.silent)
    _print_clips("identical audio", [" = ".join(ids) for ids in report.duplicates])
    _print_clips("nearly identical audio", [" ~ ".join(pair) for pair in report.near_duplicates])
    _print_clips("unreadable", [reason for _id, reason in report.unreadable])
    _print_clips("listed without a file", dataset.missing)


def _print_clips(what: str, names: "list[str] | tuple[str, ...]") -> None:
    print(f"{what}: {len(names)}" + (f": {shorten(names, LISTED)}" if names else ""))


def _plot(args: argparse.Namespace) -> int:
    from sweeper.audio.plots import choose, draw

    dataset = load(args.name, args.data)
    path = args.out or Path(f"{args.name}.png")
    if path.suffix.lower() != ".png":
        raise DatasetError(f"--out {path}: a picture is written as PNG; name it {path.with_suffix('.png')}")
    draw(dataset, choose(dataset, args.clip), args.sample_rate, path)
    print(path)
    return 0


def _print_notes(notes: tuple[str, ...]) -> None:
    for note in notes:
        print(f"note: {note}")


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())
