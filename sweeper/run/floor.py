"""The floor of a study's folds: computed once, in this process, while the first trials run."""

import functools
from collections.abc import Callable, Sequence

from sweeper.audio.fold_data import cut
from sweeper.audio.store import ClipStore
from sweeper.results.floors import Floor, read_floor, write_floor
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.run.options import Say


def keeping_floor(study: Study, store: ClipStore, split: str, folds: Sequence[int]) -> Callable[[Say], None]:
    """What computes the floor of those folds that the study has none of yet, and writes it.

    Args:
        study: whose plan is written.
        store: the clips.
        split: how they are divided.
        folds: the test folds.

    Returns:
        a function to be called with what prints a line.
    """
    return functools.partial(_keep, study, store, split, folds)


def _keep(study: Study, store: ClipStore, split: str, folds: Sequence[int], say: Say) -> None:
    from sweeper.training.floor import METHOD, floors  # scikit-learn takes a second to import

    try:
        known = read_floor(study, {"data_digest": store.digest})
    except StudyError:  # damaged; it can be made again
        known = None
    if known is None or known.method != METHOD:
        known = Floor(METHOD, {}, {})
    if not (missing := [fold for fold in folds if fold not in known.confusions]):
        return
    found = floors(cut(store, split, missing), len(store.dataset.classes))
    confusions = {**known.confusions, **{fold: made.confusion for fold, made in found.items()}}
    trained = {**known.train_clips, **{fold: made.train_clips for fold, made in found.items()}}
    floor = Floor(METHOD, confusions, trained)
    try:
        write_floor(study, floor, store.digest)
    except OSError as error:  # trials are more than a floor, which the next run can write
        say(f"the floor can't be written to {study}: {error}")
        return
    say(f"floor: {100 * floor.accuracy():.1f} %, by {METHOD}")
