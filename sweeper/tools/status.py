"""How far a study is, from its folder alone: works from another shell, another machine, and after a crash."""

from collections import Counter
from dataclasses import dataclass

from sweeper.report.escaping import plain
from sweeper.results.attempts import held, read_attempts
from sweeper.results.budget import read_stop
from sweeper.results.row_files import Doubts
from sweeper.results.searching import read_searches
from sweeper.results.soundness import unplanned
from sweeper.results.store import Study
from sweeper.results.tables import StudyError


@dataclass(frozen=True)
class Status:
    """Counts of planned trials, and the state of the study.

    Attributes:
        running: (arm, fold, replicate, node, seconds so far) of each running trial.
        searches: (arm, fold, trials that explored, their budget) of each search.
        searching: how many trials of searches run.
        stopped: the budget that ended the study, in words; else empty.
        doubts: what is wrong with the study's files; the trials in such a file don't count as finished.
        imported: path that the study was imported from, at that time; else empty.
    """

    planned: int
    finished: int
    failed: int
    running: tuple[tuple[str, int, int, str, float], ...]
    attempts: Counter[str]
    device_seconds: float
    searches: tuple[tuple[str, int, int, int], ...] = ()
    searching: int = 0
    stopped: str = ""
    doubts: tuple[str, ...] = ()
    imported: str = ""


def status(study: Study) -> Status:
    """Read a study's plan, commits and attempts.

    Raises:
        StudyError: the folder has no plan.
    """
    plan = study.read_plan()
    if plan is None:
        raise StudyError(f"{study} has no plan.json: no run has begun there")
    needed = plan.get("trials", ())
    if plan.get("sequential"):
        from sweeper.results.looks import needed_trials  # SciPy takes a second to import

        needed = needed_trials(plan)
    planned = {trial["trial_id"]: trial for trial in needed}
    stop = read_stop(plan)
    doubts = Doubts()
    rows = study.trials(doubts)
    attempts = read_attempts(study, doubts=doubts).to_pylist()
    contradicting = unplanned(rows, plan)
    states = dict(zip(rows["trial_id"].to_pylist(), rows["status"].to_pylist(), strict=True))
    states = {name: state for name, state in states.items() if name in planned and name not in contradicting}
    finished = {name for name, state in states.items() if state != "failed"}
    wrong = [f"damaged: {line}" for line in doubts.damage]
    wrong += [f"impossible row: {line}" for line in doubts.unsound]
    wrong += [f"impossible row: {study.file_of(name)}: {reason}" for name, reason in contradicting.items()]
    wrong += [f"stray file: {name!a}" for name in doubts.strays]
    failed = states.keys() - finished
    running: dict[str, tuple[str, int, int, str, float]] = {}
    searching: set[str] = set()
    # As many as the space has points, where these are fewer than `--trials`.
    most = {(each["arm"], each["fold"]): each["most"] for each in plan.get("searches", ()) if "most" in each}
    for row in attempts:  # oldest first: a newer one of the same trial runs because that before was killed
        trial_id = row["trial_id"]
        if row["outcome"] == "running" and trial_id in planned.keys() - finished:
            trial, seconds = planned[trial_id], (row["ended"] - row["started"]).total_seconds()
            running[trial_id] = (trial["arm"], trial["fold"], trial["replicate"], row["node"], seconds)
        elif row["outcome"] == "running" and trial_id not in planned and plan.get("searches"):
            searching.add(trial_id)
    return Status(
        planned=len(planned),
        finished=len(finished),
        failed=len(failed - running.keys()),  # what failed once may be tried again now
        running=tuple(running.values()),
        attempts=Counter(row["outcome"].split(":")[0] for row in attempts),
        device_seconds=sum(map(held, attempts)),
        searches=tuple(
            (found.arm, found.fold, len(found.explored), most.get((found.arm, found.fold), plan["search"]["trials"]))
            for found in read_searches(study, rows)
        ),
        searching=len(searching),
        stopped="" if stop is None else stop.words,
        doubts=tuple(wrong),
        imported=plan.get("imported", {}).get("file", ""),
    )


def describe(status: Status) -> list[str]:
    """The status in lines."""
    left = status.planned - status.finished - status.failed
    if status.imported:
        counts = f"{status.finished} of {status.planned} runs have a score, {status.failed} failed, {left} are missing"
        return [plain(line) for line in (f"imported from {status.imported}: {counts}", *status.doubts)]
    lines = [
        f"search of {arm}, fold {fold}: {explored} of {budget} trials explored"
        for arm, fold, explored, budget in status.searches
    ]
    lines += [f"{status.searching} trials of searches running"] if status.searches else []
    lines += [
        f"{status.finished} of {status.planned} trials finished, {len(status.running)} running, "
        f"{status.failed} failed, {left - len(status.running)} waiting"
    ] * bool(status.planned or not status.searches)
    lines += [
        f"running: {arm}, fold {fold}, seed {replicate}, on {node}, for {seconds:.0f} s"
        for arm, fold, replicate, node, seconds in status.running
    ]
    lines += status.doubts
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(status.attempts.items()))
    lines.append(f"attempts: {counts or 'none'}; {status.device_seconds:.0f} device-seconds held")
    unexplored = any(explored < budget for _, _, explored, budget in status.searches)
    if status.stopped:
        lines.append(f"stopped at its budget of {status.stopped}: the same command with a larger --budget continues it")
    elif (left or unexplored) and not status.running and not status.searching:
        lines.append("nothing runs: the command that began the study continues it")
    return [plain(line) for line in lines]
