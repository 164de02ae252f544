"""`sweeper run …`: parsing; what the three designs have in common is said once."""

import argparse
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from sweeper import signals
from sweeper.audio.datasets import NAMES
from sweeper.audio.split_names import NAMES as SPLITS
from sweeper.cli import streams
from sweeper.cli.report import add_margin, add_price
from sweeper.run.options import AblationOptions, Outcome, RunOptions, Say, SearchOptions, TunedOptions, VarianceOptions
from sweeper.search_spaces import NAMES as STUDIES
from sweeper.search_spaces.peers import PEERS

END_SECONDS = 30.0  # after the grace: for trials to leave and for Ray to shut down


def add_parser(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    show: Callable[[Outcome, float, float | None], None],
) -> None:
    """Add `run` to a command line; the parsed arguments carry `command`. `show` prints a study that has trials."""
    run = commands.add_parser("run", help="train what a study is missing")
    designs = run.add_subparsers(required=True, metavar="DESIGN")
    ablations = _design(
        designs,
        "ablations",
        AblationOptions(),
        "train a study's arms; without FILE.py, the paper's twelve (Tables 6 and 7)",
        "Train the arms of a study on paired folds and seeds, commit each trial, print the tables. The same command "
        "again trains only what is missing, so it also continues after an interrupt.",
    )
    _add_grid(ablations.add_argument_group("grid"), AblationOptions())
    _add_money(ablations.add_argument_group("budget"))
    _set(ablations, AblationOptions, _ablations, show)
    search = _design(
        designs,
        "search",
        SearchOptions(),
        "look for better hyperparameters of an arm",
        "Search learning rate, weight average and augmentation with Optuna on the validation fold; run the best "
        "configurations again with further seeds, name a winner, and score it on fresh seeds and, once, on the test "
        "fold. Committed trials are the memory: the same command again goes on, and --trials is the total.",
    )
    _add_arms(search.add_argument_group("what"), "search for these arms, each on its own; default: the reference")
    _add_budget(search.add_argument_group("search"), SearchOptions())
    _add_objectives(search.add_argument_group("objectives"), SearchOptions())
    _set(search, SearchOptions, _search, show)
    tuned = _design(
        designs,
        "tuned-ablations",
        TunedOptions(),
        "the ablations, each arm with its own best hyperparameters",
        "Spend the same search budget on every arm and fold, then run the grid of `run ablations` with each arm's own "
        "winner. An ablation under the full network's hyperparameters favours the full network; this shows how much "
        "of each difference survives.",
    )
    grid = tuned.add_argument_group("grid")
    add_seeds(grid, TunedOptions())
    _add_table(grid, TunedOptions())
    _add_arms(grid, "only these arms; --list names them")
    _add_budget(tuned.add_argument_group("search"), TunedOptions())
    _set(tuned, TunedOptions, _tuned, show)
    variance = _design(
        designs,
        "variance",
        VarianceOptions(),
        "where the variance of a score comes from: fold, initial values, batch order, augmentation",
        "Train the reference with every seed of each source of randomness beside every seed of the others, on some "
        "folds, and say which part of the variance each source makes, and what follows for who plans a study.",
    )
    variance.add_argument_group("grid").add_argument(
        "--seeds", type=int, default=VarianceOptions.seeds, metavar="N", help="seeds of each source: N³ trials per fold"
    )
    _set(variance, VarianceOptions, _variance, show)
    from sweeper.cli import benchmark  # it takes its options from here

    benchmark.add_parser(designs)


def _design(
    designs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    defaults: RunOptions,
    summary: str,
    description: str,
) -> argparse.ArgumentParser:
    parser = designs.add_parser(name, help=summary, description=description, formatter_class=Help)
    parser.add_argument(
        "source",
        nargs="?",
        default=defaults.source,
        metavar="STUDY",
        help=f"a file that defines STUDY, such as mel.py, or one of: {', '.join(STUDIES)}",
    )
    parser.add_argument("--list", action="store_true", help="list the studies and their arms, and stop")
    _add_data(parser.add_argument_group("data"), defaults)
    add_training(parser.add_argument_group("training"))
    _add_results(parser.add_argument_group("results"), defaults, name)
    add_machine(parser.add_argument_group("machine"), defaults)
    return parser


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults but where there is none, or where the help says it in words."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        said = "default" in (action.help or "")
        return action.help if said or action.default in (None, False, [], ()) else super()._get_help_string(action)


def _set(
    parser: argparse.ArgumentParser,
    options: type[RunOptions],
    run: Callable[[RunOptions, Say], Outcome],
    show: Callable[[Outcome, float, float | None], None],
) -> None:
    def command(args: argparse.Namespace) -> int:
        if args.list:
            return _list(args.source)
        given = {field.name: getattr(args, field.name) for field in fields(options) if hasattr(args, field.name)}
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        streams.keep_on()
        from sweeper.execution import own_ray

        with signals.deadline(args.grace + END_SECONDS), own_ray.ahead():
            outcome = run(options(**given), say)
        show(outcome, args.margin, getattr(args, "price_per_hour", None))
        return outcome.code

    parser.set_defaults(command=command)


def _ablations(options: RunOptions, say: Say) -> Outcome:
    from sweeper.run.ablations import run_ablations

    assert isinstance(options, AblationOptions)
    return run_ablations(options, say)


def _search(options: RunOptions, say: Say) -> Outcome:
    from sweeper.run.search import run_search

    assert isinstance(options, SearchOptions)
    return run_search(options, say)


def _tuned(options: RunOptions, say: Say) -> Outcome:
    from sweeper.run.tuned import run_tuned

    assert isinstance(options, TunedOptions)
    return run_tuned(options, say)


def _variance(options: RunOptions, say: Say) -> Outcome:
    from sweeper.run.variance import run_variance

    assert isinstance(options, VarianceOptions)
    return run_variance(options, say)


def _add_data(data: argparse._ArgumentGroup, defaults: RunOptions) -> None:
    data.add_argument("--dataset", default=defaults.dataset, metavar="NAME", help=f"one of: {', '.join(NAMES)}")
    data.add_argument("--data", type=Path, metavar="DIR", help="folder of the data set; not needed for the demo")
    data.add_argument("--split", default=defaults.split, metavar="NAME", help=f"one of: {', '.join(SPLITS)}")
    few = "fold 1 for the demo, else all" if isinstance(defaults, AblationOptions | TunedOptions) else "the first"
    few = "the first three" if isinstance(defaults, VarianceOptions) else few
    data.add_argument("--folds", type=integers, metavar="1,2,…", help=f"test folds; default: {few}")
    data.add_argument(
        "--bad-clips",
        choices=("fail", "skip"),
        default=defaults.bad_clips,
        help="on audio that can't be read: stop, or leave it out",
    )


def add_training(
    training: argparse._ArgumentGroup,
    recipes: str = "recipe of the study; default: its first one for the demo, else its last one",
) -> None:
    """Add --recipe, with these words, and --epochs."""
    training.add_argument("--recipe", metavar="NAME", help=recipes)
    training.add_argument("--epochs", type=int, metavar="N", help="number of epochs, instead of the recipe's")


def _add_grid(grid: argparse._ArgumentGroup, defaults: AblationOptions) -> None:
    add_seeds(grid, defaults)
    grid.add_argument(
        "--until",
        choices=("decided",),
        help="instead of --seeds: add seeds until each arm is worse, better or equivalent within --margin, with looks "
        "that are planned beforehand, so that the error holds whenever it ends",
    )
    grid.add_argument(
        "--max-seeds", type=int, default=defaults.max_seeds, metavar="N", help="with --until decided, at most so many"
    )
    _add_table(grid, defaults)
    _add_arms(grid, "only these arms; --list names them")
    _add_code(grid)
    _add_seeds_per_trial(grid, defaults)
    grid.add_argument(
        "--peers",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"also train these published networks, on the same splits: {', '.join(PEERS)}",
    )


def _add_code(grid: argparse._ArgumentGroup) -> None:
    grid.add_argument(
        "--code",
        action="extend",
        nargs="+",
        default=[],
        metavar="COMMIT",
        help="compare commits of the repository that holds the study's file, with the first one named; . is the "
        "working tree. Of the reference arm, or of each --arm",
    )


def _add_seeds_per_trial(grid: argparse._ArgumentGroup, defaults: AblationOptions) -> None:
    grid.add_argument(
        "--seeds-per-trial",
        type=_number_or_auto,
        default=defaults.seeds_per_trial,
        metavar="N|auto",
        help="train up to N seeds of an arm as one program, with the same results within rounding: small networks keep "
        "a device busy only together; auto measures both ways and takes the faster one",
    )


def _add_money(money: argparse._ArgumentGroup) -> None:
    money.add_argument(
        "--budget",
        metavar="12h|30$",
        help="start no trial once the study has cost so many hours of a GPU (without GPUs: of a core), or so much "
        "money at --price-per-hour; whole blocks in order, with --until decided what looks need; default: none",
    )
    add_price(money)


def add_seeds(grid: argparse._ArgumentGroup, defaults: AblationOptions | TunedOptions) -> None:
    """Add --seeds."""
    grid.add_argument(
        "--seeds",
        type=int,
        default=defaults.seeds,
        metavar="N",
        help="seeds per fold; all arms are run with the same ones",
    )


def _add_table(grid: argparse._ArgumentGroup, defaults: AblationOptions | TunedOptions) -> None:
    grid.add_argument("--table", default=defaults.table, metavar="NAME", help="only the arms of this table")


def _add_arms(group: argparse._ArgumentGroup, words: str) -> None:
    group.add_argument("--arm", dest="arms", action="extend", nargs="+", default=[], metavar="NAME", help=words)


def _add_budget(search: argparse._ArgumentGroup, defaults: SearchOptions) -> None:
    search.add_argument(
        "--trials",
        type=int,
        default=defaults.trials,
        metavar="N",
        help="total trials per arm and fold, including committed ones",
    )
    search.add_argument(
        "--top",
        type=int,
        default=defaults.top,
        metavar="K",
        help="how many of the best configurations are run again with further seeds",
    )
    search.add_argument(
        "--replicates",
        type=int,
        default=defaults.replicates,
        metavar="N",
        help="further seeds for each of these, and for the winner",
    )
    search.add_argument(
        "--halving",
        action=argparse.BooleanOptionalAction,
        default=defaults.halving,
        help="stop trials that fall behind on the validation fold (ASHA); default: yes",
    )
    search.add_argument(
        "--storage",
        metavar="URL",
        help="a database for Optuna, such as sqlite:///optuna.db; default: journal.log in the study's folder. Others "
        "on the machine see a command line: leave a password to PGPASSWORD, ~/.pgpass or ~/.my.cnf",
    )


def _add_objectives(group: argparse._ArgumentGroup, defaults: SearchOptions) -> None:
    group.add_argument(
        "--objective",
        choices=("accuracy", "accuracy_ema"),
        default=defaults.objective,
        help="accuracy of the last epoch's weights, or of their moving average, whose decay is then searched too",
    )
    group.add_argument(
        "--cost",
        choices=("gflops", "seconds"),
        help="second objective, minimised: the cost of the whole training; the number of epochs is then searched too",
    )


def _add_results(place: argparse._ArgumentGroup, defaults: RunOptions, design: str) -> None:
    place.add_argument("--study", metavar="NAME", help=f"default: {design}-DATASET-RECIPE")
    add_place(place, defaults)


def add_place(place: argparse._ArgumentGroup, defaults: RunOptions) -> None:
    """Add --results, --dry-run and --margin."""
    place.add_argument(
        "--results", default=defaults.results, metavar="DIR", help="folder of all studies, or s3://BUCKET/PREFIX"
    )
    place.add_argument(
        "--dry-run", action="store_true", help="check the command, print the plan and what it will cost, and stop"
    )
    add_margin(place)


def add_machine(machine: argparse._ArgumentGroup, defaults: RunOptions) -> None:
    """Add what each trial holds, and where."""
    machine.add_argument(
        "--workers-per-trial",
        type=int,
        default=defaults.workers_per_trial,
        metavar="N",
        help="split each trial's batches over N processes (DDP), on one or several nodes; each holds the cores and "
        "GPUs given below",
    )
    machine.add_argument(
        "--cpus-per-trial",
        type=int,
        default=defaults.cpus_per_trial,
        metavar="N",
        help="cores, and threads, of each trial; as many trials run at once as fit",
    )
    machine.add_argument(
        "--gpus-per-trial",
        type=float,
        metavar="X",
        help="GPUs of each trial, such as 0.5 for two trials on one GPU; default: 1 if there is a GPU",
    )
    machine.add_argument(
        "--max-failures",
        type=int,
        default=defaults.max_failures,
        metavar="N",
        help="how often a failed trial is tried again, from its checkpoint, before the sweep goes on without it",
    )
    machine.add_argument(
        "--grace",
        type=float,
        default=defaults.grace,
        metavar="SECONDS",
        help="after SIGTERM or SIGHUP, running trials have so long to finish; then their state is kept and they stop. "
        "After Ctrl-C they finish",
    )
    machine.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="a running Ray cluster; default: $RAY_ADDRESS, else a Ray of this machine's own",
    )
    machine.add_argument(
        "--log",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME",
        help="also write learning curves for tensorboard, mlflow or wandb, to the folder logs/ of the study",
    )


def _list(source: str) -> int:
    """Print a study's arms, tables and recipes; of the default, the names of the others too."""
    from sweeper.study_file import find

    study = find(source).study
    if source == STUDIES[0]:
        print(f"studies: {', '.join(STUDIES)}, or a file such as mel.py")
    print(f"arms of {source}, compared with {study.reference}:")
    width = max(len(name) for name in study.by_name)
    for arm in study.arms:
        print(f"  {arm.name:<{width}}  {arm.removes}".rstrip())
    print(f"tables: {', '.join(table.name for table in study.all_tables)}")
    print(f"recipes: {', '.join(recipe.name for recipe in study.recipes)}")
    return 0


def say(line: str) -> None:
    """Print a line, at once."""
    print(line, flush=True)


def _number_or_auto(text: str) -> int | str:
    try:
        return text if text == "auto" else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a whole number nor auto") from error


def integers(text: str) -> tuple[int, ...]:
    """Numbers such as 1,2,3."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers, such as 1,2,3") from error
