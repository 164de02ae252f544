"""The floor of a study's folds: computed once, in this process, before the sweep."""

from collections.abc import Sequence

from sweeper.audio.fold_data import cut
from sweeper.audio.store import ClipStore
from sweeper.results.floors import Floor, read_floor, write_floor
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from sweeper.run.options import Say


def keep_floor(study: Study, store: ClipStore, split: str, folds: Sequence[int], say: Say) -> None:
    """Compute the floor of those folds that the study has none of yet.

    Args:
        study: whose plan is written.
        store: the clips.
        split: how they are divided.
        folds: the test folds.
        say: prints one line.
    """
    from sweeper.training.floor import METHOD, floors  # torch takes seconds to import: wrong input is told without it

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
    write_floor(study, floor, store.digest)
    say(f"floor: {100 * floor.accuracy():.1f} %, by {METHOD}")
