"""Commits whose networks answer alike to the last bit: no interval is needed to call these equivalent.

A refactoring leaves every computation as it was, and paired trials have the same initial values and draws. So either
their answers agree in every bit, or something was changed. Only commits are called identical: in other studies, an arm
that switches something and still answers alike does not use what it switches.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sweeper.results.store import Study

IDENTICAL = "to the last bit"  # what a difference of theirs is a statement about
COLUMNS = ("trial_id", "arm", "fold", "replicate", "evidence", "test_clips", "accuracy")


def identical(study: Study, arm: Iterable[Mapping[Any, Any]], other: Iterable[Mapping[Any, Any]]) -> bool:
    """Whether two arms gave every test clip the same probabilities in every block, of which there is one at least.

    Args:
        study: theirs.
        arm, other: complete trials of each, with their `COLUMNS`.

    Raises:
        StudyError: predictions are damaged.
    """
    ours, theirs = ({(row["fold"], row["replicate"]): row for row in rows} for rows in (arm, other))
    if not ours or not ours.keys() <= theirs.keys():
        return False
    if any(row["accuracy"] != theirs[block]["accuracy"] for block, row in ours.items()):
        return False  # before any file is read
    return all(_alike(study, row, theirs[block]) for block, row in ours.items())


def _alike(study: Study, row: Mapping[Any, Any], other: Mapping[Any, Any]) -> bool:
    tables = [table for each in (row, other) if (table := study.evidence.predictions(each)) is not None]
    answers = [table.drop_columns(["trial_id"]).sort_by("clip_id").combine_chunks() for table in tables]
    return len(answers) == 2 and bool(answers[0].equals(answers[1]))  # metadata, with each one's mark, do not count
