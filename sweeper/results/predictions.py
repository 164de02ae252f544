"""What the trained networks answered to the test clips, read back from a study's predictions files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.results.store import Study


@dataclass(frozen=True)
class Answers:
    """One trial's answers, sorted by clip: the last epoch's weights, as in the leaderboard's headline.

    Attributes:
        clips: str `[clips]`.
        groups: source recording of each, str `[clips]`.
        targets, predicted: class indices, int64 `[clips]`.
        classes: number of classes.
    """

    clips: NDArray[np.str_]
    groups: NDArray[np.str_]
    targets: NDArray[np.int64]
    predicted: NDArray[np.int64]
    classes: int

    @property
    def correct(self) -> NDArray[np.float64]:
        """1 where the answer was right, else 0; `[clips]`."""
        return np.asarray(self.targets == self.predicted, dtype=np.float64)


def read_answers(study: Study, row: Mapping[str, Any]) -> Answers | None:
    """The answers of a trial; None where their file is missing (they may have been left behind) or has no clip.

    Args:
        study: the trial's.
        row: the trial's, of which `trial_id`, `evidence`, `test_clips` and `accuracy` are looked at.

    Raises:
        StudyError: the file is damaged, or belongs to another trial or attempt.
    """
    table = study.evidence.predictions(row)
    if table is None:
        return None
    table = table.sort_by("clip_id").combine_chunks()
    probabilities = table["probabilities"].combine_chunks()
    values = probabilities.flatten().to_numpy(zero_copy_only=False).reshape(table.num_rows, -1)
    return Answers(
        clips=np.array(table["clip_id"].to_pylist()),
        groups=np.array(table["group"].to_pylist()),
        targets=table["target"].to_numpy(),
        predicted=values.argmax(axis=1),
        classes=values.shape[1],
    )


def same_clips(answers: Iterable[Answers]) -> bool:
    """Whether all answered the same clips, so that they can be compared clip by clip."""
    first, *rest = answers
    return all(np.array_equal(first.clips, other.clips) for other in rest)
