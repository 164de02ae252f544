"""`sweeper predict`, `export` and `profile`: what can be done with a network. Parsing and printing only."""

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweeper.audio.datasets import DatasetError
from sweeper.audio.datasets.base import printable
from sweeper.cli import streams
from sweeper.report.cells import operations
from sweeper.report.escaping import csv as csv_cell
from sweeper.results.redaction import redact
from sweeper.search_spaces import NAMES as STUDIES
from sweeper.search_spaces.published import INFERENCE_COST
from sweeper.tools.own_code import own_code
from sweeper.waiting import waiting

if TYPE_CHECKING:
    from rich.table import Table

    from sweeper.tools.predict import Prediction
    from sweeper.tools.profile import Profile
    from sweeper.training.weights import Classifier

USAGE_ERROR, FAILURE = 2, 1
BEST = 3  # classes that the table shows of a file
CHECKPOINT_HELP = "a trial's weights, results/STUDY/weights/TRIAL.safetensors"


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `predict`, `export` and `profile` to a command line; the parsed arguments carry `command`."""
    _add_predict(commands)
    _add_export(commands)
    _add_profile(commands)


def _add_predict(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "predict",
        help="class probabilities of audio files",
        description="Class probabilities of audio files of any length. A file longer than the classifier's "
        "clips is cut into windows that overlap by half, and their probabilities are averaged.",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=CHECKPOINT_HELP)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="audio: WAV, FLAC, MP3, Ogg, AIFF …")
    _add_ema(parser)
    parser.add_argument(
        "--format",
        choices=("table", "csv", "json"),
        default="table",
        help="table: the best classes; csv, json: all probabilities (default: %(default)s)",
    )
    parser.add_argument("--windows", action="store_true", help="also give each window's probabilities")
    parser.set_defaults(command=_predict)


def _add_export(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "export",
        help="write a classifier as a torch.export file",
        description="Write a classifier as a torch.export file that needs torch alone, for any batch size, and "
        "check that the written file agrees with the network. How to use it is said in sweeper/tools/export.py.",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=CHECKPOINT_HELP)
    parser.add_argument("out", type=Path, metavar="OUT", help="the file to write, ending in .pt2")
    _add_ema(parser)
    parser.set_defaults(command=_export)


def _add_profile(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "profile",
        help="what each arm costs on this machine",
        description="Parameters, operations, memory, training speed and latency of the arms on this machine, beside "
        "what the paper prints. The clips are noise: no data set is needed. Arms that are named are measured; without "
        "names, the reference is, and the others are estimated from it by counted operations.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="[STUDY] [ARM …]",
        help=f"a file that defines STUDY, or one of: {', '.join(STUDIES)}; then arms, default: all of them",
    )
    parser.add_argument(
        "--recipe", metavar="NAME", help="of the study; default: its last one on a GPU, else its first one"
    )
    parser.add_argument(
        "--dataset-free",
        action="store_true",
        help="train without augmentation, so that the network's own speed is seen",
    )
    parser.set_defaults(command=_profile)


def _add_ema(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ema", action="store_true", help="the weights' moving average instead of the last epoch's")
    add_own_code(parser)


def add_own_code(parser: argparse.ArgumentParser) -> None:
    """Add --study, the file that defines the network."""
    parser.add_argument(
        "--study",
        type=Path,
        metavar="FILE",
        help="your file that defines the network, for weights of your own study; its code is run",
    )


def _predict(args: argparse.Namespace) -> int:
    """Predict every file that can be read; those that can't are told at once, and make the exit code 2."""
    classifier = _load(args)
    if classifier is None:
        return USAGE_ERROR
    import torch

    from sweeper.tools.predict import predict

    if torch.cuda.is_available():
        classifier.network.cuda()
    predictions: list[Prediction] = []
    for path in args.files:
        try:
            predictions.append(predict(classifier, path))
        except DatasetError as error:
            _complain(str(error))
    if predictions:
        if args.format != "table":
            streams.for_programs()
        printers = {"table": _print_table, "csv": _print_csv, "json": _print_json}
        printers[args.format](predictions, args.windows)
    return 0 if len(predictions) == len(args.files) else USAGE_ERROR


def _export(args: argparse.Namespace) -> int:
    classifier = _load(args)
    if classifier is None:
        return USAGE_ERROR
    from sweeper.tools.export import ExportError, export

    try:
        difference = export(classifier, args.out)
    except ExportError as error:
        return _complain(str(error))
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB, logits agree within {difference:.1g}")
    return 0


def _profile(args: argparse.Namespace) -> int:
    first, *rest = args.names or [STUDIES[0]]
    named = first in STUDIES or first.endswith(".py")
    names = rest if named else args.names
    with waiting(f"measuring {' '.join(names) or 'the reference'}"):  # torch takes seconds to import
        import torch

        from sweeper.plan import select_arms
        from sweeper.run.prepare import choose_recipe
        from sweeper.study_file import find
        from sweeper.tools.profile import ProfileError, profile

        gpu = torch.cuda.is_available()
        source = find(first if named else STUDIES[0])
        arms = select_arms(source.study, names=names)
        recipe = choose_recipe(source, args.recipe, demo=not gpu)
        profiles: list[Profile] = []
        failed = ""
        try:
            for measured in profile(source, arms, recipe, dataset_free=args.dataset_free, quickly=not names):
                profiles.append(measured)  # what was measured before one that fails is kept
        except ProfileError as error:
            failed = str(error)
    if failed:
        _complain(failed)
    if profiles:
        device = torch.cuda.get_device_name() if gpu else f"CPU, threads: {torch.get_num_threads()}"
        clips = f"{recipe.seconds:g} s clips at {recipe.sample_rate} Hz"
        title = f"recipe {recipe.name}: {clips}; {device}"
        _print_profile(profiles, title, gpu, paper=source.name == STUDIES[0])
    return 0 if len(profiles) == len(arms) else FAILURE


def _print_profile(profiles: Sequence["Profile"], title: str, gpu: bool, *, paper: bool) -> None:
    from rich.console import Console
    from rich.measure import Measurement

    table = _profile_table(profiles)
    console = Console(highlight=False)
    console.print(title, soft_wrap=True)
    # What doesn't fit is wrapped by the terminal: a table that is cut off at the edge misleads.
    console.width = max(console.width, Measurement.get(console, console.options.update(max_width=1000), table).maximum)
    console.print(table, soft_wrap=True)
    memory = "what torch allocated" if gpu else "of the process, torch included"
    print("M: million parameters. ms: of one clip, forward: median and 95 % quantile.")
    print(f"GB: peak memory at that, and in training; {memory}.")
    if any(row.estimated for row in profiles):
        print("~: estimated from counted operations; an arm that is named is measured.")
    if paper:
        cost = INFERENCE_COST
        print(f"The paper, on an {cost.gpu}: {1e3 * cost.seconds:.1f} ms in the mean, {cost.memory_gb:.2f} GB.")


def _profile_table(profiles: Sequence["Profile"]) -> "Table":
    from rich import box
    from rich.table import Table

    unit, work = operations([row.gflops for row in profiles])
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("arm", no_wrap=True)
    for heading in ("M", unit, "ms", "p95", "GB", "batch", "clips/s", "training\nGB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row, counted in zip(profiles, work, strict=True):
        table.add_row(
            row.arm,
            f"{row.parameters / 1e6:.2f}",
            counted,
            _about(row, "latency_median", _milliseconds(row.latency_median)),
            _about(row, "latency_p95", _milliseconds(row.latency_p95)),
            _about(row, "inference_bytes", f"{row.inference_bytes / 1e9:.2f}"),
            f"{row.batch}",
            _about(row, "clips_per_second", f"{row.clips_per_second:.{0 if row.clips_per_second >= 10 else 1}f}"),
            _about(row, "training_bytes", f"{row.training_bytes / 1e9:.2f}"),
        )
    return table


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.{1 if seconds < 0.1 else 0}f}"


def _about(row: "Profile", field: str, text: str) -> str:
    return f"~{text}" if field in row.estimated else text


def _load(args: argparse.Namespace) -> "Classifier | None":
    from sweeper.results.storage import local_file

    with local_file(args.checkpoint) as path:
        if not path.is_file():
            what = "is a folder, and weights are a file" if path.is_dir() else "does not exist"
            _complain(f"{redact(args.checkpoint, args.checkpoint)} {what}; weights lie in a study's folder weights/")
            return None
        from sweeper.training import weights  # torch takes seconds to import: a missing file is told without it

        try:
            return weights.load(path, averaged=args.ema, code=None if args.study is None else own_code(args.study))
        except weights.WeightsError as error:
            _complain(str(error))
            return None


def _complain(message: str) -> int:
    print(f"sweeper: error: {message}", file=sys.stderr)
    return USAGE_ERROR


def _rows(predictions: Iterable["Prediction"], windows: bool) -> Iterable[tuple[str, float, float, Sequence[float]]]:
    """File, begin and end in s, probabilities: a row per file, or with `windows` a row per window."""
    for prediction in predictions:
        if windows:
            for start, end, row in zip(prediction.starts, prediction.ends, prediction.windows, strict=True):
                yield str(prediction.path), float(start), float(end), row.tolist()
        else:
            yield str(prediction.path), 0.0, prediction.seconds, prediction.probabilities.tolist()


def _print_table(predictions: Sequence["Prediction"], windows: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    classes = predictions[0].classes
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("file", overflow="fold")
    table.add_column("s", justify="right", no_wrap=True)
    table.add_column("class", no_wrap=True)
    table.add_column("%", justify="right", no_wrap=True)
    table.add_column("next best")
    for name, start, end, probabilities in _rows(predictions, windows):
        order = sorted(range(len(classes)), key=lambda target: -probabilities[target])[:BEST]
        best, *others = [(classes[target], 100 * probabilities[target]) for target in order]
        span = f"{start:.2f}–{end:.2f}" if windows else f"{end:.2f}"
        table.add_row(printable(name), span, best[0], f"{best[1]:.1f}", ", ".join(f"{c} {p:.1f}" for c, p in others))
    Console(highlight=False, markup=False).print(table)


def _print_csv(predictions: Sequence["Prediction"], windows: bool) -> None:
    classes = predictions[0].classes
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", "start_s", "end_s", "class", *map(csv_cell, classes)])
    for name, start, end, probabilities in _rows(predictions, windows):
        best = classes[max(range(len(classes)), key=probabilities.__getitem__)]
        numbers = (f"{p:.7g}" for p in probabilities)
        writer.writerow([csv_cell(name), f"{start:.3f}", f"{end:.3f}", csv_cell(best), *numbers])


def _print_json(predictions: Sequence["Prediction"], windows: bool) -> None:
    classes = predictions[0].classes
    described = []
    for prediction in predictions:
        row: dict[str, object] = {
            "file": str(prediction.path),
            "seconds": prediction.seconds,
            "class": classes[int(prediction.probabilities.argmax())],
            "probabilities": dict(zip(classes, prediction.probabilities.tolist(), strict=True)),
        }
        if windows:
            row["windows"] = [
                {"start_s": start, "end_s": end, "probabilities": dict(zip(classes, probabilities, strict=True))}
                for _, start, end, probabilities in _rows([prediction], windows=True)
            ]
        described.append(row)
    print(json.dumps(described, indent=1, ensure_ascii=False))
