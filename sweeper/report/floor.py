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
    """Which arms score less than the floor; nothing where none does, of arms whose trials are all there."""
    if board.floor is None:
        return []
    floor = board.floor.accuracy()
    whole = [row for row in board.ablation if row["mean"] is not None and row["n"] >= row["planned"]]
    below = [row["arm"] for row in whole if row["mean"] < floor]
    if not below:
        return []
    which = (
        f"All {len(whole)} arms{'' if len(whole) == len(board.ablation) else ' whose trials are all there'} score"
        if len(below) == len(whole) > 1
        else f"{', '.join(below)} score{'s' * (len(below) == 1)}"
    )
    return [
        f"{which} less than the floor of {percent(floor)} %: logistic regression on log-mel statistics does better "
        "here, in seconds."
    ]
