"""What a study found, in sentences; and where its design can't decide, what it finds and the command that could."""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sweeper.audio.datasets.base import shorten
from sweeper.plan import Stage
from sweeper.report.cells import count, difference, points
from sweeper.report.floor import floor_sentence
from sweeper.report.rerun import rerun_command
from sweeper.results.budget import read_stop
from sweeper.results.identity import IDENTICAL
from sweeper.results.leaderboard import Leaderboard
from sweeper.results.looks import read_sequential
from sweeper.results.reach import Design, design_of, spread_of, steps_to
from sweeper.results.searching import Found, read_searches
from sweeper.results.variance import VARIANCE, advice

Row = dict[str, Any]

_FRESH: tuple[tuple[Stage, str], ...] = (("confirm", "validation clips"), ("test", "test clips"))
_UNMARKED = str.maketrans("", "", "*")


def answer(board: Leaderboard) -> list[str]:
    """The answer, the most important sentence first."""
    rows = board.ablation
    if board.plan.get(VARIANCE):
        return advice(list(board.variance))
    if not rows:
        return [_gain(found) for found in read_searches(board.study)] or ["Nothing was found yet."]
    compared = [row for row in rows if row["diff"] is not None]
    if not compared:
        return [f"No arm could be compared with {board.arms.reference}.", *floor_sentence(board), *_held(rows)]
    by_outcome = {word: [row for row in compared if row["outcome"] == word] for word in _SAID}
    sentences = []
    for word, found in by_outcome.items():
        if found and word != "undecided":
            listed = "; ".join(f"{row['arm']} {difference(row).translate(_UNMARKED)}" for row in found)
            sentences.append(f"{_SAID[word].format(full=board.arms.reference, margin=margin(board))}: {listed} points.")
    if undecided := by_outcome["undecided"]:
        alone = len(undecided) == len(compared)
        whole = "" if len(compared) == len(rows) - 1 else " that can be compared"
        which = (
            f"all {count(len(compared), 'arm')}{whole}"
            if alone and len(compared) > 1
            else ", ".join(row["arm"] for row in undecided)
        )
        sentences += [f"Undecided at {margin(board)}: {which}. That is not “no difference”.", *_remedy(board)]
    if alike := identical_arms(board):
        sentences.append(f"Identical to {board.arms.reference}, in every bit of every answer: {', '.join(alike)}.")
    return [*sentences, *floor_sentence(board), *_outweighed(board), *_held(rows)]


def identical_arms(board: Leaderboard) -> list[str]:
    """Commits that answered as the reference did, to the last bit."""
    found = board.ablation if board.plan.get("commits") else []
    return [row["arm"] for row in found if row["claim"] == IDENTICAL]


def in_a_sentence(board: Leaderboard) -> str:
    """How many arms are worse, better, as good, and undecided, and which; else the answer's first sentence."""
    compared = [row for row in board.ablation if row["diff"] is not None]
    if not compared:
        return answer(board)[0]
    of = f"{count(len(compared), 'arm')} against {board.arms.reference} at {margin(board)}"
    told = []
    for word in _SAID:
        arms = [row["arm"] for row in compared if row["outcome"] == word]
        told.append(f"{len(arms)} {word}" + (f" ({', '.join(arms)})" if 0 < len(arms) < len(compared) else ""))
    return f"{of}: {', '.join(told)}."


_SAID = {
    "worse": "Worse than {full}",
    "better": "Better than {full}",
    "equivalent": "As good as {full}, within {margin}",
    "undecided": "",
}


def margin(board: Leaderboard) -> str:
    """`±1 point`, `±0.5 points`."""
    return f"±{100 * board.margin:g} point{'' if board.margin == 0.01 else 's'}"


def _no_spread(board: Leaderboard, design: Design) -> list[str]:
    if len(board.grid.copied) == design.arms - 1 > 0:
        return ["No arm's scores differ from the reference's in any block, and more seeds would not change that."]
    seen = "One block shows no spread" if design.folds * design.seeds == 1 else "There is no spread to go by"
    further = Design(design.arms, design.folds, design.seeds + 1, design.test_train_ratio, design.folds_in_all)
    return [f"{seen}, so no difference can be told from noise. To see some:", _command(board, further)]


def _remedy(board: Leaderboard) -> list[str]:
    """What this design finds, and the command of one that would find the margin."""
    if lacking := [row["arm"] for row in board.ablation if row["n"] < row["planned"]]:
        return _completing(board, lacking)
    if read_stop(board.plan) is not None or read_sequential(board.plan) is not None:
        return _going_on(board)
    design, spread = design_of(board.grid), spread_of(board.grid.without(identical_arms(board)))
    if spread is None:
        return _no_spread(board, design)
    steps = steps_to(design, spread, board.margin)
    last, found = steps[-1]
    finds = ", ".join(f"{_from(size)} with {_grid(step)}" for step, size in steps)
    sentence = f"True differences that 4 of 5 studies find, by simulation: {finds}"
    if last == design and found > board.margin:
        why = (
            "the folds' training sets overlap"
            if spread.seed is not None
            else "one seed per fold does not show what more bring"
        )
        return [f"{sentence}. No further seeds are known to reach {margin(board)}: {why}."]
    if last == design:
        more = Design(design.arms, design.folds, 2 * design.seeds, design.test_train_ratio, design.folds_in_all)
        return [f"{sentence}. To tell those near {margin(board)}:", _command(board, more)]
    trials = count(last.arms * last.folds * last.seeds, "trial")
    whole = "" if found <= 1.05 * board.margin else ", and all the folds there are"
    return [f"{sentence} ({trials}{whole}):", _command(board, last)]


def _completing(board: Leaderboard, lacking: Sequence[str]) -> list[str]:
    """What to do about arms that lack trials."""
    if board.plan.get("imported"):
        remedy = "run them where the others ran, and import all of them again into another study"
    elif read_sequential(board.plan) is not None:
        return [f"Trials of {shorten(lacking)} are missing, which a look waits for. To go on:", _again(board)]
    else:
        remedy = "the command that began the study continues it"
    nothing = board.arms.reference in lacking
    called = "nothing is" if nothing else "it is" if len(lacking) == 1 else "they are"
    return [f"Trials of {shorten(lacking)} are missing, so {called} called{'' if nothing else ' nothing'}: {remedy}."]


def _going_on(board: Leaderboard) -> list[str]:
    """How a study that ended at its budget, or at its last look, goes on."""
    if (stop := read_stop(board.plan)) is not None:
        return [f"It stopped at its budget of {stop.words}. To go on without one:", _again(board)]
    sequential = read_sequential(board.plan)
    assert sequential is not None
    if sequential.taken and all(
        said.decided for _, said in sequential.said().values()
    ):  # at the margin that they were taken at
        return [
            f"Its looks decided each arm, at ±{100 * board.plan['looks'][-1]['margin']:g} points: --margin says that."
        ]
    after = [look for look in sequential.schedule.looks if look > sequential.end]
    if not after:
        return ["No further look is planned."]
    seeds = after[0] // len(sequential.folds)
    command = _again(board, seeds=seeds)
    return [f"To go on to {count(seeds, 'seed')}, where the next look is planned:", command]


def _again(board: Leaderboard, seeds: int | None = None, folds: int | None = None) -> str:
    return rerun_command(board.plan, seeds=seeds, folds=folds, margin=board.margin, folder=str(board.study))


def _grid(design: Design) -> str:
    return f"{count(design.folds, 'fold')} × {count(design.seeds, 'seed')}"


def _from(size: float) -> str:
    return "none" if size > 1 else f"from {100 * size:.1f} points"


def _command(board: Leaderboard, design: Design) -> str:
    if board.plan.get("imported"):
        return "run further seeds where the others ran, and import all of them into another study"
    return _again(board, seeds=design.seeds, folds=design.folds) or "(the study has no plan.json)"


def _outweighed(board: Leaderboard) -> list[str]:
    """Where a table is held against another one: which of its differences are larger than one there."""
    size = {row["arm"]: abs(row["diff"]) for row in board.ablation if row["diff"] is not None}
    sentences = []
    for table in board.arms.tables.values():
        other = board.arms.tables.get(table.against)
        mine, theirs = ([(size[arm], arm) for arm in t.arms if arm in size] for t in (table, other or table))
        if other is None or not mine or not theirs:
            continue
        (most, name), (least, small) = max(mine), min(theirs)
        if most > least:
            sentences.append(
                f"{name} ({table.title.lower()}) moves accuracy by {100 * most:.1f} points, more than {small} does "
                f"({other.title.lower()}, {100 * least:.1f}): conclusions about that are about the reading too."
            )
    return sentences


def _held(rows: Sequence[Row]) -> list[str]:
    """How the differences compare with the published ones."""
    verdicts = Counter(row["verdict"] for row in rows if row["verdict"])
    if len(verdicts) == 1:
        ((only, amount),) = verdicts.items()
        which = f", all {amount}" if amount > 1 else ""
        return [f"Held against the published differences{which}: {only}."]
    words = Counter(verdict.partition(":")[0] for verdict in verdicts.elements())
    held = ", ".join(f"{amount} {word}" for word, amount in words.items())
    return [f"Held against the published differences: {held}."] if held else []


def _gain(found: Found) -> str:
    where = f"{found.arm}, fold {found.fold}"
    winner = found.winner
    if winner is None:
        return f"{where}: no winner yet."
    if winner.params == found.recipe_params:
        return f"{where}: the search found nothing better than the recipe."
    gains = []
    for stage, on in _FRESH:
        if pairs := found.paired(stage, winner.params):
            mean = statistics.fmean(ours - theirs for ours, theirs in pairs)
            gains.append(f"{points(mean)} points on {on} over {count(len(pairs), 'fresh seed')}")
    return f"{where}: the winner against the recipe: {', '.join(gains) or 'not yet scored on fresh seeds'}."
