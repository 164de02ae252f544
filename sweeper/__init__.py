"""Which parts of an audio network earn their place? Paired, resumable ablation sweeps.

    >>> import sweeper
    >>> board = sweeper.run_ablations("mel.py", seeds=2, arms=["full", "mean-pool"], epochs=1)
    study ablations-mel-demo-quick-1epochs: 2 arms × 1 fold × 2 seeds = 4 trials, ...
    >>> board.summary[["arm", "n"]].values.tolist()
    [['full', 2], ['mean-pool', 2]]

What a study is made of is in `sweeper.study`.
"""

import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweeper.api import StudyResults

__all__ = ["read_study", "run_ablations", "run_search", "run_tuned_ablations"]
__version__ = "0.2.0"

# torch and Ray ask for the user's name and home when they are imported, and fail where a user id has neither, as it may
# be in a container. They get a name, and the home that Docker gives such a user.
try:
    getpass.getuser()
except (KeyError, OSError):
    os.environ["USER"] = f"uid{os.getuid()}"
if not os.path.isabs(os.environ.get("HOME", "")):  # noqa: PTH117
    os.environ.pop("HOME", None)
    if os.path.expanduser("~") == "~":  # noqa: PTH111  # pathlib raises
        os.environ["HOME"] = "/"


def run_ablations(
    source: str | Path = "paper", /, *, say: Callable[[str], None] = print, **options: Any
) -> "StudyResults | None":
    """Train what a study's arms are missing, commit each trial, and return what was found.

    The same call again trains only what is missing, so it also continues after an interrupt.

        >>> import sweeper
        >>> sweeper.run_ablations("mel.py", seeds=3, dry_run=True)
        study ablations-mel-demo-quick: 5 arms × 1 fold × 3 seeds = 15 trials, ...

    Args:
        source: a file that defines `STUDY`, or the name of a study that comes along: "paper", "recipe", "readings".
        say: is given what the command line would print, line by line.
        options: those of `python -m sweeper run ablations`, with underscores: `dataset`, `data`, `folds`, `seeds`, …

    Returns:
        the study's results; None after a dry run, or where no trial finished.

    Raises:
        TypeError: there is no such option, or it takes no such value.
        ValueError: the study, the plan or the data are not in order; one line.
        KeyboardInterrupt: it was interrupted; what has finished is kept.
    """
    from sweeper import api
    from sweeper.run import ablations
    from sweeper.run.options import AblationOptions

    return api.run(ablations.run_ablations, AblationOptions, source, options, say)


def run_search(
    source: str | Path = "paper", /, *, say: Callable[[str], None] = print, **options: Any
) -> "StudyResults | None":
    """Look for better hyperparameters of an arm; arguments, value and errors as for `run_ablations`."""
    from sweeper import api
    from sweeper.run import search
    from sweeper.run.options import SearchOptions

    return api.run(search.run_search, SearchOptions, source, options, say)


def run_tuned_ablations(
    source: str | Path = "paper", /, *, say: Callable[[str], None] = print, **options: Any
) -> "StudyResults | None":
    """The ablations, each arm with its own best hyperparameters; else as `run_ablations`."""
    from sweeper import api
    from sweeper.run import tuned
    from sweeper.run.options import TunedOptions

    return api.run(tuned.run_tuned, TunedOptions, source, options, say)


def read_study(place: str | Path, margin: float | None = None) -> "StudyResults":
    """What a study found, from its folder or URL; no code of the study is run.

        >>> import sweeper
        >>> found = sweeper.read_study("results/ablations-mel-demo-quick-1epochs")
        >>> print(found.trials.groupby("arm").accuracy.count().to_dict())
        {'full': 2, 'mean-pool': 2}
        >>> found.report("mel.html")
        'mel.html'

    Args:
        place: such as "results/ablations-demo-quick" or "s3://bucket/results/ablations-demo-quick".
        margin: the largest difference in accuracy that doesn't matter, in points; None: as the study was run, or 1.

    Raises:
        OSError, ValueError: there is no study, or it can't be read.
    """
    from sweeper import api

    return api.read(place, margin)
