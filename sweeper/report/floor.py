"""The floor beside the arms: its row's name, what it is, and a sentence where a network does not reach it."""

from sweeper.report.cells import percent
from sweeper.results.leaderboard import Leaderboard

FLOOR = "(floor)"  # in parentheses: no arm


def floor_note(board: Leaderboard) -> list[str]:
    """What the floor is; nothing where there is none."""
    if board.floor is None:
        return []
    folds = ", ".join(map(str, board.floor.confusions))
    which = "" if set(board.floor.confusions) == set(board.grid.folds) else f", here fold {folds}"
    return [
        f"{FLOOR}: {board.floor.method}; fitted on the training clips, scored on the test clips of the same "
        f"folds{which}; no arm, and compared by no test"
    ]


def floor_sentence(board: Leaderboard) -> list[str]:
    """Which arms score less than the floor; nothing where none does."""
    if board.floor is None:
        return []
    floor = board.floor.accuracy()
    below = [row["arm"] for row in board.ablation if row["mean"] is not None and row["mean"] < floor]
    if not below:
        return []
    scored = sum(row["mean"] is not None for row in board.ablation)
    which = (
        f"All {scored} arms score" if len(below) == scored > 1 else f"{', '.join(below)} score{'s' * (len(below) == 1)}"
    )
    return [
        f"{which} less than the floor of {percent(floor)} %: logistic regression on log-mel statistics does better "
        "here, in seconds."
    ]
