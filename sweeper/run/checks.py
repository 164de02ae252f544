"""What a run would refuse, refused before anything is decoded, started or written; by a dry run just as well.

All three designs pass here. What only the audio can tell (a file that can't be read, the same recording under two
names) is told when it is decoded, and what only Ray can tell when that has started.
"""

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweeper.audio import splits
from sweeper.audio.store import ClipStore
from sweeper.plan import PlanError, TrialSpec
from sweeper.results.folder import Folder, StorageError, check_links
from sweeper.results.plans import merge
from sweeper.results.store import FOLDERS, Study
from sweeper.results.tables import StudyError
from sweeper.run.options import AblationOptions, RunOptions, SearchOptions, TunedOptions, VarianceOptions, machine
from sweeper.waiting import waiting

# The least and the most of each number, both included. The most is more than anybody means and less than what would
# take minutes to plan; how much a machine has, the machine says.
LIMITS: Mapping[str, tuple[float, float]] = {
    "seeds": (1, 1_000),
    "max_seeds": (1, 1_000),
    "epochs": (1, 1_000_000),
    "trials": (1, 100_000),
    "top": (1, 100),
    "replicates": (1, 100),
    "seeds_per_trial": (1, 64),
    "workers_per_trial": (1, math.inf),
    "cpus_per_trial": (1, math.inf),
    "gpus_per_trial": (0, math.inf),
    "max_failures": (0, 1_000),
    "grace": (0, 86_400),
}


def check_numbers(options: RunOptions) -> None:
    """Refuse numbers that nobody means, or not with others, and a fold that is named twice or not at all.

    Raises:
        PlanError: naming the first one.
    """
    if isinstance(options, AblationOptions) and options.seeds_per_trial != 1:
        _check_seeds_per_trial(options)
    for name, (least, most) in LIMITS.items():
        value, option = getattr(options, name, None), f"--{name.replace('_', '-')}"
        if value is None or (name == "seeds_per_trial" and value == "auto"):
            continue
        if not value >= least:  # NaN is not, either
            raise PlanError(f"{option} {value}: at least {least}")
        if value > most:
            raise PlanError(f"{option} {value}: at most {most}")
    if not 0 < options.margin <= 100:
        raise PlanError(f"--margin {options.margin:g}: a number of percentage points above 0, such as 0.5")
    _check_unused(options)
    if isinstance(options, VarianceOptions) and not 2 <= options.seeds <= 10:
        raise PlanError(f"--seeds {options.seeds}: of each source 2 to 10 are crossed; more folds tell more, too")
    if options.folds is not None:
        if not options.folds:
            raise PlanError("--folds '': name at least one, such as 1 or 1,2")
        if twice := [fold for fold, times in Counter(options.folds).items() if times > 1]:
            listed = ",".join(map(str, options.folds))
            raise PlanError(f"--folds {listed}: fold {twice[0]} is named twice; --seeds repeats folds")


def _check_unused(options: RunOptions) -> None:
    """Refuse an option that would be heeded by nothing beside the others."""
    most = options.max_seeds if isinstance(options, AblationOptions) and options.until is None else None
    if most not in (None, AblationOptions.max_seeds):
        raise PlanError(f"--max-seeds {most}: add --until decided, or give --seeds instead")
    if isinstance(options, AblationOptions | TunedOptions) and options.arms and options.table != "all":
        raise PlanError(f"--table {options.table}: leave it out, or --arm, which names single arms")


def _check_seeds_per_trial(options: AblationOptions) -> None:
    """Refuse what several seeds can't share."""
    option = f"--seeds-per-trial {options.seeds_per_trial}"
    if isinstance(options.seeds_per_trial, str) and options.seeds_per_trial != "auto":
        raise PlanError(f"{option}: give a number, or auto")
    others = {
        f"--workers-per-trial {options.workers_per_trial}": options.workers_per_trial > 1,
        f"--until {options.until}": options.until is not None,
        f"--budget {options.budget}": options.budget is not None,
        f"--code {' '.join(options.code)}": bool(options.code),
        f"--log {' '.join(options.log)}": bool(options.log),
    }
    if refused := [other for other, given in others.items() if given]:
        why = "; its curves would be of all seeds at once" if refused[0].startswith("--log") else ""
        raise PlanError(f"{option}: not together with {refused[0]}{why}")


def check_begin(
    options: RunOptions,
    study: Study,
    plan: Mapping[str, Any],
    trials: Sequence[TrialSpec],
) -> None:
    """Refuse a run that could not begin, or not go on.

    Args:
        options: the command line.
        study: where its results will go.
        plan: what the study's plan is to say of the run: at least what all trials have in common, and the trials that
            are known.
        trials: those that are to run, or some like them; none where all is done.

    Raises:
        PlanError, StudyError, StorageError: one line, for the user.
    """
    if (old := study.read_plan()) is not None:
        digest = old.get("data_digest")  # of our own data it is known only once they are decoded
        merge(old, {**plan, "data_digest": digest}, str(study), study.row)
    if isinstance(options, SearchOptions) and options.storage is not None:
        from sweeper.search.suggest import check_database  # Optuna takes a second to import

        check_database(options.storage)
    seeds = machine(options).seeds
    if seeds != 1 and any(trial.training.compile for trial in trials):
        raise PlanError(f"--seeds-per-trial {seeds}: the recipe compiles its networks, which goes for one at a time")
    if trials:
        with waiting("checking that a trial fits here"):
            from sweeper.execution.preflight import check_machine  # torch takes seconds to import

            check_machine(machine(options), trials, going_on=not options.dry_run)


def check_clips(store: ClipStore, options: RunOptions, folds: Sequence[int]) -> None:
    """Refuse what only decoded clips can tell of a split, before a study is begun.

    Raises:
        LeakError, SplitError: one line, for the user.
    """
    for fold in folds:
        splits.split(store, options.split, fold)
        if isinstance(options, SearchOptions):
            splits.refuse_remembered(store, options.split, fold)


def check_place(study: Study) -> None:
    """Whether results can be written; raises StudyError or StorageError."""
    if isinstance(study.storage, Folder):
        _check_folder(study.storage.path, study)
        for path in study.storage.path.glob("*") if study.exists() else ():
            if path.name in FOLDERS and not path.is_dir():
                raise StudyError(f"can't write results to {path}: it is a file where a folder should be; move it away")
    elif study.storage.url.startswith("memory:"):
        raise StudyError(f"{study}: a process's memory, which ends with it; use --results DIR or s3://BUCKET/PREFIX")
    else:
        study.create()  # makes nothing there, but tries


def _check_folder(folder: Path, study: Study) -> None:
    """Make the first folder that is missing, and files in it or in the one that is there, and remove them again."""
    missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    try:
        if missing:
            missing[-1].mkdir()
            try:
                check_links(missing[-1])
            finally:
                missing[-1].rmdir()
        else:
            check_links(folder)
    except StorageError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        if missing and os.path.isdir(missing[-1]):  # noqa: PTH112  # another command has made it, or put something there
            return
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise StudyError(f"can't write results to {study}: {reason}; use --results DIR") from error
